from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from estafeta.app import PostOffice
from estafeta.config.reading import read
from estafeta.mail.envelope import Notify, OriginalRecipient, Ret
from estafeta.net.bell import MAX_RING, ring_for
from estafeta.store import destinations, holders, journal, queue
from estafeta.store.ids import IdSource
from estafeta.store.records import DestinationState, Instant, MessageId, QueueStatus, RecipientId
from estafeta.store.store import Transaction, open_store

if TYPE_CHECKING:
    from .conftest import Operator, TakeIn

FAR = ("far@example.net", "farther@example.com")
NO_ANSWER = "connect: 451 4.4.1 no answer"


def block(office: Operator, destination: str, seconds: float, failures: int = 3) -> None:
    state = DestinationState(destination, Instant(time.time() + seconds), failures, NO_ANSWER)
    office.write(lambda tx: destinations.block(tx, state))


# Looking.


def test_what_waits_is_listed_and_shown(office: Operator, take_in: TakeIn) -> None:
    assert office.done("queue", "list") == "the queue is empty\n"
    queue_id = IdSource.text(take_in(to=(), relay=FAR))
    listed = office.json("queue", "list")
    assert [(each["message_id"], each["forward_path"], each["status"]) for each in listed] == [
        (queue_id, "far@example.net", "active"),
        (queue_id, "farther@example.com", "active"),
    ]
    assert "in all: 2 active" in office.done("queue", "list")
    shown = office.done("queue", "show", queue_id)
    assert "<far@example.net> by example.net" in shown and "reply     none yet" in shown
    [one] = office.json("queue", "show", listed[1]["recipient_id"])
    assert one.items() > listed[1].items()


def test_a_list_is_short_unless_more_is_asked_for(office: Operator, take_in: TakeIn) -> None:
    take_in(to=(), relay=tuple(f"x{number}@example.net" for number in range(51)))
    assert len(office.json("queue", "list")) == 50
    assert len(office.json("queue", "list", "--limit", "51")) == 51
    assert "in all: 51 active" in office.done("queue", "list", "--limit", "1")


def test_replies_are_short_in_the_list_and_whole_when_shown(office: Operator, take_in: TakeIn) -> None:
    reply = f"450 4.2.0 greylisted, {'come back ' * 20}later"
    take_in(to=(), relay=FAR[:1], waiting={"last_reply": reply, "attempts": 1, "status": QueueStatus.DEFERRED})
    listed = office.done("queue", "list")
    assert "450 4.2.0 greylisted, come back" in listed and "…" in listed and "later" not in listed
    [one] = office.json("queue", "list")
    assert one["last_reply"] == reply
    assert f"reply     {reply}" in office.done("queue", "show", one["recipient_id"])


def test_one_destination_is_listed_in_the_order_in_which_it_is_tried(office: Operator, take_in: TakeIn) -> None:
    now = time.time()
    last = take_in(to=(), relay=("last@example.net",), waiting={"next_attempt_at": Instant(now + 900)})
    held = take_in(to=(), relay=("held@example.net",), waiting={"status": QueueStatus.HELD})
    urgent = take_in(to=(), relay=("urgent@example.net",), envelope={"priority": 5})
    tried = take_in(to=(), relay=("tried@example.net",), waiting={"next_attempt_at": Instant(now - 900)})
    take_in(to=(), relay=("else@example.com",))

    def claim(tx: Transaction) -> None:
        holder = holders.register(tx, Instant(now), 60)
        queue.claim(tx, "example.net", holder, now=Instant(now + 1), limit=1)

    store = open_store(office.folder / "data", clock=time.time)
    try:
        asyncio.run(store.write(claim))
        listed = office.json("queue", "list", "--destination", "Example.NET.")
        ids = [each["message_id"] for each in listed]
        assert ids == [IdSource.text(each) for each in (urgent, tried, last, held)]
        assert [each["is_in_hand"] for each in listed] == [True, False, False, False]
        first = office.done("queue", "list", "--destination", "example.net").splitlines()[1]
        assert "urgent@example.net" in first and "in hand" in first
        assert "a server has it in hand" in office.done("queue", "show", ids[0])
    finally:
        store.close()
    # Whose server has ended is in nobody's hand.
    assert not any(each["is_in_hand"] for each in office.json("queue", "list"))
    found = office.json("queue", "list", "--destination", "example.net", "--status", "held")
    assert [each["forward_path"] for each in found] == ["held@example.net"]
    assert len(office.json("queue", "list", "--destination", "example.net", "--limit", "2")) == 2


