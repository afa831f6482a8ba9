"""MAIL: opens a transaction (RFC 5321 §4.1.1.2)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from estafeta.mail.catalogue import senders, syntax
from estafeta.mail.envelope import Sender
from estafeta.wire.smtp.events import Event, Mail
from estafeta.wire.smtp.extensions import EXTENSIONS
from estafeta.wire.smtp.grammar import Fault, path_argument, reverse_path
from estafeta.wire.smtp.session import Phase, Session, Transaction, Verb

_PARAMETERS = {parameter.keyword: parameter for extension in EXTENSIONS for parameter in extension.mail_parameters}


@lru_cache(maxsize=4096)
def _plain(argument: bytes) -> Mail | None:
    """Without parameters the argument alone says all, and the same come again and again."""
    read = path_argument(argument, "FROM")
    return None if read.parameters or not read.is_ascii else Mail(Sender(reverse_path(read.path)))


def _parse(session: Session, argument: bytes) -> Event:
    plain = _plain(argument)
    if plain is not None:
        return plain
    read = path_argument(argument, "FROM")
    fields: dict[str, Any] = {}
    for keyword, value in read.parameters:
        parameter = _PARAMETERS.get(keyword)
        # Not done of RFC 5321 §4.1.1.11: 455, for nothing that is announced is ever out of reach for a time.
        if parameter is None:  # RFC 5321 §4.1.1.11
            raise Fault(syntax.PARAMETER_UNKNOWN.with_(keyword=keyword))
        said = parameter.read(session, value)
        if not fields.keys().isdisjoint(said):  # RFC 4865 §4.2 (9): HOLDFOR and HOLDUNTIL
            raise Fault(syntax.PARAMETER_AGAIN.with_(keyword=keyword))
        fields |= said
    if not read.is_ascii and not fields.get("smtputf8"):  # RFC 6531 §3.4, §3.5
        raise Fault(senders.NEEDS_SMTPUTF8)
    return Mail(Sender(reverse_path(read.path), **fields))


def _proceed(session: Session, event: Event) -> None:
    assert isinstance(event, Mail)
    session.transaction = Transaction(event.sender)


MAIL = Verb("MAIL", "MAIL FROM:<reverse-path> [parameters]", frozenset({Phase.READY}), _parse, _proceed)
