"""DATA: the content follows, up to a line with a single dot (RFC 5321 §4.1.1.4)."""

from __future__ import annotations

from estafeta.mail.reply import Reply
from estafeta.wire.smtp.data import DataReader
from estafeta.wire.smtp.events import Data, Event
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Phase, Session, Verb


def _parse(session: Session, argument: bytes) -> Event:
    if argument:
        raise Fault(Reply.of(501, "DATA takes no argument", "5.5.4"))
    if session.phase is Phase.MAIL:  # RFC 5321 §3.3, RFC 2033 §4.2
        raise Fault(Reply.of(503, "no valid recipients", "5.5.1"))
    return Data()


def _proceed(session: Session, event: Event) -> None:
    assert session.transaction is not None
    session.transaction.data = DataReader()


DATA = Verb("DATA", "DATA", frozenset({Phase.MAIL, Phase.RCPT}), _parse, _proceed, ends_group=True)
