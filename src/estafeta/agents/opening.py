"""How a session opens, and how long its client may take: the greeting, the first line, the pace of what follows.

A client waits for the greeting (RFC 5321 §3.1); one that does not is often no mail server. What is no mail
protocol at all is told by its first line, and only there, so that nothing is looked at later.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from estafeta.agents.chronicle import Reason
from estafeta.agents.environment import Role
from estafeta.agents.logging_in import recognize
from estafeta.agents.settings import SmtpLimits
from estafeta.mail.catalogue import clients, connections
from estafeta.mail.reply import Reply
from estafeta.net.errors import DeadlinePassed
from estafeta.wire.foreign import ENOUGH, HELLOS, Foreign, foreign_protocol

if TYPE_CHECKING:
    from estafeta.agents.session import Session

# Turns of the event loop until octets that came with the connection have been read from it.
_ARRIVING: Final = 4


@lru_cache(maxsize=16)
def greeting(hostname: str, *, is_lmtp: bool) -> Reply:
    """The 220 of RFC 5321 §4.2."""
    return connections.GREETING.with_(hostname=hostname, protocol="LMTP" if is_lmtp else "ESMTP")


async def open_session(session: Session) -> bytes:
    """Greet, and wait for the first line; gives the octets that it came in, b"" where the session is at its end.

    Raises ConnectionLost, DeadlinePassed.
    """
    if session.is_closing():
        return _refuse(session, connections.CLOSING, Reason.CLOSING)
    if not session.listener.takes_mail:  # RFC 7504 §3
        session.note("connect", "", connections.TAKES_NO_MAIL, Reason.TAKES_NO_MAIL)
        return _refuse(session, connections.TAKES_NO_MAIL, Reason.TAKES_NO_MAIL)
    if session.stream.tls is not None:
        await recognize(session)
    settings, octets = session.environment.settings, b""
    if (settings.greet_after or settings.refuse_early_talkers) and _is_watched(session):
        early = await _early(session, settings.greet_after)
        if early is None:
            return b""
        if early and settings.refuse_early_talkers:
            session.note("connect", "", clients.EARLY_TALKER, Reason.EARLY_TALKER)
            return _refuse(session, clients.EARLY_TALKER, Reason.EARLY_TALKER)
        octets = early
    is_lmtp = session.listener.role is Role.LMTP
    session.engine.greet(greeting(session.environment.hostname, is_lmtp=is_lmtp))
    session.stream.send(session.engine.take_output())
    session.stream.set_deadline(session.environment.limits.command_after)
    if not octets:
        session.is_waiting = True
        octets = await session.stream.receive()
        session.is_waiting = False
    return octets if octets.startswith(HELLOS) and b"\n" in octets else await _first_line(session, octets)


def _is_watched(session: Session) -> bool:
    return session.listener.role is Role.MX and not session.peer.is_trusted


def _refuse(session: Session, reply: Reply, reason: Reason) -> bytes:
    session.engine.greet(reply)
    session.stream.send(session.engine.take_output())
    session.end(reason.value)
    return b""


async def _early(session: Session, seconds: float) -> bytes | None:
    """What the client says within so many seconds, or has said already; None when it is gone."""
    stream = session.stream
    if not seconds:
        for _ in range(_ARRIVING):
            await asyncio.sleep(0)
        return await stream.receive() if stream.pending else b""
    stream.set_deadline(seconds)
    session.is_waiting = True
    try:
        return await stream.receive() or None
    except DeadlinePassed:
        return b""
    finally:
        session.is_waiting = False


async def _first_line(session: Session, octets: bytes) -> bytes:
    """What begins with `octets`, up to the end of its first line; b"" where the session is at its end."""
    is_begun = False
    while octets:
        foreign = foreign_protocol(octets)
        if foreign is not None:
            _turn_away(session, foreign)
            return b""
        if b"\n" in octets or len(octets) >= ENOUGH:
            return octets
        if not is_begun:
            session.stream.set_deadline(session.environment.limits.command_line_after)
            is_begun = True
        session.is_waiting = True
        more = await session.stream.receive()
        session.is_waiting = False
        if not more:
            return b""
        octets += more
    return b""


def _turn_away(session: Session, foreign: Foreign) -> None:
    session.note("connect", "", clients.FOREIGN_PROTOCOL, Reason.FOREIGN_PROTOCOL, foreign.value)
    session.end(Reason.FOREIGN_PROTOCOL.value)
    if foreign is not Foreign.TLS:  # a text would be no alert of TLS
        session.engine.notify(clients.FOREIGN_PROTOCOL)
        session.stream.send(session.engine.take_output())


class Pace:
    """Whether mail data comes fast enough: at least so many octets in each window of time.

    What one client sends slowly on many connections keeps these from others. A connection that carries nothing at all
    ends sooner, by its deadline.
    """

    __slots__ = ("_came", "_least", "_over", "_until")

    def __init__(self, limits: SmtpLimits) -> None:
        self._over = limits.data_rate_over
        self._least = limits.data_octets_per_second * self._over
        self._until = 0.0
        self._came = 0

    def begin(self, now: float) -> None:
        """A window begins."""
        self._until = now + self._over
        self._came = 0

    def is_too_slow(self, now: float, octets: int) -> bool:
        """So many octets more have come."""
        self._came += octets
        if now < self._until:
            return False
        if self._came < self._least:
            return True
        self.begin(now)
        return False
