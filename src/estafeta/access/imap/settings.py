"""How IMAP listeners treat their clients: limits, deadlines, and what is offered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImapSettings:
    """How IMAP listeners treat their clients; sizes in octets, durations in seconds."""

    # Departs from RFC 9051 §6.2.3: clients on loopback may log in without TLS, others where a setting lets them.
    allow_plaintext_login: bool = False
    """Offer logins that show the password before TLS to every client; else only to clients on loopback."""
    compress: bool = True
    """Offer COMPRESS=DEFLATE (RFC 4978)."""
    command_line: int = 65_536
    """One command without its literals (RFC 2683 §3.2.1.5 asks for 8000); before login at most 36,864."""
    literal: int = 65_536
    """All literals of one command together, messages of APPEND not counted; before login at most 36,864."""
    message_size: int = 52_428_800
    """One message of APPEND (RFC 7889)."""
    faults: int = 20
    """Commands one after the other that are answered BAD before the session is ended."""
    login_failures: int = 5
    """Failed logins before the session is ended; the delay before each answer is the login guard's."""
    autologout_after: float = 1860.0
    """The wait for a command once logged in; at least 30 minutes by RFC 9051 §5.4."""
    login_after: float = 180.0
    """The wait for a command before login; shorter, because anyone at all can hold such a connection."""
    send_after: float = 300.0
    """The wait for a client that does not read what it asked for."""
    still_here_after: float = 120.0
    """The pause after which a client in IDLE is told that the server is still there; it keeps routers from
    forgetting the connection, and finds out connections that are gone."""
    message_limit: int = 0
    """The most messages that one command handles (RFC 9738); 0 for no limit."""
    remembered_messages: int = 1_000_000
    """Messages of mailboxes that are kept in memory, so that opening one is quick: some 30 octets each. When
    there are more, mailboxes go that nobody has open."""
