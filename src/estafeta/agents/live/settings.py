"""What an operator can set of messages to screens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Senders(StrEnum):
    """Who may send to screens."""

    AUTHENTICATED = "authenticated"
    """Who has logged in, or comes from a trusted network."""
    ANYONE = "anyone"


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """`[live]`: messages that appear on people's screens (SEND, SOML and SAML, RFC 821 §3.4)."""

    enabled: bool = False
    """Offer SEND, SOML and SAML on smtp and submission listeners."""
    senders: Senders = Senders.AUTHENTICATED
    """Who may use them: those who log in or come from trusted networks (authenticated), or anyone."""
    terminal_domain: str = ""
    """The domain whose accounts are the users of this machine, name for name: their messages appear on the terminals
    where they are logged in and `mesg` is y. The server must be in the group that terminals belong to (tty). Empty:
    messages are shown by mail readers and `estafeta watch` alone."""
    lines: int = 20
    """Lines of a message that are shown; a longer one is not taken by SEND, and goes to the mailbox with SOML."""
    columns: int = 132
    """Columns of a line; longer lines are folded."""
    sender_hourly: int = 60
    """Messages that one account, or one address of clients who did not log in, may send to screens in an hour, a tenth
    of them at once; 0 for any number."""
    recipient_hourly: int = 120
    """Messages that one account is shown in an hour, a tenth of them at once; 0 for any number."""
