"""What an operator can set of reception and submission; the limits cite RFC 5321 §4.5.3 where it has them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from estafeta.mail.wording import Language
from estafeta.net.address import IpNetwork


class Vrfy(StrEnum):
    """How VRFY is answered."""

    NONCOMMITTAL = "noncommittal"
    """252 for all (RFC 5321 §7.3)."""
    VERIFY = "verify"
    """250 or 550, as RCPT would say."""
    # Departs from RFC 5321 §7.3: VRFY and EXPN can be turned off, and are then answered with 502, not 252.
    OFF = "off"
    """502."""


class Expn(StrEnum):
    """How EXPN is answered."""

    AUTHENTICATED = "authenticated"
    """To authenticated clients; 550 5.7.1 to others."""
    OFF = "off"
    """502."""


class WhenFull(StrEnum):
    """How mail for an account without room is answered."""

    DEFER = "defer"
    """452 4.2.2: the sender's host tries again."""
    REJECT = "reject"
    """552 5.2.2: the sender is told at once."""


@dataclass(frozen=True, slots=True)
class SmtpLimits:
    """Limits and deadlines of one SMTP session; sizes in octets, durations in seconds."""

    message_size: int = 50 * 1024 * 1024
    """The largest content taken (SIZE, RFC 1870)."""
    recipients: int = 1000
    """Recipients in one transaction; at least 100 by RFC 5321 §4.5.3.1.8."""
    command_line: int = 4096
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
    command_line_after: float = 120.0
    """From the first octet of a command line to its end: time to type it, not to send an octet now and then."""
    data_after: float = 180.0
    """The wait for the next octets of mail data."""
    data_octets_per_second: int = 25
    """The least rate of mail data, a sixth of what a modem of 1200 bit/s has; 0 for none."""
    data_rate_over: float = 120.0
    """Over what time the rate is measured, so that a line that fails for a minute is forgiven."""
    session_after: float = 86_400.0
    """The longest session."""


@dataclass(frozen=True, slots=True)
class ReceptionSettings:
    """How SMTP and LMTP listeners treat their clients."""

    language: Language = Language.ENGLISH
    """The language of the replies: en, or es for Spanish (without accents, as replies are ASCII)."""
    vrfy: Vrfy = Vrfy.NONCOMMITTAL
    """How VRFY is answered: noncommittal (252 for all), verify, or off."""
    expn: Expn = Expn.AUTHENTICATED
    """Who may expand aliases with EXPN: authenticated users, or nobody (off)."""
    # Departs from RFC 6152 §3: 8-bit mail data that MAIL did not announce is taken, unless a setting refuses it.
    refuse_unannounced_8bit: bool = False
    """Refuse 8-bit mail data that MAIL did not announce with BODY=8BITMIME (554 5.6.1); else take it."""
    # Departs from RFC 6409 §4.3: clients in trusted networks submit without a login.
    trusted_networks: tuple[IpNetwork, ...] = ()
    """Networks whose clients may relay and submit without a login. Empty by default: only users relay."""
    # Departs from RFC 8314 §3.3: a setting lets clients on loopback and in trusted networks log in without TLS.
    require_tls_for_submission: bool = True
    """MAIL on a submission listener needs TLS first; trusted networks are exempt."""
    check_author: bool = True
    """Refuse submitted mail whose From field the account may not use."""
    check_recipient_domains: bool = False
    """Ask the DNS at RCPT of submitted mail, and refuse domains that do not exist (550 5.1.2) or that say they take no
    mail (556 5.1.10, RFC 7505). What the DNS does not tell in 3 seconds is let pass."""
    smtputf8: bool = True
    """Offer SMTPUTF8 (RFC 6531)."""
    chunking: bool = True
    """Offer CHUNKING and BINARYMIME (RFC 3030)."""
    burl: bool = True
    """Offer BURL to those who submit mail (RFC 4468): pieces of it are fetched from their mailboxes by URLs."""
    no_soliciting: bool = False
    """Offer NO-SOLICITING (RFC 3865)."""
    unwanted_solicitations: tuple[str, ...] = ()
    """Keywords of solicitations that are refused where NO-SOLICITING is offered, as in "net.example:ADV"."""
    # Departs from RFC 2920 §3.2: what stands in a group behind a command that must be its last is lost, and the
    # connection closed, because senders that do not listen are known by it; a setting lets it pass. Behind NOOP it
    # may always stand.
    refuse_early_commands: bool = True
    """Answer 554 and close when a client does not wait for the reply to EHLO, DATA, AUTH (RFC 2920 §3.1)."""
    greet_after: float = 0.0
    """Seconds before the 220 on smtp listeners; senders that do not wait give themselves away. Trusted networks are
    greeted at once."""
    refuse_early_talkers: bool = False
    """Answer 554 and close when a client of an smtp listener speaks before the 220 (RFC 5321 §3.1)."""
    xclient_networks: tuple[IpNetwork, ...] = ()
    """Proxies that may say for which client they speak (XCLIENT), and who that is logged in as. They are believed."""
    xforward_networks: tuple[IpNetwork, ...] = ()
    """Filters that may say where mail came from before (XFORWARD): for the record, nothing is decided by it."""
    postmaster: str = ""
    """Who gets mail for postmaster where no account or alias does; empty: the oldest account."""
    subaddress_separator: str = "+"
    """What parts user and tag in user+tag@; empty for none."""
    when_full: WhenFull = WhenFull.DEFER
    """How mail for an account that is over its quota is answered: `defer` with 452 4.2.2, so that the sender's host
    tries again, or `reject` with 552 5.2.2. At RCPT with the size that MAIL gave, else at the end of the content."""
