"""Engines led from phase to phase at random: the server's against itself under other cuts, the client's against it.

What the client engine writes the server engine reads to the same values, for all parameters of MAIL and RCPT, and the
messages that one sends are those that the other takes.
"""

from __future__ import annotations

import string
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.wire.dialogue import replies
from tests.wire.owner import Owner
from tests.wire.test_phases import ARGUMENTS

from estafeta.mail.address import NULL_REVERSE_PATH, Address, ForwardPath, ReversePath
from estafeta.mail.envelope import (
    Body,
    ByMode,
    DeliverBy,
    Hold,
    Notify,
    Octets,
    OriginalRecipient,
    Recipient,
    Ret,
    Sender,
)
from estafeta.wire.errors import LocalProtocolError
from estafeta.wire.smtp import events
from estafeta.wire.smtp.client import ClientEngine
from estafeta.wire.smtp.dialogue import Phase as ClientPhase
from estafeta.wire.smtp.server import ServerEngine
from estafeta.wire.smtp.session import Phase, ServerOptions
from estafeta.wire.smtp.verbs import VERBS

OPTIONS: dict[str, Any] = {
    "message_size": 100_000,
    "mechanisms": ("PLAIN",),
    "insecure_mechanisms": ("PLAIN",),
    "no_soliciting": (),
    "etrn": True,
    "deliver_by": 0,
    "hold_for": 999_999_999,
    "hold_until": lambda: datetime(2060, 1, 1, tzinfo=UTC),
    "priority_policy": "",
    "screens": True,
    "refuse_early_commands": False,
}

