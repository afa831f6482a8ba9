"""What the server engine tells its owner: one event for each command, each to be answered with a reply.

Only Bdat and Content are not answered.
"""

from __future__ import annotations

from dataclasses import dataclass

from estafeta.mail.catalogue import contents
from estafeta.mail.envelope import Recipient, Sender
from estafeta.mail.reply import Reply
from estafeta.wire.smtp.data import DataFault

_BAD_DATA = {DataFault.BARE_LINE_END: contents.BARE_LINE_END, DataFault.NUL: contents.NUL}


@dataclass(frozen=True, slots=True)
class Hello:
    """HELO, EHLO or LHLO; `name` is what the client calls itself."""

    verb: str
    name: str


@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL: a transaction is to begin."""

    sender: Sender


@dataclass(frozen=True, slots=True)
class Rcpt:
    """RCPT: one more recipient."""

    recipient: Recipient


@dataclass(frozen=True, slots=True)
class Data:
    """DATA: answered with 354, mail data follows."""


@dataclass(frozen=True, slots=True)
class Bdat:
    """BDAT: a chunk of so many octets follows (RFC 3030 §2). Not answered: its end is."""

    size: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class Burl:
    """BURL: a piece of the content, by its URL (RFC 4468 §3). Answered by `supply`, or refused."""

    url: str
    is_last: bool


@dataclass(frozen=True, slots=True)
class Content:
    """A run of content, dots removed. Not answered."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class EndOfChunk:
    """The end of a chunk that is not the last one."""

    size: int
    """Octets of the content so far."""


@dataclass(frozen=True, slots=True)
class EndOfData:
    """The final dot, or the end of the last chunk.

    Answered once, or with LMTP once for each accepted recipient (`answer_each`).
    """

    size: int
    has_8bit: bool
    fault: DataFault | None

    @property
    def refusal(self) -> Reply | None:
        """The answer to content with a fault, unless the owner has a stronger one."""
        return None if self.fault is None else _BAD_DATA[self.fault]


@dataclass(frozen=True, slots=True)
class FalseEndOfData:
    """Data that ends as no mail data ends: client and server are out of step for good. Answer and close."""


@dataclass(frozen=True, slots=True)
class Rset:
    """RSET."""


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP."""


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT."""


@dataclass(frozen=True, slots=True)
class Vrfy:
    """VRFY: does this user or address exist? `smtputf8`: the reply may be in UTF-8 (RFC 6531 §3.7.4.2)."""

    text: str
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class Expn:
    """EXPN: who is on this list? `smtputf8`: the reply may be in UTF-8 (RFC 6531 §3.7.4.2)."""

    text: str
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class Help:
    """HELP, perhaps with a topic."""

    topic: str


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS: answered with 220, the owner starts TLS and calls `tls_started`."""


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH; `response` is the initial response, decoded, None when there was none (RFC 4954 §4)."""

    mechanism: str
    response: bytes | None


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """The client's answer to a 334; None when it cancelled with `*`."""

    response: bytes | None


@dataclass(frozen=True, slots=True)
class Etrn:
    """ETRN: start sending what waits for a host, for `@domain` and all below it, or in `#queue` (RFC 1985 §5)."""

    name: str


@dataclass(frozen=True, slots=True)
class Atrn:
    """ATRN: turn the roles, and send what waits for these domains; none named are all of the client's (RFC 2645)."""

    domains: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """TURN: turn the roles (RFC 821 §3.8)."""


@dataclass(frozen=True, slots=True)
class Xclient:
    """XCLIENT: the attributes by their names in capitals; None for what the proxy does not know."""

    told: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Xforward:
    """XFORWARD, with its attributes as XCLIENT has them."""

    told: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Faulty:
    """A command that is wrong in form or order. `reply` is the answer unless the owner has a stronger one.

    `out_of_step` when the client broke the rules of pipelining: answer and close.
    """

    command: str
    reply: Reply
    out_of_step: bool = False


Event = (
    Hello
    | Mail
    | Rcpt
    | Data
    | Bdat
    | Burl
    | Content
    | EndOfChunk
    | EndOfData
    | FalseEndOfData
    | Rset
    | Noop
    | Quit
    | Vrfy
    | Expn
    | Help
    | StartTls
    | Auth
    | AuthResponse
    | Etrn
    | Atrn
    | Turn
    | Xclient
    | Xforward
    | Faulty
)
