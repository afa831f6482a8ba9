"""STARTTLS: TLS from here on; all that was said before is forgotten (RFC 3207 §4)."""

from __future__ import annotations

from estafeta.mail.catalogue import connections, syntax
from estafeta.wire.smtp.events import Event, StartTls
from estafeta.wire.smtp.extensions.starttls import is_offered
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Phase, Session, Verb


def _parse(session: Session, argument: bytes) -> Event:
    if argument:
        raise Fault(syntax.TAKES_NO_ARGUMENT.with_(verb="STARTTLS"))
    if session.is_secure:
        raise Fault(connections.TLS_ON_ALREADY)
    return StartTls()


def _proceed(session: Session, event: Event) -> None:
    session.starts_tls = True


# RFC 3207 §4 asks for no greeting before it; inside of a transaction it is refused, as it would drop it.
STARTTLS = Verb(
    "STARTTLS",
    "STARTTLS",
    frozenset({Phase.GREETED, Phase.READY}),
    _parse,
    _proceed,
    is_offered=lambda session: is_offered(session) or session.is_secure,
)
