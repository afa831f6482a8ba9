"""Mail with a time for delivery, or a priority, at other hosts: what they are told, and which are not given it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.agents.outbound.street import CONTENT, FAILED, RELAYED, Host, Street, fates, street, the_one

from estafeta.agents.outbound.gateways.settings import GatewayKind, GatewaySettings
from estafeta.agents.outbound.lane import Job
from estafeta.agents.outbound.outcome import HostFacts
from estafeta.client import SmtpClient, TlsMode
from estafeta.mail.address import NULL_REVERSE_PATH
from estafeta.mail.envelope import ByMode, Notify
from estafeta.mail.reply import EnhancedStatusCode
from estafeta.mail.report import Relaying
from estafeta.net.stream import Stream, connect
from estafeta.routing.destinations import Destination
from estafeta.store.records import Deadline, Fate, Instant

ONE = """
example.com. MX 10 mx.example.com.
mx.example.com. A 127.0.0.2
"""
TWO = """
example.com. MX 10 mx1.example.com.
example.com. MX 20 mx2.example.com.
mx1.example.com. A 127.0.0.2
mx2.example.com. A 127.0.0.3
"""
START = 1_700_000_000.0
BASE = ("PIPELINING", "8BITMIME", "DSN")

Test = Callable[[Street], Awaitable[None]]
Run = Callable[..., None]


def by(seconds: float, mode: ByMode = ByMode.RETURN, *, is_traced: bool = False) -> Deadline:
    return Deadline(Instant(START + seconds), mode, is_traced)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a test's coroutine with a street where it is START."""

    def run_it(test: Test, zone: str = ONE, **settings: Any) -> None:
        async def main() -> None:
            async with street(tmp_path, zone, **settings) as made:
                made.clock = lambda: START
                await test(made)

        asyncio.run(main())

    return run_it


def mails(host: Host) -> list[str]:
    return [line for line in host.heard if line.startswith("MAIL")]


@pytest.mark.rfc("2852 §4.1.4", "A host with DELIVERBY is told the seconds that are left, and the mode as it was.")
@pytest.mark.parametrize(
    ("deadline", "said"),
    [
        (by(98.7), "BY=98;R"),
        (by(98, ByMode.NOTIFY), "BY=98;N"),
        (by(0, ByMode.NOTIFY), "BY=0;N"),
        (by(-22.5, ByMode.NOTIFY, is_traced=True), "BY=-23;NT"),
        (by(-5e9, ByMode.NOTIFY), "BY=-999999999;N"),
    ],
)
def test_what_is_left_is_told(run: Run, deadline: Deadline, said: str) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*BASE, "DELIVERBY 30"))
        attempt = await street.attempt("ben@example.com", deliver_by=deadline)
        assert fates(attempt) == [RELAYED]
        [line] = mails(host)
        assert said in line.split()

    run(test)


@pytest.mark.rfc("2852 §4.1.4.1", "With R it goes to no host without DELIVERBY: it has failed for good.")
@pytest.mark.rfc("2852 §7", "No other host is looked for that has it.")
def test_what_is_to_come_back_goes_to_no_host_that_cannot_promise_it(run: Run) -> None:
    async def test(street: Street) -> None:
        first = await street.open(2, Host(*BASE))
        second = await street.open(3, Host(*BASE, "DELIVERBY"))
        attempt = await street.attempt("ben@example.com", "ana@example.com", deliver_by=by(60))
        assert fates(attempt) == [FAILED, FAILED]
        assert {(str(each.status), each.is_remote) for each in attempt.outcomes} == {("5.3.3", False)}
        assert (mails(first), second.connections) == ([], 0)
        assert not attempt.is_dead

    run(test, TWO)


@pytest.mark.rfc("2852 §4.1.4.1", "Nor to one whose least time is more than what is left.")
def test_nor_to_one_that_wants_more_time(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*BASE, "DELIVERBY 240"))
        outcome = the_one(await street.attempt("ben@example.com", deliver_by=by(239.9)))
        assert (outcome.fate, str(outcome.status)) == (Fate.FAILED, "5.4.7")
        assert not mails(host)
        outcome = the_one(await street.attempt("ben@example.com", deliver_by=by(240)))
        assert outcome.fate is Fate.RELAYED
        assert "BY=240;R" in mails(host)[0]

    run(test)


@pytest.mark.rfc("2852 §4.1.3", "What is not relayed in time has failed with 5.4.7.")
@pytest.mark.parametrize("left", [0.9, 0, -60])
def test_time_that_is_over_when_the_host_is_reached(run: Run, left: float) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*BASE, "DELIVERBY"))
        outcome = the_one(await street.attempt("ben@example.com", deliver_by=by(left)))
        assert (outcome.fate, outcome.status) == (Fate.EXPIRED, EnhancedStatusCode(5, 4, 7))
        assert not mails(host)

    run(test)


