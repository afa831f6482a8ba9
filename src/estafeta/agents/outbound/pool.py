"""Connections to other hosts that are kept a while for the next message, whatever domain it is for.

A connection is kept under all that it was made by: address, protocol, login, and what was demanded of its
TLS. So a message with greater demands never goes over a connection that was made with lesser ones.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from estafeta.agents.outbound.outcome import HostFacts
from estafeta.client import SmtpClient
from estafeta.mail.value import value

MOST_KEPT = 100
"""Connections without work that are kept at a time, so that many hosts with little mail leave some to open."""


@value
class ConnectionKey:
    """What makes two connections of equal use."""

    host: str
    address: str
    port: int
    lmtp: bool
    demand: str
    """What was demanded of TLS, as a text."""
    login: str
    """The user name at the host."""


@dataclass(slots=True, eq=False)
class Connection:
    """An open connection."""

    key: ConnectionKey
    client: SmtpClient
    facts: HostFacts
    messages: int = 0


class Pool:
    """Keeps open connections. All is done in the event loop's own thread."""

    def __init__(self, *, keep_for: float, messages: int, most: int = MOST_KEPT) -> None:
        """`keep_for` in seconds, `messages` on one connection, `most` connections kept at a time."""
        self._keep_for = keep_for
        self._messages = messages
        self._most = most
        self._idle: dict[ConnectionKey, list[Connection]] = {}
        self._until: dict[Connection, float] = {}
        """How long each is kept, the first that is to end before the others."""
        self._timer: asyncio.TimerHandle | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def take(self, key: ConnectionKey) -> Connection | None:
        """A kept connection that is still good, the one used last; None when a new one must be made."""
        kept = self._idle.get(key)
        while kept:
            connection = kept.pop()
            del self._until[connection]
            if not kept:
                del self._idle[key]
            if connection.client.is_likely_idle:
                return connection
            self._leave(connection)
        return None

    def takes_more(self, connection: Connection) -> bool:
        """Whether another message may go over a connection that is in use."""
        return connection.messages < self._messages and self._keep_for > 0 and not self._is_closed

    def give(self, connection: Connection) -> None:
        """Keep a connection, or end it when it has done its share or is of no more use."""
        has_served = connection.messages >= self._messages or self._keep_for <= 0 or self._is_closed
        if has_served or not connection.client.is_likely_idle:
            self._leave(connection)
            return
        loop = asyncio.get_running_loop()
        until = self._until[connection] = loop.time() + self._keep_for
        self._idle.setdefault(connection.key, []).append(connection)
        if len(self._until) > self._most:
            self._end(next(iter(self._until)))
        if self._timer is None:
            self._timer = loop.call_at(until, self._end_old)

    def _end_old(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._until:
            oldest, until = next(iter(self._until.items()))
            if until > loop.time():
                self._timer = loop.call_at(until, self._end_old)
                return
            self._end(oldest)

    def _end(self, connection: Connection) -> None:
        del self._until[connection]
        kept = self._idle[connection.key]
        kept.remove(connection)
        if not kept:
            del self._idle[connection.key]
        self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        """Say QUIT, without anybody waiting for it."""
        if not connection.client.is_open or len(self._leaving) >= self._most:
            connection.client.abort()
            return
        task = asyncio.get_running_loop().create_task(connection.client.quit())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    @property
    def idle(self) -> int:
        """Connections that are kept now."""
        return len(self._until)

    async def close(self) -> None:
        """End all that are kept, and wait for those that are ending; what is given later ends at once."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in tuple(self._until):
            self._end(connection)
        if self._leaving:
            await asyncio.gather(*self._leaving, return_exceptions=True)
