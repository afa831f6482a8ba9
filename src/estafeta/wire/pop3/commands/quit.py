"""QUIT: the end, and in TRANSACTION the way into UPDATE, where messages are removed (RFC 1939 §4, §6)."""

from __future__ import annotations

from estafeta.wire.pop3 import grammar
from estafeta.wire.pop3.events import Event, Quit
from estafeta.wire.pop3.session import BOTH, Answer, Command, Session, State


def _read(session: Session, argument: bytes | None) -> Answer | Event:
    grammar.nothing(argument)
    if session.state is State.AUTHORIZATION:
        return Quit(())
    session.state = State.UPDATE
    return Quit(session.maildrop.marked)


QUIT = Command("QUIT", BOTH, "", _read)
