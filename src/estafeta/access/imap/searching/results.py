"""Results as they are told: SEARCH, SORT and ESEARCH responses (RFC 9051 §7.3.4, RFC 4731, RFC 5267, RFC 9394)."""

from __future__ import annotations

from collections.abc import Sequence

from estafeta.mail.value import value
from estafeta.wire.imap.searching import Return, Returning, Window
from estafeta.wire.imap.writing import number_set, string


@value
class Results:
    """What was found, in the order in which it is told."""

    uids: Sequence[int]
    numbers: Sequence[int]
    """Message numbers, or the UIDs again where these are told."""
    is_uid: bool
    modseqs: Sequence[int] | None = None
    """Told only where MODSEQ was asked for."""


def within(count: int, window: Window) -> slice:
    """The part of so many results that a window means."""
    if window.first < 0:
        # RFC 9394 §3.1: -1 is the last; -1:-100 the last hundred
        return slice(max(count + window.last, 0), max(count + window.first + 1, 0))
    return slice(window.first - 1, window.last)


def window_text(window: Window) -> bytes:
    """As it was said, the smaller number first."""
    return b"%d:%d" % (window.first, window.last)


def correlator(tag: str) -> bytes:
    """Which command it answers."""
    return b"TAG " + string(tag.encode())


def untagged(name: bytes, results: Results) -> bytes:
    """The SEARCH and SORT responses without RETURN."""
    numbers = " ".join(map(str, results.numbers)).encode()
    line = b"* %b %b" % (name, numbers) if numbers else b"* %b" % name
    if results.modseqs:
        line += b" (MODSEQ %d)" % max(results.modseqs)
    return line + b"\r\n"


def esearch(results: Results, returning: Returning, head: bytes) -> tuple[bytes, list[int]]:
    """The ESEARCH response, and the UIDs that SAVE keeps (RFC 5182 §2.4); `head` has tag and mailbox."""
    numbers, options = results.numbers, returning.options
    words = [b"* ESEARCH (%b)" % head]
    if results.is_uid:
        words.append(b"UID")
    chosen: set[int] | None = set()
    if numbers:
        if Return.MIN in options:
            words.append(b"MIN %d" % numbers[0])
            chosen = _with(chosen, [0])
        if Return.MAX in options:
            words.append(b"MAX %d" % numbers[-1])
            chosen = _with(chosen, [len(numbers) - 1])
    if Return.COUNT in options:
        words.append(b"COUNT %d" % len(numbers))
        chosen = None
    if Return.ALL in options:
        chosen = None
        if numbers:
            words.append(b"ALL " + number_set(numbers))
    if returning.partial is not None:
        part = within(len(numbers), returning.partial)
        found = numbers[part]
        words.append(b"PARTIAL (%b %b)" % (window_text(returning.partial), number_set(found) if found else b"NIL"))
        chosen = _with(chosen, range(len(numbers))[part])
    # RFC 5182 §2.4: without MIN, MAX or PARTIAL everything is kept.
    if not options & {Return.MIN, Return.MAX, Return.PARTIAL}:
        chosen = None
    kept = range(len(numbers)) if chosen is None else sorted(chosen)
    if results.modseqs:
        # RFC 4731 §3.2: of what is told
        words.append(b"MODSEQ %d" % max((results.modseqs[place] for place in kept), default=0))
    return b" ".join(words) + b"\r\n", sorted(results.uids[place] for place in kept)


def _with(chosen: set[int] | None, places: Sequence[int]) -> set[int] | None:
    return None if chosen is None else chosen | set(places)
