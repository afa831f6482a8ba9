"""Connections to other hosts that are kept a while for the next message, whatever domain it is for.

A connection is kept under all that it was made by: address, protocol, login, and what was demanded of its
TLS. So a message with greater demands never goes over a connection that was made with lesser ones.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from estafeta.agents.outbound.outcome import HostFacts
from estafeta.client import SmtpClient


@dataclass(frozen=True, slots=True)
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


@dataclass(slots=True)
class Connection:
    """An open connection."""

    key: ConnectionKey
    client: SmtpClient
    facts: HostFacts
    messages: int = 0


class Pool:
    """Keeps open connections. All is done in the event loop's own thread."""

    def __init__(self, *, keep_for: float, messages: int) -> None:
        self._keep_for = keep_for
        self._messages = messages
        self._idle: dict[ConnectionKey, deque[tuple[Connection, asyncio.TimerHandle]]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def take(self, key: ConnectionKey) -> Connection | None:
        """A kept connection that is still good, the one used last; None when a new one must be made."""
        kept = self._idle.get(key)
        while kept:
            connection, timer = kept.pop()
            timer.cancel()
            if not kept:
                del self._idle[key]
            if connection.client.is_idle:
                return connection
            self._leave(connection)
        return None

    def give(self, connection: Connection) -> None:
        """Keep a connection, or end it when it has done its share or is of no more use."""
        if connection.messages >= self._messages or self._keep_for <= 0 or not connection.client.is_idle:
            self._leave(connection)
            return
        kept = self._idle.setdefault(connection.key, deque())
        timer = asyncio.get_running_loop().call_later(self._keep_for, self._end, connection)
        kept.append((connection, timer))

    def _end(self, connection: Connection) -> None:
        kept = self._idle.get(connection.key)
        if kept is None:
            return
        for each in kept:
            if each[0] is connection:
                kept.remove(each)
                if not kept:
                    del self._idle[connection.key]
                self._leave(connection)
                return

    def _leave(self, connection: Connection) -> None:
        """Say QUIT, without anybody waiting for it."""
        task = asyncio.get_running_loop().create_task(connection.client.quit())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    @property
    def idle(self) -> int:
        """Connections that are kept now."""
        return sum(map(len, self._idle.values()))

    async def close(self) -> None:
        """End all that are kept, and wait for those that are ending."""
        for kept in list(self._idle.values()):
            for connection, timer in list(kept):
                timer.cancel()
                self._leave(connection)
        self._idle.clear()
        if self._leaving:
            await asyncio.gather(*self._leaving, return_exceptions=True)
