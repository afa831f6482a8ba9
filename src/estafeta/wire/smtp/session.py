"""The state of one SMTP session on the server's side, and the records that verbs and extensions are made of.

The phase is derived from what there is (RFC 5321 §4.1.4): nothing is kept in step. The transaction is one
object that is dropped whole by RSET, by a new greeting and at the end of data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from estafeta.mail.envelope import Recipient, Sender
from estafeta.mail.reply import Reply
from estafeta.wire.smtp.data import DataReader
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


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What one listener's sessions offer. Sizes in octets."""

    hostname: str
    lmtp: bool = False
    message_size: int = 50 * 1024 * 1024
    command_line: int = 2048
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
    requiretls: bool = True
    """REQUIRETLS is offered over TLS (RFC 8689)."""
    etrn: bool = False
    """ETRN is offered (RFC 1985)."""
    atrn: bool = False
    """ATRN is offered, to be used after a login (RFC 2645)."""
    turn: bool = False
    """TURN is known after a login (RFC 821 §3.8)."""
    refuse_early_commands: bool = True
    """Refuse input that is waiting behind a command that must be the last of a group (RFC 2920 §3.1)."""


@dataclass(slots=True)
class Transaction:
    """One mail object in the making."""

    sender: Sender
    recipients: list[Recipient] = field(default_factory=list)
    data: DataReader | None = None


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
        if self.transaction is not None:
            return Phase.RCPT if self.transaction.recipients else Phase.MAIL
        return Phase.GREETED if self.hello is None else Phase.READY

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms offered now; none once authenticated (RFC 4954 §4)."""
        if self.is_authenticated:
            return ()
        return self.options.mechanisms if self.is_secure else self.options.insecure_mechanisms


ANY_PHASE = frozenset(Phase)


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Extension:
    """A service extension as RFC 5321 §2.2.2 asks for its registration."""

    keyword: str
    rfc: str
    offer: Callable[[Session], str | None]
    """The EHLO line now, keyword and parameters, or None where it is not offered."""
    mail_parameters: tuple[Parameter, ...] = ()
    rcpt_parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of MAIL or RCPT. `read` gives fields of Sender or Recipient; it raises grammar.Fault."""

    keyword: str
    read: Callable[[Session, str | None], dict[str, object]]
    writes: str
    """How the client side says it: the value's form in words, for the documentation."""


def turn_roles(session: Session, event: Event) -> None:
    """The `proceed` of the verbs after which the client is the server."""
    session.has_turned = True


def unchanged(session: Session, event: Event) -> None:
    """The `proceed` of verbs whose positive reply changes nothing."""