# Text that has a place in no line is what the client refuses to write.
_PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
_UTF8 = st.text(st.characters(min_codepoint=33, blacklist_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=8)
_DOMAINS = st.sampled_from(
    ["example.org", "[192.0.2.1]", "[IPv6:2001:db8::1]", "under_score.example", "xn--espaa-rta.example"]
)
_ASCII_ADDRESSES = st.builds(Address, _PRINTABLE, _DOMAINS)
_ADDRESSES = _ASCII_ADDRESSES | st.builds(Address, _UTF8, _DOMAINS)
_WORDS = st.text(string.ascii_letters + string.digits + "._:-", max_size=8).map(lambda text: "a" + text)


@st.composite
def senders(draw: st.DrawFn) -> Sender:
    """All that MAIL can say over TLS."""
    path = draw(st.just(NULL_REVERSE_PATH) | st.builds(ReversePath, _ADDRESSES))
    is_ascii = path.address is None or path.address.is_ascii
    return Sender(
        path,
        size=draw(st.none() | st.integers(0, 100_000).map(Octets)),
        body=draw(st.none() | st.sampled_from(Body)),
        smtputf8=not is_ascii or draw(st.booleans()),
        auth=draw(st.none() | st.just("") | _PRINTABLE.filter(lambda text: text != "<>") | _UTF8),
        ret=draw(st.none() | st.sampled_from(Ret)),
        envid=draw(st.none() | _PRINTABLE),
        requires_tls=draw(st.booleans()),
        deliver_by=draw(
            st.none()
            | st.builds(DeliverBy, st.integers(1, 999_999_999), st.sampled_from(ByMode), st.booleans())
            | st.builds(DeliverBy, st.integers(-999_999_999, 0), st.just(ByMode.NOTIFY), st.booleans())
        ),
        hold=draw(
            st.none()
            | st.integers(1, 999_999_999).map(lambda seconds: Hold(seconds=seconds))
            | st.integers(1_900_000_000, 2_800_000_000).map(lambda at: Hold(until=datetime.fromtimestamp(at, UTC)))
        ),
        priority=draw(st.none() | st.integers(-9, 9)),
        solicit=draw(st.none() | st.lists(_WORDS, min_size=1, max_size=4).map(tuple)),
    )


@st.composite
def recipients(draw: st.DrawFn, *, is_utf8: bool) -> Recipient:
    """All that RCPT can say."""
    address = draw(_ADDRESSES if is_utf8 else _ASCII_ADDRESSES)
    some = st.frozensets(st.sampled_from([Notify.SUCCESS, Notify.FAILURE, Notify.DELAY]), min_size=1)
    original = st.builds(OriginalRecipient, st.just("rfc822"), _PRINTABLE)
    if is_utf8:
        original |= st.builds(OriginalRecipient, st.just("utf-8"), _UTF8 | _PRINTABLE)
    return Recipient(
        ForwardPath(address),
        draw(st.none() | st.just(frozenset({Notify.NEVER})) | some),
        draw(st.none() | original),
    )


_LINE = st.binary(max_size=12).map(lambda octets: octets.translate(None, b"\r\n\0"))
_CONTENT = st.lists(st.tuples(st.sampled_from([b"", b".", b".."]), _LINE), max_size=5).map(
    lambda lines: b"".join(dots + line + b"\r\n" for dots, line in lines)
)


class FaceToFace(RuleBasedStateMachine):
    """A client engine talks with a server engine; both tell one story."""

    @initialize(lmtp=st.booleans(), cut=st.integers(1, 60))
    def meet(self, lmtp: bool, cut: int) -> None:
        self.owner = Owner(ServerOptions("mx.example.org", lmtp=lmtp, **OPTIONS), is_secure=True)
        self.client = ClientEngine(lmtp)
        self.cut = cut
        self.sender: Sender | None = None
        self.taken: list[bytes] = []
        self.chunks = b""
        self.client.feed(b"220 mx\r\n")
        self.client.next_event()
        self.say(self.client.ehlo("client.example.org"))

    def say(self, octets: bytes) -> None:
        answered = b"".join(self.owner.hear(octets[at : at + self.cut]) for at in range(0, len(octets), self.cut))
        for at in range(0, len(answered), self.cut):
            self.client.feed(answered[at : at + self.cut])
            while self.client.next_event() is not None:
                pass

    def is_in(self, *phases: ClientPhase) -> bool:
        """Whether the client stands there."""
        return hasattr(self, "client") and self.client.phase in phases

    @precondition(lambda self: self.is_in(ClientPhase.READY))
    @rule(sender=senders())
    def mail(self, sender: Sender) -> None:
        self.say(self.client.mail(sender))
        event = self.owner.told[-1]
        assert isinstance(event, events.Mail) and event.sender == sender, (event, sender)
        self.chunks = b""
        is_refused = str(sender.reverse_path).startswith("no")
        self.sender = None if is_refused else sender

    @precondition(lambda self: self.is_in(ClientPhase.TRANSACTION))
    @rule(data=st.data())
    def rcpt(self, data: st.DataObject) -> None:
        if self.sender is None:
            return
        recipient = data.draw(recipients(is_utf8=self.sender.smtputf8))
        self.say(self.client.rcpt(recipient))
        event = self.owner.told[-1]
        assert isinstance(event, events.Rcpt) and event.recipient == recipient, (event, recipient)
        assert self.owner.engine.recipients == self.client.accepted

    @precondition(lambda self: self.is_in(ClientPhase.TRANSACTION) and self.client.accepted)
    @rule(content=_CONTENT)
    def data(self, content: bytes) -> None:
        if self.sender is None or self.sender.body is Body.BINARY:
            return
        self.say(self.client.data())
        self.say(self.client.content(content))
        self.taken.append(content)

    @precondition(lambda self: self.is_in(ClientPhase.TRANSACTION, ClientPhase.CHUNKS) and self.client.accepted)
    @rule(content=_CONTENT, last=st.booleans())
    def chunk(self, content: bytes, last: bool) -> None:
        try:
            octets = self.client.bdat(content, last)
        except LocalProtocolError:  # a chunk was refused
            return
        self.say(octets)
        self.chunks += content
        if last:
            self.taken.append(self.chunks)

    @rule(command=st.sampled_from(["reset", "abandon", "noop", "greet", "vrfy", "expn", "help"]))
    def another(self, command: str) -> None:
        client = self.client
        try:
            match command:
                case "reset":
                    octets = client.rset()
                case "abandon":
                    octets = client.abandon()
                case "greet":
                    octets = client.ehlo("client.example.org")
                case "noop":
                    octets = client.noop()
                case "help":
                    octets = client.help("MAIL")
                case _:
                    octets = (client.vrfy if command == "vrfy" else client.expn)("ñ")
        except LocalProtocolError:  # not in this phase
            return
        self.say(octets)

    @invariant()
    def both_stand_at_the_same_place(self) -> None:
        if not hasattr(self, "owner"):
            return
        assert self.owner.messages == self.taken
        assert self.client.waiting == ()
        is_open = self.owner.engine.transaction is not None
        assert self.client.has_open_transaction == is_open
        if is_open:
            assert self.owner.engine.recipients == self.client.accepted


_LINES = st.sampled_from(
    [
        f"{verb.name} {ARGUMENTS.get(verb.name, '')}".strip().encode()
        for verb in VERBS
        if verb.name not in ("TURN", "ATRN", "QUIT")
    ]
    + [
        b"",
        b"\xff",
        b"NOTHING",
        b"MAIL FROM:<no@x.example>",
        b"RCPT TO:<no@x.example>",
        b"AUTH PLAIN",
        b"*",
        b"AUTH PLAIN AGEAeA==",
    ]
)


@settings(max_examples=80, deadline=None)
@given(sender=senders(), data=st.data())
def test_what_the_client_says_of_an_envelope_the_server_hears(sender: Sender, data: st.DataObject) -> None:
    machine = FaceToFace()
    machine.meet(lmtp=False, cut=data.draw(st.integers(1, 60)))
    machine.mail(sender)
    for _ in range(3):
        if machine.sender is not None:
            machine.rcpt(data)
    machine.both_stand_at_the_same_place()


class UnderOtherCuts(RuleBasedStateMachine):
    """Two server engines hear the same, one of them octet by octet; from each phase the same follows."""

    @initialize(lmtp=st.booleans())
    def begin(self, lmtp: bool) -> None:
        options = ServerOptions(
            "mx.example.org", lmtp=lmtp, **{**OPTIONS, "starttls": False}, command_line=80, auth_line=90
        )
        self.whole, self.octets = Owner(options), Owner(options)
        self.chunk_left = 0

    def say(self, octets: bytes) -> None:
        if self.whole.engine.is_ended:
            return
        self.whole.hear(octets)
        for octet in octets:
            self.octets.hear(bytes((octet,)))

    @rule(line=_LINES)
    def line(self, line: bytes) -> None:
        self.say(line + b"\r\n")

    @rule(lines=st.lists(_LINES, max_size=5))
    def group(self, lines: list[bytes]) -> None:
        self.say(b"".join(line + b"\r\n" for line in lines))

    @rule(
        octets=st.sampled_from(
            [b"\r\n.\r\n", b".\r\n", b"x\r\n.", b"\r", b"\n", b"\0", b"\n.\r\n", b"." * 100, b"x" * 90]
        )
    )
    def noise(self, octets: bytes) -> None:
        self.say(octets)

    @rule(size=st.integers(0, 20), octets=st.binary(max_size=20), last=st.sampled_from([b"", b" LAST", b" X"]))
    def chunk(self, size: int, octets: bytes, last: bytes) -> None:
        self.say(b"BDAT %d%b\r\n%b" % (size, last, octets))

    @invariant()
    def both_are_the_same(self) -> None:
        if not hasattr(self, "whole"):
            return
        one, other = self.whole, self.octets
        assert one.output == other.output
        assert one.messages == other.messages
        assert one.engine.phase is other.engine.phase
        assert one.engine.is_ended == other.engine.is_ended
        assert [each for each in one.told if not isinstance(each, bytearray)] == [
            each for each in other.told if not isinstance(each, bytearray)
        ]
        assert len(replies(one.output)) == one.replies
        assert isinstance(one.engine, ServerEngine)
        assert (one.engine.transaction is None) == (one.engine.phase in (Phase.GREETED, Phase.READY))


FaceToFace.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
UnderOtherCuts.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)

TestFaceToFace = FaceToFace.TestCase
TestUnderOtherCuts = UnderOtherCuts.TestCase
