"""BDAT: a chunk of the content, counted and not escaped (RFC 3030 §2).

Its octets follow the line at once, so they are read whatever the reply is: a chunk that cannot be taken is
passed over, and answered then.
"""

from __future__ import annotations

import re

from estafeta.mail.catalogue import orders, syntax
from estafeta.mail.envelope import Body
from estafeta.wire.smtp.data import ChunkReader
from estafeta.wire.smtp.events import Bdat, Event
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Phase, Session, Verb, unchanged, without_recipients

# RFC 3030 §2: bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CR LF; 20 digits are what SIZE may have (RFC 1870 §3).
_CHUNK = re.compile(rb"([0-9]{1,20})(?:[ \t]+(LAST))?", re.IGNORECASE)
_SIZE = re.compile(rb"([0-9]{1,20})(?![^ \t])")


def _parse(session: Session, argument: bytes) -> Event:
    match = _CHUNK.fullmatch(argument)
    if match is None:
        raise Fault(syntax.SYNTAX.with_(syntax="BDAT octets [LAST]"))
    transaction = session.transaction
    assert transaction is not None
    if session.phase is Phase.MAIL:
        raise Fault(without_recipients(session))
    chunks = transaction.chunks or ChunkReader(is_binary=transaction.sender.body is Body.BINARY)
    if chunks.is_refused:
        raise Fault(orders.CHUNK_REFUSED)
    event = Bdat(int(match[1]), match[2] is not None)
    # Not answered before its octets are there, so the session moves on now.
    transaction.chunks = session.reader = chunks
    chunks.begin(event.size, is_last=event.is_last)
    return event


def _followed_by(argument: bytes) -> int | None:
    match = _SIZE.match(argument)
    return None if match is None else int(match[1])


BDAT = Verb(
    "BDAT",
    "BDAT octets [LAST]",
    frozenset({Phase.MAIL, Phase.RCPT, Phase.CHUNKS}),
    _parse,
    unchanged,
    is_offered=lambda session: session.options.chunking,
    followed_by=_followed_by,
)