def test_the_whole_envelope_is_shown(office: Operator, take_in: TakeIn) -> None:
    queue_id = IdSource.text(
        take_in(
            to=(),
            relay=FAR[:1],
            envelope={
                "account": "ana@example.org",
                "envid": "QQ314159",
                "ret": Ret.HDRS,
                "requires_tls": True,
                "priority": 3,
                "body": "8BITMIME",
                "smtputf8": True,
            },
            waiting={
                "notify": frozenset({Notify.FAILURE, Notify.DELAY}),
                "original": OriginalRecipient("rfc822", "old@example.net"),
            },
        )
    )
    [one] = office.json("queue", "show", queue_id)
    told = {
        "account": "ana@example.org",
        "envid": "QQ314159",
        "ret": "HDRS",
        "requires_tls": True,
        "priority": 3,
        "body": "8BITMIME",
        "smtputf8": True,
        "notify": ["DELAY", "FAILURE"],
        "original_recipient": "rfc822;old@example.net",
    }
    assert one.items() >= told.items()
    text = office.done("queue", "show", queue_id)
    for line in (
        "account     ana@example.org",
        "content     8BITMIME SMTPUTF8",
        "envid       QQ314159",
        "ret         HDRS",
        "TLS         required (REQUIRETLS)",
        "priority    3",
        "  original  rfc822;old@example.net",
        "  notify    DELAY,FAILURE",
    ):
        assert f"{line}\n" in text


def test_what_strangers_wrote_does_nothing_to_the_terminal(office: Operator, take_in: TakeIn) -> None:
    waiting = {"last_reply": "450 \x1b[2J\nagain", "original": OriginalRecipient("rfc822", "x\r\ny")}
    queue_id = IdSource.text(take_in(to=(), relay=FAR[:1], envelope={"envid": "a\nb\x07"}, waiting=waiting))
    text = office.done("queue", "show", queue_id) + office.done("queue", "list")
    assert "\x1b" not in text and "\x07" not in text and "\r" not in text
    assert "envid       a b\\x07\n" in text and "450 \\x1b[2J again" in text


def test_two_envelopes_of_a_message_are_shown_apart(office: Operator, take_in: TakeIn) -> None:
    queue_id = take_in(to=(), relay=FAR[:1])

    def forward(tx: Transaction) -> None:
        [one] = queue.find(tx, queue_id)
        message = replace(one.message, message_id=MessageId(tx.ids.next_id()), account="luis@example.org")
        queue.add(tx, [replace(one, recipient_id=RecipientId(tx.ids.next_id()), message=message)])

    office.write(forward)
    text = office.done("queue", "show", IdSource.text(queue_id))
    assert text.count(f"message     {IdSource.text(queue_id)}\n") == 2
    assert text.index("account     none") < text.index("account     luis@example.org")


