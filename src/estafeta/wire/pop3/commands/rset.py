"""RSET: take all marks back (RFC 1939 §5)."""

from __future__ import annotations

from estafeta.wire.pop3 import grammar
from estafeta.wire.pop3.session import TRANSACTION, Answer, Command, Positive, Session


def _read(session: Session, argument: bytes | None) -> Answer:
    grammar.nothing(argument)
    session.maildrop.unmark_all()
    return Positive(f"{session.maildrop.messages} messages ({session.maildrop.octets} octets)")


RSET = Command("RSET", TRANSACTION, "", _read)
