from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.store import journal, mailboxes
from estafeta.store.ids import IdSource
from estafeta.store.records import EntryKind, Instant, JournalEntry
from estafeta.store.store import Transaction

if TYPE_CHECKING:
    from .conftest import Operator, TakeIn


def test_a_message_is_told_from_its_session_to_the_mailbox_it_is_in(office: Operator, take_in: TakeIn) -> None:
    queue_id = IdSource.text(take_in())
    for name in (queue_id, queue_id.upper(), "<One@example.org>", "one@example.org"):
        told = office.done("trace", name)
        assert told.index("session") < told.index(f"transaction {queue_id} - accepted")
        assert "from 192.0.2.7:40000, calls itself client.example.org, TLSv1.3, logged in as ana@example.org" in told
        assert "to           <luis@example.org>: ToMailbox, account" in told
        assert "rcpt nobody@example.org: reject 550 5.1.1 no such mailbox (unknown-recipient)" in told
        assert "+0.250s" in told
        assert "now          in luis@example.org INBOX, UID 1" in told


def test_facts_that_nobody_foresaw_are_told_too_and_do_nothing_to_the_terminal(
    office: Operator, take_in: TakeIn
) -> None:
    take_in()
    told = office.done("trace", "<one@example.org>")
    assert "weather      rain heavy\\x1b[2J" in told
    assert "\x1b" not in told


def test_queued_recipients_are_told_with_their_status(office: Operator, take_in: TakeIn) -> None:
    queue_id = IdSource.text(take_in(relay=("far@example.net",)))
    assert "now          queued for <far@example.net>: active, next attempt" in office.done("trace", queue_id)
    office.done("queue", "hold", queue_id)
    told = office.done("trace", queue_id)
    assert "queued for <far@example.net>: held" in told
    assert "operator" in told and "queue: held" in told


def test_a_message_that_was_removed_is_nowhere_now(office: Operator, take_in: TakeIn) -> None:
    queue_id = IdSource.text(take_in())

    def expunge(tx: Transaction) -> None:
        from estafeta.mail.address import Address
        from estafeta.store import accounts

        account = accounts.find(tx, Address("luis", "example.org"))
        assert account is not None
        mailboxes.expunge(tx, mailboxes.inbox(tx, account.account_id).mailbox_id, [1])

    office.write(expunge)
    assert "now  " not in office.done("trace", queue_id)


def test_an_address_has_all_its_story_with_the_newest_last_and_limited(office: Operator, take_in: TakeIn) -> None:
    first, second = IdSource.text(take_in()), IdSource.text(take_in())
    facts: dict[str, object] = {
        "peer": "198.51.100.9:2500",
        "reverse_path": "spam@example.com",
        "ended": "refused",
        "decisions": [{"stage": "rcpt", "verdict": "reject", "reply": "554 5.7.1 no", "reason": "relay-denied"}],
    }
    entry = JournalEntry(EntryKind.TRANSACTION, Instant(4e9), None, None, facts, ("luis@example.org",))
    office.write(lambda tx: journal.record(tx, entry))
    told = office.done("trace", "LUIS@example.org")
    assert told.index(first) < told.index(second) < told.index("transaction - refused")
    assert "rcpt: reject 554 5.7.1 no (relay-denied)" in told
    chapters = office.json("trace", "luis@example.org", "--limit", "1")
    assert [each["facts"]["ended"] for each in chapters] == ["refused"]


def test_machines_get_the_facts_and_the_whereabouts(office: Operator, take_in: TakeIn) -> None:
    queue_id = IdSource.text(take_in(relay=("far@example.net",)))
    session, transaction = office.json("trace", queue_id)
    assert session["kind"] == "session" and session["now"] == []
    assert transaction["message_id"] == queue_id
    assert transaction["facts"]["weather"] == {"rain": "heavy\x1b[2J"}
    assert transaction["now"][0] == {"account": "luis@example.org", "mailbox": "INBOX", "uid": 1, "flags": []}
    assert transaction["now"][1]["queue"] == "active"


def test_what_nobody_heard_of_is_one_line(office: Operator) -> None:
    assert office.refused("trace", "<none@example.org>") == "the journal has nothing about <none@example.org>"