@pytest.mark.rfc("3339", "Instants for machines are written so, in UTC.")
def test_when_the_sender_hears_of_it_follows_the_settings(office: Operator, take_in: TakeIn) -> None:
    at = Instant(1_800_000_000.0)
    queue_id = IdSource.text(take_in(to=(), relay=FAR[:1], envelope={"accepted_at": at}))
    [one] = office.json("queue", "show", queue_id)
    assert one["delay_notice_at"] == "2027-01-15T12:00:00.000Z" and one["expires_at"] == "2027-01-20T08:00:00.000Z"
    # Another table may be at fault: the queue can be looked at all the same.
    office.set("[relay]\nlifetime = 7200\ndelay_notice_after = 3600.0\nnothing = 1\n")
    [one] = office.json("queue", "show", queue_id)
    assert one["delay_notice_at"] == "2027-01-15T09:00:00.000Z" and one["expires_at"] == "2027-01-15T10:00:00.000Z"
    assert "  delay     the sender is told at 2027-01-15" in office.done("queue", "show", queue_id)
    for waiting, line in (
        ({"notify": frozenset({Notify.NEVER})}, "the sender is not told"),
        ({"is_delay_told": True}, "the sender was told"),
    ):
        other = IdSource.text(take_in(to=(), relay=FAR[:1], waiting=waiting))
        assert f"  delay     {line}\n" in office.done("queue", "show", other)
        assert office.json("queue", "show", other)[0]["delay_notice_at"] is None


def test_a_destination_that_does_not_answer_is_shown_with_what_waits_for_it(office: Operator, take_in: TakeIn) -> None:
    queue_id = IdSource.text(take_in(to=(), relay=FAR))
    block(office, "example.net", 600)
    one, other = office.json("queue", "show", queue_id)
    assert one["blocked"]["is_blocked"] and one["blocked"]["failures"] == 3 and other["blocked"] is None
    assert f"after 3 failures one after the other: {NO_ANSWER}" in office.done("queue", "show", queue_id)
    block(office, "example.net", -1)
    assert "example.net is to be tried again, after 3 failures" in office.done("queue", "show", queue_id)


def test_destinations_are_listed_by_what_waits_for_them(office: Operator, take_in: TakeIn) -> None:
    assert office.done("queue", "destinations") == "nothing waits\n"
    take_in(to=(), relay=("a@example.net", "b@example.net", "c@example.com", "d@example.edu"))
    take_in(to=(), relay=("e@example.edu", "f@example.edu", "g@call.example"), waiting={"status": QueueStatus.HELD})
    call = {"destination": "on-demand:call.example", "next_attempt_at": Instant(time.time() + 86_400)}
    take_in(to=(), relay=("h@call.example",), waiting=call)
    block(office, "example.net", 600)
    found = office.json("queue", "destinations")
    assert [(each["destination"], each["waiting"], each["in_hand"]) for each in found] == [
        ("example.net", 2, 0),
        ("example.com", 1, 0),
        ("example.edu", 1, 0),
        ("on-demand:call.example", 1, 0),
    ]
    assert found[0]["blocked"]["last_reply"] == NO_ANSWER and found[1]["blocked"] is None
    text = office.done("queue", "destinations")
    assert NO_ANSWER in text.splitlines()[1] and "when its host calls" in text.splitlines()[4]
    assert len(office.json("queue", "destinations", "--limit", "1")) == 1


# Changing.


def test_one_recipient_is_held_and_released_without_the_other(office: Operator, take_in: TakeIn) -> None:
    take_in(to=(), relay=FAR)
    first = office.json("queue", "list")[0]["recipient_id"]
    assert office.json("queue", "hold", first) == [{"id": first, "recipients": 1, "did": "held"}]
    assert [each["recipient_id"] for each in office.json("queue", "list", "--status", "held")] == [first]
    assert office.done("queue", "release", first) == f"{first}: 1 recipient released\n"
    assert office.json("queue", "list", "--status", "held") == []


def test_a_held_message_is_tried_again_whole(office: Operator, take_in: TakeIn) -> None:
    queue_id = IdSource.text(take_in(to=(), relay=FAR))
    office.done("queue", "hold", queue_id)
    assert office.done("queue", "retry", queue_id) == f"{queue_id}: 2 recipients due now\n"
    assert {each["status"] for each in office.json("queue", "list")} == {"active"}


