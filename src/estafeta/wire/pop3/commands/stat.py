"""STAT: messages and octets, without those marked as deleted (RFC 1939 §5)."""

from __future__ import annotations

from estafeta.wire.pop3 import grammar
from estafeta.wire.pop3.session import TRANSACTION, Answer, Command, Positive, Session


def _read(session: Session, argument: bytes | None) -> Answer:
    grammar.nothing(argument)
    # RFC 1939 §5: nothing may follow the two numbers, clients do read the line to its end.
    return Positive(f"{session.maildrop.messages} {session.maildrop.octets}")


STAT = Command("STAT", TRANSACTION, "", _read)
