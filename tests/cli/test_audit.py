"""`estafeta audit`: one line for each gap, a sum, and an exit code."""

from __future__ import annotations

import json
import sqlite3
import time

import pytest
from tests.cli.conftest import Operator

from estafeta.mail.address import Address, ForwardPath
from estafeta.store import acceptance, accounts, directory, mailboxes
from estafeta.store.records import Acceptance, Content, Delivery, EntryKind, Instant, JournalEntry, MessageId
from estafeta.store.store import Transaction, open_store

LETTER = b"Subject: x\r\n\r\nhello\r\n"


def deliver(tx: Transaction, *names: str, days_ago: float = 0) -> None:
    """Accept one message for accounts."""
    at = Instant(time.time() - days_ago * 86_400)
    number = MessageId(tx.ids.smallest_at(at) + 1 if days_ago else tx.ids.next_id())
    found = [accounts.find(tx, Address(name, "example.org")) for name in names]
    boxes = [mailboxes.inbox(tx, account.account_id) for account in found if account is not None]
    acceptance.accept(
        tx,
        Acceptance(
            number,
            at,
            Content(len(LETTER), LETTER),
            tuple(Delivery(box.mailbox_id, ForwardPath(Address("ana", "example.org")), b"") for box in boxes),
            (),
            directory.version(tx),
            JournalEntry(EntryKind.TRANSACTION, at, None, number, {"recipients": [{} for _ in names]}),
        ),
    )


@pytest.fixture
def filled(office: Operator) -> Operator:
    """With mail of now and of some days ago."""
    office.write(lambda tx: deliver(tx, "luis", days_ago=3))
    office.write(lambda tx: deliver(tx, "ana", "luis"))
    return office


def damage(operator: Operator, statement: str) -> None:
    database = sqlite3.connect(operator.folder / "data" / "estafeta.sqlite3")
    with database:
        assert database.execute(statement).rowcount
    database.close()


def test_all_is_accounted_for(filled: Operator) -> None:
    assert filled.done("audit") == "2 messages, 3 recipients: all accounted for\n"


def test_an_empty_store_has_no_gap(office: Operator) -> None:
    assert office.done("audit") == "0 messages, 0 recipients: all accounted for\n"


def test_each_gap_is_one_line_and_the_exit_code_is_1(filled: Operator) -> None:
    damage(filled, "UPDATE mailboxes SET unseen = 7, messages = 9 WHERE messages = 1")
    result = filled.run("audit")
    assert result.exit_code == 1 and result.stderr == ""
    first, second, last = result.stdout.splitlines()
    assert first.startswith("counters: mailbox ") and "it says that it has 9 messages, and has 1" in first
    assert "it says that it has 7 unseen messages, and has 1" in second
    assert last == "2 messages, 3 recipients: 2 gaps"


def test_machines_get_a_document(filled: Operator) -> None:
    told = filled.json("audit")
    assert (told["messages"], told["recipients"], told["gaps"], told["since"]) == (2, 3, [], None)
    damage(filled, "UPDATE mailboxes SET uid_next = 1 WHERE messages = 1")
    result = filled.run("audit", "--json")
    [gap] = json.loads(result.stdout)["gaps"]
    assert result.exit_code == 1 and gap["check"] == "uids" and gap["subject"].startswith("mailbox ") and gap["says"]


@pytest.mark.parametrize(
    ("since", "messages"), [("7d", 2), ("1w", 2), ("12h", 1), ("2000-01-01", 2), ("2100-01-01T00:00Z", 0)]
)
def test_mail_accepted_before_is_not_looked_at(filled: Operator, since: str, messages: int) -> None:
    assert filled.json("audit", "--since", since)["messages"] == messages


@pytest.mark.parametrize("since", ["yesterday", "7", "d", "2026-13-01", ""])
def test_a_time_that_is_none_is_told_in_one_line(office: Operator, since: str) -> None:
    result = office.run("audit", "--since", since)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and "neither a duration" in result.stderr


def test_it_works_while_others_have_the_store(filled: Operator) -> None:
    store = open_store(filled.folder / "data", clock=time.time)
    try:
        assert filled.done("audit").endswith("all accounted for\n")
    finally:
        store.close()


def test_without_a_store_it_says_so(operator: Operator) -> None:
    assert "there is no store" in operator.refused("audit")
