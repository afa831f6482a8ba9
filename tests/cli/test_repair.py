from __future__ import annotations

import json
import os
import stat
import time
from typing import TYPE_CHECKING

import apsw
import pytest

from estafeta.store.sqlite import DATABASE
from estafeta.store.store import open_store

if TYPE_CHECKING:
    from .conftest import Operator, TakeIn


def flip_a_bit(operator: Operator, place: bytes) -> None:
    """In the database file, where these octets are."""
    path = operator.folder / "data" / DATABASE
    octets = bytearray(path.read_bytes())
    assert octets.count(place) == 1
    octets[octets.index(place)] ^= 1
    path.write_bytes(octets)


def lose_header(operator: Operator) -> None:
    with (operator.folder / "data" / DATABASE).open("r+b") as file:
        file.write(bytes(4096))


def test_a_whole_store_stays_as_it_is(office: Operator, take_in: TakeIn) -> None:
    take_in()
    before = sorted(path.name for path in (office.folder / "data").iterdir())
    assert "nothing is damaged" in office.done("repair")
    told = office.json("repair")
    assert told["state"] == "whole"
    assert (told["saved"]["accounts"], told["saved"]["messages"]) == (2, 1)
    assert sorted(path.name for path in (office.folder / "data").iterdir()) == before


def test_every_command_names_the_file_and_the_remedy(office: Operator) -> None:
    office.set('[[listen]]\nkind = "smtp"\naddress = "127.0.0.1"\nport = 0\n')
    lose_header(office)
    for arguments in (("check",), ("serve",), ("account", "list"), ("queue", "list"), ("mailbox", "list", "luis")):
        result = office.run(*arguments)
        assert result.exit_code == 1
        told = result.stderr.splitlines()[-1]
        assert told.startswith("estafeta: ")
        assert "estafeta.sqlite3 is damaged" in told and "`estafeta repair`" in told


def test_a_lost_header_costs_nothing(office: Operator, take_in: TakeIn) -> None:
    take_in(relay=("friend@example.net",))
    lose_header(office)
    result = office.run("repair")
    assert result.exit_code == 0
    assert "damaged: the header of estafeta.sqlite3 is gone" in result.stdout
    assert "2 accounts" in result.stdout and "1 messages" in result.stdout and "1 queued recipients" in result.stdout
    assert office.run("mailbox", "read", "luis@example.org", "1", "--raw").stdout_bytes.endswith(b"\x07\r\n")
    assert len(office.json("queue", "list")) == 1
    [kept] = (office.folder / "data").glob("damaged-*")
    assert {path.name for path in kept.iterdir()} == {DATABASE, "report.json"}
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in kept.iterdir())


def test_a_bit_that_flipped_is_never_given_out(office: Operator, take_in: TakeIn) -> None:
    take_in(to=("luis@example.org", "ana@example.org"), relay=("friend@example.net",))
    flip_a_bit(office, b"Querido Luis")
    result = office.run("repair")
    assert result.exit_code == 1
    assert "quarantined: " in result.stdout and "held in the queue: " in result.stdout
    assert office.json("mailbox", "list", "luis", "--mailbox", "inbox")["mailboxes"][0]["messages"] == 0
    quarantine = office.folder / "data" / "quarantine"
    [octets] = quarantine.glob("*.eml")
    assert b"\r\nPuerido Luis:\r\n" in octets.read_bytes()
    told = json.loads(octets.with_suffix(".json").read_text())
    assert told["reverse_path"] == "ana@example.org"
    assert set(told["recipients"]) == {"luis@example.org", "ana@example.org", "friend@example.net"}
    places = [(place["account"], place["mailbox"], place["uid"]) for place in told["places"]]
    assert sorted(places) == [("ana@example.org", "INBOX", 1), ("luis@example.org", "INBOX", 1)]
    assert stat.S_IMODE(quarantine.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in quarantine.iterdir())
    [recipient] = office.json("queue", "list")
    assert recipient["status"] == "held" and "estafeta repair" in recipient["last_reply"]
    # It was told; the next repair finds nothing new.
    assert "nothing is damaged" in office.done("repair")


def test_a_rehearsal_changes_nothing(office: Operator, take_in: TakeIn) -> None:
    take_in()
    flip_a_bit(office, b"Querido Luis")
    data = office.folder / "data"
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    result = office.run("repair", "--dry-run")
    assert result.exit_code == 1
    assert "would be quarantined: " in result.stdout and "nothing was changed" in result.stdout
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before
    told = json.loads(office.run("repair", "--dry-run", "--json").stdout)
    assert (told["state"], told["dry_run"], len(told["quarantined"])) == ("saved", True, 1)
    assert told["damaged_files"] is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_repairs_is_its_owners(office: Operator, take_in: TakeIn) -> None:
    take_in()
    data = office.folder / "data"
    for path in (data, *data.rglob("*")):
        os.chown(path, 4711, 4711)
    flip_a_bit(office, b"Querido Luis")
    lose_header(office)
    assert office.run("repair").exit_code == 1
    made = [data / DATABASE, *data.glob("damaged-*"), *data.glob("damaged-*/*"), *data.glob("quarantine*/*")]
    assert len(made) == 6
    assert {path.stat().st_uid for path in (*made, data / "quarantine")} == {4711}


def test_a_server_that_runs_is_not_disturbed(office: Operator) -> None:
    store = open_store(office.folder / "data", clock=time.time)
    try:
        result = office.run("repair")
        assert result.exit_code == 2
        assert result.stderr.startswith("estafeta: the store is open: stop the server")
        assert result.stderr.count("\n") == 1
    finally:
        store.close()


def test_where_there_is_no_store_nothing_is_made(operator: Operator) -> None:
    result = operator.run("repair")
    assert result.exit_code == 2 and "there is no store" in result.stderr
    assert not (operator.folder / "data").exists()


def test_what_a_later_version_wrote_is_left_alone(office: Operator) -> None:
    connection = apsw.Connection(str(office.folder / "data" / DATABASE))
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    result = office.run("repair")
    assert result.exit_code == 2 and "repair it with the version that wrote it" in result.stderr


def test_a_file_that_cannot_be_read_at_all(office: Operator) -> None:
    database = office.folder / "data" / DATABASE
    os.unlink(database)
    database.mkdir()
    result = office.run("repair")
    assert result.exit_code == 2 and "Traceback" not in result.output
