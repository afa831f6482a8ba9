"""MAIL: opens a transaction (RFC 5321 §4.1.1.2)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from estafeta.mail.envelope import Sender
from estafeta.mail.reply import Reply
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
        if parameter is None:  # RFC 5321 §4.1.1.11
            raise Fault(Reply.of(555, f"parameter {keyword} is not known", "5.5.4"))
        fields |= parameter.read(session, value)
    if not read.is_ascii and not fields.get("smtputf8"):  # RFC 6531 §3.4, §3.5
        raise Fault(Reply.of(550, "non-ASCII address without SMTPUTF8", "5.6.7"))
    return Mail(Sender(reverse_path(read.path), **fields))


def _proceed(session: Session, event: Event) -> None:
    assert isinstance(event, Mail)
    session.transaction = Transaction(event.sender)


MAIL = Verb("MAIL", "MAIL FROM:<reverse-path> [parameters]", frozenset({Phase.READY}), _parse, _proceed)
