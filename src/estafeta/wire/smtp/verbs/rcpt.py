"""RCPT: one recipient of the open transaction (RFC 5321 §4.1.1.3)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from estafeta.mail.catalogue import recipients, syntax
from estafeta.mail.envelope import Recipient
from estafeta.wire.smtp.events import Event, Rcpt
from estafeta.wire.smtp.extensions import EXTENSIONS
from estafeta.wire.smtp.grammar import Fault, forward_path, path_argument
from estafeta.wire.smtp.session import Phase, Session, Verb

_PARAMETERS = {parameter.keyword: parameter for extension in EXTENSIONS for parameter in extension.rcpt_parameters}


@lru_cache(maxsize=4096)
def _plain(argument: bytes) -> Rcpt | None:
    """Without parameters the argument alone says all, and the same come again and again."""
    read = path_argument(argument, "TO")
    return None if read.parameters or not read.is_ascii else Rcpt(Recipient(forward_path(read.path)))


def _parse(session: Session, argument: bytes) -> Event:
    plain = _plain(argument)
    if plain is not None:
        return plain
    read = path_argument(argument, "TO")
    assert session.transaction is not None
    if not read.is_ascii and not session.transaction.sender.smtputf8:  # RFC 6531 §3.4, §3.5
        raise Fault(recipients.NEEDS_SMTPUTF8)
    fields: dict[str, Any] = {}
    for keyword, value in read.parameters:
        parameter = _PARAMETERS.get(keyword)
        if parameter is None:  # RFC 5321 §4.1.1.11
            raise Fault(syntax.PARAMETER_UNKNOWN.with_(keyword=keyword))
        fields |= parameter.read(session, value)
    return Rcpt(Recipient(forward_path(read.path), **fields))


def _proceed(session: Session, event: Event) -> None:
    assert isinstance(event, Rcpt) and session.transaction is not None
    session.transaction.recipients.append(event.recipient)


RCPT = Verb("RCPT", "RCPT TO:<forward-path> [parameters]", frozenset({Phase.MAIL, Phase.RCPT}), _parse, _proceed)
