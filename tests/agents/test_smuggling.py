"""SMTP smuggling and injection: whatever a stranger writes, one message stays one, and a value stays in its line.

The ends of data are those of SEC Consult's "SMTP Smuggling" (2023), CVE-2023-51764, -51765 and -51766, and their kin.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agents.conftest import Client, Office
from tests.agents.outbound.street import Host
from tests.agents.test_chunking import opened

from estafeta.agents.outbound.gateways.settings import GatewayKind, GatewaySettings, GatewayTls
from estafeta.agents.outbound.settings import RelaySettings
from estafeta.app import new_event_loop
from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.mail.envelope import Body, Recipient, Sender
from estafeta.mail.line_ends import has_bare_line_ends
from estafeta.net.errors import ConnectionLost
from estafeta.net.listener import listen
from estafeta.routing.routes import RouteRule
from estafeta.wire.errors import LocalProtocolError
from estafeta.wire.smtp.client import ClientEngine

ENDS = (
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r.\n",
    b"\n.\r",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n\r.\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n\0.\0\r\n",
    b"\n\0.\r\n",
    b"\r\n.\n\r\n",
    b"\n\n.\n\n",
    b"\r\n..\n",
    b"\r\n .\r\n",
    b"\r\n.\t\r\n",
    b"\r\n. \r\n",
    b"\r\n\xe2\x80\xa8.\r\n",
    b"\r\n\xef\xbc\x8e\r\n",
    b"\x85.\x85",
    b"\x0b.\x0b",
    b"\x0c.\x0c",
)
"""What one server or another has taken for the end of the data, or may."""

CLEAN = tuple(end for end in ENDS if not has_bare_line_ends(end) and b"\0" not in end)
"""Those that are text of one message and nothing else."""

SMUGGLED = (
    b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<luis@example.org>\r\nDATA\r\n"
    b"From: <admin@example.org>\r\nSubject: smuggled\r\n\r\nsmuggled"
)
HEAD = b"From: someone@example.net\r\nSubject: first\r\n\r\nfirst"

# Any line end, blank or not, around a lone dot: more than any server known has taken.
_LENIENT = re.compile(rb"(?:\r\n|\n|\r)\0*\.\0*(?:\r\n|\n|\r)")


def cut(octets: bytes, how: int) -> Iterator[bytes]:
    """In one piece, octet by octet, or at random."""
    chance = random.Random(how)
    while octets:
        size = (len(octets), 1, chance.randint(1, 40))[min(how, 2)]
        yield octets[:size]
        octets = octets[size:]


async def replies_to(client: Client, octets: bytes, how: int) -> list[str]:
    """All that is answered, up to the end of the connection."""
    said: list[str] = []
    with suppress(ConnectionLost):  # it may close before all is sent
        for piece in cut(octets, how):
            client.stream.send(piece)
            if how:
                await client.stream.drain()
        while reply := await client.reply():
            said.append(reply)
    return said


def run(main: Any) -> None:
    async def limited() -> None:
        async with asyncio.timeout(120):
            await main

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(limited())


# In.


@pytest.mark.rfc(
    "5321 §4.1.1.4", "What is no end of data ends nothing: no second message, no command out of the content."
)
@pytest.mark.parametrize("how", [0, 1, 2], ids=["whole", "octet by octet", "at random"])
def test_nothing_is_smuggled_in_by_data(run: Any, how: int) -> None:
    async def test(office: Office) -> None:
        for end in ENDS:
            client = await office.client()
            for line in ("MAIL FROM:<someone@example.net>", "RCPT TO:<ana@example.org>", "DATA"):
                assert (await client.say(line))[0] in "23"
            said = await replies_to(client, HEAD + end + SMUGGLED + b"\r\n.\r\nQUIT\r\n", how)
            before = len(await office.mailbox("ana@example.org"))
            if end in CLEAN:
                assert [reply[:3] for reply in said] == ["250", "221"], end
                assert (await office.mailbox("ana@example.org"))[-1].endswith(
                    HEAD + end.replace(b"\r\n.", b"\r\n") + SMUGGLED + b"\r\n"
                )
            else:
                # Refused; where the client seems to be out of step the session is over, else it goes on behind it.
                ways: list[list[str]] = [["550 5.6.0"], ["550 5.6.0", "221 2.0.0"], *([[]] if how else [])]
                assert [reply[:9] for reply in said] in ways, (end, said)
            assert await office.mailbox("luis@example.org") == [], end
            assert len(await office.mailbox("ana@example.org")) == before
        assert len(await office.mailbox("ana@example.org")) == len(CLEAN)

    run(test)


@pytest.mark.rfc("3030 §2", "Chunks are counted: no end of data in them ends anything, wherever they are cut.")
def test_nothing_is_smuggled_in_by_chunks(run: Any) -> None:
    async def test(office: Office) -> None:
        taken = 0
        for end in (*ENDS, b"\r\n.\r\n"):
            for parameters in ("", " BODY=BINARYMIME"):
                for middle in range(len(end) + 1):
                    content = HEAD + end + SMUGGLED + b"\r\n.\r\nQUIT\r\n"
                    at = len(HEAD) + middle
                    client = await office.client()
                    await client.say_all(f"MAIL FROM:<someone@example.net>{parameters}", "RCPT TO:<ana@example.org>")
                    chunks = b"BDAT %d\r\n%b" % (at, content[:at])
                    chunks += b"BDAT %d LAST\r\n%b" % (len(content) - at, content[at:])
                    client.stream.send(chunks + b"QUIT\r\n")
                    said = [(await client.reply())[:3] for _ in range(3)]
                    is_good = bool(parameters) or (not has_bare_line_ends(end) and b"\0" not in end)
                    assert said == ["250", "250" if is_good else "550", "221"], (end, parameters, said)
                    taken += is_good
                    await client.stream.close()
        messages = await office.mailbox("ana@example.org")
        assert len(messages) == taken
        assert all(message.endswith(SMUGGLED + b"\r\n.\r\nQUIT\r\n") for message in messages)
        assert await office.mailbox("luis@example.org") == []

    run(test)


@pytest.mark.parametrize("command", ["BDAT 64", "BDAT 64 LAST", "bdat 64 last"])
def test_a_chunk_that_cannot_be_taken_is_no_commands(run: Any, command: str) -> None:
    """Before the greeting, without a transaction, without recipients: its octets are passed over."""

    async def test(office: Office) -> None:
        octets = b"RSET\r\nMAIL FROM:<evil@example.net>\r\nRCPT TO:<luis@example.org>\r\n".ljust(64, b"\n")[:64]
        for lines in (
            (),
            ("EHLO c",),
            ("EHLO c", "MAIL FROM:<>"),
            ("EHLO c", "MAIL FROM:<>", "RCPT TO:<x@example.org>"),
        ):
            client = await office.client(hello=False)
            for line in lines:
                await client.say(line)
            assert (await client.say(command.encode() + b"\r\n" + octets + b"NOOP"))[:3] in ("503", "554")
            assert (await client.reply()).startswith("250")
            assert (await client.say("RCPT TO:<luis@example.org>"))[:3] == ("250" if len(lines) > 1 else "503")

    run(test)


# Out.


class Receiver:
    """The next host, as lenient as any: what it takes for the end of the data may be more than it should."""

    def __init__(self, *keywords: str, is_lenient: bool) -> None:
        self.keywords = keywords
        self.end = _LENIENT if is_lenient else re.compile(rb"\r\n\.\r\n")
        self.messages: list[bytes] = []
        self.commands: list[bytes] = []
        self._octets = b""
        self._is_data = False
        self._chunks = b""

    def hear(self, octets: bytes) -> bytes:
        """Gives the replies."""
        self._octets += octets
        replies = b""
        while (reply := self._next()) is not None:
            replies += reply
        return replies

    def _next(self) -> bytes | None:
        if self._is_data:
            found = self.end.search(b"\r\n" + self._octets)
            if found is None:
                return None
            content, self._octets = self._octets[: max(found.start(), 2) - 2], self._octets[found.end() - 2 :]
            self._is_data = False
            self.messages.append(content)
            return b"250 taken\r\n"
        line, ended, rest = self._octets.partition(b"\r\n")
        if not ended:
            return None
        verb, _, argument = line.partition(b" ")
        if verb == b"BDAT":
            size = int(argument.split()[0])
            if len(rest) < size:
                return None
            self._chunks, self._octets = self._chunks + rest[:size], rest[size:]
            if b"LAST" in argument:
                self.messages.append(self._chunks)
                self._chunks = b""
            return b"250 taken\r\n"
        self.commands.append(verb)
        self._octets = rest
        if verb == b"EHLO":
            return b"250-mx\r\n" + b"".join(f"250-{word}\r\n".encode() for word in self.keywords) + b"250 HELP\r\n"
        self._is_data = verb == b"DATA"
        return b"354 go on\r\n" if self._is_data else b"250 fine\r\n"


def send(content: bytes, receiver: Receiver, *, chunk: int = 0) -> None:
    """By our client engine, with DATA, or in chunks of a size."""
    engine = ClientEngine()

    def say(octets: bytes) -> None:
        engine.feed(receiver.hear(octets))
        while engine.next_event() is not None:
            pass

    engine.feed(b"220 mx\r\n")
    engine.next_event()
    say(engine.ehlo("client.example.org"))
    body = Body.BINARY if chunk and has_bare_line_ends(content) else None
    say(engine.mail(Sender(ReversePath(Address("ana", "example.org")), body=body)))
    say(engine.rcpt(Recipient(ForwardPath(Address("luis", "example.net")))))
    if chunk:
        for start in range(0, len(content) or 1, chunk):
            say(engine.bdat(content[start : start + chunk], last=start + chunk >= len(content)))
    else:
        say(engine.data())
        say(engine.content(content))
    say(engine.quit())


_PARTS = st.lists(
    st.sampled_from(
        [*ENDS, b"\r\n.\r\n", b"\r\n..\r\n", b".\r\n", b"text", b"\r\n", SMUGGLED, b"\r\n.\r\n" + SMUGGLED]
    ),
    max_size=6,
).map(b"".join)


@pytest.mark.rfc("5321 §4.5.2", "Nothing of our content ends the data before its end, for the most lenient receiver.")
@pytest.mark.parametrize("is_lenient", [False, True], ids=["strict", "lenient"])
@given(content=_PARTS)
def test_nothing_is_smuggled_out_by_data(is_lenient: bool, content: bytes) -> None:
    receiver = Receiver("8BITMIME", is_lenient=is_lenient)
    if has_bare_line_ends(content) or b"\0" in content:
        with pytest.raises(LocalProtocolError):
            send(content, receiver)
        assert receiver.messages == []
        return
    send(content, receiver)
    assert len(receiver.messages) == 1
    assert receiver.commands == [b"EHLO", b"MAIL", b"RCPT", b"DATA", b"QUIT"]


@given(content=_PARTS, chunk=st.integers(1, 40))
def test_nothing_is_smuggled_out_by_chunks(content: bytes, chunk: int) -> None:
    receiver = Receiver("8BITMIME", "CHUNKING", "BINARYMIME", is_lenient=True)
    send(content, receiver, chunk=chunk)
    assert receiver.messages == [content]
    assert receiver.commands == [b"EHLO", b"MAIL", b"RCPT", b"QUIT"]


def split_leniently(content: bytes) -> list[bytes]:
    """What a lenient host would make of content that was sent by DATA."""
    return _LENIENT.split(re.sub(rb"(?:\A|(?<=\r\n))\.", b"..", content))


@asynccontextmanager
async def street(folder: Path, issued: Any, **hosts: Host) -> AsyncIterator[Office]:
    """A post office whose mail for `NAME.example` goes to that host."""
    listeners = [await listen("127.0.0.1", 0, host.serve) for host in hosts.values()]
    gateways = tuple(
        GatewaySettings(name, GatewayKind.SMTP, host="127.0.0.1", port=each.port, tls=GatewayTls.NONE)
        for name, each in zip(hosts, listeners, strict=True)
    )
    rules = tuple(RouteRule(f"{name}.example", gateway=name, for_anyone=True) for name in hosts)
    relay = RelaySettings(allow_loopback=True)
    async with opened(folder, issued, gateway=gateways, route=rules, relay=relay) as office:
        yield office
    for each in listeners:
        each.close()
        await each.drain(1)


@pytest.mark.parametrize("parameters", ["", " RET=FULL", " RET=HDRS"])
def test_what_came_as_binary_goes_out_as_one_message_and_so_does_its_notification(
    tmp_path: Path, issued: Any, parameters: str
) -> None:
    """Content that came by BDAT with false ends in it, header included, to a host that knows DATA alone, and back."""

    async def main() -> None:
        far, bad = Host("PIPELINING", "8BITMIME", "DSN"), Host("PIPELINING", "8BITMIME", "DSN", says={"RCPT": "550 no"})
        sent = 0
        async with street(tmp_path, issued, far=far, bad=bad) as office:
            client = await office.client()
            for end in (*ENDS, b"\r\n.\r\n"):
                content = b"From: x@far.example\r\nSubject: a" + end + b"X: y\r\n\r\nbody" + end + SMUGGLED
                for path in ("u@far.example", "u@bad.example"):
                    await client.say_all(
                        f"MAIL FROM:<x@far.example> BODY=BINARYMIME{parameters}", f"RCPT TO:<{path}> NOTIFY=FAILURE"
                    )
                    client.stream.send(b"BDAT %d LAST\r\n%b" % (len(content), content))
                    sent += (await client.reply()).startswith("250")
            while waiting := await office.queued():
                assert not any(each.last_reply for each in waiting), waiting[0]
                await asyncio.sleep(0.005)
        assert sent == 2 * len(ENDS) + 2
        assert bad.taken == []
        assert 0 < len(far.taken) <= 2 * sent
        for message in far.taken:
            assert not has_bare_line_ends(message.content) and b"\0" not in message.content, message.content
            assert len(split_leniently(message.content)) == 1, message.content
        assert set(far.verbs) <= {"EHLO", "MAIL", "RCPT", "DATA", "RSET", "QUIT", "NOOP"}

    run(main())


@pytest.mark.parametrize("end", [end for end in ENDS if has_bare_line_ends(end)])
def test_what_a_repairing_listener_took_goes_out_strictly(end: bytes) -> None:
    """Its content has CRLF alone by then: what ends the data for it ended it when it came in."""
    from tests.wire.owner import Owner

    from estafeta.wire.smtp.server import ServerEngine
    from estafeta.wire.smtp.session import ServerOptions

    owner = Owner(ServerOptions("mx", chunking=False, repairs_line_ends=True, refuse_early_commands=False))
    assert isinstance(owner.engine, ServerEngine)
    owner.hear(b"EHLO c\nMAIL FROM:<>\nRCPT TO:<ana@example.org>\nDATA\n" + HEAD + end + b"more\n.\nQUIT\n")
    for content in owner.messages:
        assert not has_bare_line_ends(content)
        receiver = Receiver("8BITMIME", is_lenient=True)
        send(content, receiver)
        assert len(receiver.messages) == 1


# Values.

LINE_ENDS = ("\r\n", "\n", "\r", "\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\0")


def hexed(text: str) -> str:
    """All of it as xtext."""
    return "".join(f"+{octet:02X}" for octet in text.encode())


def check_lines(octets: bytes, allowed: re.Pattern[str]) -> None:
    """No reader sees a line that is not one of these."""
    for line in octets.decode("utf-8", "replace").splitlines():
        assert allowed.match(line), ascii(line)


_HEADER = re.compile(
    r"Return-Path: |Received: |\t|From: |To: |Subject: |Date: |Message-ID: |MIME-|Content-|Auto-|X-Estafeta"
)


def texts(value: object) -> Iterator[str]:
    """All text in a row of the journal."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from (*texts(key), *texts(inner))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)


