"""Reads APPEND and REPLACE, whose messages are never held whole (RFC 9051 §6.3.12, RFC 3502, RFC 4469, RFC 8508).

The command comes in fragments: lines that end in the announcement of a literal, or at the end of the command. Each
is read when it is there, into events; what the literal is comes with it.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from estafeta.mail.value import value
from estafeta.wire.imap import events
from estafeta.wire.imap.commands.append import Append, Replace
from estafeta.wire.imap.numbers import STAR
from estafeta.wire.imap.reading import GrammarError, Reader
from estafeta.wire.imap.session import Session

# literal = "{" number64 ["+"] "}"; literal8 = "~{" number64 ["+"] "}"
_ANNOUNCEMENT = re.compile(rb"~?\{(\d{1,10})\+?\}$")
MAX_PARTS = 1000
"""Messages, and parts of messages, of one command."""


class Announced(Enum):
    """What the literal behind a fragment is."""

    NOTHING = auto()
    """The command is at its end."""
    MESSAGE = auto()
    TEXT = auto()
    """A part of CATENATE."""
    URL = auto()


@value
class Fragment:
    """What a fragment said."""

    given: tuple[events.Event, ...]
    announced: Announced


class AppendReader:
    """Reads one command, a fragment after the other."""

    def __init__(self, session: Session, *, is_replace: bool, is_uid: bool) -> None:
        self._session = session
        self._is_replace = is_replace
        self._is_uid = is_uid
        self._is_begun = False
        self._is_catenating = False
        self._wants_parenthesis = False
        """Behind the literal of UTF8 (~{n})."""
        self._in_message = False
        self._count = 0

    def read(self, octets: bytes) -> Fragment:
        """Read a fragment: of the first one, what stands behind the name of the command. Raises GrammarError."""
        given: list[events.Event] = []
        reader = Reader(octets, self._session)
        if not self._is_begun:
            given.append(self._begin(reader))
            self._is_begun = True
        elif self._in_message:
            self._after_literal(reader, given)
        while True:
            if self._in_message:  # of CATENATE
                announced = self._part(reader, given)
                if announced is not None:
                    return Fragment(tuple(given), announced)
                continue
            if reader.at_end():
                if self._count == 0:
                    raise GrammarError("expected a message")
                given.append(events.AppendEnd())
                return Fragment(tuple(given), Announced.NOTHING)
            if self._is_replace and self._count:
                raise GrammarError("REPLACE takes one message")
            announced = self._message(reader, given)
            if announced is not None:
                return Fragment(tuple(given), announced)

    # append = "APPEND" SP mailbox 1*append-message; replace = "REPLACE" SP seq-number SP mailbox append-message
    def _begin(self, reader: Reader) -> events.Event:
        reader.sp()
        number = 0
        if self._is_replace:
            if self._session.is_uid_only and not self._is_uid:
                raise GrammarError("message numbers are not used any more", "UIDREQUIRED")
            number = STAR if reader.skip(b"*") else reader.nz_number()
            reader.sp()
        mailbox = reader.mailbox()
        return Replace(mailbox, number, self._is_uid) if self._is_replace else Append(mailbox)

    # append-message = [SP flag-list] [SP date-time] SP append-data
    def _message(self, reader: Reader, given: list[events.Event]) -> Announced | None:
        self._counted()
        reader.sp()
        flags: tuple[str, ...] = ()
        if reader.looks_at(b"("):
            flags = reader.flag_list()
            reader.sp()
        internal_at: float | None = None
        if reader.looks_at(b'"'):
            internal_at = reader.date_time()
            reader.sp()
        if any(flag.lower() == "\\recent" for flag in flags):
            raise GrammarError("\\Recent is not a client's to set")
        if reader.skip(b"CATENATE ("):
            given.append(events.AppendMessage(flags, internal_at, None))
            self._in_message = self._is_catenating = True
            return self._part(reader, given)
        is_utf8 = self._is_utf8_next(reader)
        size = self._announced_size(reader)
        given.append(events.AppendMessage(flags, internal_at, size, is_utf8))
        self._in_message = True
        self._wants_parenthesis = is_utf8
        return Announced.MESSAGE

    # cat-part = text-literal / url / utf8-literal; text-literal = "TEXT" SP literal; url = "URL" SP astring
    # RFC 6855 §4: utf8-literal = "UTF8" SP "(" literal8 ")"
    def _part(self, reader: Reader, given: list[events.Event]) -> Announced | None:
        self._counted()
        self._wants_parenthesis = self._is_utf8_next(reader)
        if self._wants_parenthesis or reader.skip(b"TEXT "):
            self._announced_size(reader)
            return Announced.TEXT
        reader.expect(b"URL ")
        if reader.looks_at(b"{"):
            self._announced_size(reader)
            return Announced.URL
        given.append(events.AppendUrl(reader.text()))
        return self._part_after(reader, given)

    def _part_after(self, reader: Reader, given: list[events.Event]) -> Announced | None:
        if reader.skip(b")"):
            self._end_message(given)
            self._is_catenating = False
        else:
            reader.sp()
        return None

    def _after_literal(self, reader: Reader, given: list[events.Event]) -> None:
        if self._wants_parenthesis:
            reader.expect(b")")
            self._wants_parenthesis = False
        if self._is_catenating:
            self._part_after(reader, given)
            return
        self._end_message(given)

    def _end_message(self, given: list[events.Event]) -> None:
        self._in_message = False
        given.append(events.AppendMessageEnd())

    @staticmethod
    def _is_utf8_next(reader: Reader) -> bool:
        if not reader.skip(b"UTF8 ("):
            return False
        if not reader.looks_at(b"~"):
            raise GrammarError("UTF8 takes a literal8")
        return True

    def _announced_size(self, reader: Reader) -> int:
        match = _ANNOUNCEMENT.fullmatch(reader.rest())
        if match is None:
            raise GrammarError("expected a literal")
        return int(match[1])

    def _counted(self) -> None:
        self._count += 1
        if self._count > MAX_PARTS:
            raise GrammarError("too many messages", "LIMIT")
