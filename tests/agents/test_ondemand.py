"""ETRN, ATRN and TURN as hosts that call see them; the dispatcher, the relay and the store are the real ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.agents.intruder import behind
from tests.agents.provider import (
    CUSTOMER,
    CUSTOMERS,
    KEPT,
    STRANGER,
    Client,
    Clock,
    Provider,
    deliver,
    gateway,
    populate,
)
from tests.net.dnsserver import dns_server, records

from estafeta.agents.environment import Role
from estafeta.agents.ondemand import (
    AGAIN_AFTER,
    MAX_NODES,
    MAX_REMEMBERED,
    EtrnFor,
    Frequency,
    OnDemandCustomer,
    OnDemandSettings,
)
from estafeta.agents.outbound.settings import RelaySettings
from estafeta.app import PostOffice
from estafeta.config.settings import Listen, ListenerKind, Settings, TlsSettings
from estafeta.net.authority import Issued
from estafeta.net.listener import listen
from estafeta.net.stream import Stream, connect
from estafeta.net.tls import client_context
from estafeta.routing.routes import RouteAction, RouteRule
from estafeta.store import destinations
from estafeta.store.records import DestinationState, Instant, JournalEntry

Test = Callable[[Provider], Coroutine[Any, Any, None]]
Run = Callable[..., None]

TO_CUSTOMER = RouteRule(domain="customer.example", gateway="customer", for_anyone=True)


@pytest.fixture
def run(tmp_path: Path, issued: Issued) -> Run:
    """Run a test's coroutine with a provider; keywords are the provider's."""

    def run_it(test: Test, **how: Any) -> None:
        async def main() -> None:
            async with Provider(tmp_path / "data", issued, **how) as provider:
                await test(provider)

        asyncio.run(main())

    return run_it


def facts(entry: JournalEntry, name: str) -> list[dict[str, Any]]:
    """A list that the journal keeps."""
    found = entry.facts[name]
    assert isinstance(found, list)
    return found


class CustomersHost:
    """The customer's own server, at which nobody answers until it is open."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()

    async def reserve(self) -> int:
        """The port at which it will be."""
        self._port = 0
        listener = await listen("127.0.0.1", 0, self._serve)
        self._port = listener.port
        await listener.drain(1)
        return self._port

    async def open(self) -> None:
        self._listener = await listen("127.0.0.1", self._port, self._serve)

    async def close(self) -> None:
        await self._listener.drain(5)

    async def taken(self) -> bytes:
        """The next message."""
        async with asyncio.timeout(20):
            return await self.messages.get()

    async def _serve(self, stream: Stream) -> None:
        stream.set_deadline(20)
        await Client(stream).take(took=self.messages.put_nowait)


# ETRN.


@pytest.mark.rfc("1985 §5", "ETRN starts what waits for a node.")
def test_etrn_starts_what_waits_for_a_host_that_was_away(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        host = CustomersHost()
        port = await host.reserve()
        provider = Provider(tmp_path, issued, rules=[TO_CUSTOMER], gateways=[gateway(port)])
        async with provider:
            await provider.take_in("eva@customer.example")
            await provider.until_queued(1)
            await host.open()
            client = await provider.client(Role.MX, tls=False)
            reply = await client.say("ETRN customer.example")
            assert reply == "253 2.0.0 OK, 1 pending messages for node customer.example started"
            assert (await host.taken()).endswith(b"hello 0\r\n")
            await provider.until_queued(0)
            provider.clock.now += AGAIN_AFTER
            reply = await client.say("ETRN customer.example")
            assert reply == "251 2.0.0 OK, no messages waiting for node customer.example"
        await host.close()

    asyncio.run(main())


def test_etrn_of_a_queue_is_that_of_a_gateway_which_a_route_names(run: Run) -> None:
    async def test(provider: Provider) -> None:
        client = await provider.client(Role.MX, tls=False)
        assert (await client.say("ETRN #customer")).startswith("251 ")
        assert (await client.say("ETRN #smarthost")).startswith("459 4.7.1 ")
        assert (await client.say("ETRN #nowhere")).startswith("459 4.7.1 ")

    rules = [TO_CUSTOMER, RouteRule(domain="*", gateway="smarthost")]
    run(test, rules=rules, gateways=[gateway(1)])


BLOCKED = DestinationState("gateway:customer", Instant(time.time() + 900), 1, "")
THOUSANDFOLD = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000)
INSERT INTO queued_recipients
SELECT recipient_id + n, message_id, n || forward_path, destination, original, notify, status, priority, attempts,
    next_attempt_at, review_at, is_delay_told, last_reply, holder_id, is_by_told
