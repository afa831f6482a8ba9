"""Submission: TLS and a login first, own addresses only, a complete header; and the foreign smtplib as client."""

from __future__ import annotations

import asyncio
import re
import smtplib
import ssl
from email.message import EmailMessage
from ipaddress import ip_network
from typing import Any

import pytest

from estafeta.config.settings import ListenerKind
from estafeta.mail.address import Address
from estafeta.policy.guard import LoginSettings
from estafeta.store import aliases

FROM_ANA = b"From: Ana <ana@example.org>\r\nSubject: x\r\n\r\nbody\r\n"


@pytest.mark.rfc("6409 §4.3", "Submission asks for TLS and then for a login.")
def test_submission_needs_tls_and_then_a_login(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client(ListenerKind.SUBMISSION)
        assert (await client.say("MAIL FROM:<ana@example.org>")).startswith("530 5.7.0 say STARTTLS")
        assert (await client.login("ana@example.org"))[:3] in ("523", "502")
        client = await office.client(ListenerKind.SUBMISSION, tls=True)
        assert (await client.say("MAIL FROM:<ana@example.org>")).startswith("530 5.7.0 authentication")

    run(test)


@pytest.mark.rfc("3207 §4.2", "STARTTLS is not offered over TLS, and is 503 there.")
def test_what_was_said_before_tls_counts_no_more(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client(tls=True)
        extensions = await client.say("EHLO c")
        assert "STARTTLS" not in extensions and "AUTH SCRAM-SHA-256 PLAIN LOGIN" in extensions
        assert (await client.say("STARTTLS")).startswith("503")

    run(test)


@pytest.mark.rfc("5321 §3.6.2", "Users who logged in are relayed to any domain.")
def test_users_send_to_anywhere_and_it_is_queued(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter()
        assert (await client.send("ana@example.org", "far@example.net", FROM_ANA)).startswith("250")
        (queued,) = await office.queued()
        assert (str(queued.message.reverse_path), str(queued.forward_path)) == ("ana@example.org", "far@example.net")

    run(test)


def test_users_may_log_in_on_port_25_too(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client(tls=True)
        assert (await client.login("ana@example.org")).startswith("235")
        assert (await client.send("ana@example.org", "far@example.net", FROM_ANA)).startswith("250")

    run(test)


@pytest.mark.rfc("5321 §4.5.5", "Users may send from the null reverse-path.")
@pytest.mark.rfc("6409 §6.1", "The reverse-path must be the account's own.")
@pytest.mark.rfc("6409 §6.3", "From must be the account's own.")
@pytest.mark.parametrize(
    ("reverse_path", "author", "start"),
    [
        ("ana@example.org", "ana@example.org", "250"),
        ("Ana@Example.org", "ANA@example.org", "250"),
        ("ana+tag@example.org", "ana+other@example.org", "250"),
        ("team@example.org", "team@example.org", "250"),
        ("", "ana@example.org", "250"),
        ("luis@example.org", "ana@example.org", "550 5.7.1"),
        ("someone@example.net", "ana@example.org", "550 5.7.1"),
        ("ana@example.org", "luis@example.org", "550 5.7.1"),
        ("ana@example.org", "ana@example.org, luis@example.org", "550 5.7.1"),
        ("ana@example.org", "not an address", "550 5.7.1"),
    ],
)
def test_users_send_as_themselves(run: Any, reverse_path: str, author: str, start: str) -> None:
    content = f"From: {author}\r\n\r\nbody\r\n".encode()

    async def test(office: Any) -> None:
        client = await office.submitter()
        assert (await client.send(reverse_path, "luis@example.org", content)).startswith(start)

    run(test)


def test_a_member_taken_off_an_alias_may_not_send_as_it_any_more(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter()
        assert (await client.send("team@example.org", "luis@example.org", FROM_ANA)).startswith("250")
        await client.say_all("MAIL FROM:<team@example.org>", "RCPT TO:<luis@example.org>", "DATA")
        await office.change(lambda tx: aliases.remove(tx, Address("team", "example.org")))
        assert (await client.say(FROM_ANA + b".")).startswith("550 5.7.1")
        assert (await client.send("ana@example.org", "far@example.net", FROM_ANA)).startswith("250")
        assert (await client.say("MAIL FROM:<team@example.org>")).startswith("550 5.7.1")

    run(test)


@pytest.mark.rfc("5321 §6.4", "Submitted mail gets the fields it lacks; mail of strangers gets none.")
@pytest.mark.rfc("6409 §8.2", "A missing Date is added.")
@pytest.mark.rfc("6409 §8.3", "A missing Message-ID is added.")
def test_a_missing_date_and_message_id_are_added_and_present_ones_kept(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter()
        await client.send("ana@example.org", "luis@example.org", FROM_ANA)
        dated = b"Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <x@y>\r\n" + FROM_ANA
        await client.send("ana@example.org", "luis@example.org", dated)
        stranger = await office.client()
        await stranger.send("someone@example.net", "luis@example.org", FROM_ANA)
        completed, kept, foreign = await office.mailbox("luis@example.org")
        assert re.search(rb"\r\nDate: .* \+0000\r\nMessage-ID: <[0-9a-z]{13}@mx\.example\.org>\r\nFrom: ", completed)
        assert b"with ESMTPSA id" in completed
        assert kept.endswith(dated) and kept.count(b"Date: ") == 1
        assert b"Date: " not in foreign
        found = re.search(rb"Message-ID: (<.*>)", completed)
        assert found is not None
        assert len(await office.journal(found[1].decode())) == 1

    run(test)


def test_trusted_networks_need_neither_login_nor_tls(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client(ListenerKind.SUBMISSION)
        assert (await client.send("any@example.net", "far@example.net", FROM_ANA)).startswith("250")
        client = await office.client()
        assert (await client.send("any@example.net", "far@example.net", FROM_ANA)).startswith("250")
        assert len(await office.queued()) == 2

    run(test, trusted_networks=(ip_network("127.0.0.0/8"),))


def test_without_the_demand_for_tls_loopback_may_log_in_in_the_clear(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client(ListenerKind.SUBMISSION)
        assert (await client.login("ana@example.org")).startswith("235")
        assert (await client.send("ana@example.org", "far@example.net", FROM_ANA)).startswith("250")

    run(test, require_tls_for_submission=False)


@pytest.mark.rfc("4954 §6", "A wrong password is 535 5.7.8; too many are 454 for a time.")
def test_wrong_passwords_slow_down_and_lock(run: Any) -> None:
    login = LoginSettings(slow_after=2, delay_first=0.01, delay_max=0.02, lock_after=4)

    async def test(office: Any) -> None:
        client = await office.client(ListenerKind.SUBMISSION, tls=True)
        for _ in range(4):
            assert (await client.login("ana@example.org", "wrong")).startswith("535 5.7.8")
        assert (await client.login("ana@example.org")).startswith("454 4.7.0")
        assert (await client.login("luis@example.org")).startswith("235")
        await client.say("QUIT")
        entries = await office.journal("luis@example.org")
        refused = [each["detail"] for each in entries[0].facts["decisions"] if each["reason"] == "login-refused"]
        assert len(refused) == 5

    run(test, settings={"login": login})


@pytest.mark.rfc("8314 §3.3", "A foreign client submits over TLS from the first octet.")
@pytest.mark.parametrize("mechanism", ["auth_plain", "auth_login"])
@pytest.mark.parametrize("kind", [ListenerKind.SUBMISSION, ListenerKind.SUBMISSIONS])
def test_the_standard_librarys_client_submits(run: Any, mechanism: str, kind: ListenerKind) -> None:
    async def test(office: Any) -> None:
        context = ssl.create_default_context(cafile=office.issued.authority)
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "ana@example.org", "luis@example.org", "caña"
        message.set_content("Hola.\n.\n..\n")

        def submit() -> None:
            port = office.office.port(kind)
            if kind.implicit_tls:
                server: smtplib.SMTP = smtplib.SMTP_SSL("localhost", port, context=context)
            else:
                server = smtplib.SMTP("localhost", port)
                server.starttls(context=context)
            with server:
                server.ehlo()
                server.user, server.password = "ana@example.org", "correct horse"
                server.auth(mechanism[5:].upper(), getattr(server, mechanism))
                assert server.send_message(message) == {}

        await asyncio.to_thread(submit)
        (received,) = await office.mailbox("luis@example.org")
        assert received.endswith(b"Hola.\r\n.\r\n..\r\n")

    run(test)


@pytest.mark.rfc("5929 §4", "Where it is set, a login is bound to the TLS connection by tls-server-end-point.")
def test_our_client_submits_by_scram_with_channel_binding(run: Any) -> None:
    from estafeta.client import SmtpClient, TlsMode
    from estafeta.mail.address import ForwardPath, ReversePath
    from estafeta.mail.envelope import Recipient, Sender
    from estafeta.net.tls import client_context

    async def test(office: Any) -> None:
        client = await SmtpClient.connect(
            "localhost",
            office.office.port(ListenerKind.SUBMISSION),
            local_name="client.example.net",
            tls=TlsMode.STARTTLS,
            context=client_context(office.issued.authority),
        )
        async with client:
            await client.login("ana@example.org", "correct horse", mechanisms=("SCRAM-SHA-256-PLUS",))
            sender = Sender(ReversePath(Address("ana", "example.org")))
            to = [Recipient(ForwardPath(Address(name, "example.org"))) for name in ("luis", "nobody", "ana")]
            result = await client.send(sender, to, FROM_ANA)
        assert [each.reply.code for each in result.replies] == [250, 550, 250]
        assert len(await office.mailbox("ana@example.org")) == 1

    run(test, settings={"login": LoginSettings(channel_binding=True)})
