"""BURL: mail that is handed in out of the user's own mailboxes, without its octets coming from him (RFC 4468)."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.agents.intruder import behind

from estafeta.agents.settings import SmtpLimits
from estafeta.config.settings import ListenerKind
from estafeta.mail.address import Address
from estafeta.store import accounts, links, mailboxes, messages
from estafeta.store.links import Asker
from estafeta.store.messages import Draft
from estafeta.store.records import Content, Instant
from estafeta.store.store import Transaction

ANA = Address("ana", "example.org")
LETTER = (
    b"From: ana@example.org\r\nTo: luis@example.org\r\nSubject: kept\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfirst\r\n--b\r\n\r\nsecond\r\n--b--\r\n"
)
OPEN = ("MAIL FROM:<ana@example.org>", "RCPT TO:<luis@example.org>")
HEAD = "imap://ana@example.org/Sent/;UID=1"
KEY = b"k" * 32


async def keep(office: Any, *contents: bytes) -> None:
    """Messages in the mailbox Sent of ana."""

    def change(tx: Transaction) -> None:
        account = accounts.find(tx, ANA)
        assert account is not None
        sent = mailboxes.find(tx, account.account_id, "Sent")
        assert sent is not None
        now = Instant(1.0)
        messages.append(tx, sent.mailbox_id, [Draft(Content(len(each), each), (), now) for each in contents], now=now)

    await office.change(change)


async def signed(office: Any, url: str) -> str:
    """The URL with the signature of ana."""

    def change(tx: Transaction) -> str:
        return links.sign(tx, url, Asker(accounts.find(tx, ANA), "mx.example.org", 1.0), KEY)

    return str(await office.office.store.write(change))


@pytest.mark.rfc(
    "4468 §3.3", "EHLO names BURL on the port of submission, and after a login the host of one's own mail."
)
def test_where_it_is_offered(run: Any) -> None:
    async def test(office: Any) -> None:
        elsewhere = await office.client(hello=False)
        assert "BURL" not in await elsewhere.say("EHLO client.example.net")
        client = await office.client(ListenerKind.SUBMISSION, tls=True)
        assert "-BURL imap\n" in await client.say("EHLO client.example.net")
        await client.login("ana@example.org")
        assert "-BURL imap imap://mx.example.org\n" in await client.say("EHLO client.example.net")
        assert (await client.say("HELP BURL")).startswith("214")

    run(test)


@pytest.mark.rfc("4468 §3.2", "Where it is switched off BURL is not known.")
def test_switched_off(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter()
        assert "BURL" not in await client.say("EHLO client.example.net")
        assert (await client.say(f"BURL {HEAD} LAST")).startswith("502 5.5.1")

    run(test, burl=False)


@pytest.mark.rfc("4468 §3.2", "What a signed URL names is the message, from the header to the end.")
@pytest.mark.rfc("4467 §3", "submit+ lets the submission server fetch what is signed for it, for that user alone.")
def test_a_whole_message(run: Any) -> None:
    async def test(office: Any) -> None:
        await keep(office, LETTER)
        url = await signed(office, f"{HEAD};URLAUTH=submit+ana")
        client = await office.submitter()
        assert await client.say_all(*OPEN) == [250, 250]
        assert (await client.say(f"BURL {url} LAST")).startswith("250 2.0.0 accepted as")
        [message] = await office.mailbox("luis@example.org")
        assert message.endswith(LETTER) and b"\r\nReceived: " in message
        other = await office.submitter("luis@example.org")
        assert await other.say_all("MAIL FROM:<luis@example.org>", "RCPT TO:<luis@example.org>") == [250, 250]
        assert (await other.say(f"BURL {url} LAST")).startswith("554 5.6.6")
        assert len(await office.mailbox("luis@example.org")) == 1

    run(test)


@pytest.mark.rfc("4468 §3.2", "Pieces by URL and by BDAT make one message, in their order.")
def test_pieces(run: Any) -> None:
    async def test(office: Any) -> None:
        await keep(office, LETTER)
        client = await office.submitter()
        assert await client.say_all(*OPEN) == [250, 250]
        new = b"From: ana@example.org\r\nSubject: new\r\n\r\n"
        client.stream.send(b"BDAT %d\r\n" % len(new) + new)
        assert (await client.reply()).startswith("250 2.0.0")
        part = "imap://ana%40example.org@mx.example.org/Sent/;UID=1/;SECTION=2"
        assert (await client.say(f"BURL {part}")).startswith("250 2.5.0")
        assert (await client.say(b"BDAT 5 LAST\r\n\r\n.")).startswith("250 2.0.0 accepted as")
        [message] = await office.mailbox("luis@example.org")
        assert message.endswith(new + b"second\r\n.\r\n")

    run(test)


@pytest.mark.rfc("4468 §5", "554 5.6.6 for what is not there, 554 5.7.14 for other hosts, 552 5.3.4 above the limit.")
def test_what_is_not_fetched(run: Any) -> None:
    async def test(office: Any) -> None:
        await keep(office, LETTER, b"Subject: large\r\n\r\n" + b"x" * 70_000 + b"\r\n")
        client = await office.submitter()
        for url, reply in (
            ("imap://ana@example.org/Sent/;UID=9", "554 5.6.6"),
            ("imap://ana@example.org/None/;UID=1", "554 5.6.6"),
            ("imap://luis@example.org/INBOX/;UID=1", "554 5.6.6"),
            (f"{HEAD};URLAUTH=submit+ana:INTERNAL:{'0' * 64}", "554 5.6.6"),
            ("imap://ana@elsewhere.example/Sent/;UID=1", "554 5.7.14"),
            ("imap://ana@example.org:25/Sent/;UID=1", "554 5.7.14"),
            ("imap://ana@example.org/Sent/;UID=2", "552 5.3.4"),
        ):
            assert await client.say_all(*OPEN) == [250, 250], url
            assert (await client.say(f"BURL {url} LAST")).startswith(reply), url
        assert await client.say_all(*OPEN, f"BURL {HEAD}") == [250, 250, 250]
        assert (await client.say("BURL imap://ana@example.org/Sent/;UID=9")).startswith("554 5.6.6")
        assert (await client.say(f"BURL {HEAD} LAST")).startswith("503 5.5.1")
        assert (await client.say("BDAT 0 LAST")).startswith("503 5.5.1")
        assert await client.say_all("RSET", *OPEN, f"BURL {HEAD} LAST") == [250, 250, 250, 250]
        assert len(await office.mailbox("luis@example.org")) == 1

    run(test, limits=SmtpLimits(message_size=66_000))


@pytest.mark.rfc("4468 §5", "451 4.4.1 where the mailboxes cannot be read now.")
def test_a_store_that_does_not_answer(run: Any, tmp_path: Path) -> None:
    async def test(office: Any) -> None:
        await keep(office, LETTER)
        client = await office.submitter()
        assert await client.say_all(*OPEN) == [250, 250]
        with behind(tmp_path / "data") as database:
            database.execute("ALTER TABLE contents RENAME TO elsewhere")
            assert (await client.say(f"BURL {HEAD} LAST")).startswith("451 4.4.1")
            database.execute("ALTER TABLE elsewhere RENAME TO contents")

    run(test)


def test_the_journal_tells_what_was_asked_for_but_no_signature(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter()
        url = f"{HEAD};URLAUTH=submit+ana:INTERNAL:{'0' * 64}"
        assert await client.say_all(*OPEN, f"BURL {url} LAST") == [250, 250, 554]
        [entry] = [each for each in await office.journal("ana@example.org") if "url-refused" in str(each.facts)]
        assert HEAD in str(entry.facts) and "0000" not in str(entry.facts)

    run(test)


@pytest.mark.rfc("4468 §3.1", "BURL without a login is refused, even where mail is taken without one.")
def test_without_a_login(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client(ListenerKind.SUBMISSION, tls=True)
        assert await client.say_all(*OPEN) == [250, 250]
        assert (await client.say(f"BURL {HEAD} LAST")).startswith("530 5.7.0")

    run(test, trusted_networks=(ip_network("127.0.0.0/8"),))
