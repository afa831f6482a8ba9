"""How an operator has the replies worded: in another language, or in words of his own.

Codes and status codes stay what they are. What a server sends to hosts of any kind is ASCII (RFC 6531 §3.7 allows
UTF-8 in few places), so the accents of the Spanish texts are left out.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum

from estafeta.mail.catalogue import ENTRIES
from estafeta.mail.catalogue.entry import Entry, places_of
from estafeta.mail.reply import Reply

MAX_LINE = 512
"""Octets of a line of a reply with its code and CRLF (RFC 5321 §4.5.3.1.5)."""
_MARGIN = len("500-") + len("\r\n")

_PRINTABLE = re.compile(r"[ -~]*")


class Language(StrEnum):
    """The languages of the catalogue."""

    ENGLISH = "en"
    """English."""
    SPANISH = "es"
    """Spanish, without its accents."""


class Wording:
    """The texts that take the place of the English ones."""

    __slots__ = ("_forms", "_replies")

    def __init__(self, language: Language, texts: Mapping[str, str]) -> None:
        """`texts` are an operator's own, by key; `fault_in` finds nothing wrong with them."""
        self._replies: dict[str, Reply] = {}
        self._forms: dict[str, tuple[str, int]] = {}
        for key, entry in ENTRIES.items():
            text = texts.get(key) or (plain(entry.spanish) if language is Language.SPANISH else entry.english)
            if text == entry.english:
                continue
            if entry.places:
                self._forms[key] = text, entry.english.count("\n") + 1
            else:
                self._replies[key] = Reply(entry.code, entry.status, tuple(text.split("\n")), key)

    @staticmethod
    def of_settings(language: Language, texts: Mapping[str, str]) -> Wording | None:
        """None where all is as it is in the catalogue."""
        return Wording(language, texts) if texts or language is not Language.ENGLISH else None

    def of(self, reply: Reply) -> Reply:
        """The reply in these words; lines behind those of the catalogue's text stay."""
        worded = self._replies.get(reply.key)
        if worded is not None:
            return worded
        form = self._forms.get(reply.key)
        if form is None or reply.values is None:
            return reply
        text, lines = form
        said = (*text.format_map(reply.values).split("\n"), *reply.lines[lines:])
        return Reply(reply.code, reply.status, said, reply.key, reply.values)


def plain(text: str) -> str:
    """The text in ASCII: letters without their accents."""
    return "".join(each for each in unicodedata.normalize("NFKD", text) if each.isascii())


def fault_in(key: str, text: str) -> tuple[str, str] | None:
    """What is wrong with an operator's own text, and what to do about it; None where nothing is."""
    entry = ENTRIES.get(key)
    if entry is None:
        near = difflib.get_close_matches(key, ENTRIES, n=3, cutoff=0.5)
        return "is not a reply", f"Did you mean {' or '.join(near)}?" if near else "See the page of replies."
    if entry.is_data:
        return "cannot be worded: programs read it", "Take it out."
    if not text.strip() or not _PRINTABLE.fullmatch(text):
        return "is not a line of printable ASCII", "Write one line of text without accents."
    return _fault_in_places(entry, text) or _fault_in_length(entry, text)


def _fault_in_places(entry: Entry, text: str) -> tuple[str, str] | None:
    known = " and ".join(f"{{{name}}}" for name in entry.places)
    remedy = f"This reply has {known}." if known else "This reply has no places: write it without braces."
    try:
        unknown = [name for name in places_of(text) if name not in entry.places]
    except ValueError:
        return "has braces that hold no name", remedy
    if unknown:
        return f"has a place {{{unknown[0]}}} that the reply does not have", remedy
    # RFC 5321 §4.2: a client reads the name of the host behind 220, and behind the 250 to its greeting
    if entry.key in ("greeting", "hello") and not re.match(r"\{hostname\}(?: |$)", text):
        return "does not begin with {hostname}", "Begin it with {hostname} and a blank: clients read the name there."
    return None


def _fault_in_length(entry: Entry, text: str) -> tuple[str, str] | None:
    room = MAX_LINE - _MARGIN - (len(str(entry.status)) + 1 if entry.status else 0)
    room -= sum(entry.most(name) for name in places_of(text))
    length = len(re.sub(r"\{\w+\}", "", text))
    if length > room:
        return f"is too long by {length - room} characters", f"A line of a reply has {MAX_LINE} octets at most."
    return None