def test_nothing_that_a_client_says_makes_a_new_line(run: Any) -> None:
    """HELO names, ENVID, ORCPT, AUTH, VRFY: in no header, reply or row of the journal."""

    async def test(office: Office) -> None:
        for end in LINE_ENDS:
            evil = f"a{end}X-Evil: yes"
            client = await office.client(hello=False)
            client.stream.send(f"EHLO {evil}".replace(" X", "X").replace(": ", ":").encode() + b"\r\n")
            first = await client.reply()
            assert "X-Evil" not in first or first.startswith("5")
            client = await office.client()
            assert (await client.say(f"MAIL FROM:<ana@example.net> ENVID={hexed(evil)}")).startswith("501")
            for line in (
                f"MAIL FROM:<ana@example.net> ENVID={evil.replace(' ', '')}",
                f"MAIL FROM:<a{end}b@example.net> SMTPUTF8",
                f'MAIL FROM:<"a{end}b"@example.net> SMTPUTF8',
                f'MAIL FROM:<"a\\{end}b"@example.net> SMTPUTF8',
                f"MAIL FROM:<a@ex{end}ample.net> SMTPUTF8",
                f"MAIL FROM:<a@[x-a:{end}b]> SMTPUTF8",
                f"MAIL FROM:<ana@example.net> {end}=1",
                f"MAIL FROM:<ana@example.net> SOLICIT=a{end}b",
            ):
                if end == "\r\n":  # two commands
                    continue
                client.stream.send(line.encode() + b"\r\nNOOP\r\n")
                said = []
                while not (reply := await client.reply()).startswith("250 2.0.0"):
                    assert "X-Evil" not in reply
                    said.append(reply)
                assert said and all(reply[0] == "5" for reply in said), (line, said)
                await client.stream.close()
                client = await office.client()
            for line in (f"VRFY {evil}", f"VRFY {evil} SMTPUTF8", f"EXPN {evil}", f"HELP {evil}", f"NOOP {evil}", evil):
                client.stream.send(line.encode() + b"\r\nRSET\r\n")
                for _ in range(2 + line.count("\n")):
                    reply = await client.reply()
                    if not reply:  # out of step: what stood behind it was not awaited
                        break
                    assert len(reply.splitlines()) == reply.count("\n") + 1, ascii(reply)
                await client.stream.close()
                client = await office.client()
            if end.isascii():
                continue
            await client.say("EHLO c")
            assert (await client.say(f"MAIL FROM:<ana@example.net> AUTH={hexed(evil)}")).startswith(("250", "501"))
            assert (await client.say(f"RCPT TO:<ana@example.org> ORCPT=rfc822;{hexed(evil)}")).startswith("501")
            await client.stream.close()
        client = await office.client(hello=False)
        for end in LINE_ENDS:
            if end not in ("\n", "\r\n", "\0", "\r"):
                reply = await client.say(f"EHLO a{end}X-Evil:yes")
        assert (await client.say("EHLO c)\\(<>;X-Evil:yes")).startswith("250")
        auth = hexed("a\r\nX-Evil: yes")
        await client.say_all(f"MAIL FROM:<ana@example.net> AUTH={auth}", "RCPT TO:<ana@example.org>", "DATA")
        assert (await client.say(HEAD + b"\r\n.")).startswith("250")
        [message] = await office.mailbox("ana@example.org")
        check_lines(message[: -len(HEAD) - 2], _HEADER)
        assert b"(" not in message.split(b"\r\n")[1].split(b" ([")[0]
        rows = await office.journal("ana@example.net")
        assert rows
        for row in rows:
            assert len(json.dumps(row.facts, ensure_ascii=True).splitlines()) == 1
            assert not any(end in text for text in texts(row.facts) for end in LINE_ENDS)

    run(test)


