"""ETRN, ATRN and TURN by the client, and the connection that it gives away: the roles turned, no octet lost."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from tests.client.script import ANN, CONTENT, HELLO, QUIT, SENDER, SHORT, Script, connected, play

from estafeta.client import SmtpClient
from estafeta.mail.reply import Reply
from estafeta.net.address import PeerAddress
from estafeta.net.memory import pair as memory_pair
from estafeta.net.stream import Stream
from estafeta.wire.errors import ExtensionMissing, LocalProtocolError
from estafeta.wire.smtp import events
from estafeta.wire.smtp.server import ServerEngine
from estafeta.wire.smtp.session import ServerOptions

OFFERING = HELLO + "S: 250-mx.example.net\nS: 250-ETRN\nS: 250 ATRN\n"


def test_etrn_gives_the_reply_and_the_session_goes_on() -> None:
    script = OFFERING + "C: ETRN example.org\nS: 253 4 messages\nC: ETRN @example.org\nS: 459 4.7.1 not yours" + QUIT

    async def scene(port: int) -> None:
        async with await connected(port) as client:
            assert (await client.etrn("example.org")).code == 253
            assert (await client.etrn("@example.org")).code == 459
            assert client.is_idle
            with pytest.raises(LocalProtocolError):
                client.detach()

    play(script, scene)


def test_what_is_not_announced_is_not_asked() -> None:
    async def scene(port: int) -> None:
        async with await connected(port) as client:
            with pytest.raises(ExtensionMissing):
                await client.etrn("example.org")
            with pytest.raises(ExtensionMissing):
                await client.atrn()
            assert (await client.turn()).code == 502
            assert client.is_idle

    play(HELLO + "S: 250 mx\nC: TURN\nS: 502 5.5.1 no" + QUIT, scene)


def test_a_turn_that_is_refused_leaves_a_connection_to_quit() -> None:
    async def scene(port: int) -> None:
        async with await connected(port) as client:
            assert (await client.atrn(["example.org"])).code == 453
            with pytest.raises(LocalProtocolError):
                client.detach()

    play(OFFERING + "C: ATRN example.org\nS: 453 4.4.0 you have no mail" + QUIT, scene)


@pytest.mark.parametrize("hurries", [False, True], ids=["polite", "hasty"])
def test_a_detached_connection_has_all_that_was_said_on_it_and_the_client_is_out(hurries: bool) -> None:
    async def run() -> None:
        ours, theirs = memory_pair()
        early = "S: EHLO provider\n" if hurries else ""
        script = Script(OFFERING + "C: ATRN\nS: 250 turning\n" + early + "C: 220 me ready\nS: NOOP\nC: 250 OK")
        serving = asyncio.create_task(script.serve(theirs))
        client = await SmtpClient.over(ours, local_name="me.example.org", timeouts=SHORT)
        async with client:
            assert (await client.atrn()).is_positive
            assert not client.is_open and not client.is_idle
            stream = client.detach()
            with pytest.raises(LocalProtocolError):
                client.detach()
            with pytest.raises(LocalProtocolError):
                await client.send(SENDER, [ANN], CONTENT)
            client.abort()
        assert not stream.is_lost
        assert (stream.peer, stream.local, stream.tls, stream.peer_chain) == (ours.peer, ours.local, None, ())
        assert stream.pending == (len(b"EHLO provider\r\n") if hurries else 0)
        stream.set_deadline(5)
        stream.send(b"220 me ready\r\n")
        await stream.drain()
        heard = b""
        while not heard.endswith(b"NOOP\r\n"):
            heard += await stream.receive()
        assert heard == (b"EHLO provider\r\n" if hurries else b"") + b"NOOP\r\n"
        stream.send(b"250 OK\r\n")
        await serving
        assert script.faults == []
        await stream.close()

    asyncio.run(run())


def test_what_came_too_early_is_thrown_away_before_tls_and_at_an_end() -> None:
    async def detached() -> tuple[Stream, Stream]:
        ours, theirs = memory_pair()
        serving = asyncio.create_task(Script(OFFERING + "C: ATRN\nS: 250 turning\nS: STARTTLS").serve(theirs))
        client = await SmtpClient.over(ours, local_name="me.example.org", timeouts=SHORT)
        await client.atrn()
        await serving
        return client.detach(), theirs

    async def run() -> None:
        stream, theirs = await detached()
        assert stream.discard_pending() == len(b"STARTTLS\r\n")
        assert stream.pending == 0
        stream.abort()
        stream, theirs = await detached()
        stream.end_receiving()
        assert await stream.receive() == b""
        stream.abort()
        stream, theirs = await detached()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # memory streams do not look at it
        tls = theirs.start_tls(context, server_hostname="customer")
        await asyncio.gather(stream.start_tls(context, server_side=True), tls)
        assert stream.tls is not None
        assert stream.pending == 0
        stream.abort()

    asyncio.run(run())


class Customer:
    """The server that the client becomes: takes any message."""

    def __init__(self) -> None:
        self.engine = ServerEngine(ServerOptions("customer.example"))
        self.content = b""

    async def serve(self, stream: Stream) -> None:
        engine = self.engine
        stream.set_deadline(5)
        engine.greet(Reply.of(220, "customer.example ready"))
        while not engine.is_ended:
            stream.send(engine.take_output())
            engine.feed(await stream.receive())
            while (event := engine.next_event()) is not None:
                self._answer(event)
        stream.send(engine.take_output())
        await stream.close()

    def _answer(self, event: events.Event) -> None:
        match event:
            case events.Hello():
                self.engine.answer(self.engine.hello_reply("customer.example"))
            case events.Data():
                self.engine.answer(Reply.of(354, "go on"))
            case events.Bdat():
                pass
            case events.Content(octets):
                self.content += octets
            case events.Quit():
                self.engine.answer(Reply.of(221, "bye"))
            case _:
                self.engine.answer(Reply.of(250, "ok", "2.0.0"))


class Provider:
    """A server that turns the roles when asked, and then sends one message."""

    def __init__(self) -> None:
        self.engine = ServerEngine(ServerOptions("provider.example", insecure_mechanisms=("PLAIN",), turn=True))

    async def serve(self, stream: Stream) -> None:
        engine = self.engine
        stream.set_deadline(5)
        engine.greet(Reply.of(220, "provider.example"))
        while not engine.has_turned:
            stream.send(engine.take_output())
            engine.feed(await stream.receive())
            while (event := engine.next_event()) is not None:
                match event:
                    case events.Hello():
                        engine.answer(engine.hello_reply("provider.example"))
                    case events.Auth():
                        engine.answer(Reply.of(235, "welcome"))
                    case _:
                        engine.answer(Reply.of(250, "turning"))
        stream.send(engine.take_output())
        async with await SmtpClient.over(stream, local_name="provider.example", timeouts=SHORT) as client:
            assert client.greeting.text == "customer.example ready"
            result = await client.send(SENDER, [ANN], CONTENT)
            assert [each.reply.code for each in result.replies] == [250]


def test_a_customer_takes_the_mail_that_the_provider_has() -> None:
    async def run() -> Customer:
        here = PeerAddress("127.0.0.1", 25)
        ours, theirs = memory_pair(client=here, server=here)
        providing = asyncio.create_task(Provider().serve(theirs))
        client = await SmtpClient.over(ours, local_name="customer.example", timeouts=SHORT)
        await client.login("customer", "pencil", mechanisms=["PLAIN"])
        assert (await client.turn()).is_positive
        customer = Customer()
        await customer.serve(client.detach())
        await providing
        return customer

    assert asyncio.run(run()).content == CONTENT
