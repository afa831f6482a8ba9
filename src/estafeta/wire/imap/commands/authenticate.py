"""AUTHENTICATE with SASL-IR (RFC 9051 §6.2.2, RFC 4959)."""

from __future__ import annotations

from binascii import Error as BadEncoding
from binascii import a2b_base64

from estafeta.mail.value import value
from estafeta.wire.imap.command import NOT_AUTHENTICATED, Command
from estafeta.wire.imap.reading import GrammarError, Reader
from estafeta.wire.imap.request import Request


@value
class Authenticate(Request):
    """Begin an exchange."""

    mechanism: str
    initial: bytes | None
    """None without an initial response; empty for `=`."""


# authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp]; initial-resp = (base64 / "=")
def _read(reader: Reader) -> Authenticate:
    reader.sp()
    mechanism = reader.keyword()
    initial: bytes | None = None
    if not reader.at_end():
        reader.sp()
        initial = b"" if reader.skip(b"=") else decode(reader.astring())
    reader.end()
    # RFC 9051 §6.2.2: a mechanism that is not offered is answered NO.
    if mechanism not in reader.session.offer.mechanisms:
        raise GrammarError("this mechanism is not offered here", "NO")
    return Authenticate(mechanism, initial)


def decode(octets: bytes) -> bytes:
    """Octets out of base64, strictly; raises GrammarError."""
    try:
        return a2b_base64(octets, strict_mode=True) if octets else b""
    except BadEncoding:
        raise GrammarError("not base64") from None


AUTHENTICATE = Command("AUTHENTICATE", NOT_AUTHENTICATED, _read)