def test_what_is_removed_is_gone_and_the_journal_knows_who_did_it(office: Operator, take_in: TakeIn) -> None:
    queue_id = IdSource.text(take_in(to=(), relay=FAR))
    assert office.run("queue", "remove", queue_id, input="n\n").exit_code == 130
    office.done("queue", "remove", queue_id, "--yes")
    assert office.json("queue", "list") == []
    operator = office.json("trace", "far@example.net")[-1]
    assert operator["kind"] == "operator" and operator["facts"]["did"] == "queue: removed"
    assert operator["message_id"] == queue_id
    assert len(operator["facts"]["removed"]) == len(FAR)
    assert office.done("audit").endswith("all accounted for\n")


def test_the_journal_names_some_recipients_of_a_large_mailing(office: Operator, take_in: TakeIn) -> None:
    queue_id = take_in(to=(), relay=tuple(f"x{number}@example.net" for number in range(120)))
    office.done("queue", "hold", IdSource.text(queue_id))
    entry = office.write(lambda tx: journal.by_message(tx, queue_id))[-1]
    recipients = entry.facts["recipients"]
    assert isinstance(recipients, list) and len(recipients) == 100 and entry.facts["recipients_left_out"] == 20


def test_what_is_not_queued_is_one_line(office: Operator) -> None:
    for command in ("show", "retry", "hold", "release"):
        assert office.refused("queue", command, "0000000000000") == "0000000000000 is not in the queue"
    assert office.refused("queue", "remove", "0000000000000", "--yes") == "0000000000000 is not in the queue"


def test_a_destination_is_flushed(office: Operator, take_in: TakeIn) -> None:
    later = {"status": QueueStatus.DEFERRED, "next_attempt_at": Instant(time.time() + 3600)}
    take_in(to=(), relay=("a@example.net", "b@example.net", "c@example.com"), waiting=later)
    take_in(to=(), relay=("held@example.net",), waiting={**later, "status": QueueStatus.HELD})
    block(office, "example.net", 600)
    assert office.json("queue", "flush", "EXAMPLE.net") == {
        "destination": "example.net",
        "due": 2,
        "was_blocked": True,
    }
    status = {each["forward_path"]: each["status"] for each in office.json("queue", "list")}
    assert status == {
        "a@example.net": "active",
        "b@example.net": "active",
        "c@example.com": "deferred",
        "held@example.net": "held",
    }
    assert office.json("queue", "destinations")[0]["blocked"] is None
    assert office.json("trace", "example.net")[-1]["facts"]["did"] == "queue: flushed example.net"
    assert office.done("queue", "flush", "example.com") == "example.com is tried now: 1 recipient made due\n"


def test_mail_for_a_host_that_calls_is_flushed_as_by_etrn(office: Operator, take_in: TakeIn) -> None:
    later = {"destination": "on-demand:call.example", "next_attempt_at": Instant(time.time() + 86_400)}
    take_in(to=(), relay=("x@call.example",), waiting=later)
    assert office.json("queue", "flush", "on-demand:Call.example")["due"] == 1


def test_a_destination_without_mail_is_not_flushed(office: Operator) -> None:
    assert office.refused("queue", "flush", "example.net").startswith("nothing waits for example.net; ")
    assert office.run("queue", "flush", "no domain").exit_code == 2


# Those who serve hear of it.


@pytest.fixture
def rung(office: Operator) -> Iterator[Callable[[], list[str]]]:
    """What a server's bell has heard since it was asked last."""
    folder = office.folder / "data" / "bells"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as bell:
        bell.bind(str(folder / "one.bell"))

        def heard() -> list[str]:
            found = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    found.append(bell.recv(MAX_RING).decode())
            return found

        yield heard


