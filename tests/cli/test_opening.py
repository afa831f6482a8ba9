"""Whose store a command opens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from estafeta.store.store import DATABASE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can open what belongs to others: run the tests as root")
def test_root_does_not_write_in_a_store_of_another_user(office: Any) -> None:
    office.set('[[listen]]\nkind = "smtp"\nport = 0\n')
    office.done("index")
    database = office.folder / "data" / DATABASE
    os.chown(database, 65534, 65534)
    for command in (("domain", "list"), ("account", "add", "eva@example.org", "--no-password"), ("index",)):
        result = office.run(*command)
        assert result.exit_code == 1
        assert "belongs to nobody: run this as nobody, with runuser -u nobody -- " in result.stderr
    os.chown(database, 0, 0)
    office.done("domain", "list")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can open what belongs to others: run the tests as root")
def test_root_does_not_restore_into_a_folder_of_another_user(office: Any, tmp_path: Path) -> None:
    office.done("domain", "list")
    office.done("backup", str(tmp_path / "backup"))
    data = office.folder / "data"
    data.rename(office.folder / "before")
    data.mkdir()
    os.chown(data, 65534, 65534)
    result = office.run("restore", str(tmp_path / "backup"))
    assert result.exit_code == 1
    assert "belongs to nobody: run this as nobody" in result.stderr
    assert not list(data.iterdir())
    os.chown(data, 0, 0)
    office.done("restore", str(tmp_path / "backup"))
