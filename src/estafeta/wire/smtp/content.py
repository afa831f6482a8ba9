"""Content on its way out: strict line ends and dot transparency (RFC 5321 §2.3.8, §4.5.2)."""

from __future__ import annotations

from typing import Final

from estafeta.mail.line_ends import has_bare_line_ends
from estafeta.mail.value import value
from estafeta.wire.errors import LocalProtocolError

# RFC 5321 §4.1.1.4
FINAL_DOT: Final = b".\r\n"


@value
class WireContent:
    """Content whose lines end in CRLF and that has no other CR or LF, and no NUL (RFC 5321 §2.3.8, §4.1.1.4).

    `of` looks at each line. Who knows it, of content that came in by SMTP, makes the value without.
    """

    octets: bytes

    @staticmethod
    def of(octets: bytes) -> WireContent:
        """Raises LocalProtocolError."""
        if has_bare_line_ends(octets):
            raise LocalProtocolError("bare CR or LF in content")
        if b"\0" in octets:  # servers exist that drop it, and what is left may be a final dot
            raise LocalProtocolError("NUL in content")
        return WireContent(octets)


def ended(octets: bytes) -> bytes:
    """Content with its last line ended by CRLF."""
    return octets if not octets or octets.endswith(b"\r\n") else octets + b"\r\n"


def stuff_dots(octets: bytes) -> bytes:
    """Content as it goes over the wire, up to the final dot: leading dots doubled, ended by CRLF."""
    # RFC 5321 §4.5.2
    if octets.startswith(b"."):
        octets = b"." + octets
    return ended(octets.replace(b"\r\n.", b"\r\n.."))
