"""What clients may ask of time and order: DELIVERBY, FUTURERELEASE and MT-PRIORITY, from MAIL to the mailbox."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest

from estafeta.agents.outbound.settings import RelaySettings
from estafeta.agents.promises import PromiseSettings
from estafeta.config.settings import ListenerKind
from estafeta.mail.address import Address
from estafeta.mail.envelope import ByMode
from estafeta.net.bell import BELLS, ring
from estafeta.routing.destinations import LATER
from estafeta.store import aliases, lists, queue
from estafeta.store.records import Instant
from estafeta.wire.smtp.extensions.future_release import timestamp

LETTER = b"From: ana@example.org\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nSubject: x\r\n\r\nhello\r\n"
ANA = "MAIL FROM:<ana@example.org>"
STRANGER = "MAIL FROM:<far@example.net>"


def keywords(reply: str) -> dict[str, str]:
    """What EHLO named, and what stands behind each keyword."""
    return dict(line[4:].partition(" ")[::2] for line in reply.splitlines()[1:])


async def hand_in(client: Any, mail: str, *to: str, content: bytes = LETTER) -> str:
    """A transaction; gives the last reply."""
    for line in (mail, *(f"RCPT TO:<{each}>" for each in to), "DATA"):
        reply = await client.say(line)
        assert reply[0] in "23", (line, reply)
    return str(await client.say(content + b"."))


@pytest.mark.rfc("4865 §4.2", "FUTURERELEASE is announced on submission ports alone, with its two maxima.")
@pytest.mark.rfc("6710 §3", "MT-PRIORITY is for submission and LMTP too.")
def test_what_each_listener_offers(run: Any) -> None:
    async def test(office: Any) -> None:
        for kind, holds in ((ListenerKind.SMTP, False), (ListenerKind.LMTP, False), (ListenerKind.SUBMISSIONS, True)):
            client = await office.client(kind, hello=False)
            offered = keywords(await client.say("LHLO c" if kind is ListenerKind.LMTP else "EHLO c"))
            assert (offered["DELIVERBY"], offered["MT-PRIORITY"]) == ("", "")
            assert ("FUTURERELEASE" in offered) is holds
        seconds, latest = offered["FUTURERELEASE"].split()
        assert int(seconds) == 2_592_000
        left = datetime.fromisoformat(latest) - datetime.now(UTC)
        assert abs(left.total_seconds() - 2_592_000) < 60

    run(test)


def test_what_an_operator_does_not_want_is_not_offered(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter()
        offered = keywords(await client.say("EHLO c"))
        assert not offered.keys() & {"DELIVERBY", "MT-PRIORITY", "FUTURERELEASE"}
        for parameter in ("BY=60;R", "MT-PRIORITY=-1", "HOLDFOR=60"):
            assert (await client.say(f"{ANA} {parameter}")).startswith("555 5.5.4")

    run(test, settings={"promises": PromiseSettings(deliver_by=False, hold_for=0, priority=False)})


# FUTURERELEASE.


@pytest.mark.rfc("4865 §4.2", "What is held is not released before its time, and released then.")
@pytest.mark.rfc("4865 §6", "Neither the header as it was written nor our Received field is changed for it.")
def test_held_mail_is_in_no_mailbox_until_it_is_released(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter()
        reply = await hand_in(client, f"{ANA} HOLDFOR=3600", "luis@example.org")
        assert reply.startswith("250 2.0.0")
        [waiting] = await office.queued()
        assert (waiting.destination, waiting.message.hold, waiting.message.account) == (
            LATER,
            "for;3600",
            "ana@example.org",
        )
        assert abs(waiting.next_attempt_at - waiting.message.accepted_at - 3600) < 5
        assert await office.mailbox("luis@example.org") == []
        [entry] = [each for each in await office.journal("luis@example.org") if each.kind.value == "transaction"]
        assert entry.facts["held_until"] == timestamp(datetime.fromtimestamp(waiting.message.release_at, UTC))
        now = Instant(waiting.message.accepted_at + 1)
        await office.change(lambda tx: queue.release(tx, waiting.message.message_id, now=now))
        ring(office.office.settings.data / BELLS, "look")
        await office.until_delivered("luis@example.org")
        [delivered] = await office.mailbox("luis@example.org")
        assert delivered.startswith(b"Return-Path: <ana@example.org>\r\nReceived: from client.example.net")
        assert delivered.endswith(LETTER)

    run(until_delivered(test))


def test_it_comes_by_itself(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter()
        began = time.time()
        await hand_in(client, f"{ANA} HOLDFOR=1", "luis@example.org")
        await office.until_delivered("luis@example.org")
        assert time.time() - began >= 1
        assert await office.queued() == []

    run(until_delivered(test), settings={"relay": RelaySettings(poll_after=0.05)})


@pytest.mark.rfc("4865 §5.2.2", "Held beyond the time of BY: 501 5.5.4.")
@pytest.mark.rfc("4865 §5.1.1", "Notifications are not held.")
@pytest.mark.parametrize(
    ("mail", "reply"),
    [
        (f"{ANA} HOLDFOR=60 BY=59;R", "501 5.5.4"),
        (f"{ANA} BY=59;N HOLDFOR=60", "501 5.5.4"),
        (f"{ANA} HOLDFOR=60 BY=60;R", "250"),
        (f"{ANA} HOLDUNTIL=2999-01-01T00:00:00Z", "501 5.5.4"),
        ("MAIL FROM:<> HOLDFOR=60", "501 5.5.4"),
    ],
)
def test_what_is_not_held(run: Any, mail: str, reply: str) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter()
        assert (await client.say(mail)).startswith(reply)

    run(test)


def test_strangers_have_nothing_held(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        assert (await client.say(f"{STRANGER} HOLDFOR=60")).startswith("555 5.5.4")
        client = await office.client(ListenerKind.SUBMISSION, tls=True)
        assert (await client.say(f"{ANA} HOLDFOR=60")).startswith("530")

    run(test)


@pytest.mark.rfc("4865 §6", "Who has too much held already is told 552 5.7.16.")
def test_how_much_one_account_may_have_held(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter()
        for _ in range(2):
            await hand_in(client, f"{ANA} HOLDFOR=60", "luis@example.org", "far@example.net")
        assert (await client.say(f"{ANA} HOLDFOR=60")).startswith("552 5.7.16")
        assert (await client.say(ANA)).startswith("250")
        other = await office.submitter("luis@example.org")
        assert (await other.say("MAIL FROM:<luis@example.org> HOLDFOR=60")).startswith("250")

    run(test, settings={"promises": PromiseSettings(held_messages=2)})


# DELIVERBY.


@pytest.mark.rfc("2852 §4", "The time of BY becomes an instant when MAIL comes.")
@pytest.mark.rfc("2852 §4.1.1", "What is delivered in time needs no more.")
def test_time_for_delivery(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        await hand_in(client, f"{STRANGER} BY=60;RT", "luis@example.org")
        assert len(await office.mailbox("luis@example.org")) == 1
        assert await office.queued() == []
        client = await office.submitter()
        await hand_in(client, f"{ANA} BY=600;RT", "luis@example.org", "far@example.net")
        [queued] = await office.queued()
        by = queued.message.deliver_by
        assert (by.mode, by.is_traced) == (ByMode.RETURN, True)
        assert abs(by.at - queued.message.accepted_at - 600) < 5
        assert queued.is_by_told is False
        await hand_in(client, f"{ANA} BY=-600;N", "far@example.net")
        assert [each.is_by_told for each in await office.queued()] == [False, True]
        [entry] = (await office.journal("ana@example.org"))[:1]
        assert entry.facts["deliver_by"] in ("600;RT", "-600;N")

    run(test)


@pytest.mark.rfc("2852 §4.1.3", "What comes when it was to be back already is not taken.")
def test_content_that_comes_too_late(run: Any) -> None:
    async def test(office: Any) -> None:
        now = time.time()
        reception = office.office._reception
        reception.replace(replace(reception.environment, clock=lambda: now))
        client = await office.client()
        await client.say(f"{STRANGER} BY=60;R")
        await client.say("RCPT TO:<luis@example.org>")
        await client.say("DATA")
        now += 60
        assert (await client.say(LETTER + b".")).startswith("554 5.4.7")
        assert await office.mailbox("luis@example.org") == []

    run(test)


def test_an_alias_keeps_the_time_and_a_list_does_not(run: Any) -> None:
    async def test(office: Any) -> None:
        def add(tx: Any) -> None:
            aliases.add(tx, Address.parse("away@example.org"), [Address.parse("there@one.example")])
            aliases.add(tx, Address.parse("all@example.org"), [Address.parse("there@two.example")])
            lists.set_owner(tx, Address.parse("all@example.org"), Address.parse("ana@example.org"))

        await office.change(add)
        client = await office.client()
        await hand_in(client, f"{STRANGER} BY=600;R MT-PRIORITY=-4", "away@example.org", "all@example.org")
        away, all_ = await office.queued()
        assert away.message.reverse_path != all_.message.reverse_path
        assert (away.message.deliver_by is not None, all_.message.deliver_by) == (True, None)
        assert away.review_at == away.message.deliver_by.at
        assert (away.message.priority, all_.message.priority) == (-4, -4)  # RFC 6710 §4.4

    run(test)


# MT-PRIORITY.


@pytest.mark.rfc("6710 §4.1", "Nobody gets a priority above 0 whom the operator does not trust with it; 2.3.6 says so.")
@pytest.mark.rfc("6710 §4.1", "Anybody may lower his own.")
@pytest.mark.parametrize(
    ("login", "asked", "given"),
    [
        ("", 9, 0),
        ("", 0, 0),
        ("", -9, -9),
        ("luis@example.org", 9, 2),
        ("luis@example.org", 2, 2),
        ("ana@example.org", 9, 9),
        ("ana@example.org", -1, -1),
    ],
)
def test_who_gets_which_priority(run: Any, login: str, asked: int, given: int) -> None:
    async def test(office: Any) -> None:
        def add(tx: Any) -> None:
            aliases.add(tx, Address.parse("away@example.org"), [Address.parse("there@one.example")])

        await office.change(add)
        client = await (office.submitter(login) if login else office.client())
        reply = await client.say(f"MAIL FROM:<{login or 'far@example.net'}> MT-PRIORITY={asked}")
        assert reply.startswith("250 2.1.0" if asked == given else f"250 2.3.6 {given} ")
        await client.say("RCPT TO:<away@example.org>")
        await client.say("DATA")
        content = LETTER.replace(b"ana@", b"luis@") if login.startswith("luis") else LETTER
        assert (await client.say(content + b".")).startswith("250")
        [queued] = await office.queued()
        assert queued.message.priority == given
        [entry] = [each for each in await office.journal("away@example.org") if each.kind.value == "transaction"]
        assert (entry.facts["priority"], entry.facts.get("priority_asked_for", given)) == (given, asked)

    run(test, settings={"promises": PromiseSettings(highest_priority=2, highest_priorities={"ana@example.org": 9})})


def test_trusted_networks_are_trusted_as_users_are(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        assert (await client.say(f"{STRANGER} MT-PRIORITY=4")).startswith("250 2.3.6 3 ")

    run(
        test,
        trusted_networks=(ip_network("127.0.0.0/8"),),
        settings={"promises": PromiseSettings(highest_priority=3)},
    )


@pytest.mark.rfc("6710 §4.1", "The Received field says the priority that MAIL said.")
def test_the_trace_field_says_it(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        await hand_in(client, f"{STRANGER} MT-PRIORITY=-3", "luis@example.org")
        await hand_in(client, STRANGER, "luis@example.org")
        said, unsaid = await office.mailbox("luis@example.org")
        assert b"\tfor <luis@example.org>\r\n\tPRIORITY -3; " in said
        assert b"PRIORITY" not in unsaid

    run(test)


@pytest.mark.rfc("6758 §3.1", "Where it is believed the field says the priority that MAIL did not, within the limits.")
@pytest.mark.parametrize(
    ("mail", "field", "given"),
    [
        (ANA, b"MT-Priority: 3\r\n", 3),
        (ANA, b"MT-Priority: 9\r\n", 4),
        (f"{ANA} MT-PRIORITY=1", b"MT-Priority: 3\r\n", 1),
        (ANA, b"MT-Priority: 3\r\nMT-Priority: 3\r\n", 0),
        (ANA, b"Importance: high\r\nX-Priority: 1\r\n", 0),
    ],
)
def test_the_header_field(run: Any, mail: str, field: bytes, given: int) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter()
        await hand_in(client, mail, "far@example.net", content=field + LETTER)
        [queued] = await office.queued()
        assert queued.message.priority == given

    run(test, settings={"promises": PromiseSettings(highest_priority=4, believe_priority_field=True)})


def test_the_header_field_is_not_believed_by_itself(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter()
        await hand_in(client, ANA, "far@example.net", content=b"MT-Priority: -3\r\n" + LETTER)
        [queued] = await office.queued()
        assert queued.message.priority == 0

    run(test, settings={"promises": PromiseSettings(highest_priority=4)})


@pytest.mark.parametrize(
    ("domain", "is_told"), [("one.example", True), ("a.two.example", True), ("two.example", False), ("x.org", False)]
)
def test_whose_hosts_are_told_in_the_header(domain: str, is_told: bool) -> None:
    settings = PromiseSettings(priority_field_to=("one.example", ".two.example"))
    assert settings.tunnels(domain) is is_told
    assert PromiseSettings(priority_field_to=("*",)).tunnels(domain)
    assert not PromiseSettings().tunnels(domain)


def test_limits_of_accounts() -> None:
    settings = PromiseSettings(highest_priority=1, highest_priorities={"@example.org": 4, "ana@example.org": -2})

    def highest(text: str) -> int:
        return settings.highest_for(Address.parse(text), is_trusted=False)

    assert [highest(each) for each in ("Ana@example.org", "luis@example.org", "x@example.net")] == [-2, 4, 1]


# All of it.


def test_all_three_at_once(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter()
        mail = f"{ANA} HOLDFOR=600 BY=1200;NT MT-PRIORITY=-5 RET=HDRS ENVID=e1"
        await hand_in(client, mail, "luis@example.org", "far@example.net")
        first, second = await office.queued()
        assert first.message == second.message
        message = first.message
        assert (message.priority, message.envid, message.hold) == (-5, "e1", "for;600")
        assert message.deliver_by.at - message.release_at == pytest.approx(600)
        assert {each.destination for each in (first, second)} == {LATER}

    run(test)


def until_delivered(test: Any) -> Any:
    """The test, with an office that can wait for a mailbox to have something."""

    async def with_it(office: Any) -> None:
        async def wait(address: str) -> None:
            async with asyncio.timeout(20):
                while not await office.mailbox(address):
                    await office.change(lambda tx: None)

        office.until_delivered = wait
        await test(office)

    return with_it
