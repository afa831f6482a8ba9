"""The client as programs use it, against a server of the library and against scripts."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.client.script import HELLO, QUIT, Script, served

from estafeta.client import (
    CLIENT_ERRORS,
    Client,
    ClientOptions,
    ClientTimeouts,
    LoginImpossible,
    MessageRefused,
    Refused,
    TlsMode,
    TlsNotOffered,
    send,
    send_blocking,
)
from estafeta.mail.address import Address, AddressError, ForwardPath, ReversePath
from estafeta.mail.envelope import Notify, Recipient, Ret, Sender
from estafeta.mail.reply import Reply
from estafeta.net.authority import Issued, issue
from estafeta.net.errors import ConnectFailed, DeadlinePassed, TlsError
from estafeta.net.stream import SocketStream
from estafeta.net.tls import ServerTls
from estafeta.server import Collector, Server, ServerLimits, Session
from estafeta.wire.errors import LocalProtocolError

T = TypeVar("T")


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return issue(Path(tmp_path_factory.mktemp("tls")), ["localhost", "127.0.0.1"])


def letter(to: str = "luis@example.net") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ana <ana@example.org>"
    message["To"] = to
    message["Subject"] = "x"
    message.set_content("Hello.\n")
    return message


class Choosy(Collector):
    """Has mailboxes at example.net, and lists."""

    async def on_recipient(self, session: Session, recipient: Recipient) -> Reply | None:
        is_ours = recipient.forward_path.address.domain in ("example.net", "")
        return None if is_ours else Reply.of(550, "no such mailbox", "5.1.1")

    async def on_expand(self, session: Session, text: str) -> Reply | None:
        return Reply.of(250, "<luis@example.net>", "2.1.5")


def with_server(scene: Callable[[Server, Choosy], Awaitable[T]], **options: Any) -> T:
    async def run() -> T:
        handler = Choosy()
        async with asyncio.timeout(30), Server(handler, **options) as server:
            return await scene(server, handler)

    return asyncio.run(run())


def test_a_message_is_sent_by_one_call() -> None:
    async def scene(server: Server, inbox: Choosy) -> None:
        result = await send(letter("luis@example.net, nobody@example.com"), port=server.port)
        assert [str(each.forward_path) for each in result.accepted] == ["luis@example.net"]
        assert [str(each.reply) for each in result.refused] == ["550 5.1.1 no such mailbox"]
        (message,) = inbox.messages
        assert message.reverse_path == "ana@example.org" and message.parsed()["Subject"] == "x"

    with_server(scene)


def test_a_program_without_an_event_loop_sends_too() -> None:
    inbox = Collector()
    with Server(inbox).in_thread() as server:
        send_blocking(letter(), port=server.port)
    assert inbox.messages[0].forward_paths == ("luis@example.net",)


def test_a_message_that_nobody_gets_is_an_error_and_the_connection_goes_on() -> None:
    async def scene(server: Server, inbox: Choosy) -> None:
        async with Client(port=server.port) as client:
            with pytest.raises(MessageRefused, match=r"message refused: 550 5\.1\.1 no such mailbox") as refused:
                await client.send(letter("nobody@example.com"))
            assert refused.value.reply.code == 550 and len(refused.value.result.refused) == 1
            assert isinstance(refused.value, CLIENT_ERRORS) and isinstance(refused.value, Refused)
            await client.send(letter())
        assert len(inbox.messages) == 1

    with_server(scene)


def test_octets_go_with_an_envelope_of_their_own() -> None:
    async def scene(server: Server, inbox: Choosy) -> None:
        async with Client(port=server.port) as client:
            await client.send(b"Subject: x\n\n.\n", sender="", recipients=["luis@example.net", "luis@example.net"])
            await client.send(letter(), sender="desk@example.org", recipients="postmaster")
        octets, message = inbox.messages
        assert octets.content == b"Subject: x\r\n\r\n.\r\n"
        assert octets.reverse_path == "" and octets.forward_paths == ("luis@example.net",)
        assert message.reverse_path == "desk@example.org" and message.forward_paths == ("postmaster",)

    with_server(scene)


def test_parameters_go_by_value() -> None:
    async def scene(server: Server, inbox: Choosy) -> None:
        sender = Sender(ReversePath(Address.parse("ana@example.org")), ret=Ret.HDRS, envid="letter 1")
        recipient = Recipient(ForwardPath(Address.parse("luis@example.net")), notify=frozenset({Notify.SUCCESS}))
        async with Client(port=server.port) as client:
            await client.send(letter(), sender=sender, recipients=recipient)
        (message,) = inbox.messages
        assert message.sender.ret is Ret.HDRS and message.sender.envid == "letter 1"
        assert message.recipients == (recipient,)

    with_server(scene, dsn=True)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"message": b"x\r\n"}, "no sender"),
        ({"message": b"x\r\n", "sender": "a@example.org"}, "no recipients"),
        ({"message": b"x\r\n", "sender": "a@example.org", "recipients": []}, "no recipients"),
        ({"message": EmailMessage()}, "no sender"),
        ({"message": letter(), "sender": "ana"}, "address has no domain"),
        ({"message": letter(), "recipients": "a@example.org>\r\nRSET"}, "bad domain"),
    ],
)
def test_what_says_nobody_is_refused_before_anything_is_sent(arguments: dict[str, Any], error: str) -> None:
    async def scene(server: Server, inbox: Choosy) -> None:
        async with Client(port=server.port) as client:
            with pytest.raises(ValueError, match=error) as raised:
                await client.send(**arguments)
            assert isinstance(raised.value, AddressError) == ("address" in error or "domain" in error)
            await client.send(letter())

    with_server(scene)


def test_questions_are_answered() -> None:
    async def scene(server: Server, inbox: Choosy) -> None:
        client = Client("127.0.0.1", port=server.port)
        assert not client.is_connected
        with pytest.raises(LocalProtocolError, match="not connected"):
            await client.noop()
        async with client:
            assert client.is_connected and client.tls is None and client.peer.port == server.port
            assert client.greeting.code == 220 and client.capabilities.has("PIPELINING")
            assert (await client.noop()).code == 250 and (await client.reset()).code == 250
            assert (await client.verify("luis")).code == 252
            assert (await client.expand("all")).text == "<luis@example.net>"
            assert "MAIL" in (await client.help()).text
            with pytest.raises(LocalProtocolError, match="connected already"):
                await client.connect()
        assert not client.is_connected
        async with client:  # and again
            await client.send(letter())

    with_server(scene)


def test_tasks_take_turns() -> None:
    async def scene(server: Server, inbox: Choosy) -> None:
        async with Client(port=server.port) as client:
            await asyncio.gather(*(client.send(letter(f"box{number}@example.net")) for number in range(20)))
        assert {message.forward_paths for message in inbox.messages} == {(f"box{n}@example.net",) for n in range(20)}
        assert len({message.session.id for message in inbox.messages}) == 1

    with_server(scene)


def test_a_connection_that_the_server_closed_is_opened_anew() -> None:
    async def run() -> None:
        inbox = Collector()
        first = Server(inbox)
        await first.start()
        async with Client(port=first.port) as client:
            await client.send(letter())
            port = first.port
            await first.stop()
            async with Server(inbox, port=port):
                await client.send(letter())
        assert len({message.session.id for message in inbox.messages}) == 2

    asyncio.run(run())


@pytest.mark.rfc("9422 §4.1", "The client opens another session when it has sent the messages that one may have.")
def test_more_messages_than_a_session_may_have_go_by_another() -> None:
    async def scene(server: Server, inbox: Choosy) -> None:
        async with Client(port=server.port) as client:
            for _ in range(3):
                await client.send(letter())
        assert [message.session.id for message in inbox.messages].count(inbox.messages[0].session.id) == 2

    with_server(scene, limits=ServerLimits(messages=2))


def test_tls_is_demanded_checked_and_used_for_the_login(issued: Issued) -> None:
    async def scene(server: Server, inbox: Choosy) -> None:
        login: ClientOptions = {"port": server.port, "tls": "starttls", "username": "ana", "password": "secret"}
        context = ssl.create_default_context(cafile=issued.authority)
        trusting: list[ClientOptions] = [
            {"ca_file": issued.authority},
            {"ca_file": str(issued.authority)},
            {"context": context},
        ]
        for trust in trusting:
            await send(letter(), **(login | trust))
        facts = inbox.messages[-1].session
        assert (facts.identity, facts.protocol) == ("ana", "ESMTPSA") and len(inbox.messages) == 3
        with pytest.raises(TlsError, match="certificate not accepted"):
            await send(letter(), port=server.port, tls=TlsMode.STARTTLS)
        with pytest.raises(Refused) as refused:
            await send(letter(), **(login | trusting[0] | {"password": "wrong"}))
        assert refused.value.reply.code == 535 and len(inbox.messages) == 3

    with_server(scene, tls=ServerTls(issued.certificate, issued.key), passwords={"ana": "secret"}, require_login=True)


def test_implicit_tls_is_spoken_from_the_start(issued: Issued) -> None:
    async def scene(server: Server, inbox: Choosy) -> None:
        async with Client(port=server.port, tls="implicit", ca_file=issued.authority) as client:
            assert client.tls is not None and client.tls.version.startswith("TLSv1.")
            await client.send(letter())
        with pytest.raises(TlsError):
            await Client("127.0.0.2", port=server.port, tls="implicit", ca_file=issued.authority).connect()

    with_server(scene, tls=ServerTls(str(issued.certificate), str(issued.key)), implicit_tls=True, host="0.0.0.0")


def test_without_tls_nothing_is_sent_where_it_is_demanded() -> None:
    async def scene(server: Server, inbox: Choosy) -> None:
        with pytest.raises(TlsNotOffered):
            await send(letter(), port=server.port, tls="starttls")
        await send(letter(), port=server.port, tls="opportunistic")
        with pytest.raises(LoginImpossible):
            await send(letter(), port=server.port, username="ana", password="x")
        assert len(inbox.messages) == 1

    with_server(scene)


@pytest.mark.parametrize(
    ("host", "options", "port", "tls"),
    [
        ("mail.example.org", {}, 587, TlsMode.STARTTLS),
        ("mail.example.org", {"port": 465}, 465, TlsMode.IMPLICIT),
        ("mail.example.org", {"tls": "implicit"}, 465, TlsMode.IMPLICIT),
        ("mail.example.org", {"port": 25}, 25, TlsMode.STARTTLS),
        ("mail.example.org", {"tls": "opportunistic"}, 25, TlsMode.OPPORTUNISTIC),
        ("localhost", {}, 25, TlsMode.NONE),
        ("LOCALHOST.", {}, 25, TlsMode.NONE),
        ("::1", {"lmtp": True}, 24, TlsMode.NONE),
        ("localhost.example.org", {}, 587, TlsMode.STARTTLS),
    ],
)
def test_tls_is_demanded_unless_the_server_is_this_machine(
    host: str, options: dict[str, Any], port: int, tls: TlsMode
) -> None:
    client = Client(host, **options)
    assert (client._port, client._tls) == (port, tls)


@pytest.mark.parametrize(
    "options",
    [
        {"tls": "ssl"},
        {"username": "ana"},
        {"username": "ana", "password": "x", "token": "x"},
        {"token": "x"},
        {"context": ssl.create_default_context(), "ca_file": "ca.pem"},
        {"timeout": 0},
        {"local_name": "me\r\nRSET"},
    ],
)
def test_what_does_not_fit_together_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"TlsMode|belong|whom to trust|0 seconds|domain"):
        Client("mail.example.org", **options)


def test_the_client_calls_itself_as_asked() -> None:
    script = Script("S: 220 mx\nC: EHLO me.example.org\nS: 250 mx" + QUIT)

    async def run() -> None:
        async with served(script.serve) as port, Client("127.0.0.1", port=port, local_name="me.example.org"):
            pass

    asyncio.run(run())
    assert script.faults == []


def test_a_server_that_is_slow_is_given_up() -> None:
    async def run() -> None:
        script = Script(HELLO + "WAIT")
        async with served(script.serve) as port:
            client = Client("127.0.0.1", port=port, timeout=0.1, local_name="me.example.org")
            with pytest.raises(DeadlinePassed, match=r"no reply to EHLO within 0\.1 s"):
                await client.connect()
            assert not client.is_connected

    asyncio.run(run())


def test_a_server_that_is_not_there_is_named() -> None:
    async def run() -> None:
        with pytest.raises(ConnectFailed, match=r"127\.0\.0\.1 port 1: "):
            await send(letter(), "127.0.0.1", port=1, timeout=ClientTimeouts(connect=5))
        with pytest.raises(ConnectFailed, match=r"nowhere\.sock"):
            await send(letter(), unix_socket="nowhere.sock", lmtp=True)

    asyncio.run(run())


def test_a_connected_socket_serves_once() -> None:
    async def scene(server: Server, inbox: Choosy) -> None:
        sock = socket.create_connection((server.host, server.port))
        client = Client(sock=sock)
        async with client:
            await client.send(letter())
        with pytest.raises(ConnectFailed, match="used up"):
            await client.connect()
        assert len(inbox.messages) == 1

    with_server(scene)


def test_a_unix_socket_is_a_server_too(tmp_path: Path) -> None:
    script = Script(
        "S: 220 mx\nC: LHLO localhost\nS: 250-mx\nS: 250 PIPELINING\nC: MAIL FROM:<ana@example.org>\n"
        "C: RCPT TO:<luis@example.net>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: x\nC: .\nS: 250 done" + QUIT
    )

    async def run() -> str:
        loop = asyncio.get_running_loop()
        streams: list[asyncio.Task[None]] = []

        class Served(SocketStream):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                streams.append(loop.create_task(script.serve_and_close(self)))

        server = await loop.create_unix_server(Served, str(tmp_path / "lmtp"))
        result = await send(
            b"x\r\n", unix_socket=tmp_path / "lmtp", lmtp=True, sender="ana@example.org", recipients="luis@example.net"
        )
        await asyncio.gather(*streams)
        server.close()
        await server.wait_closed()
        return str(result.replies[0].reply)

    assert asyncio.run(run()) == "250 done"
    assert script.faults == []
