"""Each limit of the engines at its edge: one below, at it, one above (RFC 5321 §4.5.3.1)."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest
from tests.wire.dialogue import replies
from tests.wire.owner import Owner
from tests.wire.test_phases import EVERYTHING, VARIANTS, owner

from estafeta.mail.address import MAX_DOMAIN, MAX_LOCAL_PART, Address, ForwardPath, ReversePath
from estafeta.mail.envelope import Recipient, Sender
from estafeta.wire import sasl
from estafeta.wire.errors import RemoteProtocolError
from estafeta.wire.smtp import events
from estafeta.wire.smtp.client import ClientEngine
from estafeta.wire.smtp.dialogue import Answered
from estafeta.wire.smtp.extensions.dsn import MAX_ENVID, MAX_ORCPT
from estafeta.wire.smtp.extensions.no_soliciting import MAX_VALUE
from estafeta.wire.smtp.grammar import MAX_PATH
from estafeta.wire.smtp.replies import MAX_LINE, MAX_LINES, ReplyReader
from estafeta.wire.smtp.session import Phase, ServerOptions
from estafeta.wire.smtp.verbs import VERBS

MAIL = "MAIL FROM:<%s>"
RCPT = "RCPT TO:<%s>"


def ready(phase: Phase = Phase.READY, **options: object) -> Owner:
    return owner("in the clear", phase, replace(EVERYTHING, **options))  # type: ignore[arg-type]


def say(made: Owner, line: str) -> str:
    """The code and status of the one reply."""
    [reply] = replies(made.hear(line.encode() + b"\r\n"))
    return reply[-1][:9].strip()


def domain_of(size: int) -> str:
    """A name of so many octets, its labels at most 63."""
    labels = []
    while size > 63:
        labels.append("d" * min(63, size - 2))
        size -= len(labels[-1]) + 1
    return ".".join([*labels, "d" * size])


@pytest.mark.rfc("5321 §4.5.3.1.1", "Local-parts of 64 octets and more are taken, up to a limit of our own.")
@pytest.mark.parametrize(
    ("size", "code"), [(63, "250"), (64, "250"), (65, "250"), (MAX_LOCAL_PART, "250"), (MAX_LOCAL_PART + 1, "501")]
)
def test_the_local_part(size: int, code: str) -> None:
    address = "l" * size + "@example.org"
    assert say(ready(), MAIL % address)[:3] == code
    assert say(ready(Phase.MAIL), RCPT % address)[:3] == code
    quoted = '"' + "l" * size + '"@example.org'
    assert say(ready(Phase.MAIL), RCPT % quoted)[:3] == code


@pytest.mark.rfc("5321 §4.5.3.1.1", "The limit of a local-part is in octets, in UTF-8 too.")
def test_the_local_part_is_counted_in_octets() -> None:
    for size, code in ((MAX_LOCAL_PART // 2, "250"), (MAX_LOCAL_PART // 2 + 1, "501")):
        assert say(ready(), MAIL % ("ñ" * size + "@example.org") + " SMTPUTF8")[:3] == code


@pytest.mark.rfc("5321 §4.5.3.1.2", "Domains of up to 255 octets are taken, their labels up to 63.")
@pytest.mark.parametrize(("size", "code"), [(MAX_DOMAIN - 1, "250"), (MAX_DOMAIN, "250"), (MAX_DOMAIN + 1, "501")])
def test_the_domain(size: int, code: str) -> None:
    name = domain_of(size)
    assert len(name) == size
    assert say(ready(), MAIL % f"a@{name}")[:3] == code
    assert say(ready(Phase.MAIL), RCPT % f"a@{name}")[:3] == code


@pytest.mark.parametrize(("size", "code"), [(62, "250"), (63, "250"), (64, "501")])
def test_a_label(size: int, code: str) -> None:
    assert say(ready(), MAIL % f"a@{'d' * size}.example")[:3] == code


@pytest.mark.rfc("5321 §4.5.3.1.3", "Paths of 256 octets and more are taken, up to a limit of our own.")
@pytest.mark.parametrize(("size", "code"), [(256, "250"), (257, "250"), (MAX_PATH, "250"), (MAX_PATH + 1, "501")])
def test_the_path(size: int, code: str) -> None:
    """With its brackets, and with a source route that nobody looks at."""
    route = "@" + domain_of(200) + ":"
    rest = size - len(f"<{route}@>")
    local, name = (
        (rest // 2, rest - rest // 2) if rest // 2 <= MAX_LOCAL_PART else (MAX_LOCAL_PART, rest - MAX_LOCAL_PART)
    )
    path = f"{route}{'l' * local}@{domain_of(name)}"
    assert len(path) + 2 == size
    assert say(ready(), MAIL % path)[:3] == code
    assert say(ready(Phase.MAIL), RCPT % path)[:3] == code


@pytest.mark.parametrize(("size", "code"), [(254, "250"), (255, "250"), (256, "501")])
def test_what_the_client_calls_itself(size: int, code: str) -> None:
    assert say(ready(), "EHLO " + "c" * size)[:3] == code


@pytest.mark.rfc("5321 §4.5.3.1.4", "Command lines of 512 octets and more are taken, up to the limit of the settings.")
@pytest.mark.parametrize("limit", [512, 4096])
def test_the_command_line(limit: int) -> None:
    for size, code in (
        (limit - 1, "250 2.0.0"),
        (limit, "250 2.0.0"),
        (limit + 1, "500 5.5.2"),
        (limit * 9, "500 5.5.2"),
    ):
        for cut in (1, limit * 10):
            made = ready(command_line=limit)
            line = b"NOOP".ljust(size - 2) + b"\r\nNOOP\r\n"
            answered = b"".join(made.hear(line[start : start + cut]) for start in range(0, len(line), cut))
            assert [reply[-1][:9] for reply in replies(answered)] == [code, "250 2.0.0"], size


@pytest.mark.rfc("4954 §4", "Lines of an authentication exchange may have 12288 octets.")
@pytest.mark.parametrize("limit", [100, 12288])
def test_the_line_of_an_authentication_exchange(limit: int) -> None:
    for size, code in ((limit - 4, "535 5.7.8"), (limit, "535 5.7.8"), (limit + 4, "500 5.5.6")):
        made = ready(auth_line=limit, command_line=100)
        assert say(made, "AUTH PLAIN")[:3] == "334"
        line = b64encode(b"x" * ((size - 2) // 4 * 3)).decode()
        assert size - 6 < len(line) + 2 <= size
        assert say(made, line if size <= limit else "A" * (limit - 1)) == code


@pytest.mark.rfc("5321 §4.5.3.1.5", "No line of a reply of the engine's has more than 512 octets.")
def test_our_reply_lines() -> None:
    longest = 0
    for variant in VARIANTS:
        for verb in VERBS:
            made = owner(variant)
            hello = b"LHLO" if made.options.lmtp else b"EHLO"
            output = made.hear(
                hello + b" c\r\nHELP\r\nHELP " + verb.name.encode() + b"\r\n" + verb.name.encode() + b" x" * 900
            )
            output += made.hear(b"\r\n" + b"\xff" * 2000 + b"\r\nMAIL FROM:<" + b"x" * 3000 + b">\r\n")
            longest = max(longest, *(len(line) + 2 for line in output.split(b"\r\n")))
    assert longest <= 512


@pytest.mark.rfc("5321 §4.5.3.1.5", "Reply lines of more than 512 octets are read, up to a limit of our own.")
@pytest.mark.parametrize("size", [511, 512, 513, MAX_LINE - 1, MAX_LINE])
def test_the_line_of_a_reply(size: int) -> None:
    for cut in (1, size):
        reader = ReplyReader()
        line = b"250 ".ljust(size - 2, b"x") + b"\r\n"
        for start in range(0, size, cut):
            reader.feed(line[start : start + cut])
        reply = reader.next_reply()
        assert reply is not None and len(reply.text) == size - 6


@pytest.mark.parametrize("cut", [1, MAX_LINE * 2])
def test_a_line_of_a_reply_that_is_too_long_ends_the_connection(cut: int) -> None:
    reader = ReplyReader()
    line = b"250 ".ljust(MAX_LINE, b"x") + b"\r\n"
    with pytest.raises(RemoteProtocolError):
        for start in range(0, len(line), cut):
            reader.feed(line[start : start + cut])
            reader.next_reply()


def test_the_lines_of_a_reply() -> None:
    for more, is_read in ((MAX_LINES - 2, True), (MAX_LINES - 1, True), (MAX_LINES, False)):
        reader = ReplyReader()
        reader.feed(b"250-x\r\n" * more + b"250 x\r\n")
        if is_read:
            reply = reader.next_reply()
            assert reply is not None and len(reply.lines) == more + 1
        else:
            with pytest.raises(RemoteProtocolError):
                reader.next_reply()


@pytest.mark.rfc("5321 §4.5.3.1.6", "Lines of mail data of 1000 octets and more come in and go out as they are.")
@pytest.mark.parametrize("size", [999, 1000, 1001, 2000, 100_000])
def test_a_line_of_mail_data(size: int) -> None:
    content = b"x" * (size - 2) + b"\r\n"
    for way in ("DATA\r\n", f"BDAT {size} LAST\r\n"):
        made = ready(Phase.RCPT, message_size=1_000_000)
        said = way.encode() + content + (b".\r\n" if way == "DATA\r\n" else b"")
        if way == "DATA\r\n":
            assert made.hear(b"DATA\r\n").startswith(b"354")
            said = said[6:]
        assert made.hear(said).startswith(b"250")
        assert made.messages == [content]
    engine = ClientEngine()
    for reply in (b"220 x\r\n", b"250-x\r\n250 PIPELINING\r\n", b"250 x\r\n250 x\r\n354 x\r\n"):
        engine.feed(reply)
        if reply.startswith(b"220"):
            engine.next_event()
            engine.ehlo("c")
        elif b"PIPE" in reply:
            engine.next_event()
            engine.mail(Sender(ReversePath(Address("a", "example.org"))))
            engine.rcpt(Recipient(ForwardPath(Address("b", "example.net"))))
            engine.data()
        else:
            assert all(isinstance(engine.next_event(), Answered) for _ in range(3))
    assert engine.content(content) == content + b".\r\n"


@pytest.mark.rfc("1870 §6.1", "A declared size above the limit is refused with 552.")
@pytest.mark.parametrize(("size", "code"), [(999, "250"), (1000, "250"), (1001, "552")])
def test_the_declared_size(size: int, code: str) -> None:
    assert say(ready(message_size=1000), MAIL % "a@example.org" + f" SIZE={size}")[:3] == code


@pytest.mark.rfc("3461 §4.4", "An envelope id has at most 100 characters.")
@pytest.mark.parametrize(("size", "code"), [(MAX_ENVID - 1, "250"), (MAX_ENVID, "250"), (MAX_ENVID + 1, "501")])
def test_the_envelope_id(size: int, code: str) -> None:
    assert say(ready(), MAIL % "a@example.org" + " ENVID=" + "e" * size)[:3] == code


@pytest.mark.rfc("3461 §4.2", "An original recipient has at most 500 characters.")
@pytest.mark.parametrize(("size", "code"), [(MAX_ORCPT - 1, "250"), (MAX_ORCPT, "250"), (MAX_ORCPT + 1, "501")])
def test_the_original_recipient(size: int, code: str) -> None:
    value = "rfc822;".ljust(size, "o")
    assert say(ready(Phase.MAIL), RCPT % "a@example.org" + f" ORCPT={value}")[:3] == code


@pytest.mark.rfc("3865 §2.2", "SOLICIT has at most 1000 characters.")
@pytest.mark.parametrize(("size", "code"), [(MAX_VALUE - 1, "250"), (MAX_VALUE, "250"), (MAX_VALUE + 1, "501")])
def test_the_kinds_of_solicitation(size: int, code: str) -> None:
    assert say(ready(), MAIL % "a@example.org" + " SOLICIT=" + "s" * size)[:3] == code


@pytest.mark.parametrize(("size", "code"), [(19, "250"), (20, "250"), (21, "501")])
def test_the_size_of_a_chunk_in_digits(size: int, code: str) -> None:
    made = ready(Phase.RCPT)
    assert say(made, "BDAT " + "0" * size + " LAST")[:3] == code
    assert made.engine.is_ended == (code == "501"), "nobody knows what follows"


@pytest.mark.parametrize(("size", "is_read"), [(1023, True), (1024, True), (1025, False)])
def test_the_fields_of_a_login(size: int, is_read: bool) -> None:
    assert sasl.MAX_FIELD == 1024
    mechanism = sasl.server_mechanism("PLAIN", nonce="n", channel_binding=None)
    step = mechanism.step(b"\0" + b"u" * size + b"\0" + b"p" * size)
    assert isinstance(step, sasl.CheckPassword if is_read else sasl.Failure)


def test_what_is_held_while_a_line_comes() -> None:
    """However much comes without an end, no more than a line is kept."""
    made = Owner(ServerOptions("mx.example.org", command_line=512))
    for _ in range(1000):
        made.hear(b"x" * 1000)
        assert len(made.engine._buffer) <= 512
    assert made.told == []
    made.hear(b"\r\n")
    assert isinstance(made.told[0], events.Faulty)