@pytest.mark.parametrize("octets", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xaf", b"\x80"])
def test_octets_that_are_not_utf8_are_refused_everywhere_or_pass_untouched(run: Any, octets: bytes) -> None:
    async def test(office: Office) -> None:
        client = await office.client(hello=False)
        for line in (
            b"EHLO a%bb",
            b"a%bb",
            b"VRFY a%bb",
            b"EXPN a%bb",
            b"MAIL FROM:<a%bb@example.net> SMTPUTF8",
            b"MAIL FROM:<a@example.net> SMTPUTF8 ENVID=%b",
            b"MAIL FROM:<a@example.net> SMTPUTF8 %b=1",
            b"AUTH %b",
            b"ETRN a%bb",
        ):
            assert (await client.say(line % octets))[0] == "5", line
        await client.say("EHLO c")
        assert (await client.say(b"NOOP " + octets)).startswith("250")
        await client.say_all("MAIL FROM:<a@example.net> SMTPUTF8")
        assert (await client.say(b"RCPT TO:<a%bb@example.org>" % octets))[0] == "5"
        assert (await client.say(b"RCPT TO:<ana@example.org> ORCPT=utf-8;%b" % octets))[0] == "5"
        await client.say_all("RCPT TO:<ana@example.org>", "DATA")
        content = b"Subject: %b\r\n\r\n%b\r\n" % (octets, octets)
        assert (await client.say(content + b".")).startswith("250")
        [message] = await office.mailbox("ana@example.org")
        assert message.endswith(content)

    run(test)
