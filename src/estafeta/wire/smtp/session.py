"""The state of one SMTP session on the server's side, and the records that verbs and extensions are made of.

The phase is derived from what there is (RFC 5321 §4.1.4): nothing is kept in step. The transaction is one
object that is dropped whole by RSET, by a new greeting and at the end of data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Generic, TypeVar

from estafeta.mail.catalogue import orders
from estafeta.mail.envelope import Recipient, Sender
from estafeta.mail.reply import Reply
from estafeta.mail.value import value
from estafeta.mail.wording import Wording
from estafeta.wire.smtp.data import ChunkReader, DataReader, Skipper
from estafeta.wire.smtp.events import Event


class Phase(Enum):
    """Where a session stands."""

    GREETED = "greeted"
    """Our 220 was sent; the client has not said its name."""
    READY = "ready"
    """No transaction is open."""
    MAIL = "mail"
    """A transaction without recipients."""
    RCPT = "rcpt"
    """A transaction with recipients."""
    CHUNKS = "chunks"
    """A transaction whose content has begun to come by BDAT."""

    __hash__ = object.__hash__  # Enum's own is written in Python


# A member of an enum is found ten times as fast by a name of the module as by its class, at 0.1 us each.
_GREETED, _READY, _MAIL, _RCPT, _CHUNKS = Phase


@dataclass(frozen=True, slots=True, eq=False)
class ServerOptions:
    """What one listener's sessions offer. Sizes in octets.

    They are made once a listener and kind of client, and told apart by identity.
    """

    hostname: str
    lmtp: bool = False
    message_size: int = 50 * 1024 * 1024
    command_line: int = 4096
    auth_line: int = 12288
    smtputf8: bool = True
    starttls: bool = False
    """A certificate is there and STARTTLS is offered until TLS is on."""
    mechanisms: tuple[str, ...] = ()
    """SASL mechanisms offered over TLS; none without authentication."""
    insecure_mechanisms: tuple[str, ...] = ()
    """SASL mechanisms offered before TLS (loopback, or where the operator says so)."""
    vrfy: bool = True
    expn: bool = True
    chunking: bool = True
    """CHUNKING and BINARYMIME are offered (RFC 3030)."""
    burl: bool = False
    """BURL is offered (RFC 4468)."""
    dsn: bool = True
    """DSN is offered (RFC 3461)."""
    recipients: int | None = None
    """Recipients in one transaction, as LIMITS announces it (RFC 9422)."""
    transactions: int | None = None
    """Transactions in one session, as LIMITS announces it."""
    no_soliciting: tuple[str, ...] | None = None
    """NO-SOLICITING is offered, with the kinds of solicitation that nobody here wants (RFC 3865)."""
    requiretls: bool = True
    """REQUIRETLS is offered over TLS (RFC 8689)."""
    screens: bool = False
    """SEND, SOML and SAML are offered (RFC 821 §3.4)."""
    etrn: bool = False
    """ETRN is offered (RFC 1985)."""
    atrn: bool = False
    """ATRN is offered, to be used after a login (RFC 2645)."""
    turn: bool = False
    """TURN is known after a login (RFC 821 §3.8)."""
    deliver_by: int | None = None
    """DELIVERBY is offered, with the least seconds that BY may ask for with R; 0 for any (RFC 2852)."""
    hold_for: int = 0
    """FUTURERELEASE is offered: seconds for which mail is held at most (RFC 4865); 0 where it is not."""
    hold_until: Callable[[], datetime] | None = None
    """Until when: so many seconds from now; None where mail is not held."""
    priority_policy: str | None = None
    """MT-PRIORITY is offered, with the name of the policy that EHLO tells; "" for none told (RFC 6710)."""
    refuse_early_commands: bool = True
    """Refuse input that is waiting behind a command that must be the last of a group (RFC 2920 §3.1)."""
    xclient: bool | None = None
    """XCLIENT is offered; False for a client that may not say it, None where nobody may."""
    xforward: bool | None = None
    """XFORWARD, likewise."""
    repairs_line_ends: bool = False
    """A bare LF ends lines, and mail data, as CRLF does; chunks cannot be offered then."""
    bare_addresses: bool = False
    """Addresses without angle brackets are read in MAIL and RCPT."""
    wording: Wording | None = None
    """Other words for the replies; None for those of the catalogue."""


@dataclass(slots=True)
class Transaction:
    """One mail object in the making."""

    sender: Sender
    recipients: list[Recipient] = field(default_factory=list)
    chunks: ChunkReader | None = None
    """Its content, when it comes by BDAT."""
    has_rejected: bool = False
    """A recipient was refused for ever."""
    has_deferred: bool = False
    """A recipient was refused for now."""


@dataclass(slots=True)
class Session:
    """What verbs read and change."""

    options: ServerOptions
    hello: str | None = None
    """The client's name of itself."""
    is_extended: bool = False
    """EHLO or LHLO was said."""
    is_secure: bool = False
    is_authenticated: bool = False
    transaction: Transaction | None = None
    reader: DataReader | ChunkReader | Skipper | None = None
    """Who takes what arrives, while it is no commands."""
    reads_auth: bool = False
    """An authentication exchange is open: the next line is its response."""
    starts_tls: bool = False
    """STARTTLS was answered with 220: nothing more is read until TLS is on."""
    has_turned: bool = False
    """ATRN or TURN was answered with 250: the client is the server now, and nothing more is read here."""
    is_ended: bool = False

    @property
    def phase(self) -> Phase:
        """Derived from what there is."""
        transaction = self.transaction
        if transaction is None:
            return _GREETED if self.hello is None else _READY
        if transaction.chunks is not None:
            return _CHUNKS
        return _RCPT if transaction.recipients else _MAIL

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms offered now; none once authenticated (RFC 4954 §4)."""
        if self.is_authenticated:
            return ()
        return self.options.mechanisms if self.is_secure else self.options.insecure_mechanisms


ANY_PHASE = frozenset(Phase)


@value
class Verb:
    """One command: where it is legal, how it is read, and what a positive reply changes."""

    name: str
    syntax: str
    """As HELP shows it."""
    phases: frozenset[Phase]
    parse: Callable[[Session, bytes], Event]
    """Reads the argument; raises grammar.Fault."""
    proceed: Callable[[Session, Event], None]
    """Called after a positive reply."""
    out_of_order: Reply | None = None
    """The reply in a phase where it is illegal, if another than the plain 503."""
    ends_group: bool = False
    """Must be the last of a pipelined group (RFC 2920 §3.1)."""
    turns_roles: bool = False
    """What stands behind it would be lost: it is out of step, whatever `refuse_early_commands` says."""
    is_offered: Callable[[Session], bool] | None = None
    """Whether this session knows the verb, else 502; None for verbs that all sessions know."""
    followed_by: Callable[[bytes], int | None] | None = None
    """The octets that follow the line, by its argument, whatever the reply will be; None when nobody knows."""


Fields = TypeVar("Fields", Sender, Recipient)


@value
class Parameter(Generic[Fields]):
    """A parameter of MAIL (fields of Sender) or RCPT (fields of Recipient): one reader, one writer for both sides."""

    keyword: str
    read: Callable[[Session, str | None], dict[str, object]]
    """From the value to fields; raises grammar.Fault."""
    write: Callable[[Fields, bool], str | None]
    """From all fields to the parameter with its keyword, None where there is nothing to say; the flag says that
    MAIL has SMTPUTF8 (RFC 6531 §3.4)."""
    form: str
    """The value in words."""
    octets: int
    """By how much it may lengthen the command line, with the blank before it (RFC 5321 §2.2.2)."""


@value
class Extension:
    """A service extension as RFC 5321 §2.2.2 asks for its registration."""

    keyword: str
    rfc: str
    offer: Callable[[Session], str | None]
    """The EHLO line now, keyword and parameters, or None where it is not offered."""
    verbs: tuple[str, ...] = ()
    """The verbs that it brings."""
    mail_parameters: tuple[Parameter[Sender], ...] = ()
    rcpt_parameters: tuple[Parameter[Recipient], ...] = ()


def turn_roles(session: Session, event: Event) -> None:
    """The `proceed` of the verbs after which the client is the server."""
    session.has_turned = True


def without_recipients(session: Session) -> Reply:
    """The reply to DATA or BDAT when no recipient was accepted (RFC 5321 §3.3; always 503 in RFC 2033 §4.2)."""
    transaction = None if session.options.lmtp else session.transaction
    if transaction is not None and transaction.has_rejected and not transaction.has_deferred:
        return orders.ALL_RECIPIENTS_REFUSED
    return orders.NO_RECIPIENTS


def unchanged(session: Session, event: Event) -> None:
    """The `proceed` of verbs whose positive reply changes nothing."""
