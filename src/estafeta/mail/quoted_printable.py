"""The quoted-printable encoding (RFC 2045 §6.7), of text whose lines end in CRLF."""

from __future__ import annotations

from binascii import b2a_qp

from estafeta.mail.line_ends import has_bare_line_ends


def quoted_printable(text: bytes) -> bytes:
    """The text encoded, in lines of at most 76 octets; CRLF stays a line's end, a CR or LF of its own is data."""
    if has_bare_line_ends(text):
        return b"\r\n".join(_line(line) for line in text.split(b"\r\n"))
    # The encoder breaks lines as the text does, and by LF alone where the text is one line.
    encoded = b2a_qp(text)
    return encoded if b"\r\n" in text else encoded.replace(b"\n", b"\r\n")


def _line(line: bytes) -> bytes:
    return b2a_qp(line, istext=False).replace(b"\n", b"\r\n")
