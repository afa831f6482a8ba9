"""How much one server of the library takes: connections, commands, content, time."""

from __future__ import annotations

from dataclasses import dataclass, field

from estafeta.net.listener import ConnectionLimits


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Durations in seconds."""

    connections: ConnectionLimits = field(default_factory=lambda: ConnectionLimits(connections=500))
    """Open connections in all and for each client. Content is kept in memory, so this number times the largest
    message is what strangers can fill."""
    recipients: int = 1000
    """Of one message; more are answered 452 (RFC 5321 §4.5.3.1.8 asks for 100 at least)."""
    messages: int = 1000
    """Transactions in one session; then 421."""
    faults: int = 20
    """Commands of one session that are wrong in form or order; then 421."""
    refusals: int = 200
    """Commands of one session that the handler refuses; then 421."""
    failed_logins: int = 5
    """Of one session; then 421. Some clients try one wrong password with each mechanism."""
    command_after: float = 300.0
    """The longest wait for a command (RFC 5321 §4.5.3.2.7 asks for 5 minutes)."""
    data_after: float = 180.0
    """The longest wait for more content."""
    handler_after: float = 300.0
    """The longest that a method of the handler may take; then 451. Clients wait 5 minutes for most replies, and 10
    for the one to the content (RFC 5321 §4.5.3.2)."""
    session_after: float = 3600.0
    """The longest session; it ends between two commands."""
    stop_after: float = 5.0
    """How long sessions may go on when the server stops."""
