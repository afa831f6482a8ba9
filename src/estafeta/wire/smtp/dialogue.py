"""What is said between an SMTP or LMTP client and its server: the commands, when each is legal, the events.

`ClientEngine` holds to it, and tells its owner the events (RFC 5321, 2033, 2920).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from estafeta.mail.address import ForwardPath
from estafeta.mail.reply import Reply


class Verb(StrEnum):
    """What a reply can be an answer to."""

    EHLO = "EHLO"
    HELO = "HELO"
    LHLO = "LHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "content"
    """The final dot."""
    RSET = "RSET"
    NOOP = "NOOP"
    VRFY = "VRFY"
    EXPN = "EXPN"
    HELP = "HELP"
    QUIT = "QUIT"


# RFC 2920 §3.1: these may stand inside a group; all others end one. (The content may begin a group.)
GROUPABLE: Final = frozenset({Verb.MAIL, Verb.RCPT, Verb.RSET, Verb.CONTENT})
HELLOS: Final = frozenset({Verb.EHLO, Verb.HELO, Verb.LHLO})


class Phase(StrEnum):
    """Where the session stands, all that was sent being taken for granted."""

    CONNECTED = "before the greeting"
    GREETED = "before EHLO"
    READY = "outside a transaction"
    TRANSACTION = "inside a transaction"
    CONTENT = "before the content"
    SECURING = "before the TLS handshake"
    CLOSED = "closed"


# Which verb is legal in which phase (RFC 5321 §4.1.4).
LEGAL: Final[dict[Verb, frozenset[Phase]]] = {
    Verb.EHLO: frozenset({Phase.GREETED, Phase.READY}),
    Verb.HELO: frozenset({Phase.GREETED, Phase.READY}),
    Verb.LHLO: frozenset({Phase.GREETED, Phase.READY}),
    Verb.STARTTLS: frozenset({Phase.READY}),
    Verb.AUTH: frozenset({Phase.READY}),
    Verb.MAIL: frozenset({Phase.READY}),
    Verb.RCPT: frozenset({Phase.TRANSACTION}),
    Verb.DATA: frozenset({Phase.TRANSACTION}),
    Verb.CONTENT: frozenset({Phase.CONTENT}),
    Verb.RSET: frozenset({Phase.GREETED, Phase.READY, Phase.TRANSACTION}),
    Verb.NOOP: frozenset({Phase.GREETED, Phase.READY, Phase.TRANSACTION}),
    Verb.VRFY: frozenset({Phase.READY, Phase.TRANSACTION}),
    Verb.EXPN: frozenset({Phase.READY, Phase.TRANSACTION}),
    Verb.HELP: frozenset({Phase.GREETED, Phase.READY, Phase.TRANSACTION}),
    Verb.QUIT: frozenset({Phase.GREETED, Phase.READY, Phase.TRANSACTION}),
}


@dataclass(frozen=True, slots=True)
class Command:
    """A command that was sent. `forward_path` is set for RCPT, and for the final dot with LMTP."""

    verb: Verb
    forward_path: ForwardPath | None = None


@dataclass(frozen=True, slots=True)
class Greeted:
    """The server's first reply. Where it is not positive, only `quit` may follow (RFC 5321 §3.1)."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Answered:
    """A command has its reply."""

    command: Command
    reply: Reply


@dataclass(frozen=True, slots=True)
class Challenged:
    """AUTH goes on: send what `answer` gives."""


@dataclass(frozen=True, slots=True)
class Closing:
    """421: the server closes the connection (RFC 5321 §3.8). `unanswered` commands will not be answered."""

    reply: Reply
    unanswered: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """The octets ended. `unanswered` commands were not answered; empty after a proper QUIT."""

    unanswered: tuple[Command, ...]


Event: TypeAlias = Greeted | Answered | Challenged | Closing | Ended
