"""COMPRESS=DEFLATE (RFC 4978)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.reading import GrammarError, Reader
from estafeta.wire.imap.request import Request


@value
class Compress(Request):
    """From the octet after the OK both sides are compressed."""

    mechanism: str


# compress = "COMPRESS" SP algorithm
def _read(reader: Reader) -> Compress:
    reader.sp()
    mechanism = reader.keyword()
    reader.end()
    if mechanism != "DEFLATE" or not reader.session.offer.compress:
        raise GrammarError("this compression is not offered")
    if reader.session.is_compressed:
        raise GrammarError("the connection is compressed already", "COMPRESSIONACTIVE")
    return Compress(mechanism)


COMPRESS = Command("COMPRESS", AUTHENTICATED, _read, "COMPRESS=DEFLATE")
