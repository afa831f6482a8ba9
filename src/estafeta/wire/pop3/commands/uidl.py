"""UIDL: the unique-id of one message or of each (RFC 1939 §7)."""

from __future__ import annotations

from estafeta.wire.pop3 import grammar
from estafeta.wire.pop3.session import TRANSACTION, Answer, Command, Positive, Session


def _read(session: Session, argument: bytes | None) -> Answer:
    drop = session.maildrop
    number = grammar.optional_message_number(argument)
    if number is not None:
        return Positive(f"{number} {drop.entry(number).unique_id}")
    listing = (f"{number} {entry.unique_id}" for number, entry in drop.entries())
    return Positive("unique-ids follow", listing)


UIDL = Command("UIDL", TRANSACTION, "[SP message-number]", _read)