@pytest.mark.rfc("2852 §4.1.4.2", "With N it goes on to a host without DELIVERBY, whose sender hears of that.")
@pytest.mark.rfc("2852 §4.1.4.2", "There NOTIFY asks for DELAY too, unless it is NEVER.")
def test_what_is_only_told_of_goes_anywhere(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*BASE))
        job = street.job("a@example.com", "b@example.com", "c@example.com", deliver_by=by(60, ByMode.NOTIFY))
        notify = (None, frozenset({Notify.SUCCESS}), frozenset({Notify.NEVER}))
        job.recipients = [replace(each, notify=wanted) for each, wanted in zip(job.recipients, notify, strict=True)]
        attempt = await street.relay.attempt(Destination.parse("example.com"), job, CONTENT)
        assert fates(attempt) == [RELAYED] * 3
        assert {each.relaying for each in attempt.outcomes} == {Relaying.UNTIMED}
        assert "BY=" not in mails(host)[0]
        said = [line.split()[-1] for line in host.heard if line.startswith("RCPT")]
        assert said == ["NOTIFY=FAILURE,DELAY", "NOTIFY=SUCCESS,DELAY", "NOTIFY=NEVER"]

    run(test)


def test_when_its_time_is_over_nothing_is_added(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*BASE))
        outcome = the_one(await street.attempt("a@example.com", deliver_by=by(0, ByMode.NOTIFY)))
        assert (outcome.fate, outcome.relaying) == (Fate.RELAYED, Relaying.PLAIN)
        assert not [line for line in host.heard if "NOTIFY" in line]

    run(test)


@pytest.mark.rfc("2852 §4.1.4", "With T the sender hears of each relaying.")
@pytest.mark.parametrize("mode", ByMode)
def test_traces(run: Run, mode: ByMode) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*BASE, "DELIVERBY"))
        outcome = the_one(await street.attempt("a@example.com", deliver_by=by(60, mode, is_traced=True)))
        assert outcome.relaying is Relaying.TRACED
        assert f"BY=60;{mode}T" in mails(host)[0]

    run(test)


def test_the_time_is_measured_when_the_connection_is_there_and_for_each_host(run: Run) -> None:
    async def test(street: Street) -> None:
        now = START

        async def slowly() -> None:
            nonlocal now
            now += 40.0

        class Slow(Host):
            async def serve(self, stream: Stream) -> None:
                await slowly()
                await super().serve(stream)

        street.clock = lambda: now
        await street.open(2, Slow(*BASE, "DELIVERBY", says={"MAIL": "451 4.3.2 not now"}))
        second = await street.open(3, Slow(*BASE, "DELIVERBY"))
        attempt = await street.attempt("a@example.com", deliver_by=by(100))
        assert fates(attempt) == [RELAYED]
        assert "BY=20;R" in mails(second)[0]

    run(test, TWO)


def test_a_gateway_by_lmtp_delivers_and_need_not_know_of_it(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*BASE, lmtp=True))
        office = "gateway:office"
        outcome = the_one(await street.attempt("a@example.com", destination=office, deliver_by=by(60, is_traced=True)))
        assert (outcome.fate, outcome.relaying) == (Fate.DELIVERED, Relaying.PLAIN)
        outcome = the_one(await street.attempt("a@example.com", destination=office, deliver_by=by(0.5)))
        assert outcome.fate is Fate.EXPIRED
        host.extensions = (*BASE, "DELIVERBY")
        await street.pool.close()
        await street.attempt("a@example.com", destination=office, deliver_by=by(60, ByMode.NOTIFY))
        assert ["BY=60;N" in line for line in mails(host)] == [False, True]

    gateway = GatewaySettings("office", GatewayKind.LMTP, host="127.0.0.2")
    run(test, gateways=[gateway])


def test_a_customer_who_calls_is_told_too(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*BASE))
        stream = await connect("127.0.0.2", street.port, timeout=5)
        client = await SmtpClient.over(stream, local_name="mx.example.org", tls=TlsMode.NONE)
        job: Job = street.job("a@example.com", deliver_by=by(60))
        attempt = await street.relay.over(client, HostFacts("customer"), job, CONTENT)
        assert fates(attempt) == [FAILED]
        assert client.is_idle and not mails(host)
        await client.quit()

    run(test)


@pytest.mark.rfc("6710 §4.2", "The priority stands in MAIL wherever MT-PRIORITY is announced, also when it is 0.")
@pytest.mark.parametrize("priority", [-9, 0, 9])
def test_the_priority_is_told(run: Run, priority: int) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*BASE, "MT-PRIORITY MIXER"))
        await street.attempt("a@example.com", priority=priority)
        assert f"MT-PRIORITY={priority}" in mails(host)[0].split()
        assert host.taken[0].content == CONTENT

    run(test)


@pytest.mark.rfc("6710 §4.3", "A host without MT-PRIORITY is told nothing.")
@pytest.mark.rfc("6758 §3.3", "Where that is wanted it is told in the header, and older fields are taken out.")
def test_the_priority_goes_through_other_hosts_in_the_header(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*BASE))
        await street.attempt("a@example.com", priority=4)
        street.tunnelled = ("example.com",)
        await street.attempt("a@example.com", priority=4)
        await street.attempt("a@example.com", priority=4, content=b"MT-Priority: 9\r\n" + CONTENT)
        await street.attempt("a@example.com")
        assert not [line for line in mails(host) if "MT-PRIORITY" in line]
        labelled = b"MT-Priority: 4\r\n" + CONTENT
        assert [each.content for each in host.taken] == [CONTENT, labelled, labelled, CONTENT]

    run(test)


def test_notifications_have_a_priority_and_no_time(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*BASE, "DELIVERBY", "MT-PRIORITY"))
        await street.attempt("a@example.com", reverse_path=NULL_REVERSE_PATH, priority=5)
        assert "MT-PRIORITY=5" in mails(host)[0]
        assert "BY=" not in mails(host)[0]

    run(test)
