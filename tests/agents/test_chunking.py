"""Content in chunks, limits that are announced, and solicitations, through the post office (RFC 3030, 9422, 3865)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.agents.conftest import Client, Office, populate
from tests.agents.outbound.street import Host

from estafeta.agents.outbound.gateways.settings import GatewayKind, GatewaySettings, GatewayTls
from estafeta.agents.outbound.settings import RelaySettings
from estafeta.agents.settings import SmtpLimits
from estafeta.app import PostOffice, new_event_loop
from estafeta.config.settings import Listen, ListenerKind, Settings, SmtpSettings
from estafeta.net.authority import Issued
from estafeta.net.listener import listen
from estafeta.routing.routes import RouteRule

BINARY = b"From: ana@example.org\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\n\r\xff.\r\n.\r\nQUIT\n"


@asynccontextmanager
async def opened(folder: Path, issued: Issued, **settings: Any) -> AsyncIterator[Office]:
    """A post office for strangers, whose users hand in without a login."""
    smtp = SmtpSettings(**settings.pop("smtp", {}))
    office = PostOffice(
        Settings(
            hostname="mx.example.org",
            data=folder / "data",
            listen=(Listen(kind=ListenerKind.SMTP, address="127.0.0.1", port=0),),
            smtp=smtp,
            **settings,
        )
    )
    async with office:
        await office.store.write(populate)
        tested = Office(office, issued)
        try:
            yield tested
        finally:
            await tested.close()


def run(main: Any) -> None:
    async def limited() -> None:
        async with asyncio.timeout(30):
            await main

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(limited())


async def begin(client: Client, to: str, parameters: str = "") -> None:
    assert await client.say_all(f"MAIL FROM:<x@example.net>{parameters}", f"RCPT TO:<{to}>") == [250, 250]


def chunk(octets: bytes, last: bytes = b"") -> bytes:
    """BDAT for `say`, which adds CRLF: the octets must end in it."""
    assert octets.endswith(b"\r\n") or not octets
    return b"BDAT %d%b\r\n%b" % (len(octets), last, octets[:-2]) if octets else b"BDAT 0%b" % last


@pytest.mark.rfc("3030 §2", "A message in chunks is in the mailbox as it was sent, dots and all.")
def test_chunks_arrive_as_they_were(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        async with opened(tmp_path, issued) as office:
            client = await office.client()
            await begin(client, "ana@example.org")
            assert (await client.say(chunk(b"Subject: x\r\n"))).startswith("250 2.0.0")
            assert (await client.say(chunk(b"\r\n.\r\n..\r\n"))).startswith("250 2.0.0")
            assert (await client.say(chunk(b"", b" LAST"))).startswith("250 2.0.0 accepted as")
            [message] = await office.mailbox("ana@example.org")
            assert message.endswith(b"Subject: x\r\n\r\n.\r\n..\r\n")
            assert b"\r\n\r\n" not in message.partition(b"Subject")[0]

    run(main())


@pytest.mark.rfc("3030 §3", "Binary content is kept octet for octet.")
def test_binary_content_is_kept(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        async with opened(tmp_path, issued) as office:
            client = await office.client()
            await begin(client, "ana@example.org", " BODY=BINARYMIME")
            client.stream.send(b"BDAT %d LAST\r\n%b" % (len(BINARY), BINARY))
            assert (await client.reply()).startswith("250 2.0.0 accepted as")
            await begin(client, "ana@example.org")
            client.stream.send(b"BDAT %d LAST\r\n%b" % (len(BINARY), BINARY))
            assert (await client.reply()).startswith("550 5.6.0")
            [message] = await office.mailbox("ana@example.org")
            assert message.endswith(BINARY)

    run(main())


def test_a_message_that_grows_too_large_is_refused_at_the_chunk(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        limits = SmtpLimits(message_size=1000)
        async with opened(tmp_path, issued, smtp={"limits": limits}) as office:
            client = await office.client()
            for sizes, code in (((998, 0), "250 2.0.0"), ((998, 4), "552 5.3.4")):
                await begin(client, "ana@example.org")
                for size in sizes:
                    octets = b"\r\n" * (size // 2)
                    reply = await client.say(chunk(octets))
                assert reply.startswith(code)
                assert (await client.say(chunk(b"", b" LAST")))[:3] == ("250" if code[0] == "2" else "503")
                await client.say("RSET")
            await begin(client, "ana@example.org")
            reply = await client.say(chunk(b"\r\n" * 501, b" LAST"))
            assert reply.startswith("552 5.3.4")
            assert len(await office.mailbox("ana@example.org")) == 1
            spools = [each for each in (tmp_path / "data").rglob("*") if each.is_file() and "spool" in each.parts]
            assert not spools

    run(main())


@pytest.mark.rfc("3030 §3", "Binary content goes on by BDAT where that is announced, and is encoded where not.")
def test_binary_content_goes_on_as_the_next_host_can_take_it(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        hosts = {
            "127.0.0.2": Host("PIPELINING", "8BITMIME", "CHUNKING", "BINARYMIME"),
            "127.0.0.3": Host("PIPELINING", "8BITMIME"),
        }
        listeners = {}
        for address, host in hosts.items():
            listeners[address] = await listen(address, 0, host.serve)
        gateways = tuple(
            GatewaySettings(f"g{address[-1]}", GatewayKind.SMTP, host=address, port=each.port, tls=GatewayTls.NONE)
            for address, each in listeners.items()
        )
        rules = tuple(
            RouteRule(f"g{address[-1]}.example", gateway=f"g{address[-1]}", for_anyone=True) for address in listeners
        )
        relay = RelaySettings(allow_loopback=True)
        async with opened(tmp_path, issued, gateway=gateways, route=rules, relay=relay) as office:
            client = await office.client()
            for address in listeners:
                await begin(client, f"u@g{address[-1]}.example", " BODY=BINARYMIME")
                client.stream.send(b"BDAT %d LAST\r\n%b" % (len(BINARY), BINARY))
                assert (await client.reply()).startswith("250")
            while await office.queued():
                await asyncio.sleep(0.005)
        for each in listeners.values():
            each.close()
            await each.drain(1)
        [binary] = hosts["127.0.0.2"].taken
        assert binary.content.endswith(BINARY)
        assert "BODY=BINARYMIME" in binary.mail
        [encoded] = hosts["127.0.0.3"].taken
        assert "BODY" not in encoded.mail
        assert b"Content-Transfer-Encoding: base64" in encoded.content or b"quoted-printable" in encoded.content
        assert b"\0" not in encoded.content

    run(main())


@pytest.mark.rfc("9422 §4", "What is announced is what holds: recipients in a transaction, messages in a session.")
def test_limits_are_announced_and_hold(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        limits = SmtpLimits(recipients=2, transactions=3)
        async with opened(tmp_path, issued, smtp={"limits": limits}) as office:
            client = await office.client(hello=False)
            assert "250-LIMITS MAILMAX=3 RCPTMAX=2" in (await client.say("EHLO c")).splitlines()
            for _ in range(3):
                lines = ("MAIL FROM:<>", *["RCPT TO:<ana@example.org>"] * 3, "RSET")
                assert await client.say_all(*lines) == [250, 250, 250, 452, 250]
            assert (await client.say("MAIL FROM:<>")).startswith("421 4.7.0")

    run(main())


@pytest.mark.rfc("9422 §3", "A client keeps to what the next host announced, and needs fewer replies for it.")
def test_our_relay_keeps_to_the_limits_of_the_next_host(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        host = Host("PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=2")
        listener = await listen("127.0.0.2", 0, host.serve)
        way = GatewaySettings("far", GatewayKind.SMTP, host="127.0.0.2", port=listener.port, tls=GatewayTls.NONE)
        rule = RouteRule("far.example", gateway="far", for_anyone=True)
        relay = RelaySettings(allow_loopback=True, first_concurrency=1, retry_after=(0.01,), poll_after=0.01)
        async with opened(tmp_path, issued, gateway=(way,), route=(rule,), relay=relay) as office:
            client = await office.client()
            await client.say("MAIL FROM:<x@example.net>")
            for number in range(5):
                await client.say(f"RCPT TO:<u{number}@far.example>")
            await client.say("DATA")
            assert (await client.say(b"Subject: x\r\n\r\nx\r\n.")).startswith("250")
            while await office.queued():
                await asyncio.sleep(0.005)
        listener.close()
        await listener.drain(1)
        assert sorted(each for message in host.taken for each in message.recipients) == [
            f"TO:<u{number}@far.example>" for number in range(5)
        ]
        assert [len(message.recipients) for message in host.taken] == [2, 2, 1]
        assert host.connections == 2

    run(main())


@pytest.mark.rfc(
    "3865 §2", "Solicitations of an unwanted kind are refused, by what MAIL says or by the header section."
)
def test_unwanted_solicitations_are_refused(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        smtp = {"no_soliciting": True, "unwanted_solicitations": ("net.example:ADV",)}
        async with opened(tmp_path, issued, smtp=smtp) as office:
            client = await office.client(hello=False)
            assert "250-NO-SOLICITING net.example:ADV" in (await client.say("EHLO c")).splitlines()
            assert (await client.say("MAIL FROM:<x@example.net> SOLICIT=org.example:X,NET.example:adv")).startswith(
                "550 5.7.1"
            )
            assert (await client.say("MAIL FROM:<x@example.net> SOLICIT=a..b,")).startswith("501 5.5.4")
            for kind, code in (("net.example:ADV", "550 5.7.1"), ("org.example:X", "250")):
                await begin(client, "ana@example.org", " SOLICIT=org.example:X")
                await client.say("DATA")
                letter = f"Subject: x\r\nSolicitation: {kind}\r\n\r\nbuy\r\n."
                assert (await client.say(letter)).startswith(code)
        async with opened(tmp_path / "other", issued) as office:
            client = await office.client(hello=False)
            assert "SOLICIT" not in await client.say("EHLO c")
            assert (await client.say("MAIL FROM:<x@example.net> SOLICIT=a")).startswith("555 5.5.4")

    run(main())
