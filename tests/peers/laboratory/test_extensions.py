"""Every extension that Postfix, Exim or OpenSMTPD knows as we do, from our client to them and from them to us."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.peers.laboratory.certificates import certificate_for
from tests.peers.laboratory.estafeta import LaboratoryServer, serving
from tests.peers.laboratory.hosts import Exim, MailHost, OpenSmtpd, Postfix
from tests.peers.laboratory.isolation import OWN_ADDRESS, Laboratory
from tests.peers.laboratory.names import Names
from tests.peers.laboratory.received import below_trace, in_a_maildir
from tests.peers.letters import letter
from tests.peers.running import wait_for

from estafeta.client import SmtpClient, TlsMode
from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.mail.envelope import Body, Notify, OriginalRecipient, Recipient, Ret, Sender
from estafeta.wire.smtp.extensions import EXTENSIONS

pytestmark = pytest.mark.peers

KINDS: dict[str, type[MailHost]] = {"postfix": Postfix, "exim": Exim, "opensmtpd": OpenSmtpd}
LARGEST = 5_000_000
SETTINGS = {
    "postfix": f"message_size_limit = {LARGEST}\nsmtpd_authorized_xclient_hosts = 192.0.2.0/24\n"
    "smtpd_authorized_xforward_hosts = 192.0.2.0/24\nfast_flush_domains = postfix.example\nsmtputf8_enable = yes\n"
    "smtp_tls_security_level = may",
    "exim": f"message_size_limit = {LARGEST}\nsmtputf8_advertise_hosts = *\nchunking_advertise_hosts = *\n"
    "begin authenticators\nplain:\n  driver = plaintext\n  public_name = PLAIN\n"
    "  server_condition = ${if and{{eq{$auth2}{ana}}{eq{$auth3}{pencil}}}}\n"
    "  server_advertise_condition = yes\n",
    "opensmtpd": "",
}
COMMON = {
    "postfix": {
        *("PIPELINING", "SIZE", "STARTTLS", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN", "ETRN"),
        *("XCLIENT", "XFORWARD"),
    },
    "exim": {"PIPELINING", "SIZE", "STARTTLS", "AUTH", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN", "ETRN", "HELP"},
    "opensmtpd": {"SIZE", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "HELP"},
}
"""What each announces to a machine of the laboratory, of what we know; a new version may know more."""


@pytest.fixture(scope="module")
def hosts(laboratory: Laboratory, names: Names) -> Iterator[dict[str, MailHost]]:
    """One of each kind; Postfix and Exim can do TLS."""
    made: dict[str, MailHost] = {}
    for name, kind in KINDS.items():
        tls = None if name == "opensmtpd" else certificate_for(laboratory, f"mx.{name}.example")
        made[name] = kind(laboratory, f"mx.{name}.example", f"{name}.example", tls=tls, settings=SETTINGS[name])
        names.add(f"{name}.example", f"@ MX 10 mx\nmx A {made[name].address}\n")
    with ExitStack() as stack:
        for host in made.values():
            host.start()
            stack.callback(host.stop)
        yield made


Use = Callable[[SmtpClient], Coroutine[Any, Any, None]]


def talk(laboratory: Laboratory, host: MailHost, use: Use, *, tls: TlsMode = TlsMode.NONE) -> None:
    """Run what a client does with a host, inside the laboratory."""

    async def main() -> None:
        context = None
        if tls is not TlsMode.NONE:
            assert host.tls is not None
            context = ssl.create_default_context(cafile=host.tls.authority)
        client = await SmtpClient.connect(
            host.address, 25, local_name="client.example.net", tls=tls, context=context, server_hostname=host.name
        )
        async with asyncio.timeout(30), client:
            await use(client)

    laboratory.call(lambda: asyncio.run(main()))


@pytest.mark.parametrize("name", KINDS)
def test_what_both_know_is_what_is_tried_here(laboratory: Laboratory, hosts: dict[str, MailHost], name: str) -> None:
    known: set[str] = set()

    async def use(client: SmtpClient) -> None:
        assert client.capabilities is not None
        known.update({each.keyword for each in EXTENSIONS} & set(client.capabilities.keywords))

    talk(laboratory, hosts[name], use)
    assert known == COMMON[name]


@pytest.mark.parametrize("name", KINDS)
def test_a_message_says_all_that_the_host_understands(
    laboratory: Laboratory, hosts: dict[str, MailHost], name: str
) -> None:
    """PIPELINING, CHUNKING, SIZE, 8BITMIME, SMTPUTF8, DSN: each where it was announced."""
    host = hosts[name]
    is_utf8 = "SMTPUTF8" in COMMON[name]
    author, recipient = "ana@example.net", f"{'josé' if is_utf8 else 'jose'}@{name}.example"
    contents = [letter(number, author=author, recipient=recipient, size=100_000) for number in range(6)]
    sender = Sender(
        ReversePath(Address.parse(author)), body=Body.EIGHT_BIT, ret=Ret.HDRS, envid="an id=1", smtputf8=is_utf8
    )
    to = Recipient(
        ForwardPath(Address.parse(recipient)), frozenset({Notify.NEVER}), OriginalRecipient("rfc822", "x+y@z.example")
    )
    before = len(host.messages())

    async def use(client: SmtpClient) -> None:
        for content in contents:
            (told,) = (await client.send(sender, [to], content)).replies
            assert told.reply.code == 250, told

    talk(laboratory, host, use)
    wait_for(lambda: len(host.messages()) == before + len(contents), f"the letters; {host.log()[-2000:]}", seconds=30)
    arrived = sorted(below_trace(message) for message in host.messages()[before:])
    assert arrived == sorted(in_a_maildir(content) for content in contents)


@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_a_message_that_is_too_large_is_not_sent(laboratory: Laboratory, hosts: dict[str, MailHost], name: str) -> None:
    async def use(client: SmtpClient) -> None:
        sender = Sender(ReversePath(Address.parse("ana@example.net")))
        to = Recipient(ForwardPath(Address.parse(f"luis@{name}.example")))
        (told,) = (await client.send(sender, [to], b"x" * 78 + b"\r\n" * (LARGEST // 2))).replies
        assert (told.reply.code, told.is_local) == (552, True)
        assert client.is_idle

    talk(laboratory, hosts[name], use)


@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_tls_is_on_and_verified(laboratory: Laboratory, hosts: dict[str, MailHost], name: str) -> None:
    async def use(client: SmtpClient) -> None:
        assert client.tls is not None and client.tls.version == "TLSv1.3"
        assert client.capabilities is not None and not client.capabilities.has("STARTTLS")

    talk(laboratory, hosts[name], use, tls=TlsMode.STARTTLS)


def test_exim_lets_a_user_in(laboratory: Laboratory, hosts: dict[str, MailHost]) -> None:
    async def use(client: SmtpClient) -> None:
        await client.login("ana", "pencil")
        assert client.is_authenticated

    talk(laboratory, hosts["exim"], use, tls=TlsMode.STARTTLS)


@pytest.mark.parametrize(("name", "queue"), [("postfix", "postfix.example"), ("exim", "#exim.example")])
def test_etrn_is_answered(laboratory: Laboratory, hosts: dict[str, MailHost], name: str, queue: str) -> None:
    async def use(client: SmtpClient) -> None:
        assert (await client.etrn(queue)).code == 250

    talk(laboratory, hosts[name], use)


@pytest.mark.parametrize("name", ["exim", "opensmtpd"])
def test_help_is_given(laboratory: Laboratory, hosts: dict[str, MailHost], name: str) -> None:
    async def use(client: SmtpClient) -> None:
        assert (await client.help()).code == 214

    talk(laboratory, hosts[name], use)


@pytest.mark.parametrize("name", KINDS)
def test_refusals_have_a_status_code_where_that_is_announced(
    laboratory: Laboratory, hosts: dict[str, MailHost], name: str
) -> None:
    """PIPELINING with a refused recipient beside one that is taken; ENHANCEDSTATUSCODES in the refusal."""

    async def use(client: SmtpClient) -> None:
        recipients = [
            Recipient(ForwardPath(Address.parse(f"luis@{name}.example"))),
            # Not ours, and not a name that exists: refused by all of them, or taken to be relayed and bounced.
            Recipient(ForwardPath(Address.parse(f"{'x' * 70}@{name}.example"))),
        ]
        result = await client.send(
            Sender(ReversePath(Address.parse("ana@example.net"))), recipients, b"Subject: x\r\n\r\nx\r\n"
        )
        assert result.replies[0].reply.code == 250
        if "ENHANCEDSTATUSCODES" in COMMON[name]:
            assert all(each.reply.status is not None for each in result.replies)

    talk(laboratory, hosts[name], use)


# From them to us.

FROM_THEM = {
    "postfix": "smtp_send_xforward_command = yes",
    "exim": "smtputf8_advertise_hosts = *\nchunking_advertise_hosts = *",
}


@pytest.fixture(scope="module")
def server(
    laboratory: Laboratory, names: Names, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LaboratoryServer]:
    """Ours, to which the hosts relay."""
    names.add("ours.example", f"@ MX 10 mx\nmx A {OWN_ADDRESS}\n")
    folder = tmp_path_factory.mktemp("server")
    tls = certificate_for(laboratory, "mx.ours.example")
    yield from serving(LaboratoryServer(laboratory, folder, domain="ours.example", name="mx.ours.example", tls=tls))


@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_what_they_relay_to_us_arrives_with_all_that_was_said(
    laboratory: Laboratory, hosts: dict[str, MailHost], server: LaboratoryServer, name: str
) -> None:
    """Exim sends by CHUNKING; both pass DSN and SMTPUTF8 on, over TLS."""
    account = server.account(f"niña-{name}")
    author = f"josé@{name}.example"
    contents = [letter(number, author=author, recipient=account, size=200_000) for number in range(4)]
    sender = Sender(
        ReversePath(Address.parse(author)), body=Body.EIGHT_BIT, ret=Ret.HDRS, envid="an id=1", smtputf8=True
    )
    to = Recipient(
        ForwardPath(Address.parse(account)),
        frozenset({Notify.SUCCESS}),
        OriginalRecipient("rfc822", "first@example.net"),
    )
    before = len(hosts[name].messages())

    async def use(client: SmtpClient) -> None:
        for content in contents:
            (told,) = (await client.send(sender, [to], content)).replies
            assert told.reply.code == 250, told

    talk(laboratory, hosts[name], use)
    arrived = server.wait_for_messages(account, len(contents), seconds=60)
    assert all(b" with UTF8SMTPS id " in message.partition(b"\r\n\r\n")[0] for message in arrived)
    bodies = sorted(content.partition(b"\r\n\r\n")[2] for content in contents)
    assert sorted(message.partition(b"\r\n\r\n")[2] for message in arrived) == bodies
    # We tell of the delivery, because we were asked to.
    wait_for(
        lambda: len(hosts[name].messages()) >= before + len(contents),
        f"notifications of delivery at {name}; {server.log}",
        seconds=60,
    )
    notifications = hosts[name].messages()[before:]
    assert sum(b"Original-Envelope-Id: an id=1" in each for each in notifications) == len(contents)
    assert sum(b"Original-Recipient: rfc822;first@example.net" in each for each in notifications) == len(contents)
