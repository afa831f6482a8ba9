"""The keys of SEARCH as a tree, and what of the result is asked for (RFC 9051 §6.4.4 and its extensions)."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from estafeta.mail.value import value
from estafeta.wire.imap.numbers import NumberSet


@value
class And:
    """All of these; without any: ALL."""

    keys: tuple[Key, ...]


@value
class Or:
    """One of two."""

    first: Key
    second: Key


@value
class Not:
    """What does not match the key."""

    key: Key


@value
class Flag:
    """A flag or keyword is set: ANSWERED, SEEN ..., KEYWORD; the others are Not(Flag). `\\Recent` for RECENT.

    NEW is And(Flag(\\Recent), Not(Flag(\\Seen))), OLD is Not(Flag(\\Recent)).
    """

    name: str


class Where(StrEnum):
    """Where a text is looked for."""

    FROM = "FROM"
    TO = "TO"
    CC = "CC"
    BCC = "BCC"
    SUBJECT = "SUBJECT"
    BODY = "BODY"
    TEXT = "TEXT"
    """Header section or body."""


@value
class Contains:
    """A text is in a field or the body; decoded from the charset of the command."""

    where: Where
    text: str


@value
class HasField:
    """HEADER name text; the empty text matches each message that has the field."""

    name: str
    text: str


class Which(StrEnum):
    """Which date of a message."""

    INTERNAL = "INTERNALDATE"
    SENT = "SENT"
    SAVED = "SAVED"


class When(StrEnum):
    """How it lies to the day that is named."""

    BEFORE = "BEFORE"
    ON = "ON"
    SINCE = "SINCE"


@value
class Dated:
    """BEFORE, ON, SINCE, SENTBEFORE ..., SAVEDBEFORE ...: days without regard of time and zone."""

    which: Which
    when: When
    day: date


@value
class SaveDateSupported:
    """SAVEDATESUPPORTED (RFC 8514 §4.3)."""


@value
class Aged:
    """OLDER and YOUNGER (RFC 5032), by INTERNALDATE."""

    seconds: int
    is_older: bool


@value
class Sized:
    """LARGER and SMALLER, in octets; neither takes the size itself."""

    octets: int
    is_larger: bool


@value
class Numbered:
    """A sequence-set: message numbers, or UIDs for `UID set`; `$` is the saved result either way."""

    numbers: NumberSet
    is_uid: bool


@value
class Modified:
    """MODSEQ (RFC 7162 §3.1.5); the entry name and type are read and mean nothing more."""

    modseq: int


@value
class Identified:
    """EMAILID and THREADID (RFC 8474 §6)."""

    is_thread: bool
    object_id: str


@value
class Filtered:
    """FILTER name (RFC 5466)."""

    name: str


Key = (
    And | Or | Not | Flag | Contains | HasField | Dated | SaveDateSupported | Aged | Sized | Numbered | Modified
    | Identified | Filtered
)  # fmt: skip


class Return(StrEnum):
    """Result options (RFC 9051 §6.4.4, RFC 5267, RFC 9394)."""

    MIN = "MIN"
    MAX = "MAX"
    ALL = "ALL"
    COUNT = "COUNT"
    SAVE = "SAVE"
    UPDATE = "UPDATE"
    CONTEXT = "CONTEXT"
    PARTIAL = "PARTIAL"


@value
class Window:
    """PARTIAL first:last, counted from 1; both negative: counted from the end (RFC 9394 §3.1)."""

    first: int
    last: int


@value
class Returning:
    """RETURN (...): `None` for a command without it; `RETURN ()` is ALL."""

    options: frozenset[Return]
    partial: Window | None = None


class SortKey(StrEnum):
    """What SORT orders by (RFC 5256 §3, RFC 5957)."""

    ARRIVAL = "ARRIVAL"
    CC = "CC"
    DATE = "DATE"
    FROM = "FROM"
    SIZE = "SIZE"
    SUBJECT = "SUBJECT"
    TO = "TO"
    DISPLAYFROM = "DISPLAYFROM"
    DISPLAYTO = "DISPLAYTO"


@value
class Criterion:
    """One sort criterion."""

    key: SortKey
    is_reverse: bool = False
