"""The secret of the house."""

from __future__ import annotations

from pathlib import Path

import pytest

from estafeta.app.secret import house_secret


def test_it_stays_the_same_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    secret = house_secret(tmp_path)
    assert len(secret) == 32
    assert house_secret(tmp_path) == secret
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_no_two_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert house_secret(tmp_path / "one") != house_secret(tmp_path / "two")


@pytest.mark.parametrize("left", [b"", b"short"])
def test_what_a_loss_of_power_has_left_of_one_is_no_secret(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "secret").write_bytes(left)
    secret = house_secret(tmp_path)
    assert len(secret) == 32
    assert house_secret(tmp_path) == secret