def test_every_change_rings(office: Operator, take_in: TakeIn, rung: Callable[[], list[str]]) -> None:
    number = take_in(to=(), relay=FAR)
    queue_id = IdSource.text(number)
    for arguments, text in (
        (("hold", queue_id), f"drop {number}"),
        (("release", queue_id), "look"),
        (("retry", queue_id), "clear example.com example.net"),
        (("flush", "example.net"), "clear example.net"),
        (("remove", queue_id, "--yes"), f"drop {number}"),
    ):
        office.done("queue", *arguments)
        assert rung() == [text]
    for command in ("list", "destinations"):
        office.done("queue", command)
        assert rung() == []


def test_what_was_changed_before_a_fault_is_rung(
    office: Operator, take_in: TakeIn, rung: Callable[[], list[str]]
) -> None:
    number = take_in(to=(), relay=FAR)
    assert "is not in the queue" in office.run("queue", "hold", IdSource.text(number), "0000000000000").stderr
    assert rung() == [f"drop {number}"]
    assert {each["status"] for each in office.json("queue", "list")} == {"held"}


def test_many_names_are_rung_in_several_rings(office: Operator, rung: Callable[[], list[str]]) -> None:
    names = [f"{'x' * 40}{number}.example" for number in range(200)]
    folder = office.folder / "data" / "bells"
    ring_for(folder, "clear", names)
    heard = rung()
    assert len(heard) > 1 and all(text.startswith("clear ") and len(text) <= MAX_RING for text in heard)
    assert [name for text in heard for name in text.split()[1:]] == names
    ring_for(folder, "clear", [])
    assert rung() == []


@contextlib.contextmanager
def serving(office: Operator) -> Iterator[None]:
    """A server in a thread of its own, by the settings of now."""
    is_up, is_over = threading.Event(), threading.Event()
    settings = read(office.config)

    async def serve() -> None:
        async with PostOffice(settings):
            is_up.set()
            await asyncio.to_thread(is_over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    try:
        assert is_up.wait(30)
        yield
    finally:
        is_over.set()
        thread.join(30)


def until(claim: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, "it did not come to be in time"


def test_a_running_server_follows_at_once(office: Operator, take_in: TakeIn) -> None:
    """Its host takes connections and says nothing, so that one message is being tried and the others wait in memory."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        office.set(
            "[shutdown]\ndrain_seconds = 0\n"
            "[relay]\npoll_after = 3600\n"
            '[[gateway]]\nname = "slow"\nkind = "smtp"\nhost = "127.0.0.1"\n'
            f'port = {listener.getsockname()[1]}\ntls = "none"\n'
            '[[destination_limit]]\ndomain = "gateway:slow"\nconcurrency = 1\n'
            '[[route]]\ndomain = "example.net"\ngateway = "slow"\n'
        )
        slow = {"destination": "gateway:slow"}
        ids = [IdSource.text(take_in(to=(), relay=(f"x{number}@example.net",), waiting=slow)) for number in range(3)]
        later = IdSource.text(
            take_in(to=(), relay=("y@example.net",), waiting={**slow, "next_attempt_at": Instant(time.time() + 3600)})
        )

        def in_hand(queue_id: str) -> bool:
            return bool(office.json("queue", "show", queue_id)[0]["is_in_hand"])

        with serving(office):
            connection, _ = listener.accept()
            with connection:
                until(lambda: all(map(in_hand, ids)))
                assert office.json("queue", "destinations")[0]["in_hand"] == 3
                office.done("queue", "hold", ids[1])
                until(lambda: not in_hand(ids[1]))
                office.done("queue", "remove", ids[2], "--yes")
                assert not in_hand(later)
                office.done("queue", "flush", "gateway:slow")
                until(lambda: in_hand(later))
                [held] = office.json("queue", "show", ids[1])
                assert (held["status"], held["is_in_hand"]) == ("held", False)
        # What the server had in hand waits again, and nothing was counted twice.
        left = office.json("queue", "list")
        assert {each["message_id"] for each in left} == {ids[0], ids[1], later}
        assert not any(each["is_in_hand"] for each in left)
