"""LIST: the size of one message or of each (RFC 1939 §5)."""

from __future__ import annotations

from estafeta.wire.pop3 import grammar
from estafeta.wire.pop3.session import TRANSACTION, Answer, Command, Positive, Session


def _read(session: Session, argument: bytes | None) -> Answer:
    drop = session.maildrop
    number = grammar.optional_message_number(argument)
    if number is not None:
        return Positive(f"{number} {drop.entry(number).size}")
    listing = (f"{number} {entry.size}" for number, entry in drop.entries())
    return Positive(f"{drop.messages} messages ({drop.octets} octets)", listing)


LIST = Command("LIST", TRANSACTION, "[SP message-number]", _read)
