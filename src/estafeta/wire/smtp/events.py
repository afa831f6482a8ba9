"""What the server engine tells its owner: one event for each command, each to be answered with a reply.

Only Bdat and Content are not answered.
"""

from __future__ import annotations

from estafeta.mail.catalogue import contents
from estafeta.mail.envelope import Recipient, Sender
from estafeta.mail.reply import Reply
from estafeta.mail.value import value
from estafeta.wire.smtp.data import DataFault

_BAD_DATA = {DataFault.BARE_LINE_END: contents.BARE_LINE_END, DataFault.NUL: contents.NUL}


@value
class Hello:
    """HELO, EHLO or LHLO; `name` is what the client calls itself."""

    verb: str
    name: str


@value
class Mail:
    """MAIL: a transaction is to begin."""

    sender: Sender


@value
class Rcpt:
    """RCPT: one more recipient."""

    recipient: Recipient


@value
class Data:
    """DATA: answered with 354, mail data follows."""


@value
class Bdat:
    """BDAT: a chunk of so many octets follows (RFC 3030 §2). Not answered: its end is."""

    size: int
    is_last: bool


@value
class Burl:
    """BURL: a piece of the content, by its URL (RFC 4468 §3). Answered by `supply`, or refused."""

    url: str
    is_last: bool


@value
class Content:
    """A run of content, dots removed. Not answered."""

    octets: bytes


@value
class EndOfChunk:
    """The end of a chunk that is not the last one."""

    size: int
    """Octets of the content so far."""


@value
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


@value
class FalseEndOfData:
    """Data that ends as no mail data ends: client and server are out of step for good. Answer and close."""


@value
class Rset:
    """RSET."""


@value
class Noop:
    """NOOP."""


@value
class Quit:
    """QUIT."""


@value
class Vrfy:
    """VRFY: does this user or address exist? `smtputf8`: the reply may be in UTF-8 (RFC 6531 §3.7.4.2)."""

    text: str
    smtputf8: bool = False


@value
class Expn:
    """EXPN: who is on this list? `smtputf8`: the reply may be in UTF-8 (RFC 6531 §3.7.4.2)."""

    text: str
    smtputf8: bool = False


@value
class Help:
    """HELP, perhaps with a topic."""

    topic: str


@value
class StartTls:
    """STARTTLS: answered with 220, the owner starts TLS and calls `tls_started`."""


@value
class Auth:
    """AUTH; `response` is the initial response, decoded, None when there was none (RFC 4954 §4)."""

    mechanism: str
    response: bytes | None


@value
class AuthResponse:
    """The client's answer to a 334; None when it cancelled with `*`."""

    response: bytes | None


@value
class Etrn:
    """ETRN: start sending what waits for a host, for `@domain` and all below it, or in `#queue` (RFC 1985 §5)."""

    name: str


@value
class Atrn:
    """ATRN: turn the roles, and send what waits for these domains; none named are all of the client's (RFC 2645)."""

    domains: tuple[str, ...]


@value
class Turn:
    """TURN: turn the roles (RFC 821 §3.8)."""


@value
class Xclient:
    """XCLIENT: the attributes by their names in capitals; None for what the proxy does not know."""

    told: dict[str, str | None]


@value
class Xforward:
    """XFORWARD, with its attributes as XCLIENT has them."""

    told: dict[str, str | None]


@value
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
