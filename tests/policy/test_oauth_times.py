"""Times in tokens that are none."""

from __future__ import annotations

import json

import pytest

from estafeta.policy.oauth import OAuthSettings, TokenRefused, judge

SETTINGS = OAuthSettings("https://login.example.org", introspection_url="https://login.example.org/introspect")


@pytest.mark.rfc("7519 §4.1.4", "exp is a number.")
@pytest.mark.parametrize("written", ["1" + "0" * 400, "1e999", "true", '"1800000000"', "[]"])
@pytest.mark.parametrize("name", ["exp", "nbf"])
def test_a_time_that_is_none_is_refused(name: str, written: str) -> None:
    claims = json.loads(f'{{"active": true, "email": "ana@example.org", "{name}": {written}}}')
    assert judge(claims, SETTINGS, 0.0, is_whole=False) == TokenRefused(f"{name} is not a time")
