"""aiosmtplib, the asyncio client of Python's world: what it can say of the extensions that both know."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import Iterator
from email.message import EmailMessage

import aiosmtplib
import pytest
from tests.peers.letters import letter
from tests.peers.running import PASSWORD, RunningServer, behind_trace

from estafeta.config.settings import ListenerKind

pytestmark = [
    pytest.mark.peers,
    # It closes the transports of TLS without waiting for their end, which asyncio.run does not wait for either.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What it leaves unclosed is collected here, and not in the middle of another test."""
    yield
    gc.collect()


def client(server: RunningServer, kind: ListenerKind, **options: object) -> aiosmtplib.SMTP:
    context = ssl.create_default_context(cafile=server.issued.authority)
    if kind is not ListenerKind.LMTP:
        options["tls_context"] = context
    use_tls = kind is ListenerKind.SUBMISSIONS
    return aiosmtplib.SMTP(hostname="localhost", port=server.ports[kind], use_tls=use_tls, timeout=30, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [ListenerKind.SUBMISSION, ListenerKind.SUBMISSIONS])
@pytest.mark.parametrize("method", ["auth_plain", "auth_login"])
def test_a_user_submits(
    server: RunningServer, account: str, other_account: str, kind: ListenerKind, method: str
) -> None:
    sent = letter(3, author=account, recipient=other_account, size=200_000)

    async def run() -> None:
        async with client(server, kind) as smtp:
            await smtp.ehlo()
            await getattr(smtp, method)(account, PASSWORD)
            errors, reply = await smtp.sendmail(account, [other_account], sent, mail_options=["BODY=8BITMIME"])
            assert errors == {} and reply.startswith("2.0.0 accepted as ")

    asyncio.run(run())
    (message,) = server.messages(other_account)
    assert behind_trace(message) == sent


def test_all_that_it_announces_is_understood(server: RunningServer, account: str, other_account: str) -> None:
    async def run() -> None:
        async with client(server, ListenerKind.SUBMISSION) as smtp:
            await smtp.login(account, PASSWORD)
            await smtp.ehlo()
            for keyword in ("size", "8bitmime", "smtputf8", "dsn", "pipelining", "chunking", "enhancedstatuscodes"):
                assert smtp.supports_extension(keyword), keyword
            sent = letter(1, author=account, recipient=other_account)
            errors, _ = await smtp.sendmail(
                account,
                [other_account],
                sent,
                mail_options=["BODY=8BITMIME", "RET=HDRS", "ENVID=a+2Bb"],
                rcpt_options=["NOTIFY=SUCCESS,FAILURE", f"ORCPT=rfc822;{other_account}"],
            )
            assert errors == {}
            assert (await smtp.vrfy(other_account)).code == 252
            assert (await smtp.noop()).code == 250
            assert (await smtp.rset()).code == 250
            assert (await smtp.help()).startswith("2.0.0 ")

    asyncio.run(run())
    (notification,) = server.messages(account)
    assert b"Original-Envelope-Id: a+b" in notification


def test_a_message_object_with_names_in_utf_8_arrives(server: RunningServer) -> None:
    account = server.account("niño")
    message = EmailMessage()
    message["From"] = "jürgen@example.net"
    message["To"] = account
    message["Subject"] = "Grüße"
    message.set_content("Árbol\n")

    async def run() -> None:
        async with client(server, ListenerKind.SMTP) as smtp:
            assert (await smtp.send_message(message))[0] == {}

    asyncio.run(run())
    (stored,) = server.messages(account)
    assert "Grüße".encode() in stored


def test_refusals_have_their_codes(server: RunningServer, account: str) -> None:
    async def run() -> None:
        async with client(server, ListenerKind.SMTP) as smtp:
            with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
                await smtp.sendmail("far@example.net", ["nobody@example.org"], "Subject: x\n\nx\n")
            assert refused.value.recipients[0].code == 550
            with pytest.raises(aiosmtplib.SMTPResponseException) as unknown:
                await smtp.sendmail("far@example.net", [account], "x", mail_options=["FOO=BAR"])
            assert unknown.value.code == 555

    asyncio.run(run())
