from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from estafeta.agents.outbound.outcome import HostFacts, Outcome
from estafeta.agents.outbound.plan import Trouble
from estafeta.agents.outbound.record import attempt_entry, settlements
from estafeta.agents.outbound.relay import Attempt
from estafeta.agents.outbound.schedule import Schedule
from estafeta.agents.outbound.settings import RelaySettings
from estafeta.mail.reply import Reply
from estafeta.store import destinations, journal, mailboxes, messages, queue
from estafeta.store.ids import IdSource
from estafeta.store.records import (
    DestinationState,
    EntryKind,
    Fate,
    Instant,
    JournalEntry,
    MessageId,
)
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
        messages.expunge(tx, mailboxes.inbox(tx, account.account_id).mailbox_id, [1])

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


# Attempts and notifications.

FIRST = HostFacts("first.example.net", "192.0.2.1:25")
SECOND = HostFacts("second.example.net", "[2001:db8::2]:25", "TLSv1.3 TLS_AES_256_GCM_SHA384, DANE-EE 3 1 1")
GREYLISTED = Reply.of(450, "greylisted", "4.2.0")
NO_ANSWER = Trouble(FIRST.name, FIRST.address, "connect", Reply.of(451, "connection refused", "4.4.1"))


def tried(
    office: Operator,
    message_id: MessageId,
    *,
    fate: Fate = Fate.DEFERRED,
    reply: Reply = GREYLISTED,
    host: HostFacts | None = SECOND,
    stage: str = "RCPT",
    troubles: Sequence[Trouble] = (),
    only: str = "",
    seconds_ago: float = 0.0,
    notifications: Sequence[str] = (),
) -> None:
    """Record an attempt at the queued recipients of a message, or at one of them, as the relay does."""
    at = time.time() - seconds_ago

    def change(tx: Transaction) -> None:
        found = [one for one in queue.find(tx, message_id) if not only or str(one.forward_path) == only]
        outcomes = [Outcome(one, fate, reply, True, stage, host) for one in found]
        rows = settlements(outcomes, Schedule(RelaySettings(), lambda: 0.5), at)
        attempt = Attempt(outcomes, list(troubles))
        entry = attempt_entry(found[0].destination, found[0].message, attempt, rows, seconds=1.25, at=at)
        if notifications:
            entry.facts["notifications"] = list(notifications)
        journal.record(tx, entry)

    office.write(change)


def test_an_attempt_is_told_with_host_tls_reply_and_the_next(office: Operator, take_in: TakeIn) -> None:
    message_id = take_in(to=(), relay=("far@example.net",))
    tried(office, message_id, troubles=[NO_ANSWER])
    told = office.done("trace", IdSource.text(message_id))
    attempt = told[told.index("attempt") :]
    assert attempt.startswith(f"attempt {IdSource.text(message_id)} - deferred\n")
    for line in (
        "  destination  example.net, 1.250 s\n",
        "  no luck      first.example.net 192.0.2.1:25, connect: 451 4.4.1 connection refused\n",
        "  host         second.example.net [2001:db8::2]:25, TLSv1.3 TLS_AES_256_GCM_SHA384, DANE-EE 3 1 1\n",
        "  to           <far@example.net>: deferred, RCPT: 450 4.2.0 greylisted; next attempt 20",
    ):
        assert line in attempt
    assert told.index("transaction") < told.index("attempt")
    facts = office.json("trace", IdSource.text(message_id))[-1]["facts"]
    assert facts["recipients"][0]["host"] == "second.example.net"
    assert facts["troubles"][0]["stage"] == "connect"


def test_an_attempt_in_the_clear_says_so_and_one_without_a_connection_does_not(
    office: Operator, take_in: TakeIn
) -> None:
    message_id = take_in(to=(), relay=("far@example.net",))
    tried(office, message_id, fate=Fate.RELAYED, reply=Reply.of(250, "ok", "2.0.0"), host=FIRST, stage="content")
    told = office.done("trace", IdSource.text(message_id))
    assert "host         first.example.net 192.0.2.1:25, no TLS" in told
    assert "<far@example.net>: relayed, content: 250 2.0.0 ok\n" in told
    other = take_in(to=(), relay=("far@example.net",))
    tried(office, other, reply=NO_ANSWER.reply, host=FIRST, stage="connect", troubles=[NO_ANSWER])
    told = office.done("trace", IdSource.text(other))
    assert told.count("first.example.net") == 1 and "no TLS" not in told
    nowhere = take_in(to=(), relay=("far@example.net",))
    tried(office, nowhere, reply=Reply.of(451, "the DNS does not tell", "4.4.3"), host=None, stage="DNS")
    told = office.done("trace", IdSource.text(nowhere))
    assert "<far@example.net>: deferred, DNS: 451 4.4.3 the DNS does not tell; next" in told and "host  " not in told


