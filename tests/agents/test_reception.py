"""Reception: who may send what to whom, and what a message carries when it has arrived."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import Any

import pytest

from estafeta.agents.settings import Expn, SmtpLimits, Vrfy, WhenFull
from estafeta.config.settings import ListenerKind, ShutdownSettings
from estafeta.mail.address import Address
from estafeta.mail.reply import Reply
from estafeta.store import accounts, aliases, domains
from estafeta.store.records import EntryKind, Instant

CONTENT = b"Subject: x\r\nFrom: <someone@example.net>\r\n\r\nbody\r\n"


@pytest.mark.rfc("5321 §4.4", "A message arrives with Return-Path and Received.")
def test_a_message_arrives_with_its_trace_fields(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        reply = await client.send("someone@example.net", "ana@example.org", CONTENT)
        queue_id = re.fullmatch(r"250 2\.0\.0 accepted as ([0-9a-z]{13})", reply)
        assert queue_id is not None
        (message,) = await office.mailbox("ana@example.org")
        head = message[: -len(CONTENT)].decode()
        assert message.endswith(CONTENT)
        assert re.fullmatch(
            r"Return-Path: <someone@example\.net>\r\n"
            r"Received: from client\.example\.net \(\[127\.0\.0\.1\]\)\r\n"
            rf"\tby mx\.example\.org with ESMTP id {queue_id[1]}\r\n"
            r"\tfor <ana@example\.org>; \w+, \d+ \w+ \d+ \d\d:\d\d:\d\d \+0000\r\n",
            head,
        )

    run(test)


@pytest.mark.rfc("5321 §7.6", "Where a message has several recipients no trace field names them.")
@pytest.mark.rfc("5321 §4.5.5", "The null reverse-path is taken.")
def test_blind_recipients_stay_blind(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        await client.say_all("MAIL FROM:<>", "RCPT TO:<ana@example.org>", "RCPT TO:<luis@example.org>", "DATA")
        assert (await client.say(CONTENT + b".")).startswith("250")
        for address in ("ana@example.org", "luis@example.org"):
            (message,) = await office.mailbox(address)
            assert b"luis@" not in message and b"ana@" not in message
            assert message.startswith(b"Return-Path: <>\r\n")

    run(test)


@pytest.mark.rfc("5321 §7.9", "No stranger is relayed, not by quoted or percent-signed local-parts either.")
@pytest.mark.rfc("5321 §3.6.1", "A source route in a forward-path is ignored.")
def test_strangers_reach_our_mailboxes_and_nobody_elses(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        assert (await client.say("MAIL FROM:<ana@example.org>")).startswith("250")
        for path, start in {
            "nobody@example.org": "550 5.1.1",
            "someone@example.net": "550 5.7.1",
            "someone@[192.0.2.1]": "550 5.7.1",
            "someone%example.net@example.org": "550 5.1.1",
            '"someone@example.net"@example.org': "550 5.1.1",
            "@example.org:someone@example.net": "550 5.7.1",
            "ANA@EXAMPLE.ORG": "250",
            "ana+tag@example.org": "250",
        }.items():
            assert (await client.say(f"RCPT TO:<{path}>")).startswith(start), path

    run(test)


@pytest.mark.rfc("5321 §4.5.1", "Postmaster is taken, alone and at our domains, in any case.")
def test_postmaster_is_always_there(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        for path in ("Postmaster", "POSTMASTER@example.org", "postmaster+x@example.org"):
            expected = "550" if "+" in path else "250"
            assert (await client.send("someone@example.net", path, CONTENT)).startswith(expected), path
            await client.say("RSET")
        assert len(await office.mailbox("ana@example.org")) == 2  # the oldest account

    run(test)


@pytest.mark.rfc("5321 §3.9.1", "An alias is followed to each of its ends, and each gets one copy.")
def test_an_alias_reaches_each_of_its_ends_once(run: Any) -> None:
    async def test(office: Any) -> None:
        outside = Address("far", "example.net")
        team = Address("team", "example.org")

        def change(tx: Any) -> None:
            aliases.add(tx, Address("all", "example.org"), [team, Address("ana", "example.org"), outside])

        await office.change(change)
        client = await office.client()
        await client.say_all("MAIL FROM:<>", "RCPT TO:<all@example.org>", "RCPT TO:<ana@example.org>", "DATA")
        assert (await client.say(CONTENT + b".")).startswith("250")
        assert len(await office.mailbox("ana@example.org")) == len(await office.mailbox("luis@example.org")) == 1
        (queued,) = await office.queued()
        assert (queued.forward_path.address, queued.destination) == (outside, "example.net")

    run(test)


def test_an_alias_loop_is_refused_at_rcpt(run: Any) -> None:
    async def test(office: Any) -> None:
        one, two = Address("one", "example.org"), Address("two", "example.org")

        def change(tx: Any) -> None:
            aliases.add(tx, one, [two])
            aliases.add(tx, two, [one])

        await office.change(change)
        client = await office.client()
        await client.say("MAIL FROM:<>")
        assert (await client.say("RCPT TO:<one@example.org>")).startswith("550 5.4.6")

    run(test)


def test_a_catch_all_takes_what_nobody_else_takes(run: Any) -> None:
    async def test(office: Any) -> None:
        luis = Address("luis", "example.org")
        await office.change(lambda tx: domains.set_catch_all(tx, "example.org", luis))
        client = await office.client()
        assert (await client.send("", "whoever@example.org", CONTENT)).startswith("250")
        assert len(await office.mailbox("luis@example.org")) == 1

    run(test)


def test_a_disabled_account_takes_no_mail(run: Any) -> None:
    async def test(office: Any) -> None:
        await office.change(lambda tx: accounts.set_enabled(tx, Address("ana", "example.org"), False))
        client = await office.client()
        assert (await client.send("", "ana@example.org", CONTENT)).startswith("550 5.2.1")

    run(test)


def test_a_new_account_takes_mail_at_once_and_a_removed_one_no_more(run: Any) -> None:
    async def test(office: Any) -> None:
        eva = Address("eva", "example.org")
        client = await office.client()
        assert (await client.send("", "eva@example.org", CONTENT)).startswith("550 5.1.1")
        await office.change(lambda tx: accounts.add(tx, eva, password=None, now=Instant(1.0)))
        await client.say("RSET")
        assert (await client.send("", "eva@example.org", CONTENT)).startswith("250")
        # Its route is remembered now; the commit notices all the same.
        await client.say_all("MAIL FROM:<>", "RCPT TO:<eva@example.org>", "DATA")
        await office.change(lambda tx: accounts.remove(tx, eva))
        assert (await client.say(CONTENT + b".")).startswith("451")
        assert (await client.send("", "eva@example.org", CONTENT)).startswith("550 5.1.1")

    run(test)


def test_a_change_that_does_not_concern_the_recipients_does_not_disturb(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        await client.say_all("MAIL FROM:<>", "RCPT TO:<ana@example.org>", "DATA")
        await office.change(lambda tx: domains.add(tx, "other.example", now=Instant(1.0)))
        assert (await client.say(CONTENT + b".")).startswith("250")

    run(test)


@pytest.mark.rfc("5321 §4.5.3.1.7", "Content over the limit is 552.")
@pytest.mark.rfc("5321 §6.3", "Too many Received fields are 554.")
@pytest.mark.rfc("5321 §6.4", "Content that is not as RFC 5322 has it is taken and not repaired.")
@pytest.mark.parametrize(
    ("content", "start"),
    [
        (b"Subject: a\nb\r\n\r\n", "550 5.6.0"),
        (b"Subject: a\rb\r\n\r\n", "550 5.6.0"),
        (b"Subject: \0\r\n\r\n", "550 5.6.0"),
        (b"x" * 3000 + b"\r\n", "552 5.3.4"),
        (b"X: " + b"y" * 1500 + b"\r\n\r\n", "552 5.3.4"),
        (b"Received: x\r\n" * 5 + b"\r\n", "554 5.4.6"),
        ("Subject: año\r\n\r\n".encode(), "250"),
        (b"", "250"),
        (b"no header at all\r\n", "250"),
        (b"\r\nonly a body\r\n", "250"),
    ],
)
def test_content_is_taken_as_the_world_writes_it_within_the_limits(run: Any, content: bytes, start: str) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        assert (await client.send("", "ana@example.org", content)).startswith(start)
        assert len(await office.mailbox("ana@example.org")) == (1 if start == "250" else 0)
        assert (await client.send("", "ana@example.org", CONTENT)).startswith("250")

    run(test, limits=SmtpLimits(message_size=2500, header_octets=1000, hops=5))


@pytest.mark.rfc("6152 §3", "Where it is set, 8-bit data that was not announced is 554 5.6.1.")
def test_unannounced_8bit_data_can_be_refused(run: Any) -> None:
    content = "Subject: x\r\n\r\naño\r\n".encode()

    async def test(office: Any) -> None:
        client = await office.client()
        assert (await client.send("", "ana@example.org", content)).startswith("554 5.6.1")
        await client.say_all("MAIL FROM:<> BODY=8BITMIME", "RCPT TO:<ana@example.org>", "DATA")
        assert (await client.say(content + b".")).startswith("250")

    run(test, refuse_unannounced_8bit=True)


@pytest.mark.rfc("5321 §6.4", "Content comes back octet for octet.")
def test_large_content_comes_back_octet_for_octet(run: Any) -> None:
    content = b"Subject: large\r\n\r\n" + b"..a line that begins with dots\r\n" * 40_000

    async def test(office: Any) -> None:
        client = await office.client()
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        assert (await client.send("", "ana@example.org", stuffed)).startswith("250")
        (message,) = await office.mailbox("ana@example.org")
        assert message.endswith(content)

    run(test)


@pytest.mark.rfc("5321 §2.3.8", "Data that another server might take for ended is 550, and the session ends.")
def test_data_that_ends_in_another_way_ends_the_session(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        await client.say_all("MAIL FROM:<>", "RCPT TO:<ana@example.org>", "DATA")
        smuggled = b"one\r\n\n.\r\nMAIL FROM:<smuggled@example.net>\r\nRCPT TO:<ana@example.org>\r\nDATA"
        assert (await client.say(smuggled)).startswith("550 5.6.0")
        assert await client.reply() == ""
        assert await office.mailbox("ana@example.org") == []

    run(test)


def test_a_client_that_does_not_wait_is_refused(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        assert (await client.say("VRFY ana\r\nNOOP")).startswith("554 5.5.0")
        assert await client.reply() == ""

    run(test)


@pytest.mark.rfc("5321 §7.8", "Too many errors, or refused recipients, end the session with 421.")
def test_too_many_errors_and_refusals_end_the_session(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        assert await client.say_all(*["BOGUS"] * 3) == [500, 500, 500]
        assert (await client.say("BOGUS")).startswith("500")
        assert (await client.reply()).startswith("421 4.7.0")
        client = await office.client()
        await client.say("MAIL FROM:<>")
        assert await client.say_all(*["RCPT TO:<nobody@example.org>"] * 3) == [550, 550, 550]
        assert (await client.reply()).startswith("421 4.7.0")

    run(test, limits=SmtpLimits(faults=3, refusals=2))


@pytest.mark.rfc("5321 §4.5.3.1.10", "Recipients over the limit are 452.")
def test_too_many_recipients_are_for_another_transaction(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        await client.say("MAIL FROM:<>")
        assert await client.say_all(*["RCPT TO:<ana@example.org>"] * 3) == [250, 250, 452]

    run(test, limits=SmtpLimits(recipients=2))


def test_too_many_transactions_are_for_another_session(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        assert (await client.send("", "ana@example.org", CONTENT)).startswith("250")
        assert (await client.say("MAIL FROM:<>")).startswith("421 4.7.0")
        assert await client.reply() == ""

    run(test, limits=SmtpLimits(transactions=1))


@pytest.mark.rfc("5321 §4.5.3.2.7", "A client that says nothing is answered 421 after the time of the settings.")
def test_a_silent_client_is_told_and_left(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        assert (await client.reply()).startswith("421 4.4.2")

    run(test, limits=SmtpLimits(command_after=0.05))


@pytest.mark.rfc("5321 §7.3", "VRFY answers 252 for all by default.")
def test_vrfy_says_nothing_by_default(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        assert await client.say_all("VRFY ana", "VRFY nobody@example.org") == [252, 252]

    run(test)


@pytest.mark.rfc("5321 §3.5.3", "Where it is set, VRFY answers 250 or 550 for our addresses and 252 for others.")
def test_vrfy_can_tell(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        expected = {"ana@example.org": 250, "<ana@example.org>": 250, "nobody@example.org": 550, "a@example.net": 252}
        for text, code in expected.items():
            assert await client.say_all(f"VRFY {text}") == [code]

    run(test, vrfy=Vrfy.VERIFY)


@pytest.mark.rfc("5321 §7.3", "VRFY and EXPN can be turned off: 502.")
def test_vrfy_and_expn_can_be_off(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        assert await client.say_all("VRFY ana", "EXPN team") == [502, 502]

    run(test, vrfy=Vrfy.OFF, expn=Expn.OFF)


@pytest.mark.rfc("5321 §4.1.1.7", "EXPN gives a line for each end.")
@pytest.mark.rfc("5321 §3.5.2", "EXPN names the ends of an alias, to users who logged in alone.")
def test_expn_is_for_authenticated_users(run: Any) -> None:
    async def test(office: Any) -> None:
        stranger = await office.client()
        assert (await stranger.say("EXPN team@example.org")).startswith("550 5.7.1")
        user = await office.submitter()
        reply = await user.say("EXPN team@example.org")
        assert reply == "250-2.1.5 <ana@example.org>\n250 2.1.5 <luis@example.org>"
        assert (await user.say("EXPN ana@example.org")).startswith("550 5.1.1")

    run(test)


@pytest.mark.rfc("2033 §4.2", "LMTP has a reply for each recipient after the dot.")
def test_lmtp_answers_for_each_recipient_and_relays_nothing(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client(ListenerKind.LMTP)
        await client.say("MAIL FROM:<a@example.net>")
        assert (await client.say("RCPT TO:<someone@example.net>")).startswith("550 5.7.1")
        await client.say_all("RCPT TO:<ana@example.org>", "RCPT TO:<luis@example.org>", "DATA")
        assert (await client.say(CONTENT + b".")).startswith("250 2.0.0")
        assert (await client.reply()).startswith("250 2.0.0")
        (message,) = await office.mailbox("ana@example.org")
        assert b" with LMTP id " in message

    run(test)


@pytest.mark.rfc("2033 §4.2", "With LMTP a mailbox without room is told alone.")
def test_a_full_mailbox_is_told_for_each_recipient_with_lmtp(run: Any) -> None:
    async def test(office: Any) -> None:
        ana = Address("ana", "example.org")
        await office.change(lambda tx: accounts.set_quota(tx, ana, quota_octets=10, quota_messages=None))
        client = await office.client(ListenerKind.LMTP)
        await client.say_all("MAIL FROM:<>", "RCPT TO:<ana@example.org>", "RCPT TO:<luis@example.org>", "DATA")
        assert (await client.say(CONTENT + b".")).startswith("452 4.2.2")
        assert (await client.reply()).startswith("250 2.0.0")
        assert (len(await office.mailbox("ana@example.org")), len(await office.mailbox("luis@example.org"))) == (0, 1)

    run(test)


@pytest.mark.rfc("1870 §6.1", "A declared size that a mailbox has no room for is 452 at its RCPT.")
def test_a_full_mailbox_holds_up_nobody_else(run: Any) -> None:
    async def test(office: Any) -> None:
        ana = Address("ana", "example.org")
        await office.change(lambda tx: accounts.set_quota(tx, ana, quota_octets=1000, quota_messages=None))
        client = await office.client()
        await client.say("MAIL FROM:<> SIZE=2000")
        assert (await client.say("RCPT TO:<ana@example.org>")).startswith("452 4.2.2")
        assert await client.say_all("RCPT TO:<luis@example.org>", "DATA") == [250, 354]

    run(test)


def test_a_full_mailbox_is_deferred(run: Any) -> None:
    async def test(office: Any) -> None:
        ana = Address("ana", "example.org")
        await office.change(lambda tx: accounts.set_quota(tx, ana, quota_octets=10, quota_messages=None))
        client = await office.client()
        assert (await client.send("", "ana@example.org", CONTENT)).startswith("452 4.2.2")
        assert await office.mailbox("ana@example.org") == []

    run(test)


def test_a_full_mailbox_is_rejected_where_that_is_set(run: Any) -> None:
    async def test(office: Any) -> None:
        ana = Address("ana", "example.org")
        await office.change(lambda tx: accounts.set_quota(tx, ana, quota_octets=10, quota_messages=None))
        client = await office.client()
        await client.say("MAIL FROM:<> SIZE=2000")
        assert (await client.say("RCPT TO:<ana@example.org>")).startswith("552 5.2.2")
        await client.say("RSET")
        assert (await client.send("", "ana@example.org", CONTENT)).startswith("552 5.2.2")
        lmtp = await office.client(ListenerKind.LMTP)
        await lmtp.say_all("MAIL FROM:<>", "RCPT TO:<ana@example.org>", "RCPT TO:<luis@example.org>", "DATA")
        assert (await lmtp.say(CONTENT + b".")).startswith("552 5.2.2")
        assert (await lmtp.reply()).startswith("250 2.0.0")
        assert await office.mailbox("ana@example.org") == []

    run(test, when_full=WhenFull.REJECT)


def test_the_journal_tells_of_accepted_and_of_refused_mail(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        await client.say("MAIL FROM:<someone@example.net>")
        await client.say_all("RCPT TO:<nobody@example.org>", "RCPT TO:<ana@example.org>", "DATA")
        await client.say(b"Message-ID: <One@example.net>\r\n\r\n.")
        await client.say_all("MAIL FROM:<other@example.net>", "RCPT TO:<far@example.com>", "QUIT")
        await client.reply()
        (accepted,) = await office.journal("<one@example.net>")
        assert accepted.kind is EntryKind.TRANSACTION and accepted.message_id is not None
        assert accepted.facts["ended"] == "accepted"
        assert accepted.facts["decisions"][0]["reason"] == "unknown-recipient"
        assert await office.journal("nobody@example.org") == [accepted]
        (refused,) = await office.journal("far@example.com")
        assert refused.message_id is None
        assert refused.facts["decisions"][0]["reply"].startswith("550 5.7.1")
        assert refused.facts["helo"] == "client.example.net"

    run(test)


@pytest.mark.rfc("5321 §3.8", "At shutdown idle sessions get 421; mail data under way is taken first.")
def test_a_transaction_under_way_is_finished_when_the_server_closes(run: Any) -> None:
    async def test(office: Any) -> None:
        busy, idle = await office.client(), await office.client()
        await busy.say_all("MAIL FROM:<>", "RCPT TO:<ana@example.org>", "DATA")
        stopping = asyncio.ensure_future(office.office.stop())
        assert (await idle.reply()).startswith("421 4.3.2")
        assert (await busy.say(CONTENT + b".")).startswith("250")
        assert (await busy.reply()).startswith("421 4.3.2")
        await stopping
        await office.office.start()
        assert len(await office.mailbox("ana@example.org")) == 1

    run(test)


def test_a_session_that_is_cut_while_its_message_is_committed_loses_no_content(run: Any) -> None:
    content = b"Subject: large\r\n\r\n" + b"a line of the body\r\n" * 40_000

    async def test(office: Any) -> None:
        client = await office.client()
        await client.say_all("MAIL FROM:<>", "RCPT TO:<ana@example.org>", "DATA")
        is_let_go = threading.Event()
        held = asyncio.ensure_future(office.change(lambda tx: is_let_go.wait(10)))
        client.stream.send(content + b".\r\n")
        await client.stream.drain()
        folder = office.office.settings.data / "content"
        while not any(path.is_file() for path in folder.rglob("*")):
            await asyncio.sleep(0.001)
        asyncio.get_running_loop().call_later(0.3, is_let_go.set)
        await office.office.stop()
        await held
        await office.office.start()
        (message,) = await office.mailbox("ana@example.org")
        assert message.endswith(content)

    run(test, settings={"shutdown": ShutdownSettings(drain_seconds=0.05)})


def test_content_that_the_disk_does_not_take_is_deferred(run: Any) -> None:
    content = b"Subject: large\r\n\r\n" + b"a line of the body\r\n" * 40_000

    async def test(office: Any) -> None:
        incoming = office.office.settings.data / "incoming"
        incoming.rmdir()  # as good as a disk that fails
        client = await office.client()
        assert (await client.send("", "ana@example.org", content)).startswith("451 4.3.0")
        assert (await client.send("", "ana@example.org", CONTENT)).startswith("250")
        incoming.mkdir(mode=0o700)
        assert (await client.send("", "ana@example.org", content)).startswith("250")

    run(test)


@pytest.mark.rfc("2034 §4", "Each line of a reply carries the status code.")
def test_replies_are_of_the_catalogue_of_forms() -> None:
    assert Reply.of(550, "no", "5.1.1").encode() == b"550 5.1.1 no\r\n"
    assert Reply.of(250, "a\nb", "2.0.0").encode() == b"250-2.0.0 a\r\n250 2.0.0 b\r\n"
