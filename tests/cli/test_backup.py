"""`estafeta backup`, `restore` and `verify`."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Operator


def restored_into(office: Operator, name: str) -> Operator:
    """The same operator on another, empty machine."""
    folder = office.folder / name
    folder.mkdir()
    (folder / "estafeta.toml").write_text('hostname = "mx.example.org"\ndata = "data"\n')
    return Operator(folder)


def test_there_and_back(office: Operator) -> None:
    backups = str(office.folder / "backups")
    made = office.done("backup", backups)
    assert "2 accounts" in made
    assert "all is as it was written" in office.done("verify", backups)
    assert "all is as it was written" in office.done("verify")
    other = restored_into(office, "other")
    assert "2 accounts" in other.done("restore", backups)
    assert other.json("account", "list") == office.json("account", "list")


def test_documents(office: Operator) -> None:
    backups = str(office.folder / "backups")
    assert office.json("backup", backups, "--keep", "3")["accounts"] == 2
    assert office.json("verify", backups) == {"faults": []}
    restored = restored_into(office, "other").json("restore", backups)
    assert restored["held"] == 0
    assert restored["damaged"] == []


def test_a_store_that_is_there_stays(office: Operator) -> None:
    backups = str(office.folder / "backups")
    office.done("backup", backups)
    assert "is not empty" in office.refused("restore", backups)


def test_no_store_no_backup(operator: Operator) -> None:
    assert "there is no store" in operator.refused("backup", str(operator.folder / "backups"))


def test_faults_are_named_and_counted(office: Operator) -> None:
    backups = office.folder / "backups"
    made = Path(office.json("backup", str(backups))["path"])
    octets = bytearray((made / "estafeta.sqlite3").read_bytes())
    octets[-20] ^= 1
    (made / "estafeta.sqlite3").write_bytes(octets)
    result = office.run("verify", str(backups))
    assert result.exit_code == 1
    assert "its database is not what was written" in result.stdout
