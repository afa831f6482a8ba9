"""What an operator can set of mail that leaves: times, limits, addresses; defaults follow RFC 5321 §4.5.4."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """How queued mail is tried; durations in seconds."""

    retry_after: tuple[float, ...] = (300.0, 900.0, 3600.0, 14_400.0)
    """Waits between two attempts, one after the other; the last one repeats (RFC 5321 §4.5.4.1)."""
    jitter: float = 0.1
    """The part of a wait by which it is made longer or shorter by chance, so that retries do not come together."""
    lifetime: float = 432_000.0
    """How long a recipient is tried before it has failed; at least 4 to 5 days by RFC 5321 §4.5.4.1."""
    delay_notice_after: float = 14_400.0
    """When the sender is told, once, that a message is late; 0 for never."""
    connections: int = 100
    """Connections to other hosts at a time."""
    concurrency: int = 20
    """Connections for one destination at most; it begins with `first_concurrency` and grows while all goes well."""
    first_concurrency: int = 5
    """Connections for one destination before it is known how much it takes."""
    recipients_per_message: int = 100
    """Recipients in one transaction; at least 100 are taken everywhere (RFC 5321 §4.5.3.1.8)."""
    messages_per_connection: int = 100
    """Messages on one connection before it is ended."""
    keep_connection_for: float = 5.0
    """How long a connection without work is kept for the next message."""
    in_memory: int = 20_000
    """Recipients in memory at a time; the others wait in the store, however many they are."""
    content_in_memory: int = 67_108_864
    """Octets of messages just accepted that are kept in memory until they are relayed; others are read again."""
    poll_after: float = 5.0
    """How often the store is asked for what has become due."""
    account_messages_per_hour: int = 0
    """Recipients elsewhere that one account reaches in an hour; more wait. 0 for no limit."""
    port: int = 25
    """The port of other hosts."""
    ipv4_address: str = ""
    """The address of this machine that connections by IPv4 come from; the system chooses when empty."""
    ipv6_address: str = ""
    """The same for IPv6."""
    ipv6: bool = True
    """Use IPv6 where a host has it."""
    hello: str = ""
    """What EHLO says; the hostname when empty."""
    allow_loopback: bool = False
    """Follow MX records that lead to 127.0.0.0/8 or ::1; for trials and tests."""
    connect_after: float = 30.0
    """The wait for a connection, and for its TLS handshake."""
    reply_after: float = 300.0
    """The wait for the greeting and for replies to EHLO, MAIL, RCPT (RFC 5321 §4.5.3.2.1 to .3: 5 minutes)."""
    data_after: float = 120.0
    """The wait for the reply to DATA (§4.5.3.2.4: 2 minutes)."""
    block_after: float = 180.0
    """The wait until a block of content is taken (§4.5.3.2.5: 3 minutes)."""
    final_after: float = 600.0
    """The wait for the reply to the final dot (§4.5.3.2.6: 10 minutes)."""


@dataclass(frozen=True, slots=True)
class DestinationLimit:
    """One `[[destination_limit]]`: how much one destination gets; the first that fits is taken."""

    domain: str
    """A domain, `.example.org` for all names below it, `*` for all; or `gateway:NAME`."""
    concurrency: int = 20
    """Connections at a time."""
    recipients_per_minute: int = 0
    """Recipients in a minute; 0 for no limit."""

    def fits(self, destination: str) -> bool:
        """Whether it speaks of the destination."""
        if self.domain.startswith("."):
            return destination.endswith(self.domain)
        return self.domain in ("*", destination)
