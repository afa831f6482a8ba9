"""Every reply of the catalogue is reached by a session of a real server.

The office says its replies in an operator's own words, which are their names: so a dialogue shows which reply it got,
and all of them that an operator may word are worded.
"""

from __future__ import annotations

import ast
import asyncio
import socket
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import dns.rcode
import pytest
from tests.agents.counter import Counter
from tests.agents.intruder import behind
from tests.net.dnsserver import Asked, denial, dns_server, records

from estafeta.agents.environment import Role
from estafeta.agents.live.settings import LiveSettings
from estafeta.agents.ondemand import OnDemandCustomer, OnDemandSettings
from estafeta.agents.promises import PromiseSettings
from estafeta.agents.settings import SmtpLimits, Vrfy, WhenFull
from estafeta.app import PostOffice
from estafeta.config.settings import Listen, ListenerKind, Settings
from estafeta.mail.address import Address
from estafeta.mail.catalogue import ENTRIES
from estafeta.mail.catalogue.entry import Entry
from estafeta.mail.wording import Language
from estafeta.net.address import PeerAddress
from estafeta.net.dns import DnsSettings
from estafeta.net.listener import ConnectionLimits
from estafeta.net.stream import connect
from estafeta.policy.guard import LoginSettings
from estafeta.routing.routes import RouteAction, RouteRule
from estafeta.store import accounts, aliases, moved
from estafeta.store.store import Transaction

TESTS = Path(__file__).parents[1]
MX, MSA, LMTP = ListenerKind.SMTP, ListenerKind.SUBMISSION, ListenerKind.LMTP

FULL = Path("/dev/full")
MAIL, RCPT = "MAIL FROM:<>", "RCPT TO:<ana@example.org>"
OPEN = (MAIL, RCPT)


def own_text(entry: Entry) -> str:
    """The name, with all places."""
    places = " ".join(f"{{{name}}}" for name in entry.places if name != "hostname")
    start = "{hostname} " if "hostname" in entry.places else ""
    return f"{start}[{entry.key}] {places}".strip()


OWN = {key: own_text(entry) for key, entry in ENTRIES.items() if not entry.is_data}


def is_reply(key: str, reply: str) -> bool:
    """Whether the reply is the one of that name, with its codes."""
    entry = ENTRIES[key]
    status = "" if entry.status is None or entry.key in GREETINGS else f"{entry.status} "
    lines = reply.split("\n")
    codes = {f"{entry.code}{separator}{status}" for separator in " -"}
    if not any(lines[0].startswith(code) for code in codes):
        return False
    return entry.is_data or f"[{key}]" in lines[0]


GREETINGS = ("greeting", "hello", "takes-no-mail", "too-many-connections", "overloaded")
"""Said without a status code (RFC 2034 §4), as all that stands in the place of the greeting."""


@dataclass(frozen=True)
class Said:
    """What a client says, and where; the reply to the last line is the one that is meant."""

    lines: tuple[str | bytes, ...]
    kind: ListenerKind = MX
    hello: bool = True
    tls: bool = False
    login: bool = False
    final: int = field(default=0)
    """How many replies follow of themselves, the last of which is meant."""

    async def last(self, office: Any) -> str:
        """The reply."""
        client = await office.client(self.kind, hello=self.hello, tls=self.tls or self.login)
        if self.login:
            assert (await client.login("ana@example.org")).startswith("235")
        reply = ""
        for line in self.lines:
            reply = await client.say(line)
        for _ in range(self.final):
            reply = await client.reply()
        return str(reply)


def says(*lines: str | bytes, **how: Any) -> Said:
    """On the listener for other hosts, unless it is told."""
    return Said(lines, **how)


def user(*lines: str | bytes) -> Said:
    """One who has logged in."""
    return Said(lines, MSA, login=True)


def content(text: str, *, before: tuple[str, ...] = OPEN) -> tuple[str | bytes, ...]:
    """A transaction up to the final dot."""
    return (*before, "DATA", text.encode() + b"\r\n.")


