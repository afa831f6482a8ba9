from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from estafeta.store import accounts, mailboxes, messages

if TYPE_CHECKING:
    from estafeta.store.engine import Transaction

    from .conftest import Operator, TakeIn


def test_mailboxes_are_listed_with_their_newest_messages(office: Operator, take_in: TakeIn) -> None:
    for _ in range(3):
        take_in()
    inbox = office.json("mailbox", "list", "luis@example.org", "--mailbox", "inbox", "--limit", "2")["mailboxes"][0]
    assert (inbox["name"], inbox["messages"]) == ("INBOX", 3)
    assert [each["uid"] for each in inbox["listed"]] == [2, 3]
    told = office.done("mailbox", "list", "luis")
    assert "INBOX: 3 messages, 3 unseen" in told and "Ana <ana@example.org>" in told
    assert "Trash \\Trash: 0 messages" in told
    assert "\x1b" not in told


def test_a_message_is_read_by_people_without_harm_to_the_terminal(office: Operator, take_in: TakeIn) -> None:
    take_in()
    told = office.done("mailbox", "read", "luis", "1")
    assert "From: Ana <ana@example.org>" in told
    assert "Querido Luis:" in told
    assert "\x1b" not in told and "\x07" not in told


def test_a_raw_message_has_every_octet(office: Operator, take_in: TakeIn) -> None:
    take_in()
    result = office.run("mailbox", "read", "luis@example.org", "1", "--raw")
    assert result.stdout_bytes.startswith(b"Return-Path: <ana@example.org>\r\nDate: ")
    assert result.stdout_bytes.endswith(b"\r\n\r\nQuerido Luis:\r\n\x1b]0;owned\x07\r\n")


def test_a_message_is_one_document_for_machines(office: Operator, take_in: TakeIn) -> None:
    take_in()
    read = office.json("mailbox", "read", "luis", "1")
    assert read["fields"][0] == {"name": "Return-Path", "body": "<ana@example.org>"}
    assert read["text"].startswith("Querido Luis:\n")


def test_a_bare_name_is_completed_only_when_there_is_one_domain(office: Operator) -> None:
    office.done("mailbox", "list", "luis")
    office.done("domain", "add", "example.net")
    assert "no domain" in office.refused("mailbox", "list", "luis")


def test_what_is_not_there_is_one_line(office: Operator) -> None:
    assert office.refused("mailbox", "list", "nobody") == "there is no account nobody@example.org"
    assert "has no mailbox Nope" in office.refused("mailbox", "list", "luis", "--mailbox", "Nope")
    assert office.refused("mailbox", "read", "luis", "9") == "there is no message 9 in the mailbox"


def listed(office: Operator, name: str) -> list[dict[str, Any]]:
    """What a mailbox of luis holds."""
    told = office.json("mailbox", "list", "luis", "--mailbox", name)["mailboxes"][0]["listed"]
    assert isinstance(told, list)
    return told


def flag(office: Operator, uid: int, *names: str) -> None:
    """Set flags in the INBOX of luis, as IMAP does."""

    def change(tx: Transaction) -> None:
        [account] = [each for each in accounts.list_all(tx) if each.address.local_part == "luis"]
        box = mailboxes.inbox(tx, account.account_id).mailbox_id
        messages.change_flags(tx, box, [(uid, uid)], add=messages.flag_mask(tx, box, names))

    office.write(change)


def test_flags_are_shown_by_name(office: Operator, take_in: TakeIn) -> None:
    take_in()
    flag(office, 1, "\\Flagged", "$Junk")
    assert listed(office, "INBOX")[0]["flags"] == ["\\Flagged", "$Junk"]
    assert "\\Flagged $Junk  Ana" in office.done("mailbox", "list", "luis")


