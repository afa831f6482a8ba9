"""DELE: mark a message, so that QUIT removes it (RFC 1939 §5)."""

from __future__ import annotations

from estafeta.wire.pop3 import grammar
from estafeta.wire.pop3.session import TRANSACTION, Answer, Command, Positive, Session


def _read(session: Session, argument: bytes | None) -> Answer:
    number = grammar.message_number(argument)
    session.maildrop.mark(number)
    return Positive(f"message {number} deleted")


DELE = Command("DELE", TRANSACTION, "SP message-number", _read)
