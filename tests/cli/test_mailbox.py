from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Operator, TakeIn


def test_mailboxes_are_listed_with_their_newest_messages(office: Operator, take_in: TakeIn) -> None:
    for _ in range(3):
        take_in()
    inbox = office.json("mailbox", "list", "luis@example.org", "--mailbox", "inbox", "--limit", "2")["mailboxes"][0]
    assert (inbox["name"], inbox["messages"]) == ("INBOX", 3)
    assert [each["uid"] for each in inbox["listed"]] == [2, 3]
    told = office.done("mailbox", "list", "luis")
    assert "INBOX: 3 messages" in told and "Ana <ana@example.org>" in told
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
