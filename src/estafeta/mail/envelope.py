"""The envelope of a mail object, as MAIL and RCPT say it (RFC 5321 §2.3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from estafeta.mail.address import ForwardPath, ReversePath

Octets = NewType("Octets", int)
"""A size in octets."""


class Body(StrEnum):
    """The BODY parameter of MAIL (RFC 6152 §3)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"


@dataclass(frozen=True, slots=True)
class Sender:
    """What MAIL said: the reverse-path and the parameters that were understood."""

    reverse_path: ReversePath
    size: Octets | None = None
    body: Body | None = None
    smtputf8: bool = False
    auth: str | None = None
    """The AUTH parameter, decoded (RFC 4954 §5); `<>` is the empty text."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """What one RCPT said."""

    forward_path: ForwardPath
