"""The library and what others use: smtplib and aiosmtplib as clients of the server, aiosmtpd as the client's server."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from estafeta.client import Client, LoginImpossible, MessageRefused, Refused, TlsMode, send
from estafeta.mail.envelope import Recipient
from estafeta.mail.reply import Reply
from estafeta.net.authority import Issued, issue
from estafeta.net.tls import ServerTls
from estafeta.server import Answer, Collector, Handler, Message, Server, Session
from estafeta.wire.errors import ExtensionMissing
from estafeta.wire.sasl import SaslError

PASSWORDS = {"ana": "secret"}


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return issue(Path(tmp_path_factory.mktemp("tls")), ["localhost", "127.0.0.1"])


@pytest.fixture(scope="module")
def trusting(issued: Issued) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=issued.authority)


def letter(to: str = "luis@example.net") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ana <ana@example.org>"
    message["To"] = to
    message["Subject"] = "¿Qué tal?"
    message.set_content("Señora:\n.\n..\n")
    message.add_attachment(bytes(range(256)) * 400, maintype="image", subtype="png", filename="año.png")
    return message


class Inbox(Collector):
    """Has no mailbox at example.com."""

    async def on_recipient(self, session: Session, recipient: Recipient) -> Reply | None:
        is_ours = recipient.forward_path.address.domain != "example.com"
        return None if is_ours else Reply.of(550, "no such mailbox", "5.1.1")


def assert_is_letter(content: bytes) -> None:
    """What arrived is what was written."""
    read = message_from_bytes(content, policy=policy.default)
    assert read["Subject"] == "¿Qué tal?"
    body = read.get_body()
    assert body is not None and body.get_content().splitlines() == ["Señora:", ".", ".."]
    (picture,) = read.iter_attachments()
    assert picture.get_content() == bytes(range(256)) * 400 and picture.get_filename() == "año.png"


# Foreign clients


@pytest.mark.parametrize("mechanism", ["plain", "login"])
def test_smtplib_logs_in_over_starttls_and_sends(issued: Issued, trusting: ssl.SSLContext, mechanism: str) -> None:
    inbox = Inbox()
    server = Server(inbox, tls=ServerTls(issued.certificate, issued.key), passwords=PASSWORDS, require_login=True)
    with server.in_thread() as running, smtplib.SMTP("localhost", running.port, timeout=10) as client:
        client.starttls(context=trusting)
        client.ehlo()
        client.user, client.password = "ana", "secret"
        code, _ = client.auth(mechanism, getattr(client, f"auth_{mechanism}"))
        assert code == 235
        refused = client.send_message(letter("luis@example.net, nobody@example.com"))
    assert refused == {"nobody@example.com": (550, b"5.1.1 no such mailbox")}
    (message,) = inbox.messages
    assert_is_letter(message.content)
    assert message.session.protocol == "ESMTPSA" and message.forward_paths == ("luis@example.net",)


def test_smtplib_speaks_implicit_tls(issued: Issued, trusting: ssl.SSLContext) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.certificate, issued.key)
    inbox = Inbox()
    with (
        Server(inbox, tls=context, implicit_tls=True).in_thread() as running,
        smtplib.SMTP_SSL("localhost", running.port, context=trusting, timeout=10) as client,
    ):
        client.send_message(letter())
    assert_is_letter(inbox.messages[0].content)


def test_smtplib_speaks_lmtp() -> None:
    class Half(Handler):
        async def on_message(self, session: Session, message: Message) -> Answer:
            return [Reply.of(250, "delivered"), Reply.of(452, "mailbox full", "4.2.2")]

    with Server(Half(), lmtp=True).in_thread() as running, smtplib.LMTP("localhost", running.port) as client:
        client.ehlo_or_helo_if_needed()
        client.mail("ana@example.org")
        client.rcpt("luis@example.net")
        client.rcpt("eva@example.net")
        assert client.data(b"Subject: x\r\n\r\n") == (250, b"delivered")
        assert client.getreply() == (452, b"4.2.2 mailbox full")


def test_smtplib_sends_addresses_beyond_ascii() -> None:
    inbox = Inbox()
    message = letter("josé@example.net")
    with Server(inbox).in_thread() as running, smtplib.SMTP("localhost", running.port, timeout=10) as client:
        client.send_message(message)
    (arrived,) = inbox.messages
    assert arrived.forward_paths == ("josé@example.net",) and arrived.sender.smtputf8
    assert_is_letter(arrived.content)


def test_aiosmtplib_logs_in_over_starttls_and_sends(issued: Issued, trusting: ssl.SSLContext) -> None:
    async def run() -> None:
        inbox = Inbox()
        tls = ServerTls(issued.certificate, issued.key)
        async with Server(inbox, tls=tls, passwords=PASSWORDS, require_tls=True, require_login=True) as server:
            refused, response = await aiosmtplib.send(
                letter("luis@example.net, nobody@example.com"),
                hostname="localhost",
                port=server.port,
                start_tls=True,
                tls_context=trusting,
                username="ana",
                password="secret",
            )
            assert refused["nobody@example.com"].code == 550
            (message,) = inbox.messages
            assert message.id in response
            assert_is_letter(message.content)
            with pytest.raises(aiosmtplib.SMTPAuthenticationError):
                await aiosmtplib.send(
                    letter(),
                    hostname="localhost",
                    port=server.port,
                    tls_context=trusting,
                    username="ana",
                    password="wrong",
                )
            with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
                await aiosmtplib.send(
                    letter("nobody@example.com"),
                    hostname="localhost",
                    port=server.port,
                    tls_context=trusting,
                    username="ana",
                    password="secret",
                )

    asyncio.run(run())


def test_aiosmtplib_asks_what_there_is() -> None:
    async def run() -> None:
        async with Server(Inbox()) as server, aiosmtplib.SMTP(hostname="localhost", port=server.port) as client:
            assert client.supports_extension("chunking") and client.supports_extension("pipelining")
            assert (await client.vrfy("luis")).code == 252
            assert (await client.noop()).code == 250
            await client.rset()

    asyncio.run(run())


# A foreign server


class Foreign:
    """An aiosmtpd handler that keeps envelopes."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []
        self.logins: list[str | None] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if address.endswith("@example.com"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.envelopes.append(envelope)
        self.logins.append(session.auth_data.login.decode() if session.authenticated else None)
        return "250 2.0.0 taken"


def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"ana", b"secret")
    return AuthResult(success=is_right, handled=False, auth_data=data)


