"""The envelope of a mail object, as MAIL and RCPT say it (RFC 5321 §2.3.1)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NewType

from estafeta.mail.address import ForwardPath, ReversePath
from estafeta.mail.value import value

Octets = NewType("Octets", int)
"""A size in octets."""


class Body(StrEnum):
    """The BODY parameter of MAIL (RFC 6152 §3)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"
    BINARY = "BINARYMIME"
    """RFC 3030 §3: any octets; BDAT alone can carry them."""


class Opening(StrEnum):
    """The verb that opened a transaction: where the message is to appear (RFC 821 §3.4)."""

    MAIL = "MAIL"
    """In the mailbox."""
    SEND = "SEND"
    """On the recipient's screen, or nowhere."""
    SOML = "SOML"
    """On the screen, or else in the mailbox."""
    SAML = "SAML"
    """On the screen and in the mailbox."""


class ByMode(StrEnum):
    """What happens when the time of BY is over (RFC 2852 §4)."""

    NOTIFY = "N"
    """The sender is told, and the message goes on."""
    RETURN = "R"
    """The message goes back."""


@value
class DeliverBy:
    """The BY parameter of MAIL (RFC 2852 §4)."""

    seconds: int
    """From its arrival here until it is to be delivered; over already when negative, as NOTIFY may have it."""
    mode: ByMode
    is_traced: bool = False
    """The sender is told of each relaying (the `T` of by-trace)."""


@value
class Hold:
    """HOLDFOR or HOLDUNTIL of MAIL: not before its time (RFC 4865 §5); one of both is set."""

    seconds: int | None = None
    until: datetime | None = None
    """With its zone."""


class Ret(StrEnum):
    """The RET parameter of MAIL: what of the message a notification of failure brings back (RFC 3461 §4.3)."""

    FULL = "FULL"
    HDRS = "HDRS"


class Notify(StrEnum):
    """One word of the NOTIFY parameter of RCPT: when the sender wants to be told (RFC 3461 §4.1)."""

    NEVER = "NEVER"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


@value
class OriginalRecipient:
    """The ORCPT parameter of RCPT: the recipient as its sender named it, kept end to end (RFC 3461 §4.2)."""

    address_type: str
    """`rfc822`, or `utf-8` (RFC 6533 §3)."""
    address: str
    """Decoded from xtext."""

    def __str__(self) -> str:
        return f"{self.address_type};{self.address}"


@value
class Sender:
    """What MAIL said: the reverse-path and the parameters that were understood."""

    reverse_path: ReversePath
    size: Octets | None = None
    body: Body | None = None
    smtputf8: bool = False
    auth: str | None = None
    """The AUTH parameter, decoded (RFC 4954 §5); `<>` is the empty text."""
    ret: Ret | None = None
    envid: str | None = None
    """The ENVID parameter, decoded from xtext: the sender's name of this envelope (RFC 3461 §4.4)."""
    requires_tls: bool = False
    """REQUIRETLS: the message goes by verified TLS or not at all (RFC 8689 §2)."""
    opening: Opening = Opening.MAIL
    deliver_by: DeliverBy | None = None
    hold: Hold | None = None
    priority: int | None = None
    """MT-PRIORITY, from -9 to 9 (RFC 6710 §3)."""
    solicit: tuple[str, ...] | None = None
    """SOLICIT: the kinds of solicitation that the message is (RFC 3865 §2.2)."""


@value
class Recipient:
    """What one RCPT said."""

    forward_path: ForwardPath
    notify: frozenset[Notify] | None = None
    """None when it was not said: then as if FAILURE and, by custom, DELAY were (RFC 3461 §4.1)."""
    original: OriginalRecipient | None = None
