"""Proxies and filters that speak for others: who may, what it changes, and what it must not change."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from tests.agents.counter import Counter

from estafeta.agents.environment import Role
from estafeta.client import SmtpClient, TlsMode
from estafeta.config.settings import ListenerKind
from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.mail.envelope import Recipient, Sender
from estafeta.net.address import PeerAddress
from estafeta.net.listener import ConnectionLimits
from estafeta.wire.errors import ExtensionMissing

PROXY = PeerAddress("192.0.2.10", 40000)
PROXIES = (ip_network("192.0.2.10/32"),)
HELLO = "EHLO client.example.net"
CONTENT = "Subject: x\r\n\r\nbody\r\n."


async def greeted(office: Any, **arguments: Any) -> Counter:
    counter = Counter(office, peer=PROXY, **{"xclient_networks": PROXIES, "xforward_networks": PROXIES} | arguments)
    await counter.reply()
    await counter.say(HELLO)
    return counter


def test_the_verbs_are_known_to_those_who_may_and_else_refused(run: Any) -> None:
    async def test(office: Any) -> None:
        for networks, codes in (
            (PROXIES, ["220", "250"]),
            ((ip_network("10.0.0.0/8"),), ["550", "550"]),
            ((), ["502", "502"]),
        ):
            counter = await greeted(office, xclient_networks=networks, xforward_networks=networks)
            assert await counter.codes("XCLIENT NAME=a.example", HELLO.replace("EHLO", "HELO")) == [codes[0], "250"]
            assert await counter.codes("XFORWARD NAME=a.example") == [codes[1]]
            offers = (await counter.say(HELLO))[0]
            for line in (
                "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT",
                "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE",
            ):
                assert (line in offers) == (networks == PROXIES)

    run(test)


@pytest.mark.parametrize(
    "line",
    [
        "XCLIENT",
        "XCLIENT NAME",
        "XCLIENT FOO=bar",
        "XCLIENT ADDR=nowhere",
        "XCLIENT ADDR=2001:db8::1",
        "XCLIENT ADDR=IPV6:192.0.2.1",
        "XCLIENT PORT=70000",
        "XCLIENT PROTO=HTTP",
        "XCLIENT NAME=a+0D+0Ab",
        "XCLIENT NAME=a+ZZ",
        "XCLIENT NAME=a NAME=b",
        "XCLIENT HELO=" + "x" * 256,
        "XFORWARD SOURCE=MARS",
        "XFORWARD LOGIN=ana@example.org",
    ],
)
def test_what_cannot_be_read_is_refused_and_changes_nothing(run: Any, line: str) -> None:
    async def test(office: Any) -> None:
        counter = await greeted(office)
        assert (await counter.say(line))[0].startswith("501 5.5.4")
        assert await counter.codes("MAIL FROM:<>") == ["250"]
        assert (await counter.ended())["peer"] == "192.0.2.10:40000"

    run(test)


def test_neither_may_be_said_inside_of_a_transaction(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = await greeted(office)
        assert await counter.codes("MAIL FROM:<>", "XCLIENT NAME=a", "XFORWARD NAME=a") == ["250", "503", "503"]

    run(test)


def test_the_client_is_whom_the_proxy_says_for_trust_trace_and_journal(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = await greeted(office, trusted_networks=PROXIES)
        (reply,) = await counter.say(
            "xclient addr=IPV6:2001:db8::7 port=2525 name=host.example.net destaddr=192.0.2.99"
        )
        assert reply.startswith("220 mx.example.org ESMTP")
        assert await counter.codes("MAIL FROM:<a@example.net>") == ["503"]  # EHLO first
        assert "XCLIENT" not in (await counter.say("EHLO told.example.net"))[0]
        codes = await counter.codes(
            "MAIL FROM:<a@example.net>", "RCPT TO:<far@example.net>", "RCPT TO:<ana@example.org>"
        )
        assert codes == ["250", "550", "250"]  # the proxy may relay, its client may not
        await counter.say("DATA", CONTENT)
        (message,) = await office.mailbox("ana@example.org")
        assert b"Received: from told.example.net (host.example.net [IPv6:2001:db8::7])" in message
        facts = await counter.ended()
        assert (facts["peer"], facts["proxy"]) == ("[2001:db8::7]:2525", "192.0.2.10:40000")
        assert facts["client_name"] == "host.example.net"
        assert facts["decisions"][0]["reason"] == "client-told"

    run(test)


def test_helo_and_proto_stand_for_an_ehlo(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = await greeted(office)
        assert await counter.codes("XCLIENT HELO=told.example.net PROTO=ESMTP") == ["220"]
        assert await counter.codes("XCLIENT ADDR=203.0.113.7 NAME=[TEMPUNAVAIL]") == ["220"]
        assert await counter.codes("MAIL FROM:<a@example.net> SIZE=10", "RCPT TO:<ana@example.org>") == ["250", "250"]
        await counter.say("DATA", CONTENT)
        (message,) = await office.mailbox("ana@example.org")
        assert b"Received: from told.example.net ([203.0.113.7])\r\n\tby mx.example.org with ESMTP id" in message

    run(test)


def test_login_counts_as_a_login_of_that_account_and_of_no_other(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = await greeted(office, role=Role.SUBMISSION, require_tls_for_submission=False)
        assert await counter.codes("MAIL FROM:<ana@example.org>") == ["530"]
        assert await counter.codes("XCLIENT LOGIN=nobody@example.org", "XCLIENT LOGIN=x") == ["550", "550"]
        assert await counter.codes("XCLIENT LOGIN=Ana@example.org", HELLO) == ["220", "250"]
        assert await counter.codes("MAIL FROM:<luis@example.org>", "MAIL FROM:<ana@example.org>") == ["550", "250"]
        assert await counter.codes("RCPT TO:<far@example.net>", "RSET", "XCLIENT LOGIN=[UNAVAILABLE]") == [
            "250", "250", "220",
        ]  # fmt: skip
        assert await counter.codes(HELLO, "MAIL FROM:<ana@example.org>") == ["250", "530"]

    run(test)


def test_who_is_unknown_comes_from_nowhere_and_is_not_trusted(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = await greeted(office, trusted_networks=PROXIES)
        assert await counter.codes("XCLIENT ADDR=[UNAVAILABLE] NAME=[UNAVAILABLE]", HELLO) == ["220", "250"]
        assert await counter.codes("MAIL FROM:<>", "RCPT TO:<far@example.net>") == ["250", "550"]
        assert (await counter.ended())["peer"] == "0.0.0.0:0"

    run(test)


def test_what_a_filter_says_is_written_down_for_one_transaction_and_decides_nothing(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = await greeted(office)
        tell = "XFORWARD NAME=origin.example.net ADDR=198.51.100.9 IDENT=ABC123 SOURCE=REMOTE"
        assert await counter.codes(tell, "XFORWARD HELO=told.example.net PROTO=ESMTP") == ["250", "250"]
        for _ in range(2):
            lines = ("MAIL FROM:<a@example.net>", "RCPT TO:<ana@example.org>", "DATA", CONTENT)
            assert (await counter.codes(*lines))[-1] == "250"
        first, second = await office.mailbox("ana@example.org")
        assert b"(for told.example.net 198.51.100.9 ABC123)" in first and b"198.51.100.9" not in second
        assert b"([192.0.2.10])" in first
        rows = [entry.facts for entry in await office.journal("ana@example.org")]
        told = [facts["forwarded"] for facts in rows if "forwarded" in facts]
        assert told == [
            {
                "client_name": "origin.example.net",
                "peer": "198.51.100.9",
                "queue_id": "ABC123",
                "source": "REMOTE",
                "helo": "told.example.net",
                "protocol": "ESMTP",
            }
        ]

    run(test)


@pytest.mark.parametrize("forget", ["RSET", "EHLO again.example.net"])
def test_what_a_filter_said_is_forgotten_when_the_session_is_reset(run: Any, forget: str) -> None:
    async def test(office: Any) -> None:
        counter = await greeted(office)
        await counter.say("XFORWARD ADDR=198.51.100.9", forget)
        await counter.say("MAIL FROM:<a@example.net>", "RCPT TO:<ana@example.org>", "DATA", CONTENT)
        (message,) = await office.mailbox("ana@example.org")
        assert b"198.51.100.9" not in message

    run(test)


def test_our_client_speaks_for_others_to_our_server(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await SmtpClient.connect(
            "127.0.0.1", office.office.port(ListenerKind.SMTP), local_name="proxy.example.org", tls=TlsMode.NONE
        )
        async with client:
            told = {"ADDR": "2001:db8::7", "NAME": "host.example.net", "LOGIN": None}
            with pytest.raises(ExtensionMissing):
                await client.xforward({"PORT": "25", "LOGIN": "x"})
            assert (await client.xforward({"IDENT": "a+b=c"})).code == 250
            assert (await client.xclient(told)).code == 220
            to = Recipient(ForwardPath(Address("ana", "example.org")))
            await client.send(Sender(ReversePath(Address("a", "example.net"))), [to], b"Subject: x\r\n\r\n")
        (message,) = await office.mailbox("ana@example.org")
        assert b"Received: from proxy.example.org (host.example.net [IPv6:2001:db8::7])" in message

    loopback = (ip_network("127.0.0.0/8"),)
    run(test, xclient_networks=loopback, xforward_networks=loopback)


def test_the_clients_of_a_proxy_are_counted_one_by_one(run: Any) -> None:
    async def test(office: Any) -> None:
        codes = []
        for ip in ("203.0.113.7", "203.0.113.7", "203.0.113.8"):
            client = await office.client()
            codes.append((await client.say(f"XCLIENT ADDR={ip}"))[:3])
        assert codes == ["220", "421", "220"]

    run(
        test,
        xclient_networks=(ip_network("127.0.0.0/8"),),
        settings={"connections": ConnectionLimits(per_client=1)},
    )
