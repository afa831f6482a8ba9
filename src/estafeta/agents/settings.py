"""What an operator can set of reception and submission; the limits cite RFC 5321 §4.5.3 where it has them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from estafeta.net.address import IpNetwork


class Vrfy(StrEnum):
    """How VRFY is answered."""

    NONCOMMITTAL = "noncommittal"
    """252 for all (RFC 5321 §7.3)."""
    VERIFY = "verify"
    """250 or 550, as RCPT would say."""
    OFF = "off"
    """502."""


class Expn(StrEnum):
    """How EXPN is answered."""

    AUTHENTICATED = "authenticated"
    """To authenticated clients; 550 5.7.1 to others."""
    OFF = "off"
    """502."""


@dataclass(frozen=True, slots=True)
class SmtpLimits:
    """Limits and deadlines of one SMTP session; sizes in octets, durations in seconds."""

    message_size: int = 50 * 1024 * 1024
    """The largest content taken (SIZE, RFC 1870)."""
    recipients: int = 1000
    """Recipients in one transaction; at least 100 by RFC 5321 §4.5.3.1.8."""
    command_line: int = 2048
    """One command line with its CRLF; 512 by RFC 5321 §4.5.3.1.4, more for the parameters of extensions."""
    auth_line: int = 12288
    """One line of an authentication exchange with its CRLF (RFC 4954 §4)."""
    transactions: int = 10_000
    """Messages in one session."""
    faults: int = 20
    """Commands answered 5yz for their form before the session is ended with 421."""
    refusals: int = 100
    """Recipients refused before the session is ended with 421."""
    header_octets: int = 262_144
    """The header section of a message."""
    hops: int = 100
    """Received fields before a message counts as looping (RFC 5321 §6.3)."""
    command_after: float = 300.0
    """The wait for a command (RFC 5321 §4.5.3.2.7)."""
    data_after: float = 180.0
    """The wait for the next octets of mail data."""
    session_after: float = 86_400.0
    """The longest session."""


@dataclass(frozen=True, slots=True)
class ReceptionSettings:
    """How SMTP and LMTP listeners treat their clients."""

    vrfy: Vrfy = Vrfy.NONCOMMITTAL
    """How VRFY is answered: noncommittal (252 for all), verify, or off."""
    expn: Expn = Expn.AUTHENTICATED
    """Who may expand aliases with EXPN: authenticated users, or nobody (off)."""
    refuse_unannounced_8bit: bool = False
    """Refuse 8-bit mail data that MAIL did not announce with BODY=8BITMIME (554 5.6.1); else take it."""
    trusted_networks: tuple[IpNetwork, ...] = ()
    """Networks whose clients may relay and submit without a login. Empty by default: only users relay."""
    require_tls_for_submission: bool = True
    """MAIL on a submission listener needs TLS first; trusted networks are exempt."""
    check_author: bool = True
    """Refuse submitted mail whose From field the account may not use."""
    smtputf8: bool = True
    """Offer SMTPUTF8 (RFC 6531)."""
    refuse_early_commands: bool = True
    """Answer 554 and close when a client does not wait for the reply to EHLO, DATA, AUTH (RFC 2920 §3.1)."""
    postmaster: str = ""
    """Who gets mail for postmaster where no account or alias does; empty: the oldest account."""
    subaddress_separator: str = "+"
    """What parts user and tag in user+tag@; empty for none."""
