"""RETR: one message, whole (RFC 1939 §5)."""

from __future__ import annotations

from estafeta.wire.pop3 import grammar
from estafeta.wire.pop3.events import Event, Retrieve
from estafeta.wire.pop3.session import TRANSACTION, Answer, Command, Session


def _read(session: Session, argument: bytes | None) -> Answer | Event:
    number = grammar.message_number(argument)
    session.maildrop.entry(number)
    return Retrieve(number, None)


RETR = Command("RETR", TRANSACTION, "SP message-number", _read)
