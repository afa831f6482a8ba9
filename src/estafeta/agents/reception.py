"""Reception: SMTP and LMTP served, for mail exchange and for submission (RFC 5598 §4.3, RFC 6409).

`Reception` makes the server of each listener and ends its sessions; one session is in `session.py`.
Draining ends idle sessions at once with 421 and lets those that are sending their data finish.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from estafeta.agents.environment import Environment, ListenerFacts, is_near, server_options
from estafeta.agents.session import Session
from estafeta.mail.reply import Reply
from estafeta.net.stream import Stream
from estafeta.wire.smtp.session import ServerOptions

TOO_MANY_CONNECTIONS = Reply.of(421, "too many connections, try again later", "4.7.0")


class Reception:
    """Makes sessions, and ends them."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.is_closing = False
        self._sessions: set[Session] = set()

    def replace(self, environment: Environment) -> None:
        """New settings: for sessions that begin from now on."""
        self.environment = environment

    def server(self, listener: ListenerFacts) -> Callable[[Stream], Awaitable[None]]:
        """The coroutine function that serves one connection of the listener."""

        made: tuple[Environment, dict[bool, ServerOptions]] | None = None

        async def serve(stream: Stream) -> None:
            nonlocal made
            environment = self.environment
            if made is None or made[0] is not environment:
                made = (
                    environment,
                    {near: server_options(environment, listener, is_near=near) for near in (False, True)},
                )
            options = made[1][is_near(environment.settings, stream.peer)]
            session = Session(environment, listener, stream, options, self._tell_closing)
            self._sessions.add(session)
            try:
                await session.run()
            finally:
                self._sessions.discard(session)

        return serve

    def _tell_closing(self) -> bool:
        return self.is_closing

    def close_idle(self) -> None:
        """No new mail: sessions end now, or after the message whose data is arriving."""
        self.is_closing = True
        for session in tuple(self._sessions):
            session.close_if_idle()
