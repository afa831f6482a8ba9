"""Whose store a command opens."""

from __future__ import annotations

import os
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
