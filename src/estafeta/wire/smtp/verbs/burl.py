"""BURL: a piece of the content that the server fetches itself, by its URL (RFC 4468 §3).

It stands where a chunk of BDAT could. The owner answers with what the URL names (`supply`), which goes on as a
chunk does, or with a refusal.
"""

from __future__ import annotations

import re

from estafeta.mail.catalogue import orders, senders, syntax
from estafeta.mail.envelope import Body
from estafeta.wire.smtp.data import ChunkReader
from estafeta.wire.smtp.events import Burl, Event
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Phase, Session, Verb, unchanged, without_recipients

# RFC 4468 §3.2: burl-cmd = "BURL" SP absolute-URI [SP end-marker] CRLF; an URI has printable ASCII alone (RFC 3986 §2).
_URL = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*:[!-~]+)(?:[ \t]+(LAST))?", re.IGNORECASE)


def _parse(session: Session, argument: bytes) -> Event:
    match = _URL.fullmatch(argument)
    if match is None:
        raise Fault(syntax.SYNTAX.with_(syntax="BURL url [LAST]"))
    if not session.is_authenticated:  # RFC 4468 §3.1: whose mail it is has to be known
        raise Fault(senders.LOGIN_NEEDED)
    transaction = session.transaction
    assert transaction is not None
    if session.phase is Phase.MAIL:
        raise Fault(without_recipients(session))
    chunks = transaction.chunks or ChunkReader(is_binary=transaction.sender.body is Body.BINARY)
    if chunks.is_refused:
        raise Fault(orders.CHUNK_REFUSED)
    transaction.chunks = chunks
    return Burl(match[1].decode("ascii"), match[2] is not None)


BURL = Verb(
    "BURL",
    "BURL url [LAST]",
    frozenset({Phase.MAIL, Phase.RCPT, Phase.CHUNKS}),
    _parse,
    unchanged,
    is_offered=lambda session: session.options.burl,
)
