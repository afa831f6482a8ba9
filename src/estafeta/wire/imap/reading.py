"""Reads the arguments of a command (RFC 9051 §9). The methods have the names of the grammar.

A command is gathered whole before it is read, its literals within it; only the messages of APPEND are not (see
`appending`). Everything has a limit, and every loop goes forward.
"""

from __future__ import annotations

import re
from calendar import timegm
from datetime import date, datetime

from estafeta.wire.imap import names
from estafeta.wire.imap.numbers import NumberSet
from estafeta.wire.imap.session import Session

MAX_ITEMS = 10_000
"""Of one list, such as the messages of a set: clients with large mailboxes send thousands of ranges."""
MAX_NUMBER = 2**32 - 1
MAX_MODSEQ = 2**63 - 1

# atom = 1*ATOM-CHAR; ATOM-CHAR is any but "(" ")" "{" SP CTL "%" "*" quoted-specials "]"
_ATOM = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")
# astring = 1*ASTRING-CHAR / string; with "]", and leniently with UTF-8
_ASTRING = re.compile(rb"[^\x00-\x20\x7f(){%*\"\\]+")
# list-mailbox = 1*list-char / string; with the wildcards
_LIST_CHARS = re.compile(rb"[^\x00-\x20\x7f(){\"\\]+")
# quoted = DQUOTE *QUOTED-CHAR DQUOTE
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*)"')
_ESCAPE = re.compile(rb'\\(["\\])')
# literal = "{" number64 ["+"] "}" CRLF *CHAR8; literal8 = "~" literal
_LITERAL = re.compile(rb"~?\{(\d{1,10})\+?\}\r\n")
_NUMBER = re.compile(rb"\d{1,19}")
# sequence-set = (seq-number / seq-range) ["," sequence-set] / "$"
_SEQUENCE_SET = re.compile(rb"(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?(?:,(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?)*")
# flag = "\" atom / atom
_FLAG = re.compile(rb"\\?[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")
# date = date-text / DQUOTE date-text DQUOTE; date-text = date-day "-" date-month "-" date-year
_DATE = re.compile(rb'("?)(\d{1,2})-([A-Za-z]{3})-(\d{4})\1')
# date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
_DATE_TIME = re.compile(rb'"([ \d]\d)-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)"')
_MONTHS = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")


