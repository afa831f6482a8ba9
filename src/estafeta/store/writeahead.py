"""SQLite's write-ahead log, frame by frame, as its file format document describes it.

A frame is held to its checksum by that of the frame before it as it stands in the file, so one that is damaged makes
neither those before it nor those after it doubtful; SQLite would forget all that come after it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from struct import Struct

from estafeta.mail.value import value

PAGE_SIZE = 4096
"""Octets of a page where no header says it: databases of ours were never made otherwise."""

_WAL_HEADER = Struct(">8I")
_FRAME = Struct(">6I")
_LITTLE, _BIG = 0x377F0682, 0x377F0683
_MASK = 0xFFFFFFFF


@value
class Frame:
    """One page in the log."""

    at: int
    """Where its octets begin in the file."""
    page: int
    commit: int
    """Pages of the database after the transaction that this frame ends; 0 for other frames."""
    salts: tuple[int, int]
    is_good: bool
    """Its checksum fits."""


@value
class Log:
    """What is read of a write-ahead log."""

    page_size: int
    frames: list[Frame]
    """Those that count, in their order."""
    damaged: int
    """Frames among them that are damaged."""
    is_headless: bool
    """Its header is damaged: SQLite would take nothing of it."""
    is_torn: bool
    """It ends with a transaction that is not whole: mostly one of which nobody was told that it was done."""

    @property
    def is_damaged(self) -> bool:
        """Committed changes in it are lost, or would be."""
        return bool(self.damaged) or (self.is_headless and bool(self.frames))


def read_log(
    read: Callable[[int, int], bytes], size: int, page_size: int | None = None, *, after: int = 0
) -> Log | None:
    """The log of so many octets; None for one without frames. `read(at, count)` gives octets, fewer at its end.

    `page_size` is what is taken where its header is damaged; `after` so many frames are not looked at.
    """
    header = read(0, 32)
    if len(header) < 32:
        return None
    magic, _, said_size, _, *salts, first, second = _WAL_HEADER.unpack(header)
    order = {_LITTLE: "<", _BIG: ">"}.get(magic)
    is_headless = order is None or _sum(order, header[:24], 0, 0) != (first, second)
    if is_headless:
        order, said_size = "<", page_size or PAGE_SIZE
    assert order is not None
    frames: list[Frame] = []
    begin = 32 + after * (24 + said_size)
    if after:
        first, second = _FRAME.unpack(read(begin - 24 - said_size, 24))[4:]
    for at in range(begin, size - 23 - said_size, 24 + said_size):
        head = read(at, 24)
        page, commit, *salt, one, other = _FRAME.unpack(head)
        # Those of the time before count for nothing, and to sum up 16 MiB of them would take a second.
        is_good = page > 0 and (is_headless or salt == salts)
        if is_good:
            octets = read(at + 24, said_size)
            is_good = _sum(order, octets, *_sum(order, head[:8], first, second)) == (one, other)
        frames.append(Frame(at + 24, page, commit, (salt[0], salt[1]), is_good))
        first, second = one, other
    if is_headless:
        salts = next((list(one.salts) for one in frames if one.is_good), salts)
    return _counting(frames, (salts[0], salts[1]), said_size, is_headless=is_headless)


def _counting(frames: list[Frame], salts: tuple[int, int], page_size: int, *, is_headless: bool) -> Log:
    """Leave out what was written before the log was last begun anew, and the transaction that was never finished."""
    good = [one.is_good and one.salts == salts for one in frames]
    # Behind the last good frame of this time there are only frames of the time before, and the end.
    end = max((number for number, is_good in enumerate(good) if is_good), default=-1) + 1
    broken = good.index(False) if False in good[:end] else end
    commits = [number for number in range(end) if good[number] and frames[number].commit]
    last = commits[-1] + 1 if commits else 0
    is_torn = last < end
    # Each commit was synced before the next was begun: so in what a power failure leaves, no more than one commit
    # comes after frames that did not reach the disk, and nothing after that.
    if broken < last and broken >= (commits[-2] + 1 if len(commits) > 1 else 0) and last == end and not is_headless:
        last, is_torn = (commits[-2] + 1 if len(commits) > 1 else 0), True
    counted = [one if is_good else _bad(one) for one, is_good in zip(frames[:last], good[:last], strict=True)]
    return Log(page_size, counted, good[:last].count(False), is_headless, is_torn)


def _bad(frame: Frame) -> Frame:
    return Frame(frame.at, frame.page, frame.commit, frame.salts, False)


def _sum(order: str, octets: bytes, first: int, second: int) -> tuple[int, int]:
    """The checksum of SQLite's log, begun with two numbers."""
    words = array("I", octets)
    if (order == "<") != (array("I", b"\x01\x00\x00\x00")[0] == 1):
        words.byteswap()
    pairs = iter(words)
    for one, other in zip(pairs, pairs, strict=True):
        first = first + one + second & _MASK
        second = second + other + first & _MASK
    return first, second