def soon() -> str:
    """In an hour, as HOLDUNTIL says it."""
    return (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


LETTER = "Subject: x\r\n\r\nhello"
CHUNK = b"BDAT 4\r\nab"
"""With the CRLF that is said behind it."""

PLAIN: dict[str, Said] = {
    "hello": says("EHLO client.example"),
    "ok": says("NOOP"),
    "bye": says("QUIT"),
    "ready-for-tls": says("STARTTLS"),
    "tls-on-already": says("STARTTLS", tls=True),
    "foreign-protocol": says("GET / HTTP/1.1", hello=False),
    "hello-first": says(MAIL, hello=False),
    "lhlo-first": says(MAIL, kind=LMTP, hello=False),
    "mail-first": says(RCPT),
    "transaction-open": says(MAIL, MAIL),
    "content-begun": says(*OPEN, CHUNK, "DATA"),
    "binary-needs-bdat": says("MAIL FROM:<> BODY=BINARYMIME", RCPT, "DATA"),
    "no-recipients": says(MAIL, "DATA"),
    "all-recipients-refused": says(MAIL, "RCPT TO:<nobody@example.org>", "DATA"),
    "out-of-step": says("EHLO client.example\r\nNOOP"),
    "authenticated-already": user("AUTH PLAIN"),
    "line-too-long": says("NOOP " + "x" * 9000),
    "bare-lf-in-line": says("NOOP\nNOOP"),
    "bare-cr-in-line": says("NO\rOP"),
    "nul-in-line": says("NO\0OP"),
    "command-unknown": says("XYZZY"),
    "command-of-other-protocol": says("EHLO client.example", kind=LMTP),
    "command-not-implemented": says("TURN"),
    "syntax": says("MAIL TO:<>"),
    "path-without-brackets": says("MAIL FROM:a@b.example"),
    "takes-no-argument": says("RSET now"),
    "needs-argument": says("VRFY"),
    "not-utf8": says(b"MAIL FROM:<\xff@b.example>"),
    "bad-name": says("EHLO " + "x" * 300),
    "bad-sender": says("MAIL FROM:<a@-b>"),
    "bad-recipient": says(MAIL, "RCPT TO:<a@-b>"),
    "parameter-malformed": says("MAIL FROM:<> ="),
    "parameter-twice": says("MAIL FROM:<> SIZE=1 SIZE=1"),
    "parameter-again": user(f"MAIL FROM:<ana@example.org> HOLDFOR=60 HOLDUNTIL={soon()}"),
    "parameter-unknown": says("MAIL FROM:<> FOO=1"),
    "parameter-not-offered": says("MAIL FROM:<> HOLDFOR=1"),
    "parameter-value": says("MAIL FROM:<> SIZE=x"),
    "parameter-without-value": says("MAIL FROM:<> AUTH"),
    "parameter-with-value": says("MAIL FROM:<> SMTPUTF8=1"),
    "logged-in": says("AUTH PLAIN " + b64encode(b"\0ana@example.org\0correct horse").decode(), kind=MSA, tls=True),
    "challenge": says("AUTH PLAIN", kind=MSA, tls=True),
    "login-refused": says("AUTH PLAIN " + b64encode(b"\0ana@example.org\0wrong").decode(), kind=MSA, tls=True),
    "login-cancelled": says("AUTH PLAIN", "*", kind=MSA, tls=True),
    "response-not-base64": says("AUTH PLAIN", "!", kind=MSA, tls=True),
    "response-too-long": says("AUTH PLAIN", "x" * 20_000, kind=MSA, tls=True),
    "encryption-needed": says("AUTH PLAIN", kind=MSA),
    "mechanism-needs-tls": says("AUTH SCRAM-SHA-256", kind=MSA),
    "mechanism-unknown": says("AUTH XYZZY", kind=MSA, tls=True),
    "sender-ok": says(MAIL),
    "login-needed": says("MAIL FROM:<ana@example.org>", kind=MSA, tls=True),
    "tls-needed": says("MAIL FROM:<ana@example.org>", kind=MSA),
    "requiretls-needs-tls": says("MAIL FROM:<> REQUIRETLS"),
    "not-own-address": user("MAIL FROM:<luis@example.org>"),
    "sender-needs-smtputf8": says("MAIL FROM:<ñ@example.org>"),
    "by-without-time": says("MAIL FROM:<> BY=0;R"),
    "held-too-long": user("MAIL FROM:<ana@example.org> HOLDFOR=999999999"),
    "held-too-late": user("MAIL FROM:<ana@example.org> HOLDUNTIL=2999-01-01T00:00:00Z"),
    "bad-priority": says("MAIL FROM:<> MT-PRIORITY=x"),
    "priority-lowered": says("MAIL FROM:<> MT-PRIORITY=9"),
    "held-beyond-by": user("MAIL FROM:<ana@example.org> HOLDFOR=600 BY=60;N"),
    "notification-not-held": user("MAIL FROM:<> HOLDFOR=600"),
    "declared-too-large": says("MAIL FROM:<> SIZE=99999999999"),
    "recipient-ok": says(*OPEN),
    "relay-denied": says(MAIL, "RCPT TO:<a@elsewhere.example>"),
    "recipient-needs-smtputf8": says(MAIL, "RCPT TO:<ñ@example.org>"),
    "recipient-unknown": says(MAIL, "RCPT TO:<nobody@example.org>"),
    "send-data": says(*OPEN, "DATA"),
    "chunk-taken": says(*OPEN, CHUNK),
    "accepted": says(*content(LETTER)),
    "bare-line-end": says(*content("Subject: x\r\n\r\nhel\rlo")),
    "nul-in-content": says(*content("Subject: x\r\n\r\nhel\0lo")),
    "false-end": says(*content("Subject: x\r\n\r\nhello\n.\nmore")),
    "loop": says(*content("Received: x\r\n" * 100 + LETTER)),
    "not-own-author": user("MAIL FROM:<ana@example.org>", RCPT, "DATA", b"From: luis@example.org\r\n\r\nhello\r\n."),
    "noncommittal": says("VRFY ana"),
    "expn-needs-login": says("EXPN team"),
    "not-an-address": user("EXPN @"),
    "no-such-alias": user("EXPN nobody@example.org"),
    "expanded": user("EXPN team@example.org"),
    "help": says("HELP"),
    "status": says("HELP STATUS"),
    "help-limits": says("HELP limits"),
    "help-extensions": says("HELP extensions"),
    "help-extension": says("HELP SIZE"),
    "no-such-topic": says("HELP XYZZY"),
    **{
        f"help-{verb.lower()}": says(f"HELP {verb}")
        for verb in (
            *("HELO", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT"),
            *("RSET", "NOOP", "VRFY", "EXPN", "HELP", "QUIT"),
        )
    },
    "help-lhlo": says("HELP LHLO", kind=LMTP),
}
"""Reached as the settings stand when nothing is set."""


def test_replies_as_nothing_is_set(run: Any) -> None:
    async def test(office: Any) -> None:
        await check(office, PLAIN)

    run(test, settings={"replies": OWN})


async def check(office: Any, dialogues: dict[str, Said]) -> None:
    """All of them; tells of each that got another reply."""
    wrong = {}
    for key, said in dialogues.items():
        reply = await said.last(office)
        if not is_reply(key, reply):
            wrong[key] = reply
    assert not wrong


# What needs settings, people or troubles of its own.

OTHERS: dict[str, Callable[[Any], None]] = {}
"""A test for each other reply, by its name."""


def reaches(*keys: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The test shows these replies."""

    def note(test: Callable[..., None]) -> Callable[..., None]:
        OTHERS.update(dict.fromkeys(keys, test))
        return test

    return note


@reaches("greeting")
def test_the_greeting(run: Any) -> None:
    async def test(office: Any) -> None:
        stream = await connect("127.0.0.1", office.office.port(MX))
        stream.set_deadline(20)
        assert await stream.receive() == b"220 mx.example.org [greeting] ESMTP\r\n"
        await stream.close()

    run(test, settings={"replies": OWN})


@pytest.mark.rfc("7504 §3", "A host that takes no mail greets with 521 and closes.")
@reaches("takes-no-mail")
@pytest.mark.parametrize("kind", [MX, MSA, LMTP])
def test_a_listener_that_takes_no_mail(tmp_path: Path, kind: ListenerKind) -> None:
    async def main() -> None:
        listen = (Listen(kind=kind, address="127.0.0.1", port=0, takes_mail=False),)
        async with PostOffice(Settings(hostname="mx.example.org", data=tmp_path, listen=listen, replies=OWN)) as office:
            stream = await connect("127.0.0.1", office.port(kind))
            stream.set_deadline(20)
            assert await stream.receive() == b"521 [takes-no-mail]\r\n"
            assert await stream.receive() == b""
            await stream.close()

    asyncio.run(main())


@reaches("too-many-connections")
def test_a_connection_too_many(run: Any) -> None:
    async def test(office: Any) -> None:
        first = await connect("127.0.0.1", office.office.port(MX))
        first.set_deadline(20)
        await first.receive()
        second = await connect("127.0.0.1", office.office.port(MX))
        second.set_deadline(20)
        assert await second.receive() == b"421 [too-many-connections]\r\n"
        await first.close()
        await second.close()

    run(test, settings={"replies": OWN, "connections": ConnectionLimits(connections=1)})


@reaches("overloaded", "busy")
def test_a_server_with_too_much_to_do(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        office.office.room.is_shut = office.office.pressure.is_overloaded = True
        refused = await connect("127.0.0.1", office.office.port(MX))
        refused.set_deadline(20)
        assert await refused.receive() == b"421 [overloaded]\r\n"
        await refused.close()
        assert is_reply("busy", await client.say(MAIL))

    run(test, settings={"replies": OWN})


@reaches(
    "too-many-faults",
    "too-many-messages",
    "too-many-recipients",
    "too-large",
    "chunk-refused",
    "header-too-large",
    "original-in-utf8",
    "unannounced-8bit",
    "solicitation-unwanted",
    "by-too-soon",
    "verified",
)
def test_replies_by_other_limits_and_settings(run: Any) -> None:
    large = "Subject: x\r\n\r\n" + "y" * 70_000

    async def test(office: Any) -> None:
        await check(
            office,
            {
                "too-many-faults": says("XYZZY", "XYZZY", final=1),
                "too-many-messages": says(MAIL, "RSET", MAIL, "RSET", MAIL),
                "too-many-recipients": says(*OPEN, RCPT, RCPT),
                "too-large": says(*content(large)),
                "chunk-refused": says(*OPEN, b"BDAT 70000\r\n" + b"y" * 69_998, b"BDAT 2 LAST\r\n"),
                "header-too-large": says(*content("X: " + "y" * 900 + "\r\nY: " + "z" * 900 + "\r\n" + LETTER)),
                "original-in-utf8": says(MAIL, "RCPT TO:<ana@example.org> ORCPT=utf-8;ñ@example.org"),
                "unannounced-8bit": says(*content("Subject: x\r\n\r\nñ")),
                "solicitation-unwanted": says("MAIL FROM:<> SOLICIT=net.example:ADV"),
                "by-too-soon": says("MAIL FROM:<> BY=60;R"),
                "verified": says("VRFY ana@example.org"),
            },
        )

    run(
        test,
        limits=SmtpLimits(faults=1, transactions=2, recipients=2, message_size=66_000, header_octets=1000),
        settings={"replies": OWN, "promises": PromiseSettings(deliver_by_at_least=600)},
        smtputf8=False,
        refuse_unannounced_8bit=True,
        no_soliciting=True,
        unwanted_solicitations=("net.example:ADV",),
        vrfy=Vrfy.VERIFY,
    )


OLD, NEW = Address.parse("old@example.org"), Address.parse("new@elsewhere.example")
FAR = Address.parse("far@example.org")


@pytest.mark.rfc("5321 §3.4", "One who has moved is told of by 251 or 551 at RCPT and VRFY; with 251 the mail goes on.")
@reaches("will-forward", "has-moved")
def test_users_who_have_moved(run: Any) -> None:
    async def test(office: Any) -> None:
        def move(tx: Transaction) -> None:
            moved.add(tx, OLD, NEW, is_forwarded=True)
            moved.add(tx, FAR, NEW, is_forwarded=False)

        await office.change(move)
        client = await office.client()
        assert await client.say(MAIL) == "250 2.1.0 sender ok"
        told = "251 2.1.5 User not local; will forward to <new@elsewhere.example>"
        refused = "551 5.1.6 User not local; please try <new@elsewhere.example>"
        assert await client.say("RCPT TO:<old@example.org>") == told
        assert await client.say("RCPT TO:<Far@example.org>") == refused
        assert await client.say("VRFY old@example.org") == told
        assert await client.say("VRFY far@example.org") == refused
        assert await client.say_all("DATA", "Subject: x\r\n\r\nhello\r\n.") == [354, 250]
        [queued] = await office.queued()
        assert str(queued.forward_path) == "new@elsewhere.example"
        assert (await (await office.submitter()).say("EXPN old@example.org")) == told

    run(test, vrfy=Vrfy.VERIFY)


@pytest.mark.rfc("6531 §3.7.4.1", "Without SMTPUTF8, 250 and 550 stand for 251 and 551 with an address beyond ASCII.")
@reaches("moved-away")
def test_users_who_have_moved_to_where_not_all_can_write(run: Any) -> None:
    async def test(office: Any) -> None:
        def move(tx: Transaction) -> None:
            moved.add(tx, OLD, Address.parse("ñandú@elsewhere.example"), is_forwarded=True)
            moved.add(tx, FAR, Address.parse("ñandú@elsewhere.example"), is_forwarded=False)

        await office.change(move)
        client = await office.client()
        await client.say(MAIL)
        assert is_reply("recipient-ok", await client.say("RCPT TO:<old@example.org>"))
        assert is_reply("moved-away", await client.say("RCPT TO:<far@example.org>"))
        await client.say("RSET")
        await client.say("MAIL FROM:<> SMTPUTF8")
        told = await client.say("RCPT TO:<old@example.org>")
        assert is_reply("will-forward", told) and "ñandú@elsewhere.example" in told
        told = await client.say("RCPT TO:<far@example.org>")
        assert is_reply("has-moved", told) and "ñandú@elsewhere.example" in told

    run(test, settings={"replies": OWN})


@reaches("mailbox-disabled", "alias-loop", "alias-too-large", "too-many-members", "answer-needs-utf8", "mailbox-full")
def test_replies_by_what_is_in_the_directory(run: Any) -> None:
    def change(tx: Transaction) -> None:
        luis = Address.parse("luis@example.org")
        accounts.set_enabled(tx, luis, False)
        round_ = [Address(name, "example.org") for name in ("round", "and-round")]
        aliases.add(tx, round_[0], [round_[1]])
        aliases.add(tx, round_[1], [round_[0]])
        everyone = [Address(f"n{number}", "elsewhere.example") for number in range(10_001)]
        aliases.add(tx, Address("everyone", "example.org"), everyone)
        aliases.add(tx, Address("many", "example.org"), everyone[:101])
        aliases.add(tx, Address("bird", "example.org"), [Address("ñandú", "elsewhere.example")])
        accounts.set_quota(tx, Address.parse("ana@example.org"), quota_octets=1, quota_messages=None)

    async def test(office: Any) -> None:
        await office.change(change)
        await check(
            office,
            {
                "mailbox-disabled": says(MAIL, "RCPT TO:<luis@example.org>"),
                "alias-loop": says(MAIL, "RCPT TO:<round@example.org>"),
                "alias-too-large": says(MAIL, "RCPT TO:<everyone@example.org>"),
                "too-many-members": user("EXPN many@example.org"),
                "answer-needs-utf8": user("EXPN bird@example.org"),
                "mailbox-full": says("MAIL FROM:<> SIZE=100", RCPT),
            },
        )

    run(test, settings={"replies": OWN})


@reaches("mailbox-full-for-good")
def test_replies_where_a_full_mailbox_is_final(run: Any) -> None:
    def change(tx: Transaction) -> None:
        accounts.set_quota(tx, Address.parse("ana@example.org"), quota_octets=1, quota_messages=None)

    async def test(office: Any) -> None:
        await office.change(change)
        await check(office, {"mailbox-full-for-good": says("MAIL FROM:<> SIZE=100", RCPT)})

    run(test, settings={"replies": OWN}, when_full=WhenFull.REJECT)


@reaches(
    "domain-not-taken", "refused-by-route", "bad-route", "bad-domain", "bad-queue", "help-etrn", "node-not-allowed"
)
def test_replies_by_routes(run: Any) -> None:
    rules = (
        RouteRule(domain="shut.example", action=RouteAction.REFUSE),
        RouteRule(domain="told.example", action=RouteAction.REFUSE, text="nobody reads it"),
        RouteRule(domain="lost.example", mailbox="gone@example.org"),
        RouteRule(domain="kept.example", action=RouteAction.ON_DEMAND, for_anyone=True),
    )

    async def test(office: Any) -> None:
        await check(
            office,
            {
                "domain-not-taken": says(MAIL, "RCPT TO:<a@shut.example>"),
                "refused-by-route": says(MAIL, "RCPT TO:<a@told.example>"),
                "bad-route": says(MAIL, "RCPT TO:<a@lost.example>"),
                "bad-domain": says("ETRN -x"),
                "bad-queue": says("ETRN #"),
                "help-etrn": says("HELP ETRN"),
            },
        )
        client = await office.client()
        await client.say(MAIL)
        assert await client.say("RCPT TO:<a@told.example>") == "550 5.7.1 nobody reads it"

    run(test, settings={"replies": OWN, "route": rules})


@pytest.mark.rfc("7505 §4.1", "A recipient in a domain with a null MX is refused at RCPT of submitted mail.")
@pytest.mark.rfc("7504 §4", "A domain that takes no mail is 556.")
@reaches("null-mx", "no-such-domain")
def test_domains_that_take_no_mail(run: Any) -> None:
    answers: dict[str, Callable[[Asked], list[bytes]]] = {
        "null.example": records("null.example. 60 MX 0 ."),
        "there.example": records("there.example. 60 MX 1 mx.there.example."),
    }

    def say(asked: Asked) -> list[bytes]:
        name = asked.text.split()[1].lower()
        if name == "broken.example":
            return denial(asked, dns.rcode.SERVFAIL)
        return answers[name](asked) if name in answers else denial(asked, dns.rcode.NXDOMAIN)

    async def test(office: Any) -> None:
        client = await office.submitter()
        await client.say("MAIL FROM:<ana@example.org>")
        null = await client.say("RCPT TO:<a@null.example>")
        assert is_reply("null-mx", null) and null.endswith("null.example")
        gone = await client.say("RCPT TO:<a@gone.example>")
        assert is_reply("no-such-domain", gone) and gone.endswith("gone.example")
        for taken in ("a@there.example", "a@broken.example", "a@[192.0.2.1]", "luis@example.org"):
            assert is_reply("recipient-ok", await client.say(f"RCPT TO:<{taken}>")), taken

    async def with_dns(office: Any) -> None:
        async with dns_server(say, port=port):
            await test(office)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings = {"replies": OWN, "dns": DnsSettings(servers=("127.0.0.1",), port=port, timeout=2, tries=1)}
    run(with_dns, settings=settings, check_recipient_domains=True)


@reaches("try-later", "login-later")
def test_a_store_that_does_not_answer(run: Any, tmp_path: Path) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        await client.say(MAIL)
        user = await office.client(MSA, tls=True)
        with behind(tmp_path / "data") as database:
            database.execute("ALTER TABLE accounts RENAME TO elsewhere")
            assert is_reply("try-later", await client.say("RCPT TO:<luis@example.org>"))
            assert is_reply("login-later", await user.login("ana@example.org"))
            database.execute("ALTER TABLE elsewhere RENAME TO accounts")

    run(test, settings={"replies": OWN})


@reaches("disk-full")
@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
def test_a_full_disk(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(office: Any) -> None:
        store = office.office.store.content
        monkeypatch.setattr(store, "_make_temporary", lambda: (FULL.open("wb", buffering=0), tmp_path / "full"))
        reply = await says(*content("Subject: x\r\n\r\n" + "a line of the body\r\n" * 40_000)).last(office)
        assert is_reply("disk-full", reply)

    run(test, settings={"replies": OWN})


@reaches("recipients-changed")
def test_recipients_that_are_others_at_the_end(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        await client.say_all(MAIL, "RCPT TO:<team@example.org>", "DATA")

        def change(tx: Transaction) -> None:
            team = Address("team", "example.org")
            aliases.remove(tx, team)
            aliases.add(tx, team, [Address("luis", "example.org")])

        await office.change(change)
        assert is_reply("recipients-changed", await client.say(LETTER + "\r\n."))
        assert await office.mailbox("luis@example.org") == []

    run(test, settings={"replies": OWN})


@reaches("failure", "closing", "not-local-client")
def test_a_session_that_breaks_and_one_that_is_closed(run: Any) -> None:
    def broken() -> str:
        raise RuntimeError("no randomness")

    async def test(office: Any) -> None:
        reception = office.office._reception
        reception.replace(replace(reception.environment, nonce=broken))
        client = await office.client(MSA, tls=True)
        assert is_reply("failure", await client.say("AUTH PLAIN"))
        far = Counter(office, role=Role.LMTP, peer=PeerAddress("192.0.2.7", 4000))
        await far.reply()
        assert is_reply("not-local-client", (await far.say("LHLO far.example", MAIL))[-1])
        await far.ended()
        client = await office.client()
        reception.is_closing = True
        assert is_reply("closing", await client.say(MAIL))
        reception.is_closing = False

    run(test, settings={"replies": OWN})


@reaches("account-disabled", "mechanism-too-weak")
def test_accounts_that_may_not_log_in_so(run: Any) -> None:
    async def test(office: Any) -> None:
        await office.change(lambda tx: accounts.set_enabled(tx, Address("luis", "example.org"), False))
        for name, key in (("luis", "account-disabled"), ("ana", "mechanism-too-weak")):
            client = await office.client(MSA, tls=True)
            assert is_reply(key, await client.login(f"{name}@example.org")), key

    run(test, settings={"replies": OWN, "login": LoginSettings(only_proved=("ana@example.org",))})


@reaches("speaker-not-trusted")
def test_a_host_that_may_not_speak_for_others(run: Any) -> None:
    async def test(office: Any) -> None:
        await check(office, {"speaker-not-trusted": says("XCLIENT ADDR=192.0.2.1")})

    run(test, settings={"replies": OWN}, xclient_networks=(ip_network("10.0.0.0/8"),))


@reaches("bad-attribute", "origin-noted", "help-xclient", "help-xforward")
def test_a_host_that_may(run: Any) -> None:
    near = (ip_network("127.0.0.0/8"),)

    async def test(office: Any) -> None:
        await check(
            office,
            {
                "bad-attribute": says("XCLIENT FOO=bar"),
                "origin-noted": says("XFORWARD NAME=a.example"),
                "help-xclient": says("HELP XCLIENT"),
                "help-xforward": says("HELP XFORWARD"),
            },
        )

    run(test, settings={"replies": OWN}, xclient_networks=near, xforward_networks=near)


@reaches("screens-login-needed", "screens-not-held", "no-screen", "not-active", "help-send", "help-soml", "help-saml")
def test_screens(run: Any) -> None:
    opened = "SEND FROM:<ana@example.org>"

    async def test(office: Any) -> None:
        await check(
            office,
            {
                "screens-login-needed": says(opened),
                "screens-not-held": user(f"{opened} HOLDFOR=60"),
                "no-screen": user(opened, "RCPT TO:<a@elsewhere.example>"),
                "not-active": user(opened, "RCPT TO:<luis@example.org>"),
                "help-send": says("HELP SEND"),
                "help-soml": says("HELP SOML"),
                "help-saml": says("HELP SAML"),
            },
        )

    run(test, settings={"replies": OWN, "live": LiveSettings(enabled=True)})


@reaches("atrn-later", "help-atrn", "help-turn", "turn-refused")
def test_customers_who_call(run: Any, tmp_path: Path) -> None:
    customers = tuple(
        OnDemandCustomer(f"{name}@example.org", ("kept.example",), turn=name == "luis") for name in ("ana", "luis")
    )

    async def test(office: Any) -> None:
        await check(office, {"help-turn": user("HELP TURN"), "turn-refused": user("TURN")})
        caller = Counter(office, role=Role.ODMR)
        await caller.reply()
        _, helped = await caller.say("EHLO customer.example", "HELP ATRN")
        assert is_reply("help-atrn", helped)
        await caller.ended()
        listen = Listen(kind=ListenerKind.ODMR, address="127.0.0.1", port=0)
        settings = office.office.settings
        await office.office.reload(settings.model_copy(update={"listen": (*settings.listen, listen)}))
        called = await office.client(ListenerKind.ODMR, tls=True)
        assert (await called.login("ana@example.org")).startswith("235")
        with behind(tmp_path / "data") as database:
            database.execute("ALTER TABLE queued_recipients RENAME TO elsewhere")
            assert is_reply("atrn-later", await called.say("ATRN"))
            database.execute("ALTER TABLE elsewhere RENAME TO queued_recipients")

    run(test, settings={"replies": OWN, "on_demand": OnDemandSettings(customer=customers)})


# What the neighbourhood shows.

OTHER_ACCOUNT = "agents/test_ondemand.py::test_another_account_gets_nothing_nor_does_a_customer_of_anothers_domain"
ELSEWHERE: dict[str, str] = {
    "help-burl": "agents/test_burl.py::test_where_it_is_offered",
    "piece-taken": "agents/test_burl.py::test_pieces",
    "url-failed": "agents/test_burl.py::test_what_is_not_fetched",
    "url-elsewhere": "agents/test_burl.py::test_what_is_not_fetched",
    "url-later": "agents/test_burl.py::test_a_store_that_does_not_answer",
    "early-talker": "agents/test_opening.py::test_an_early_talker_is_told_so_in_place_of_the_greeting",
    "timeout": "agents/test_opening.py::test_a_command_line_must_come_within_its_time_however_its_octets_drip",
    "too-slow": "agents/test_opening.py::test_mail_data_that_drips_ends_the_session",
    "too-many-held": "agents/test_promises.py::test_how_much_one_account_may_have_held",
    "by-is-over": "agents/test_promises.py::test_content_that_comes_too_late",
    "does-not-fit-on-a-screen": "agents/live/test_showing.py::test_send_of_what_does_not_fit_on_a_screen_is_552",
    "screens-too-often": "agents/live/test_showing.py::test_a_sender_has_so_many_messages",
    "password-transition": "agents/test_logins.py::test_an_account_without_keys_gets_them_by_a_login_with_plain",
    "atrn-needs-login": "agents/test_ondemand.py::test_nobody_gets_mail_before_a_login",
    "atrn-refused": OTHER_ACCOUNT,
    "no-mail-waits": OTHER_ACCOUNT,
    "atrn-closing": "agents/test_ondemand.py::test_atrn_says_when_the_server_closes",
    "queue-started": "agents/test_ondemand.py::test_etrn_says_nothing_of_messages_where_all_are_on_their_way",
    "nothing-waits": "agents/test_ondemand.py::test_etrn_starts_what_waits_for_a_host_that_was_away",
    "counted-started": "agents/test_ondemand.py::test_etrn_starts_what_waits_for_a_host_that_was_away",
    "pending-started": "agents/test_ondemand.py::test_etrn_does_not_say_how_many_where_they_are_too_many_to_count",
    "node-not-allowed": "agents/test_ondemand.py::test_etrn_of_a_queue_is_that_of_a_gateway_which_a_route_names",
    "queue-closing": "agents/test_ondemand.py::test_etrn_says_when_the_server_closes",
    "queue-later": "agents/test_ondemand.py::test_etrn_says_when_the_store_fails",
    "queue-too-often": "agents/test_ondemand.py::test_etrn_of_more_nodes_than_a_host_has_is_put_off",
    "roles-turned": "agents/test_ondemand.py::test_a_customer_takes_his_mail_over_his_own_connection_once",
}
"""Tests of the neighbourhood that reach the others, which have their texts in English."""


IN_NOTIFICATIONS = {"gone-before-shown"}
"""Said to no client: the sender is told of it by mail."""


def source_of(test: str) -> str:
    """The text of a test, by `file.py::name`."""
    name, _, wanted = test.partition("::")
    text = (TESTS / name).read_text("utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == wanted:
            start = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            return "\n".join(text.splitlines()[start - 1 : node.end_lineno])
    return ""


def test_each_reply_of_the_catalogue_is_reached() -> None:
    assert set(ENTRIES) == set(PLAIN) | set(OTHERS) | set(ELSEWHERE) | IN_NOTIFICATIONS
    for key, test in ELSEWHERE.items():
        assert str(ENTRIES[key].code) in source_of(test), f"{test} does not show {key}"


SENT = """
211 214 220 221 235 250 251 252 253 334 354 421 432 450 451 452 453 454 458 459 500 501 502 503 504 521 523 525 530 534
535 538 550 551 552 553 554 555 556
"""
"""What can be sent; why 200, 455 and 524 cannot stands on the page of replies."""


@pytest.mark.rfc("5321 §4.2.3", "Each reply code that the standards give a meaning to is sent where it is meant.")
def test_the_codes_are_those_of_the_standards() -> None:
    assert {entry.code for entry in ENTRIES.values()} == set(map(int, SENT.split()))


# Other words.


def test_the_language_is_that_of_the_settings_and_changes_when_they_are_read_again(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client(hello=False)
        assert (await client.say("EHLO c")).startswith("250-mx.example.org a su servicio\n250-PIPELINING")
        assert await client.say(MAIL) == "250 2.1.0 remitente aceptado"
        assert await client.say("RCPT TO:<nobody@example.org>") == "550 5.1.1 no existe ese buzon aqui"
        assert await client.say("MAIL FROM:<> FOO=1") == "503 5.5.1 hay una transaccion abierta"
        lmtp = await office.client(LMTP)
        assert await lmtp.say_all(MAIL, RCPT, "DATA") == [250, 250, 354]
        assert (await lmtp.say(LETTER + "\r\n.")).startswith("250 2.0.0 aceptado con el numero ")
        settings = office.office.settings
        smtp = replace(settings.smtp, language=Language.ENGLISH)
        await office.office.reload(settings.model_copy(update={"smtp": smtp}))
        assert await client.say("NOOP") == "250 2.0.0 hecho"  # a session keeps the words that it began with
        assert await (await office.client()).say("NOOP") == "250 2.0.0 ok"

    run(test, language=Language.SPANISH)


def test_the_journal_keeps_the_words_of_the_catalogue(run: Any) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        await client.say_all(MAIL, "RCPT TO:<nobody@example.org>", "QUIT")
        (entry,) = await office.journal("nobody@example.org")
        assert entry.facts["decisions"][0]["reply"] == "550 5.1.1 no such mailbox here"

    run(test, language=Language.SPANISH)
