"""UTF8: the client understands messages with UTF-8 in their header fields (RFC 6856 §2)."""

from __future__ import annotations

from estafeta.wire.pop3 import grammar
from estafeta.wire.pop3.session import AUTHORIZATION, Answer, Command, Negative, Positive, Session


def _read(session: Session, argument: bytes | None) -> Answer:
    grammar.nothing(argument)
    if not session.offer.utf8:
        return Negative("UTF8 is not offered here")
    session.is_utf8 = True
    return Positive("UTF-8 from here on")


UTF8 = Command("UTF8", AUTHORIZATION, "", _read)
