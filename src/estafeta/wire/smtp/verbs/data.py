"""DATA: the content follows, up to a line with a single dot (RFC 5321 §4.1.1.4)."""

from __future__ import annotations

from estafeta.mail.catalogue import orders, syntax
from estafeta.mail.envelope import Body
from estafeta.wire.smtp.data import DataReader
from estafeta.wire.smtp.events import Data, Event
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Phase, Session, Verb, without_recipients


def _parse(session: Session, argument: bytes) -> Event:
    if argument:
        raise Fault(syntax.TAKES_NO_ARGUMENT.with_(verb="DATA"))
    assert session.transaction is not None
    if session.phase is Phase.MAIL:
        raise Fault(without_recipients(session))
    if session.transaction.sender.body is Body.BINARY:  # RFC 3030 §3
        raise Fault(orders.BINARY_NEEDS_BDAT)
    return Data()


def _proceed(session: Session, event: Event) -> None:
    session.reader = DataReader()


DATA = Verb("DATA", "DATA", frozenset({Phase.MAIL, Phase.RCPT}), _parse, _proceed, ends_group=True)
