"""`fetch-queue` against a real provider on loopback: what comes, what does not, and what the exit code says."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.agents.provider import CUSTOMER, PASSWORD, STRANGER, Client, Provider

from estafeta.agents.environment import Role
from estafeta.agents.ondemand import OnDemandCustomer, OnDemandSettings
from estafeta.mail.address import Address
from estafeta.net.authority import Issued, issue
from estafeta.net.listener import listen
from estafeta.net.stream import Stream
from estafeta.routing.routes import RouteAction, RouteRule
from estafeta.store import accounts, mailboxes, messages, queue
from estafeta.store.store import Transaction, open_store

if TYPE_CHECKING:
    from click.testing import Result

    from .conftest import Operator

DOMAINS = ("example.org", "customer.example")
KEPT = [RouteRule(domain=name, action=RouteAction.ON_DEMAND, for_anyone=True) for name in DOMAINS]
CUSTOMERS = OnDemandSettings(customer=(OnDemandCustomer(CUSTOMER, DOMAINS, turn=True),))


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return issue(tmp_path_factory.mktemp("tls"), ["localhost", "127.0.0.1"])


class Customer:
    """An office whose operator calls a provider on loopback."""

    def __init__(self, office: Operator, issued: Issued) -> None:
        self.office = office
        self.issued = issued
        (office.folder / "password").write_text(f"{PASSWORD}\n")

    async def call(self, port: int, *arguments: str, user: str | None = CUSTOMER) -> Result:
        """The command with TLS, and a login where there is a user."""
        login = () if user is None else ("--user", user, "--password-file", str(self.office.folder / "password"))
        tls = ("--ca-file", str(self.issued.authority))
        return await asyncio.to_thread(self.office.run, "fetch-queue", f"127.0.0.1:{port}", *arguments, *login, *tls)

    async def mailbox(self, address: str) -> list[bytes]:
        """The messages in an INBOX."""
        store = await asyncio.to_thread(open_store, self.office.folder / "data", clock=time.time)

        def read(tx: Transaction) -> list[bytes]:
            account = accounts.find(tx, Address.parse(address))
            assert account is not None
            inbox = mailboxes.inbox(tx, account.account_id).mailbox_id
            found = messages.list_of(tx, inbox)
            return [messages.read_content(tx, store.content, inbox, each.uid) for each in found]

        try:
            return await store.read(read)
        finally:
            await asyncio.to_thread(store.close)


@pytest.fixture
def customer(office: Operator, issued: Issued) -> Customer:
    return Customer(office, issued)


Run = Callable[[Callable[[Provider], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def run(tmp_path: Path, issued: Issued) -> Run:
    """Run a test's coroutine with a provider."""

    def run_it(test: Callable[[Provider], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with Provider(tmp_path / "provider", issued, on_demand=CUSTOMERS, rules=KEPT) as provider:
                await test(provider)

        asyncio.run(main())

    return run_it


def complaint(result: Result) -> str:
    """The one line on standard error."""
    assert result.stderr.startswith("estafeta: ") and result.stderr.count("\n") == 1, result.stderr
    return result.stderr.removeprefix("estafeta: ").rstrip("\n")


def test_the_mail_that_waited_is_in_the_mailbox_once(run: Run, customer: Customer) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("ana@example.org", "luis@example.org")
        port = provider.port(Role.ODMR)
        result = await customer.call(port, "--atrn")
        assert result.exit_code == 0, result.output
        first, second = result.stdout.splitlines()
        assert " accepted from <luis@elsewhere.example> for <ana@example.org>, " in first
        assert " for <luis@example.org>, " in second
        [message] = await customer.mailbox("ana@example.org")
        assert message.startswith(b"Return-Path: <luis@elsewhere.example>\r\n")
        assert message.endswith(b"\r\n\r\nhello 0\r\n")
        assert b"with ESMTPS id" in message
        assert await provider.queued() == []
        again = await customer.call(port, "--atrn")
        assert (again.exit_code, again.stdout) == (0, "453 4.0.0 you have no mail\n")
        assert len(await customer.mailbox("ana@example.org")) == 1
        queue_id = first.split()[0]
        told = await asyncio.to_thread(customer.office.done, "trace", queue_id)
        assert f"fetch-queue 127.0.0.1:{port}" in told and "in ana@example.org INBOX" in told

    run(test)


def test_turn_takes_it_as_well(run: Run, customer: Customer) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("ana@example.org")
        port = provider.port(Role.MX)
        assert (await customer.call(port, "--turn")).exit_code == 0
        assert len(await customer.mailbox("ana@example.org")) == 1
        assert (await customer.call(port, "--turn")).stdout == "no mail\n"

    run(test)


def test_what_came_is_told_to_machines(run: Run, customer: Customer) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("ana@example.org")
        result = await customer.call(provider.port(Role.ODMR), "--atrn", "example.org", "--json")
        told = json.loads(result.stdout)
        assert told["reply"]["code"] == 250 and told["ended"] == "quit"
        [message] = told["messages"]
        assert message["recipients"] == ["ana@example.org"] and message["ended"] == "accepted"
        empty = await customer.call(provider.port(Role.ODMR), "--atrn", "--json")
        assert empty.exit_code == 0
        assert json.loads(empty.stdout)["reply"]["code"] == 453

    run(test)


def test_nothing_is_relayed_for_the_provider(run: Run, customer: Customer) -> None:
    async def test(provider: Provider) -> None:
        # This machine trusts its loopback, and the provider is there.
        with customer.office.config.open("a") as config:
            config.write('[smtp]\ntrusted_networks = ["127.0.0.0/8"]\n')
        await provider.take_in("eva@customer.example", "nobody@example.org", "ana@example.org")
        result = await customer.call(provider.port(Role.ODMR), "--atrn")
        assert result.exit_code == 0
        assert result.stdout.count(" accepted ") == 1
        assert "  rcpt eva@customer.example: 550 5.7.1 relaying denied" in result.stdout
        assert "  rcpt nobody@example.org: 550 5.1.1 no such mailbox here" in result.stdout
        assert len(result.stdout.splitlines()) == 5
        waiting = await asyncio.to_thread(customer.office.write, lambda tx: queue.list_all(tx, limit=10))
        assert waiting == []

    run(test)


def test_an_alias_to_elsewhere_is_followed_and_waits_for_the_server(run: Run, customer: Customer) -> None:
    async def test(provider: Provider) -> None:
        await asyncio.to_thread(customer.office.done, "alias", "add", "away@example.org", "ana@elsewhere.example")
        await provider.take_in("away@example.org")
        assert (await customer.call(provider.port(Role.ODMR), "--atrn")).exit_code == 0
        [waiting] = await asyncio.to_thread(customer.office.write, lambda tx: queue.list_all(tx, limit=10))
        assert str(waiting.forward_path) == "ana@elsewhere.example" and waiting.holder is None

    run(test)


def test_mail_that_does_not_fit_now_waits_at_the_provider(run: Run, customer: Customer) -> None:
    async def test(provider: Provider) -> None:
        await asyncio.to_thread(customer.office.done, "account", "quota", "ana@example.org", "--octets", "1")
        await provider.take_in("ana@example.org")
        result = await customer.call(provider.port(Role.ODMR), "--atrn")
        assert result.exit_code == 75
        assert "452 4.2.2 mailbox full" in result.stdout
        await provider.calm()
        assert len(await provider.queued()) == 1

    run(test)


@pytest.mark.parametrize(("user", "domain"), [(STRANGER, "example.org"), (CUSTOMER, "other.example")])
def test_another_account_or_domain_gets_nothing(run: Run, customer: Customer, user: str, domain: str) -> None:
    async def test(provider: Provider) -> None:
        await provider.take_in("ana@example.org")
        result = await customer.call(provider.port(Role.ODMR), "--atrn", domain, user=user)
        assert result.exit_code == 75
        assert complaint(result) == "the provider refused: 450 4.7.0 ATRN request refused"
        assert len(await provider.queued()) == 1

    run(test)


def test_what_stands_in_the_way_of_a_call_is_one_line(run: Run, customer: Customer) -> None:
    async def test(provider: Provider) -> None:
        result = await customer.call(provider.port(Role.MX), "--atrn")
        assert result.exit_code == 1
        assert complaint(result).endswith("turning the roles needs ATRN, which was not announced")
        (customer.office.folder / "password").write_text("wrong\n")
        result = await customer.call(provider.port(Role.ODMR), "--atrn")
        assert result.exit_code == 1
        assert "login refused: 535 5.7.8" in complaint(result)

    run(test)


def test_etrn_says_what_the_provider_answers(run: Run, customer: Customer) -> None:
    async def test(provider: Provider) -> None:
        port = provider.port(Role.MX)
        await provider.take_in("ana@example.org")
        result = await customer.call(port, "--etrn", "example.org", "customer.example", user=None)
        assert result.exit_code == 0
        assert result.stdout.splitlines() == [
            "example.org: 253 2.0.0 OK, 1 pending messages for node example.org started",
            "customer.example: 251 2.0.0 OK, no messages waiting for node customer.example",
        ]
        result = await customer.call(port, "--etrn", "@elsewhere.example", "#queue", "--json", user=None)
        assert result.exit_code == 75
        assert [(each["name"], each["code"]) for each in json.loads(result.stdout)] == [
            ("@elsewhere.example", 459),
            ("#queue", 459),
        ]

    run(test)


async def _breaks_off(stream: Stream) -> None:
    """A provider who turns the roles, sends one message whole and goes in the midst of the next."""
    stream.set_deadline(20)
    client = Client(stream)
    stream.send(b"220 mx.provider.example\r\n")
    for reply in ("250-mx.provider.example\r\n250-AUTH PLAIN\r\n250 ATRN", "235 fine", "250 now"):
        await client.line()
        stream.send(f"{reply}\r\n".encode())
    assert (await client.reply()).startswith("220 ")
    await client.say("EHLO mx.provider.example")
    transaction = ("MAIL FROM:<luis@elsewhere.example>", "RCPT TO:<ana@example.org>", "DATA")
    for line in transaction:
        await client.say(line)
    assert (await client.say("Subject: whole\r\n\r\nwhole\r\n.")).startswith("250 ")
    for line in transaction:
        await client.say(line)
    stream.send(b"Subject: broken\r\n\r\nbro")
    await stream.drain()
    stream.abort()


def test_a_call_that_breaks_off_keeps_what_came_and_can_be_made_again(customer: Customer) -> None:
    async def main() -> None:
        listener = await listen("127.0.0.1", 0, _breaks_off)
        result = await customer.call(listener.port, "--atrn", "--tls", "none")
        await listener.drain(5)
        assert result.exit_code == 75
        assert complaint(result) == "the connection ended before all had come (lost); the rest waits at the provider"
        assert result.stdout.count(" accepted ") == 1
        [message] = await customer.mailbox("ana@example.org")
        assert message.endswith(b"\r\nwhole\r\n")

    asyncio.run(main())


def test_a_provider_who_is_not_there_may_be_later(customer: Customer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for arguments in (("--atrn",), ("--etrn", "example.org")):
        result = asyncio.run(customer.call(port, *arguments))
        assert result.exit_code == 75
        assert complaint(result).startswith(f"127.0.0.1:{port}: ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "give one of --etrn, --atrn and --turn"),
        (("--etrn", "--atrn"), "give one of --etrn, --atrn and --turn"),
        (("--etrn",), "--etrn needs a DOMAIN, @DOMAIN or #QUEUE"),
        (("--etrn", "not a name"), "'not a name' is not a domain name"),
        (("--atrn", "@example.org"), "'@example.org' is not a domain name"),
        (("--atrn",), "--atrn needs --user: mail is given to those who log in"),
        (("--turn", "example.org"), "--turn takes the mail of all domains, and none can be named"),
    ],
)
def test_a_call_that_makes_no_sense_is_not_made(operator: Operator, arguments: tuple[str, ...], told: str) -> None:
    result = operator.run("fetch-queue", "127.0.0.1:1", *arguments)
    assert result.exit_code == 2
    assert told in complaint(result)


def test_mail_is_not_fetched_without_a_house_for_it(operator: Operator) -> None:
    login = ("--user", CUSTOMER, "--password-file", "-")
    told = operator.refused("fetch-queue", "127.0.0.1:1", "--atrn", *login, input=f"{PASSWORD}\n")
    assert told.startswith("there is no store in ")
