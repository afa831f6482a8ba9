"""Whatever a client sends to the IMAP engine, in whatever cuts: it raises nothing, answers every command once and in
whole lines, tells the same events, and holds no more than a command and a step of what comes compressed."""

from __future__ import annotations

import re
from dataclasses import replace

from tests.fuzz.inputs import OCTETS, WHOLE, Input, pieces
from tests.wire.imap.owner import OFFER, Owner

from estafeta.wire.imap import events
from estafeta.wire.imap.compression import MOST_AT_ONCE
from estafeta.wire.imap.request import Request
from estafeta.wire.imap.server import Limits

SECURE, LOGGED_IN, SELECTED, UTF8, UID_ONLY = range(5)
"""Flags."""
MOST = Limits(command=2000, literal=3000, faults=1000)

_LINE = re.compile(rb"(?:\+ [^\r\n]*|\* [^\r\n]+|[^\x00-\x20\x7f-\xff(){%*\"\\+]{1,255} (?:OK|NO|BAD) [^\r\n]+)")


def owner_of(given: Input) -> Owner:
    """The circumstances that the flags choose."""
    owner = Owner(replace(OFFER, append_limit=500), MOST, is_secure=given.has(SECURE))
    if given.has(SELECTED):
        owner.select()
    elif given.has(LOGGED_IN):
        owner.log_in()
    owner.engine.session.enabled |= {"IMAP4REV2"} if given.has(UTF8) else set()
    owner.engine.session.enabled |= {"UIDONLY"} if given.has(UID_ONLY) else set()
    return owner


def hear(given: Input, cut: int) -> Owner:
    """The whole input by one cut."""
    owner = owner_of(given)
    engine = owner.engine
    for piece in pieces(given.octets, cut):
        owner.hear(piece)
        assert len(engine._input) <= 40_000 + MOST_AT_ONCE
        assert len(engine._gathered) <= 40_000 and not engine._given
    return owner


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    owner = hear(given, given.cut)
    if not owner.engine.session.is_compressed:
        lines = owner.sent.split(b"\r\n")
        assert lines.pop() == b""
        assert all(_LINE.fullmatch(line) for line in lines), lines
        requests = sum(isinstance(event, Request) for event in owner.told)
        tagged = sum(not line.startswith((b"+", b"* ")) for line in lines)
        is_open = owner.engine._open is not None
        assert tagged >= requests - is_open, (owner.told, lines)
        # Each line of the client's is answered at most once; a literal that is refused ends the session beside.
        faults = sum(line.startswith(b"* BAD ") for line in lines)
        assert tagged + faults <= given.octets.count(b"\n"), (owner.told, lines)
        assert not owner.engine.is_ended or b"* BYE " in owner.sent
    if b"STARTTLS" in given.octets.upper() or b"COMPRESS" in given.octets.upper():
        return  # what is thrown away, or how much is deflated at once, then depends on the cuts
    for other in {WHOLE, OCTETS} - {given.cut}:
        again = hear(given, other)
        assert again.sent == owner.sent
        assert again.messages == owner.messages
        assert _without_octets(again) == _without_octets(owner)


def _without_octets(owner: Owner) -> list[object]:
    """How much of a message is told before it is refused depends on the cuts."""
    return [event for event in owner.told if not isinstance(event, bytearray | events.AppendOctets)]
