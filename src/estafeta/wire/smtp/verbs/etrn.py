"""ETRN: start sending what waits for a host, a domain or a queue; not inside a transaction (RFC 1985 §5)."""

from __future__ import annotations

import re

from estafeta.mail.catalogue import syntax
from estafeta.wire.smtp.events import Etrn, Event
from estafeta.wire.smtp.extensions.etrn import is_offered
from estafeta.wire.smtp.grammar import Fault, domain_name
from estafeta.wire.smtp.session import Phase, Session, Verb, unchanged

# RFC 1985 §5.3: the form of a queue's name is the server's own matter.
_QUEUE = re.compile(r"#[!-~]{1,255}")


def _parse(session: Session, argument: bytes) -> Event:
    text = argument.decode("utf-8", "replace")
    if text.startswith("#"):
        if not _QUEUE.fullmatch(text):
            raise Fault(syntax.BAD_QUEUE)
        return Etrn(text)
    option = "@" if text.startswith("@") else ""
    return Etrn(option + domain_name(text.removeprefix("@"), "ETRN host, ETRN @domain or ETRN #queue"))


ETRN = Verb("ETRN", "ETRN host | @domain | #queue", frozenset({Phase.READY}), _parse, unchanged, is_offered=is_offered)
