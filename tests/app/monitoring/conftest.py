"""A certificate for the post offices that are watched."""

from __future__ import annotations

import pytest

from estafeta.net.authority import Issued, issue


@pytest.fixture(scope="session")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    """A certificate for localhost."""
    return issue(tmp_path_factory.mktemp("tls"), ["localhost", "127.0.0.1"])
