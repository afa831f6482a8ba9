"""What is said between an SMTP or LMTP client and its server: the commands, when each is legal, the events.

`ClientEngine` holds to it, and tells its owner the events (RFC 5321, 2033, 2920).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

from estafeta.mail.envelope import Recipient
from estafeta.mail.reply import Reply
from estafeta.mail.value import value


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
    BDAT = "BDAT"
    """A chunk of content that is not the last one."""
    CONTENT = "content"
    """The final dot, or the last chunk."""
    RSET = "RSET"
    NOOP = "NOOP"
    VRFY = "VRFY"
    EXPN = "EXPN"
    HELP = "HELP"
    ETRN = "ETRN"
    ATRN = "ATRN"
    TURN = "TURN"
    XCLIENT = "XCLIENT"
    XFORWARD = "XFORWARD"
    QUIT = "QUIT"

    __hash__ = str.__hash__  # Enum's own is written in Python, and verbs are looked up for each command


# RFC 2920 §3.1: these may stand inside a group; all others end one. (The content may begin a group.) RFC 3030 §2
# has chunks in the pipeline behind a failed one.
GROUPABLE: Final = frozenset({Verb.MAIL, Verb.RCPT, Verb.RSET, Verb.BDAT, Verb.CONTENT})
HELLOS: Final = frozenset({Verb.EHLO, Verb.HELO, Verb.LHLO})


class Phase(StrEnum):
    """Where the session stands, all that was sent being taken for granted."""

    CONNECTED = "before the greeting"
    GREETED = "before EHLO"
    READY = "outside a transaction"
    TRANSACTION = "inside a transaction"
    CONTENT = "before the content"
    CHUNKS = "between chunks of content"
    SENT = "behind the last chunk"
    SECURING = "before the TLS handshake"
    CLOSED = "closed"

    __hash__ = str.__hash__


# Which verb is legal in which phase (RFC 5321 §4.1.4, RFC 3030 §2). The content is the last chunk outside of CONTENT.
LEGAL: Final[dict[Verb, frozenset[Phase]]] = {
    Verb.EHLO: frozenset({Phase.GREETED, Phase.READY}),
    Verb.HELO: frozenset({Phase.GREETED, Phase.READY}),
    Verb.LHLO: frozenset({Phase.GREETED, Phase.READY}),
    Verb.STARTTLS: frozenset({Phase.READY}),
    Verb.AUTH: frozenset({Phase.READY}),
    Verb.MAIL: frozenset({Phase.READY}),
    Verb.RCPT: frozenset({Phase.TRANSACTION}),
    Verb.DATA: frozenset({Phase.TRANSACTION}),
    Verb.BDAT: frozenset({Phase.TRANSACTION, Phase.CHUNKS}),
    Verb.CONTENT: frozenset({Phase.CONTENT, Phase.TRANSACTION, Phase.CHUNKS}),
    Verb.RSET: frozenset({Phase.GREETED, Phase.READY, Phase.TRANSACTION, Phase.CHUNKS, Phase.SENT}),
    Verb.NOOP: frozenset({Phase.GREETED, Phase.READY, Phase.TRANSACTION, Phase.CHUNKS, Phase.SENT}),
    Verb.VRFY: frozenset({Phase.READY, Phase.TRANSACTION}),
    Verb.EXPN: frozenset({Phase.READY, Phase.TRANSACTION}),
    Verb.HELP: frozenset({Phase.GREETED, Phase.READY, Phase.TRANSACTION}),
    Verb.ETRN: frozenset({Phase.READY}),
    Verb.ATRN: frozenset({Phase.READY}),
    Verb.TURN: frozenset({Phase.READY}),
    Verb.XCLIENT: frozenset({Phase.READY}),
    Verb.XFORWARD: frozenset({Phase.READY}),
    Verb.QUIT: frozenset({Phase.GREETED, Phase.READY, Phase.TRANSACTION, Phase.CHUNKS, Phase.SENT}),
}


@value
class Command:
    """A command that was sent. `recipient` is set for RCPT, and for the content with LMTP."""

    verb: Verb
    recipient: Recipient | None = None


@value
class Greeted:
    """The server's first reply. Where it is not positive, only `quit` may follow (RFC 5321 §3.1)."""

    reply: Reply


@value
class Answered:
    """A command has its reply."""

    command: Command
    reply: Reply


@value
class Challenged:
    """AUTH goes on: send what `answer` gives."""


@value
class Closing:
    """421: the server closes the connection (RFC 5321 §3.8). `unanswered` commands will not be answered."""

    reply: Reply
    unanswered: tuple[Command, ...]


@value
class Ended:
    """The octets ended. `unanswered` commands were not answered; empty after a proper QUIT."""

    unanswered: tuple[Command, ...]


Event: TypeAlias = Greeted | Answered | Challenged | Closing | Ended
