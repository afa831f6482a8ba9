"""Line ends as mail has them: CRLF, and neither octet alone (RFC 5321 §2.3.8, RFC 5322 §2.3)."""

from __future__ import annotations

_CR, _LF = b"\r\n"


def has_bare_line_ends(octets: bytes) -> bool:
    """Whether there is a CR without its LF, or an LF without its CR."""
    # The CRLFs are taken away without moving anything, then each octet is looked for at the speed of memchr: a third of
    # what three counts take.
    rest = octets.replace(b"\r\n", b"  ")
    return _CR in rest or _LF in rest
