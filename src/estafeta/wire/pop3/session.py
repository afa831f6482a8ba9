"""What the commands see of a session, and the two shapes of their own answers (RFC 1939 §3, §4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from estafeta.mail.value import value
from estafeta.wire.pop3.events import Event
from estafeta.wire.pop3.maildrop import Maildrop


class State(StrEnum):
    """The states of RFC 1939 §3."""

    AUTHORIZATION = "AUTHORIZATION"
    TRANSACTION = "TRANSACTION"
    UPDATE = "UPDATE"


class Code(StrEnum):
    """Response codes (RFC 2449 §8, RFC 3206 §4 and §5, RFC 6856 §5)."""

    IN_USE = "IN-USE"
    LOGIN_DELAY = "LOGIN-DELAY"
    AUTH = "AUTH"
    SYS_TEMP = "SYS/TEMP"
    # Not done of RFC 3206 §4: SYS/PERM is never given, for what fails here may be mended.
    SYS_PERM = "SYS/PERM"
    UTF8 = "UTF8"


@value
class Offer:
    """What this client is offered; it changes with TLS, so the owner makes a new one then."""

    mechanisms: tuple[str, ...] = ()
    """SASL mechanisms, best first."""
    user: bool = False
    """USER and PASS."""
    stls: bool = False
    """STLS (RFC 2595 §4)."""
    utf8: bool = True
    """UTF8 USER (RFC 6856 §2)."""
    implementation: str = "Estafeta"
    """For IMPLEMENTATION (RFC 2449 §6.9); without a version, which would only help an attacker."""


@dataclass(slots=True)
class Session:
    """The state of one session."""

    offer: Offer
    state: State = State.AUTHORIZATION
    is_secure: bool = False
    user: str | None = None
    """What USER said, until PASS takes it."""
    is_utf8: bool = False
    """The client said UTF8."""
    maildrop: Maildrop = field(default_factory=Maildrop)


@value
class Positive:
    """+OK with its text, and the lines that follow for a multi-line answer."""

    text: str = ""
    lines: Iterable[str] | None = None

    def encode(self) -> bytes:
        """The answer as octets; no line that we make begins with a dot, so none is stuffed."""
        first = f"+OK {self.text}" if self.text else "+OK"
        if self.lines is None:
            return f"{first}\r\n".encode()
        return "\r\n".join((first, *self.lines, ".", "")).encode()


@value
class Negative:
    """-ERR with its text, and a response code where there is one."""

    text: str
    code: Code | None = None

    def encode(self) -> bytes:
        """The answer as octets."""
        return (f"-ERR [{self.code}] {self.text}\r\n" if self.code else f"-ERR {self.text}\r\n").encode()


Answer = Positive | Negative
Reader = Callable[[Session, bytes | None], Answer | Event]


@value
class Command:
    """One command: where it is legal, what it takes (ABNF), what it gives.

    `read` raises grammar.GrammarError (a fault of the client) or maildrop.NoSuchMessage.
    """

    name: str
    states: frozenset[State]
    arguments: str
    read: Reader


AUTHORIZATION = frozenset({State.AUTHORIZATION})
TRANSACTION = frozenset({State.TRANSACTION})
BOTH = AUTHORIZATION | TRANSACTION
