"""One session at a time over a memory stream, with settings and a clock of its own; the office behind it is real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from estafeta.agents.environment import ListenerFacts, Role
from estafeta.agents.reception import Reception
from estafeta.agents.session import Session
from estafeta.agents.settings import SmtpLimits
from estafeta.net.address import PeerAddress
from estafeta.net.memory import CLIENT, MemoryStream, pair
from estafeta.store import journal
from estafeta.store.records import EntryKind


class Clock:
    """A clock that stands until it is put forward; it begins at the time of the office's own."""

    def __init__(self, real: Callable[[], float]) -> None:
        self.now = real()

    def __call__(self) -> float:
        return self.now


class Counter:
    """Where a client stands: what it says goes into a session, what it is told comes out."""

    def __init__(
        self,
        office: Any,
        *,
        role: Role = Role.MX,
        limits: SmtpLimits | None = None,
        peer: PeerAddress = CLIENT,
        facts: dict[str, Any] | None = None,
        early: bytes = b"",
        **smtp: Any,
    ) -> None:
        given = office.office._reception.environment
        self.clock = Clock(given.clock)
        environment = replace(
            given,
            settings=replace(given.settings, **smtp),
            limits=limits or given.limits,
            clock=self.clock,
            monotonic=self.clock,
        )
        self.office = office
        self.client: MemoryStream
        self.client, self.server = pair(client=peer)
        self.client.set_deadline(20)
        if early:
            self.client.send(early)
        self.reception = Reception(environment)
        self._sessions = self.reception._sessions = _Kept()
        serve = self.reception.server(ListenerFacts(f"{role} test", role, None, **(facts or {})))
        self.task = asyncio.create_task(self._serve(serve))
        self._buffer = b""

    async def _serve(self, serve: Callable[[Any], Any]) -> None:
        await serve(self.server)
        await self.server.close()

    async def reply(self) -> str:
        """One whole reply, its lines joined by a newline; empty at the end."""
        lines: list[str] = []
        while True:
            while b"\r\n" not in self._buffer:
                octets = await self.client.receive()
                if not octets:
                    return "\n".join(lines)
                self._buffer += octets
            line, _, self._buffer = self._buffer.partition(b"\r\n")
            lines.append(line.decode())
            if line[3:4] != b"-":
                return "\n".join(lines)

    async def say(self, *lines: str, end: str = "\r\n") -> list[str]:
        """The replies to lines, each said when the one before was answered."""
        replies = []
        for line in lines:
            self.client.send((line + end).encode())
            replies.append(await self.reply())
        return replies

    async def codes(self, *lines: str, end: str = "\r\n") -> list[str]:
        """Their codes."""
        return [reply[:3] for reply in await self.say(*lines, end=end)]

    async def rest(self) -> bytes:
        """All that comes until the session has ended."""
        parts = [self._buffer]
        while octets := await self.client.receive():
            parts.append(octets)
        await self.task
        return b"".join(parts)

    async def ended(self) -> dict[str, Any]:
        """What the journal says of the session, which the client leaves now where it is not at its end."""
        await self.client.close()
        await self.task
        (session,) = self._sessions
        store = self.office.office.store
        await store.write(lambda tx: None)
        entries = await store.read(lambda tx: journal.by_session(tx, session.peer.session_id))
        (entry,) = [entry for entry in entries if entry.kind is EntryKind.SESSION]
        return dict(entry.facts)

    async def reasons(self) -> list[str]:
        """The reasons of the session's decisions."""
        return [decision["reason"] for decision in (await self.ended()).get("decisions", [])]


class _Kept(set[Session]):
    """The sessions that were ever served."""

    def discard(self, session: object) -> None:
        """Sessions that have ended are looked at, too."""
