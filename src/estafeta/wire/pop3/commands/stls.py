"""STLS: TLS on a connection that began without (RFC 2595 §4)."""

from __future__ import annotations

from estafeta.wire.pop3 import grammar
from estafeta.wire.pop3.events import Event, StartTls
from estafeta.wire.pop3.session import AUTHORIZATION, Answer, Command, Negative, Session


def _read(session: Session, argument: bytes | None) -> Answer | Event:
    grammar.nothing(argument)
    if session.is_secure:
        return Negative("TLS is active already")
    if not session.offer.stls:
        return Negative("TLS is not offered here")
    if session.is_utf8:
        return Negative("STLS must come before UTF8")  # RFC 6856 §2.1
    return StartTls()


STLS = Command("STLS", AUTHORIZATION, "", _read)
