"""Whatever messages say of one another: each is in one conversation, once, whichever way they are threaded, in lists
that are closed as they were opened, the same each time, and a thousand copies take time in proportion."""

from __future__ import annotations

import re

from tests.fuzz.inputs import Input, Program, in_time

from estafeta.access.imap.searching.conversations import Threaded, ordered_subject, references

COPIES = 0
"""Flag: all of it a hundred times, with ids of each copy's own, and its first message referring to the copy before."""
_NUMBERS = re.compile(rb"\d+")
MOST = 40


def messages_of(octets: bytes, copies: int) -> list[Threaded]:
    """Each is the number of its id and of its subject, its date, and the numbers of up to seven that it refers to."""
    program = Program(octets)
    told: list[tuple[int, int, int, bytes]] = []
    while program and len(told) < MOST:
        own, subject, at, count = (program.number() for _ in range(4))
        told.append((own, subject, at, program.octets(count & 7)))
    found: list[Threaded] = []
    for copy in range(copies):
        for place, (own, subject, at, referred) in enumerate(told):
            ids = [f"{number & 15}.{copy - (number >> 7)}" for number in referred]
            if copy and not place:
                ids.append(f"{own & 15}.{copy - 1}")
            name = f"{own & 15}.{copy}" if own < 240 else ""
            text = chr(97 + (subject & 7)) if subject < 240 else ""
            found.append(Threaded(len(found) + 1, float(at), text, bool(subject & 8), name, tuple(ids)))
    return found


def check(told: bytes, messages: list[Threaded]) -> None:
    """Every number once, in lists."""
    assert sorted(map(int, _NUMBERS.findall(told))) == [each.number for each in messages]
    depth = 0
    for letter in told:
        depth += (letter == 0x28) - (letter == 0x29)
        assert depth >= 0
    assert depth == 0 and b"()" not in told and b"( " not in told


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    messages = messages_of(given.octets, 100 if given.has(COPIES) else 1)
    with in_time(2.5):
        threads, subjects = references(messages), ordered_subject(messages)
    check(threads, messages)
    check(subjects, messages)
    assert references(messages) == threads