@asynccontextmanager
async def foreign_server(
    protocol: type[SMTP] = SMTP,
    implicit_tls: ssl.SSLContext | None = None,
    handler: Foreign | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Foreign, int]]:
    handler, loop = handler or Foreign(), asyncio.get_running_loop()
    chosen: dict[str, Any] = {"enable_SMTPUTF8": True, "hostname": "foreign.example"} | options
    server = await loop.create_server(lambda: protocol(handler, loop=loop, **chosen), "127.0.0.1", 0, ssl=implicit_tls)
    async with server:
        yield handler, server.sockets[0].getsockname()[1]


def server_context(issued: Issued) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.certificate, issued.key)
    return context


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_the_client_logs_in_over_starttls_and_sends_to_aiosmtpd(issued: Issued, mechanism: str) -> None:
    async def run() -> None:
        async with (
            foreign_server(tls_context=server_context(issued), require_starttls=True, authenticator=authenticate) as (
                handler,
                port,
            ),
            Client(
                "localhost",
                port=port,
                tls="starttls",
                ca_file=issued.authority,
                username="ana",
                password="secret",
                mechanisms=[mechanism],
            ) as client,
        ):
            result = await client.send(letter("luis@example.net, nobody@example.com"))
            assert [each.reply.code for each in result.replies] == [250, 550]
            with pytest.raises(MessageRefused):
                await client.send(letter("nobody@example.com"))
            await client.send(letter("josé@example.net"))
        first, second = handler.envelopes
        assert_is_letter(first.content)
        assert first.rcpt_tos == ["luis@example.net"] and second.rcpt_tos == ["josé@example.net"]
        assert second.smtp_utf8 and handler.logins == ["ana", "ana"]

    asyncio.run(run())


def test_the_client_speaks_implicit_tls_with_aiosmtpd(issued: Issued) -> None:
    async def run() -> None:
        async with foreign_server(implicit_tls=server_context(issued)) as (handler, port):
            await send(letter(), port=port, tls=TlsMode.IMPLICIT, ca_file=issued.authority)
        assert_is_letter(handler.envelopes[0].content)

    asyncio.run(run())


def test_the_client_does_without_what_aiosmtpd_does_not_offer() -> None:
    async def run() -> None:
        async with foreign_server(enable_SMTPUTF8=False) as (handler, port):
            await send(letter(), port=port)
            with pytest.raises(ExtensionMissing):
                await send(letter("josé@example.net"), port=port)
            with pytest.raises(LoginImpossible):
                await send(letter(), port=port, username="ana", password="secret")
        assert_is_letter(handler.envelopes[0].content)

    asyncio.run(run())


def test_the_client_speaks_lmtp_with_aiosmtpd() -> None:
    """It answers the content once, not for each recipient, so there is one."""

    async def run() -> None:
        async with foreign_server(LMTP) as (handler, port):
            await send(letter(), port=port, lmtp=True)
        assert_is_letter(handler.envelopes[0].content)

    asyncio.run(run())


def test_the_client_logs_in_with_a_token() -> None:
    said: list[bytes] = []

    class Tokens(Foreign):
        async def auth_XOAUTH2(self, server: Any, args: list[str]) -> AuthResult:
            said.append(b64decode(args[1]))
            if said[-1] == b"user=ana\1auth=Bearer good.token\1\1":
                return AuthResult(success=True, auth_data=LoginPassword(b"ana", b""))
            await server.challenge_auth(b64encode(b'{"status":"401"}').decode(), encode_to_b64=False)
            return AuthResult(success=False, handled=False)

    async def fresh() -> str:
        return "good.token"

    async def run() -> None:
        async with foreign_server(handler=Tokens(), auth_require_tls=False) as (handler, port):
            await send(letter(), port=port, username="ana", token=fresh)
            with pytest.raises(Refused) as refused:
                await send(letter(), port=port, username="ana", token="stale")
            assert refused.value.reply.code == 535
            with pytest.raises(SaslError):
                await send(letter(), port=port, username="ana", token="no token\1")
        assert len(said) == 2 and handler.logins == ["ana"]
        assert_is_letter(handler.envelopes[0].content)

    asyncio.run(run())
