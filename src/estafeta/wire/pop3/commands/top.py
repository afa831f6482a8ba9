"""TOP: the header section of a message and the first lines of its body (RFC 1939 §7)."""

from __future__ import annotations

from estafeta.wire.pop3 import grammar
from estafeta.wire.pop3.events import Event, Retrieve
from estafeta.wire.pop3.session import TRANSACTION, Answer, Command, Session


def _read(session: Session, argument: bytes | None) -> Answer | Event:
    match grammar.params(argument):
        case [message, count]:
            number = grammar.number(message, "message number")
            lines = grammar.number(count, "number of lines")
        case _:
            raise grammar.GrammarError("give a message number and a number of lines")
    session.maildrop.entry(number)
    return Retrieve(number, lines)


TOP = Command("TOP", TRANSACTION, "SP message-number SP lines", _read)
