"""NOOP: the client is still there (RFC 1939 §5)."""

from __future__ import annotations

from estafeta.wire.pop3 import grammar
from estafeta.wire.pop3.session import TRANSACTION, Answer, Command, Positive, Session


def _read(session: Session, argument: bytes | None) -> Answer:
    grammar.nothing(argument)
    return Positive()


NOOP = Command("NOOP", TRANSACTION, "", _read)