FROM queued_recipients, numbers
"""


def test_etrn_counts_what_was_due_already(run: Run) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("eva@customer.example")
        client = await provider.client(Role.MX, tls=False)
        reply = await client.say("ETRN customer.example")
        assert reply == "253 2.0.0 OK, 1 pending messages for node customer.example started"

    run(test, rules=[TO_CUSTOMER], gateways=[gateway(1)], before=lambda tx: destinations.block(tx, BLOCKED))


def test_etrn_does_not_say_how_many_where_they_are_too_many_to_count(run: Run) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("eva@customer.example")
        with behind(provider.settings.data) as database:
            database.execute(THOUSANDFOLD)
        client = await provider.client(Role.MX, tls=False)
        reply = await client.say("ETRN customer.example")
        assert reply == "252 2.0.0 OK, pending messages for node customer.example started"

    run(test, rules=[TO_CUSTOMER], gateways=[gateway(1)], before=lambda tx: destinations.block(tx, BLOCKED))


def test_etrn_says_nothing_of_messages_where_all_are_on_their_way(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        asked, is_told = asyncio.Event(), asyncio.Event()

        async def hold(stream: Stream) -> None:
            stream.send(b"220 customer.example\r\n")
            await stream.receive()
            asked.set()
            await is_told.wait()

        listener = await listen("127.0.0.1", 0, hold)
        async with Provider(tmp_path, issued, rules=[TO_CUSTOMER], gateways=[gateway(listener.port)]) as provider:
            await provider.take_in("eva@customer.example")
            await asked.wait()
            client = await provider.client(Role.MX, tls=False)
            reply = await client.say("ETRN customer.example")
            assert reply == "250 2.0.0 OK, queuing for node customer.example started"
            is_told.set()
        await listener.drain(5)

    asyncio.run(main())


def test_etrn_costs_nothing_for_a_node_that_was_started_a_moment_ago(run: Run) -> None:
    async def test(provider: Provider) -> None:
        client = await provider.client(Role.MX, tls=False)
        assert (await client.say("ETRN customer.example")).startswith("251 ")
        await provider.take_in("eva@customer.example")
        again = "250 2.0.0 OK, queuing for node customer.example started"
        assert await client.say("ETRN customer.example") == again
        assert await (await provider.client(Role.SUBMISSION)).say("ETRN Customer.EXAMPLE") == again
        provider.clock.now += AGAIN_AFTER
        assert (await client.say("ETRN customer.example")).startswith("253 ")

    run(test)


def test_etrn_of_more_nodes_than_a_host_has_is_put_off(run: Run) -> None:
    async def test(provider: Provider) -> None:
        client = await provider.client(Role.MX, tls=False)
        for number in range(MAX_NODES):
            assert (await client.say(f"ETRN n{number}.customer.example")).startswith("251 ")
        assert (await client.say("ETRN another.customer.example")).startswith("458 4.7.0 ")
        provider.clock.now += AGAIN_AFTER
        assert (await client.say("ETRN another.customer.example")).startswith("251 ")

    run(test, rules=[RouteRule(domain=".customer.example", action=RouteAction.MX, for_anyone=True)])


@pytest.mark.parametrize(
    ("rule", "reply"),
    [
        (RouteRule(domain="customer.example", action=RouteAction.MX, for_anyone=True), "251"),
        (RouteRule(domain="customer.example", action=RouteAction.ON_DEMAND, for_anyone=True), "251"),
        (RouteRule(domain="customer.example", gateway="customer", for_anyone=True), "251"),
        (RouteRule(domain="customer.example", action=RouteAction.MX), "459"),
        (RouteRule(domain="customer.example", action=RouteAction.REFUSE, for_anyone=True), "459"),
        (RouteRule(domain="customer.example", mailbox=STRANGER, for_anyone=True), "459"),
        (RouteRule(domain="*", action=RouteAction.MX), "459"),
    ],
)
def test_strangers_may_start_what_a_route_sends_on_that_is_for_anyone(run: Run, rule: RouteRule, reply: str) -> None:
    async def test(provider: Provider) -> None:
        client = await provider.client(Role.MX, tls=False)
        assert (await client.say("ETRN customer.example"))[:3] == reply

    other = RouteRule(domain="other.example", action=RouteAction.MX, for_anyone=True)
    run(test, rules=[rule, other], gateways=[gateway(1)])


def test_users_may_start_what_a_route_sends_on_for_users_only(run: Run) -> None:
    async def test(provider: Provider) -> None:
        stranger = await provider.client(Role.SUBMISSION)
        assert (await stranger.say("ETRN customer.example")).startswith("459 4.7.1 ")
        user = await provider.client(Role.SUBMISSION, login=STRANGER)
        assert (await user.say("ETRN customer.example")).startswith("251 ")
        assert (await user.say("ETRN elsewhere.example")).startswith("459 4.7.1 ")
        await user.say("QUIT")
        await stranger.say("QUIT")
        [session] = await provider.sessions(STRANGER)
        reasons = [each["reason"] for each in facts(session, "decisions")]
        assert reasons == ["login-accepted", "queue-started", "not-routed"]

    run(test, rules=[RouteRule(domain="customer.example", action=RouteAction.MX)])


def test_where_etrn_is_for_users_they_may_start_any_domain_and_others_none(run: Run) -> None:
    async def test(provider: Provider) -> None:
        client = await provider.client(Role.SUBMISSION)
        assert (await client.say("ETRN customer.example")).startswith("530 5.7.0 ")
        await client.login(STRANGER)
        assert (await client.say("ETRN customer.example")).startswith("251 ")
        assert (await client.say("ETRN elsewhere.example")).startswith("251 ")
        assert (await client.say("ETRN #nowhere")).startswith("459 ")

    run(test, on_demand=OnDemandSettings(etrn=EtrnFor.AUTHENTICATED))


@pytest.mark.parametrize(
    ("on_demand", "rules"),
    [
        (OnDemandSettings(etrn=EtrnFor.OFF), KEPT),
        (OnDemandSettings(), ()),
        (OnDemandSettings(), [RouteRule(gateway="g")]),
    ],
)
def test_etrn_is_not_there_where_it_is_off_or_nothing_could_be_started(
    run: Run, on_demand: OnDemandSettings, rules: Any
) -> None:
    async def test(provider: Provider) -> None:
        client = await provider.client(Role.MX, tls=False)
        assert "ETRN" not in await client.say("EHLO customer.example")
        assert (await client.say("ETRN customer.example")).startswith("502 ")

    run(test, on_demand=on_demand, rules=rules)


def test_etrn_that_is_offered_refuses_what_is_no_name(run: Run) -> None:
    async def test(provider: Provider) -> None:
        client = await provider.client(Role.MX, tls=False)
        assert "250-ETRN" in (await client.say("EHLO customer.example")).split("\n")
        for line in ("ETRN", "ETRN @", "ETRN #", "ETRN -customer", "ETRN [192.0.2.1]"):
            assert (await client.say(line)).startswith("501 "), line
        assert (await client.say("ETRN " + "x" * 5000)).startswith("500 ")

    run(test)


def test_etrn_says_when_the_server_closes(run: Run) -> None:
    async def test(provider: Provider) -> None:
        client = await provider.client(Role.MX, tls=False)
        provider.reception.is_closing = True
        assert (await client.say("ETRN customer.example")).startswith("458 4.3.2 ")
        assert (await client.reply()).startswith("421 ")

    run(test)


def test_etrn_says_when_the_store_fails(run: Run) -> None:
    async def test(provider: Provider) -> None:
        client = await provider.client(Role.MX, tls=False)
        with behind(provider.settings.data) as database:
            database.execute("ALTER TABLE queued_recipients RENAME TO elsewhere")
            assert (await client.say("ETRN customer.example")).startswith("458 4.3.0 ")
            database.execute("ALTER TABLE elsewhere RENAME TO queued_recipients")

    run(test)


@pytest.mark.rfc("1985 §5.3", "The option character @ stands for a domain and all below it.")
def test_etrn_of_a_domain_and_all_below_it(run: Run) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("a@customer.example", "b@north.customer.example", "c@notcustomer.example")
        await provider.take_in("d@south.customer.example", "e@deep.south.customer.example", "f@kept.customer.example")
        assert len(await provider.queued()) == 6
        client = await provider.client(Role.MX, tls=False)
        assert (await client.say("ETRN @south.customer.example")).startswith("253 2.0.0 OK, 2 ")
        assert (await client.say("ETRN @kept.customer.example")).startswith("253 2.0.0 OK, 1 ")
        assert (await client.say("ETRN @elsewhere.example")).startswith("459 ")

    rules = [
        RouteRule(domain=name, action=RouteAction.ON_DEMAND, for_anyone=True)
        for name in ("kept.customer.example", "customer.example", ".customer.example", "notcustomer.example")
    ]
    run(test, rules=rules)


MX_OF_THE_CUSTOMER = records(
    "customer.example. 60 MX 0 home.customer.example.", "home.customer.example. 60 A 127.0.0.1"
)
MX_OF_THE_PROVIDER = records("customer.example. 60 MX 0 mx.provider.example.", "mx.provider.example. 60 A 127.0.0.1")


def test_etrn_sends_what_waits_for_a_call_where_the_dns_names_a_host(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        host = CustomersHost()
        relay = RelaySettings(port=await host.reserve(), allow_loopback=True)
        await host.open()
        async with (
            dns_server(MX_OF_THE_CUSTOMER) as dns,
            Provider(tmp_path, issued, dns_port=dns.port, relay=relay) as provider,
        ):
            await provider.take_in("eva@customer.example")
            client = await provider.client(Role.MX, tls=False)
            assert (await client.say("ETRN customer.example")).startswith("253 ")
            assert (await host.taken()).endswith(b"hello 0\r\n")
            await provider.until_queued(0)
        await host.close()

    asyncio.run(main())


def test_etrn_leaves_waiting_what_only_a_host_that_calls_can_get(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        async with dns_server(MX_OF_THE_PROVIDER) as dns, Provider(tmp_path, issued, dns_port=dns.port) as provider:
            await provider.take_in("eva@customer.example")
            client = await provider.client(Role.MX, tls=False)
            assert (await client.say("ETRN customer.example")).startswith("253 ")
            async with asyncio.timeout(20):
                while not (await provider.queued())[0].attempts:
                    await asyncio.sleep(0.001)
            [left] = await provider.queued()
            assert left.next_attempt_at >= left.message.accepted_at + provider.settings.relay.lifetime
            customer = await provider.client(login=CUSTOMER)
            assert (await customer.say("ATRN")).startswith("250 ")
            assert len(await customer.take()) == 1

    asyncio.run(main())


def test_frequency_bounds_what_it_remembers() -> None:
    clock = Clock()
    frequency = Frequency(clock)
    for number in range(MAX_REMEMBERED):
        assert frequency.is_open_to(f"client {number}")
        frequency.started(f"node {number}")
    assert not frequency.is_open_to("one more")
    assert frequency.was_started("one more")
    clock.now += AGAIN_AFTER
    assert frequency.is_open_to("one more")
    assert not frequency.was_started("one more")


# ATRN.


@pytest.mark.rfc("2645 §5.3", "After ATRN the roles turn, and the mail comes over the same connection, once.")
def test_a_customer_takes_his_mail_over_his_own_connection_once(run: Run) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("a@customer.example", "b@customer.test", "c@other.example")
        first, _, _ = await provider.queued()
        client = await provider.client(login=CUSTOMER)
        assert await client.say("ATRN") == "250 2.0.0 OK now reversing the connection"
        messages = await client.take()
        assert [each.splitlines()[-1] for each in messages] == [b"hello 0", b"hello 1"]
        assert await client.line() == ""  # RFC 2645 §5.3: the provider closes after his QUIT
        [left] = await provider.queued()
        assert left.destination == "on-demand:other.example"
        [attempt] = await provider.attempts(first.message.message_id)
        [told] = facts(attempt, "recipients")
        assert told["fate"] == "relayed" and told["reply"] == "250 2.0.0 taken"
        assert told["tls"].startswith("TLSv1.3 ") and told["tls"].endswith(f"logged in as {CUSTOMER}")
        [session] = await provider.sessions()
        assert session.facts["ended"] == "turned"
        assert session.facts["handed_over"] == {"customer.example": 1, "customer.test": 1}
        again = await provider.client(login=CUSTOMER)
        assert await again.say("ATRN") == "453 4.0.0 you have no mail"

    run(test)


def test_a_customer_may_name_some_of_his_domains(run: Run) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("a@customer.example", "b@customer.test")
        client = await provider.client(login=CUSTOMER)
        assert (await client.say("ATRN Customer.TEST")).startswith("250 ")
        [message] = await client.take()
        assert message.endswith(b"hello 1\r\n")
        assert [each.destination for each in await provider.queued()] == ["on-demand:customer.example"]

    run(test)


@pytest.mark.rfc("2645 §5.2.1", "ATRN before a login is 530.")
def test_nobody_gets_mail_before_a_login(run: Run) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("a@customer.example")
        client = await provider.client()
        assert "ATRN" in await client.say("EHLO customer.example")  # RFC 2645 §4
        assert (await client.say("ATRN")).startswith("530 5.7.0 ")
        assert (await client.say("ATRN customer.example")).startswith("530 5.7.0 ")
        in_the_clear = await provider.client(tls=False)
        assert (await in_the_clear.login()).startswith("523 ")

    run(test)


def test_another_account_gets_nothing_nor_does_a_customer_of_anothers_domain(run: Run) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("a@customer.example", "c@other.example")
        client = await provider.client(login=STRANGER)
        for line in ("ATRN", "ATRN customer.example"):
            assert await client.say(line) == "450 4.7.0 ATRN request refused"
        await client.say("QUIT")
        customer = await provider.client(login=CUSTOMER)
        for line in ("ATRN other.example", "ATRN customer.example,other.example", "ATRN example"):
            assert await customer.say(line) == "450 4.7.0 ATRN request refused"
        assert (await customer.say("ATRN customer.test")).startswith("453 ")
        await customer.say("QUIT")
        assert len(await provider.queued()) == 2
        [session] = await provider.sessions(STRANGER)
        reasons = [each["reason"] for each in facts(session, "decisions")]
        assert reasons == ["login-accepted", "not-customer", "not-customer"]

    run(test)


def test_atrn_is_there_on_listeners_for_it_only(run: Run) -> None:
    async def test(provider: Provider) -> None:
        for role in (Role.MX, Role.SUBMISSION):
            client = await provider.client(role, login=CUSTOMER)
            assert "ATRN" not in await client.say("EHLO customer.example")
            assert (await client.say("ATRN")).startswith("502 ")

    run(test)


def test_atrn_says_when_the_server_closes(run: Run) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("a@customer.example")
        client = await provider.client(login=CUSTOMER)
        provider.reception.is_closing = True
        assert (await client.say("ATRN")).startswith("451 4.3.2 ")

    run(test)


def test_what_is_sent_before_the_roles_are_turned_does_not_pass_for_an_answer(run: Run) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("a@customer.example")
        client = await provider.client(login=CUSTOMER)
        assert (await client.say("ATRN\r\n220 customer.example")).startswith("554 5.5.0 ")
        assert await client.line() == ""
        assert len(await provider.queued()) == 1

    run(test)


def test_a_connection_that_breaks_in_the_middle_loses_nothing(run: Run) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in(*(f"u{number}@customer.example" for number in range(5)))
        messages = [each.message.message_id for each in await provider.queued()]
        client = await provider.client(login=CUSTOMER)
        await client.say("ATRN")
        assert len(await client.take(at_most=2)) == 3  # the third was never answered
        client.stream.abort()
        await provider.calm()
        left = await provider.queued()
        assert [each.message.message_id for each in left] == messages[2:]
        assert all(each.holder is None for each in left)
        assert left[0].attempts == 1 and left[1].attempts == 0
        [attempt] = await provider.attempts(messages[2])
        [told] = facts(attempt, "recipients")
        assert told["fate"] == "deferred" and "the host may have the message" in told["reply"]
        [session] = await provider.sessions()
        assert session.facts["ended"] == "lost"
        again = await provider.client(login=CUSTOMER)
        await again.say("ATRN")
        rest = await again.take()
        assert sorted(each.splitlines()[-1] for each in rest) == [b"hello 2", b"hello 3", b"hello 4"]
        await provider.calm()
        assert await provider.queued() == []

    run(test)


def test_what_the_customer_does_not_take_waits_for_his_next_call(run: Run) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("a@customer.example", "b@customer.example")
        client = await provider.client(login=CUSTOMER)
        await client.say("ATRN")
        assert len(await client.take(final="452 4.3.1 disk full")) == 2
        await provider.calm()
        assert [each.last_reply for each in await provider.queued()] == ["452 4.3.1 disk full"] * 2
        again = await provider.client(login=CUSTOMER)
        assert (await again.say("ATRN")).startswith("250 ")
        assert len(await again.take()) == 2

    run(test)


def test_what_the_customer_does_not_take_hides_nothing_else(run: Run) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in(*["full@customer.example"] * 101, "a@customer.example")
        client = await provider.client(login=CUSTOMER)
        await client.say("ATRN")
        [message] = await client.take(refused="<full@")
        assert message.endswith(b"hello 101\r\n")
        await provider.calm()
        left = await provider.queued()
        assert [each.attempts for each in left] == [1] * 101
        assert all(each.holder is None for each in left)

    run(test)


def test_what_the_customer_does_not_take_is_not_tried_before_he_calls(run: Run) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("a@customer.example")
        client = await provider.client(login=CUSTOMER)
        await client.say("ATRN")
        await client.take(final="452 4.3.1 disk full")
        await provider.calm()
        [left] = await provider.queued()
        assert left.next_attempt_at >= left.message.accepted_at + provider.settings.relay.lifetime

    run(test)


def test_a_store_that_fails_in_the_middle_leaves_nothing_claimed(run: Run) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("a@customer.example", "b@customer.example", "c@customer.example")
        client = await provider.client(login=CUSTOMER)
        await client.say("ATRN")
        client.stream.send(b"220 customer.example\r\n")
        await client.line()
        with behind(provider.settings.data) as database:
            database.execute("ALTER TABLE contents RENAME TO elsewhere")
            client.stream.send(b"250 customer.example\r\n")
            [session] = await provider.sessions()
            database.execute("ALTER TABLE elsewhere RENAME TO contents")
        assert session.facts["ended"] == "turn-failed"
        assert all(each.holder is None and each.attempts == 0 for each in await provider.until_queued(3))

    run(test)


@pytest.mark.parametrize("greeting", [b"554 not now\r\n", b"EHLO what\r\n", b""])
def test_a_customer_who_is_no_server_gets_nothing(run: Run, greeting: bytes) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("a@customer.example")
        client = await provider.client(login=CUSTOMER)
        await client.say("ATRN")
        client.stream.send(greeting)
        if greeting.startswith(b"554"):
            assert await client.line() == "QUIT"
            client.stream.send(b"221 bye\r\n")
        elif not greeting:
            client.stream.abort()
        [session] = await provider.sessions()
        assert session.facts["ended"] == "turn-failed"
        [left] = await provider.queued()
        assert left.holder is None and left.attempts == 0

    run(test)


def test_a_server_that_closes_ends_after_the_message_under_way(run: Run) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("a@customer.example", "b@customer.example")
        client = await provider.client(login=CUSTOMER)
        await client.say("ATRN")
        provider.reception.close_idle()
        [message] = await client.take()
        assert message.endswith(b"hello 0\r\n")
        await provider.calm()
        [left] = await provider.queued()
        assert left.holder is None and left.attempts == 0

    run(test)


def test_users_hand_mail_in_at_a_listener_for_atrn_as_at_submission(run: Run) -> None:
    async def test(provider: Provider) -> None:
        client = await provider.client()
        assert (await client.say("MAIL FROM:<a@customer.example>")).startswith("530 5.7.0 ")
        await client.login()
        assert (await client.say("MAIL FROM:<a@customer.example>")).startswith("550 5.7.1 ")
        assert (await client.say(f"MAIL FROM:<{CUSTOMER}>")).startswith("250 ")
        assert (await client.say("RCPT TO:<luis@elsewhere.example>")).startswith("250 ")

    run(test)


def test_a_post_office_gives_mail_on_demand_as_its_settings_say(tmp_path: Path, issued: Issued) -> None:
    kinds = (ListenerKind.SMTP, ListenerKind.ODMR)
    settings = Settings(
        hostname="mx.provider.example",
        data=tmp_path,
        listen=tuple(Listen(kind=kind, address="127.0.0.1", port=0) for kind in kinds),
        tls=TlsSettings(certificate=issued.certificate, key=issued.key),
        route=KEPT,
        on_demand=CUSTOMERS,
    )

    async def main() -> None:
        async with PostOffice(settings) as office:
            await office.store.write(populate)
            smtp = await connect("127.0.0.1", office.port(ListenerKind.SMTP))
            await deliver(Client(smtp), "a@customer.example")
            assert (await Client(smtp).say("ETRN customer.test")).startswith("251 ")
            await smtp.close()
            odmr = await connect("127.0.0.1", office.port(ListenerKind.ODMR))
            client = Client(odmr)
            await client.reply()
            await client.say("EHLO customer.example")
            await client.say("STARTTLS")
            await odmr.start_tls(client_context(issued.authority), server_hostname="localhost")
            await client.say("EHLO customer.example")
            await client.login()
            assert (await client.say("ATRN")).startswith("250 ")
            assert len(await client.take()) == 1
            await odmr.close()

    asyncio.run(main())


# TURN.


@pytest.mark.rfc("821 §3.8", "TURN turns the roles for customers whose entry allows it.")
@pytest.mark.rfc("5321 appendix F.1", "TURN is refused with 502 without a login.")
def test_turn_is_for_customers_who_may(run: Run) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("a@customer.example", "c@other.example")
        for role in (Role.MX, Role.SUBMISSION, Role.ODMR):
            stranger = await provider.client(role)
            assert (await stranger.say("TURN")).startswith("502 ")
            await stranger.login(STRANGER)
            assert (await stranger.say("TURN")).startswith("502 5.7.0 ")
            await stranger.say("QUIT")
        client = await provider.client(Role.SUBMISSION, login=CUSTOMER)
        assert (await client.say("TURN")).startswith("250 ")
        [message] = await client.take()
        assert message.endswith(b"hello 0\r\n")
        await provider.calm()
        assert [each.destination for each in await provider.queued()] == ["on-demand:other.example"]

    others = OnDemandCustomer(STRANGER, ("other.example",))
    run(test, on_demand=OnDemandSettings(customer=(*CUSTOMERS.customer, others)))


def test_turn_is_not_known_where_no_customer_may(run: Run) -> None:
    async def test(provider: Provider) -> None:
        client = await provider.client(login=CUSTOMER)
        assert (await client.say("TURN")).startswith("502 5.5.1 ")
        assert (await client.say("ATRN")).startswith("453 ")

    run(test, on_demand=OnDemandSettings(customer=(OnDemandCustomer(CUSTOMER, ("customer.example",)),)))


def test_turn_without_mail_ends_politely(run: Run) -> None:
    async def test(provider: Provider) -> None:
        client = await provider.client(login=CUSTOMER)
        assert (await client.say("TURN")).startswith("250 ")
        assert await client.take() == []
        assert await client.line() == ""

    run(test)
