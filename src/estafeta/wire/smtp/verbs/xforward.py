"""XFORWARD: a trusted filter says where the next message came from, for the record (Postfix XFORWARD_README)."""

from __future__ import annotations

from typing import Final

from estafeta.mail.catalogue import clients
from estafeta.wire.smtp.events import Event, Xforward
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Phase, Session, Verb, unchanged
from estafeta.wire.smtp.verbs.xclient import ADDRESS, NAME, PORT, PROTOCOL, Reader, attributes


def _source(value: str) -> str:
    """Whether the mail was made here, or came in."""
    if value.upper() not in ("LOCAL", "REMOTE"):
        raise ValueError
    return value.upper()


ATTRIBUTES: Final[dict[str, Reader]] = {
    "NAME": NAME,
    "ADDR": ADDRESS,
    "PORT": PORT,
    "PROTO": PROTOCOL,
    "HELO": NAME,
    "IDENT": NAME,
    "SOURCE": _source,
}


def _parse(session: Session, argument: bytes) -> Event:
    if not session.options.xforward:
        raise Fault(clients.SPEAKER_NOT_TRUSTED)
    return Xforward(attributes(argument, ATTRIBUTES))


XFORWARD = Verb(
    "XFORWARD",
    "XFORWARD attribute=value ...",
    frozenset({Phase.GREETED, Phase.READY}),
    _parse,
    unchanged,
    is_offered=lambda session: session.options.xforward is not None,
)
