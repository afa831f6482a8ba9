"""Reception: SMTP and LMTP served, for mail exchange and for submission (RFC 5598 §4.3, RFC 6409).

`Reception` makes the server of each listener and ends its sessions; one session is in `session.py`.
Draining ends idle sessions at once with 421 and lets those that are sending their data finish.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from estafeta.agents.environment import Environment, ListenerFacts, Offers
from estafeta.agents.session import Session
from estafeta.mail.catalogue import connections
from estafeta.net.stream import Stream


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

        made: tuple[Environment, Offers] | None = None

        async def serve(stream: Stream) -> None:
            nonlocal made
            environment = self.environment
            if made is None or made[0] is not environment:
                made = (environment, Offers(environment, listener))
            session = Session(environment, listener, stream, made[1].to(stream.peer), self._tell_closing)
            self._sessions.add(session)
            try:
                await session.run()
            finally:
                self._sessions.discard(session)

        return serve

    def refusal(self) -> bytes:
        """What a client is told whose connection is one too many."""
        reply, wording = connections.TOO_MANY_CONNECTIONS, self.environment.wording
        return (reply if wording is None else wording.of(reply)).encode(with_status=False)

    def busy(self) -> bytes:
        """What a client is told who comes while new connections are refused."""
        reply, wording = connections.OVERLOADED, self.environment.wording
        return (reply if wording is None else wording.of(reply)).encode(with_status=False)

    def _tell_closing(self) -> bool:
        return self.is_closing

    def close_idle(self) -> None:
        """No new mail: sessions end now, or after the message whose data is arriving."""
        self.is_closing = True
        for session in tuple(self._sessions):
            session.close_if_idle()