class GrammarError(Exception):
    """A command cannot be read; the text and the code are for its client."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class Reader:
    """One command, from after its name; `session` says which forms are right now."""

    __slots__ = ("_at", "_octets", "session")

    def __init__(self, octets: bytes, session: Session, at: int = 0) -> None:
        self._octets = octets
        self._at = at
        self.session = session

    # Where it is.

    @property
    def at(self) -> int:
        """The octets that were read."""
        return self._at

    def rest(self) -> bytes:
        """All that was not read."""
        return self._octets[self._at :]

    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self._at >= len(self._octets)

    def end(self) -> None:
        """Nothing may be left."""
        if not self.at_end():
            raise GrammarError("unexpected text at the end")

    def looks_at(self, octets: bytes) -> bool:
        """Whether these come next; letters in capitals stand for either case."""
        return self._octets[self._at : self._at + len(octets)].upper() == octets

    def skip(self, octets: bytes) -> bool:
        """Read these if they come next."""
        if self.looks_at(octets):
            self._at += len(octets)
            return True
        return False

    def expect(self, octets: bytes) -> None:
        """Read these."""
        if not self.skip(octets):
            raise GrammarError(f"expected {octets.decode()!r}")

    def sp(self) -> None:
        """One blank."""
        if not self.skip(b" "):
            raise GrammarError("missing argument" if self.at_end() else "expected a blank")

    def _match(self, pattern: re.Pattern[bytes], what: str) -> re.Match[bytes]:
        match = pattern.match(self._octets, self._at)
        if match is None:
            raise GrammarError("missing argument" if self.at_end() else f"expected {what}")
        self._at = match.end()
        return match

    # Words.

    def atom(self) -> str:
        """An atom."""
        return self._match(_ATOM, "an atom")[0].decode()

    def word(self, pattern: re.Pattern[bytes], what: str) -> str:
        """What the pattern takes."""
        return self._match(pattern, what)[0].decode()

    def is_digit_next(self) -> bool:
        """Whether a number comes next."""
        return self._octets[self._at : self._at + 1].isdigit()

    def keyword(self) -> str:
        """An atom in upper case."""
        return self.atom().upper()

    def string(self) -> bytes:
        """A quoted string or a literal."""
        if self.looks_at(b'"'):
            return _ESCAPE.sub(rb"\1", self._match(_QUOTED, "a quoted string")[1])
        match = self._match(_LITERAL, "a string")
        size = int(match[1])
        octets = self._octets[self._at : self._at + size]
        if len(octets) < size:
            raise GrammarError("literal is cut off")
        self._at += size
        return octets

    def is_string_next(self) -> bool:
        """Whether a quoted string or a literal comes next."""
        return self._octets[self._at : self._at + 1] in (b'"', b"{") or self.looks_at(b"~{")

    def astring(self) -> bytes:
        """An atom or a string."""
        if self.is_string_next():
            return self.string()
        return self._match(_ASTRING, "a string")[0]

    def nstring(self) -> bytes | None:
        """A string, or None for NIL."""
        if self.is_string_next():
            return self.string()
        if self.skip(b"NIL"):
            return None
        raise GrammarError("expected a string or NIL")

    def text(self) -> str:
        """An astring as text in UTF-8."""
        return self.decoded(self.astring())

    @staticmethod
    def decoded(octets: bytes) -> str:
        """Octets as text in UTF-8, without NUL."""
        if b"\0" in octets:
            raise GrammarError("NUL in a string")
        try:
            return octets.decode()
        except UnicodeDecodeError:
            raise GrammarError("a string is not UTF-8") from None

    # Mailboxes.

    def mailbox(self) -> str:
        """The name of a mailbox; INBOX in capitals, in any case it came in."""
        return self.mailbox_of(self.astring())

    def mailbox_of(self, octets: bytes) -> str:
        """A name out of its form on the wire."""
        name = self.decoded(octets)
        if not self.session.is_utf8 and name.isascii():
            try:
                name = names.decoded(name)
            except names.BadName as error:
                # Not a fault of the command: no mailbox has such a name.
                raise GrammarError(f"a mailbox name is {error}", "NO") from None
        first, slash, rest = name.partition("/")
        return "INBOX" + slash + rest if first.upper() == "INBOX" else name

    def list_mailbox(self) -> str:
        """A pattern of names."""
        octets = self.string() if self.is_string_next() else self._match(_LIST_CHARS, "a pattern")[0]
        name = self.decoded(octets)
        if not self.session.is_utf8 and name.isascii():
            try:
                return names.decoded(name)
            except names.BadName:
                return name  # it matches nothing, or wildcards are within shifted letters
        return name

    # Numbers.

    def number(self, most: int = MAX_NUMBER) -> int:
        """A number from 0."""
        number = int(self._match(_NUMBER, "a number")[0])
        if number > most:
            raise GrammarError("number is too large")
        return number

    def nz_number(self, most: int = MAX_NUMBER) -> int:
        """A number from 1."""
        number = self.number(most)
        if not number:
            raise GrammarError("number must not be 0")
        return number

    def sequence_set(self) -> NumberSet:
        """A set of message numbers or UIDs."""
        if self.skip(b"$"):
            return NumberSet(is_saved=True)
        text = self._match(_SEQUENCE_SET, "a set of numbers")[0]
        parts = text.split(b",")
        if len(parts) > MAX_ITEMS:
            raise GrammarError("too many ranges", "LIMIT")
        ranges = []
        for part in parts:
            first, colon, last = part.partition(b":")
            low = self._seq_number(first)
            ranges.append((low, self._seq_number(last) if colon else low))
        return NumberSet(tuple(ranges))

    @staticmethod
    def _seq_number(text: bytes) -> int:
        if text == b"*":
            return 0
        number = int(text)
        if not 0 < number <= MAX_NUMBER:
            raise GrammarError("a message number is from 1 to 4294967295")
        return number

    def is_sequence_next(self) -> bool:
        """Whether a set of numbers comes next."""
        return self._octets[self._at : self._at + 1].isdigit() or self.looks_at(b"*") or self.looks_at(b"$")

    # Flags, dates.

    def flag(self) -> str:
        """A flag or keyword."""
        return self._match(_FLAG, "a flag")[0].decode()

    def flag_list(self) -> tuple[str, ...]:
        """Flags in parentheses."""
        self.expect(b"(")
        # More than RFC 9051 §9 has: Dovecot 2.3 writes `( $Label1)` when it moves messages to another server.
        self.skip(b" ")
        found: list[str] = []
        while not self.skip(b")"):
            if found:
                self.sp()
            found.append(self.flag())
            self.limit(found)
        return tuple(found)

    def date(self) -> date:
        """A day."""
        _, day, month, year = self._match(_DATE, "a date such as 1-Feb-2026").groups()
        try:
            return date(int(year), _month(month), int(day))
        except ValueError:
            raise GrammarError("there is no such day") from None

    def date_time(self) -> float:
        """An instant, in seconds since 1970."""
        match = self._match(_DATE_TIME, "a date and time")
        day, month, year, hour, minute, second, sign, hours, minutes = match.groups()
        try:
            at = datetime(int(year), _month(month), int(day), int(hour), int(minute), min(int(second), 59))
        except ValueError:
            raise GrammarError("there is no such time") from None
        offset = int(hours) * 3600 + int(minutes) * 60
        return float(timegm(at.timetuple()) - (offset if sign == b"+" else -offset))

    @staticmethod
    def limit(found: list[object] | list[str]) -> None:
        """Lists have an end."""
        if len(found) > MAX_ITEMS:
            raise GrammarError("too many items", "LIMIT")


def _month(name: bytes) -> int:
    try:
        return _MONTHS.index(name.lower()) + 1
    except ValueError:
        raise ValueError("no month") from None
