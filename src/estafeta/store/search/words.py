"""Words of folded text: what the index keeps, and what it asks for.

A word is a run of letters and digits of ASCII and of everything beyond ASCII, as SQLite's `ascii` tokenizer reads it.
SEARCH looks for any part of a text, so a question is taken apart into words, each of which may be a part of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum

from estafeta.mail.mime.text import Searchable, folded
from estafeta.mail.value import value

_WORD = re.compile(r"[^\x00-/:-`{-\x7f]+")
"""Letters and digits of ASCII, and all that is beyond it."""
LONGEST = 64
"""Letters of a word that is kept whole; of longer ones overlapping pieces are kept."""
_STRIDE = 32
LONGEST_ASKED = _STRIDE + 1
"""Letters that are surely within one piece of any word."""


class Place(StrEnum):
    """Where words are; the value is the column of the index."""

    SUBJECT = "subject"
    FROM = "author"
    TO = "recipient"
    CC = "cc"
    BCC = "bcc"
    HEADER = "header"
    BODY = "body"


def texts(found: Searchable) -> tuple[str, ...]:
    """The folded text of each place, in the order of `Place`."""
    return tuple(
        folded(text) for text in (found.subject, found.from_, found.to, found.cc, found.bcc, found.header, found.body)
    )


def words(text: str) -> set[str]:
    """The words of a folded text, long ones in pieces."""
    found = set(_WORD.findall(text))
    long = [word for word in found if len(word) > LONGEST]
    for word in long:
        found.discard(word)
        found.update(_pieces(word))
    return found


def _pieces(word: str) -> Iterator[str]:
    for start in range(0, len(word) - _STRIDE, _STRIDE):
        yield word[start : start + LONGEST]


@value
class Question:
    """A text to be found, taken apart."""

    parts: tuple[str, ...]
    """Each is a part of some word of every text that contains the text asked for."""
    is_exact: bool
    """And every text with such a word contains it."""


def question(text: str) -> Question:
    """Take a folded text apart."""
    parts = _WORD.findall(text)
    is_exact = len(parts) == 1 and parts[0] == text and len(text) <= LONGEST_ASKED
    return Question(tuple(dict.fromkeys(part[:LONGEST_ASKED] for part in parts)), is_exact)