def test_mailboxes_are_made_renamed_and_removed(office: Operator) -> None:
    assert office.done("mailbox", "create", "luis", "Clientes/Ávila") == "Clientes/Ávila created\n"
    names = [each["name"] for each in office.json("mailbox", "list", "luis")["mailboxes"]]
    assert {"Clientes", "Clientes/Ávila"} <= set(names)
    assert "is there already" in office.refused("mailbox", "create", "luis", "Clientes")
    office.done("mailbox", "rename", "luis", "Clientes", "Kunden")
    assert "cannot be below itself" in office.refused("mailbox", "rename", "luis", "Kunden", "Kunden/Alt")
    office.done("mailbox", "remove", "luis", "Kunden/Ávila", "--yes")
    names = [each["name"] for each in office.json("mailbox", "list", "luis")["mailboxes"]]
    assert "Kunden" in names and not any("Clientes" in name or "Ávila" in name for name in names)


def test_a_use_is_given_to_one_mailbox_only(office: Operator) -> None:
    assert "is for \\Trash already" in office.refused("mailbox", "create", "luis", "Papelera", "--use", "trash")
    office.done("mailbox", "remove", "luis", "Trash", "--yes")
    office.done("mailbox", "create", "luis", "Papelera", "--use", "trash")
    assert "Papelera \\Trash: 0 messages" in office.done("mailbox", "list", "luis")


@pytest.mark.parametrize("name", ["", "/a", "a//b", "a*", "x\x00y"])
def test_a_name_that_no_mailbox_can_have_is_refused(office: Operator, name: str) -> None:
    office.refused("mailbox", "create", "luis", name)


def test_the_inbox_stays(office: Operator) -> None:
    assert "mail is delivered there" in office.refused("mailbox", "remove", "luis", "inbox", "--yes")
    assert "mail is delivered there" in office.refused("mailbox", "rename", "luis", "INBOX", "Old")


def test_a_mailbox_is_emptied(office: Operator, take_in: TakeIn) -> None:
    for _ in range(3):
        take_in()
    assert office.run("mailbox", "empty", "luis", "INBOX", input="n\n").exit_code == 130
    assert len(listed(office, "INBOX")) == 3
    assert office.done("mailbox", "empty", "luis", "INBOX", "--yes") == "3 messages removed\n"
    assert listed(office, "INBOX") == []


@pytest.mark.parametrize("kind", ["mbox", "maildir"])
def test_what_was_exported_is_imported_as_it_was(office: Operator, take_in: TakeIn, tmp_path: Path, kind: str) -> None:
    for _ in range(3):
        take_in()
    flag(office, 1, "\\Seen", "\\Answered", "$Work")
    flag(office, 3, "\\Flagged", "\\Draft", "\\Deleted", "$Home", "$Work")
    path = tmp_path / "out"
    told = office.done("mailbox", "export", "luis", str(path), "--format", kind)
    assert told == f"3 messages of INBOX are in {path}\n"
    assert "File exists" in office.refused("mailbox", "export", "luis", str(path), "--format", kind)
    assert office.done("mailbox", "import", "luis", str(path), "--mailbox", "From/Afar") == (
        "3 messages are in From/Afar now\n"
    )
    before, after = listed(office, "INBOX"), listed(office, "From/Afar")
    assert [sorted(each["flags"]) for each in after] == [sorted(each["flags"]) for each in before]
    assert [each["internal_at"][:19] for each in after] == [each["internal_at"][:19] for each in before]
    for uid in ("1", "2", "3"):
        raw = [
            office.run("mailbox", "read", "luis", uid, "--raw", "--mailbox", name).stdout_bytes
            for name in ("INBOX", "From/Afar")
        ]
        assert raw[0] == raw[1]


def test_mail_over_the_quota_is_not_imported_and_the_rest_is_told(office: Operator, tmp_path: Path) -> None:
    office.done("account", "quota", "luis@example.org", "--messages", "250")
    path = tmp_path / "many"
    path.write_bytes(b"From x Thu Jan  1 00:00:09 1970\nSubject: x\n\nx\n\n" * 420)
    assert "200 messages are in the mailbox" in office.refused("mailbox", "import", "luis", str(path))
    told = office.json("mailbox", "list", "luis", "--mailbox", "INBOX")["mailboxes"][0]
    assert told["messages"] == 200
