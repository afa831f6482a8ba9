"""RSET: drops the transaction and nothing else (RFC 5321 §4.1.1.5)."""

from __future__ import annotations

from estafeta.mail.catalogue import syntax
from estafeta.wire.smtp.events import Event, Rset
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import ANY_PHASE, Session, Verb


def _parse(session: Session, argument: bytes) -> Event:
    if argument:
        raise Fault(syntax.TAKES_NO_ARGUMENT.with_(verb="RSET"))
    return Rset()


def _proceed(session: Session, event: Event) -> None:
    session.transaction = None


RSET = Verb("RSET", "RSET", ANY_PHASE, _parse, _proceed)