def test_the_story_of_an_address_has_its_attempts_and_not_those_of_others(office: Operator, take_in: TakeIn) -> None:
    message_id = take_in(to=(), relay=("far@example.net", "farther@example.com"))
    tried(office, message_id, only="far@example.net")
    tried(office, message_id, only="farther@example.com")

    def attempts(what: str) -> list[str]:
        chapters = office.json("trace", what)
        return [each["facts"]["destination"] for each in chapters if each["kind"] == "attempt"]

    assert attempts("FAR@example.net") == ["example.net"]
    assert attempts("farther@example.com") == ["example.com"]
    for what in ("ana@example.org", "<one@example.org>", IdSource.text(message_id)):
        assert attempts(what) == ["example.net", "example.com"]


def test_a_recipient_of_the_queue_leads_to_its_message(office: Operator, take_in: TakeIn) -> None:
    message_id = take_in(to=(), relay=("far@example.net",))
    recipient_id = office.json("queue", "list")[0]["recipient_id"]
    assert office.json("trace", recipient_id) == office.json("trace", IdSource.text(message_id))


def test_a_long_story_keeps_its_beginning(office: Operator, take_in: TakeIn) -> None:
    message_id = take_in(to=(), relay=("far@example.net",))
    for number in range(30):
        tried(office, message_id, seconds_ago=-number)
    for what in (IdSource.text(message_id), "far@example.net"):
        chapters = office.json("trace", what, "--limit", "5")
        kinds = [each["kind"] for each in chapters]
        assert kinds[-6:] == ["transaction", *["attempt"] * 5]
        assert [each["left_out_before"] for each in chapters][-5:] == [25, 0, 0, 0, 0]
        told = office.done("trace", what, "--limit", "5")
        assert "(25 entries before are left out, --limit shows more)" in told
        assert told.count(f"attempt {IdSource.text(message_id)}") == 5
    whole = office.json("trace", IdSource.text(message_id), "--limit", "100")
    assert [each["kind"] for each in whole] == ["session", "transaction", *["attempt"] * 30]
    assert "left out" not in office.done("trace", IdSource.text(message_id), "--limit", "100")


def test_a_notification_stands_in_the_story_of_its_message(office: Operator, take_in: TakeIn) -> None:
    message_id = take_in(to=(), relay=("far@example.net",))

    def notify(tx: Transaction) -> MessageId:
        notification = MessageId(tx.ids.next_id())
        facts: dict[str, object] = {
            "reverse_path": "",
            "recipients": [{"forward_path": "ana@example.org", "route": "mailbox of ana@example.org"}],
            "notification_of": IdSource.text(message_id),
            "action": "failed",
            "ended": "accepted",
        }
        at = Instant(time.time() + 5)
        journal.record(tx, JournalEntry(EntryKind.TRANSACTION, at, None, notification, facts, ("ana@example.org",)))
        return notification

    name = IdSource.text(office.write(notify))
    lost = "<eva@example.org>: 550 5.1.1 no such mailbox here (no account or alias eva@example.org)"
    tried(office, message_id, fate=Fate.FAILED, reply=Reply.of(550, "unknown", "5.1.1"), notifications=[name, lost])
    told = office.done("trace", IdSource.text(message_id))
    assert f"  notification {name}\n" in told
    assert f"  notification cannot be delivered: {lost}\n" in told
    assert f"transaction {name} - accepted\n  notification of {IdSource.text(message_id)}: failed\n" in told
    assert told.index("attempt") < told.index(f"transaction {name}")
    chapters: Any = office.json("trace", IdSource.text(message_id))
    assert [each["kind"] for each in chapters] == ["session", "transaction", "attempt", "transaction"]
    # By its own id the notification is found alone.
    assert [each["message_id"] for each in office.json("trace", name)] == [name]


def test_what_is_queued_is_told_with_the_destination_that_does_not_answer(office: Operator, take_in: TakeIn) -> None:
    message_id = take_in(to=(), relay=tuple(f"x{number}@example.net" for number in range(60)))
    state = DestinationState("example.net", Instant(time.time() + 600), 2, "connect: 451 4.4.1 no answer")
    office.write(lambda tx: destinations.block(tx, state))
    told = office.done("trace", IdSource.text(message_id))
    assert told.count("now          queued for") == 50 and "and 10 more in the queue" in told
    assert "example.net does not answer: 2 failures one after the other, not tried before 20" in told
    assert len(office.json("trace", IdSource.text(message_id))[-1]["now"]) == 60
