"""HELO, EHLO and LHLO: the client says its name, a transaction is dropped (RFC 5321 §4.1.1.1)."""

from __future__ import annotations

from estafeta.wire.smtp.events import Event, Hello
from estafeta.wire.smtp.grammar import hello_name
from estafeta.wire.smtp.session import ANY_PHASE, Session, Verb


def _verb(name: str, *, lmtp: bool) -> Verb:
    def parse(session: Session, argument: bytes) -> Event:
        return Hello(name, hello_name(argument))

    def proceed(session: Session, event: Event) -> None:
        assert isinstance(event, Hello)
        session.hello = event.name
        session.is_extended = name != "HELO"
        session.transaction = None

    return Verb(
        name,
        f"{name} hostname",
        ANY_PHASE,
        parse,
        proceed,
        ends_group=True,
        is_offered=lambda session: session.options.lmtp == lmtp,  # RFC 2033 §4.1: LHLO in place of both
    )


HELO = _verb("HELO", lmtp=False)
EHLO = _verb("EHLO", lmtp=False)
LHLO = _verb("LHLO", lmtp=True)
