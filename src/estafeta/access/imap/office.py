"""The IMAP service of a process: makes the server of each listener, and ends its sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from estafeta.access.imap.commands import HANDLERS
from estafeta.access.imap.conversation import Conversation
from estafeta.access.imap.environment import ImapEnvironment
from estafeta.access.imap.session import Handler, Session
from estafeta.net.stream import Stream
from estafeta.net.tls import ServerTls
from estafeta.wire.imap.request import Request

TOO_MANY_CONNECTIONS = b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n"
"""What a client over a listener's limits is told."""
OVERLOADED = b"* BYE [UNAVAILABLE] Too busy for new connections, try again later\r\n"
"""What a client is told who comes while new connections are refused."""


class ImapService:
    """Makes sessions, and ends them."""

    def __init__(self, environment: ImapEnvironment) -> None:
        self.environment = environment
        self.handlers: Mapping[type[Request], Handler] = HANDLERS
        self.is_closing = False
        self._sessions: set[Session] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def replace(self, environment: ImapEnvironment) -> None:
        """New settings: for sessions that begin from now on."""
        self.environment = environment

    def server(self, name: str, tls: ServerTls | None) -> Callable[[Stream], Awaitable[None]]:
        """The coroutine function that serves one connection of a listener.

        `name` is the listener's in the journal; `tls` is for STARTTLS: TLS from the start is the listener's.
        """

        async def serve(stream: Stream) -> None:
            conversation = Conversation(self, name, tls, stream)
            self._sessions.add(conversation.session)
            self._empty.clear()
            try:
                await conversation.run()
            finally:
                self._sessions.discard(conversation.session)
                if not self._sessions:
                    self._empty.set()

        return serve

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The sessions that are open now."""
        return tuple(self._sessions)

    def close_idle(self) -> None:
        """Begin to end: sessions that wait for a command end now, the others after the one they are at."""
        self.is_closing = True
        for session in self.sessions:
            session.close_if_idle()

    async def drain(self) -> None:
        """End all sessions as `close_idle` does; returns when all have ended."""
        self.close_idle()
        await self._empty.wait()
