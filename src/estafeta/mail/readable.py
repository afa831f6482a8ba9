"""The text of a message that a person would read first, out of its MIME structure (RFC 2045, RFC 2046).

What strangers send is read with limits: so many octets, so deep, so many parts, and only character sets whose
decoders do nothing but decode. What cannot be read is said to be more than the text.
"""

from __future__ import annotations

import re
from binascii import Error as BadEncoding
from binascii import a2b_base64, a2b_qp
from dataclasses import dataclass

from estafeta.mail.header import HeaderField, field, header_size

MAX_OCTETS = 65_536
"""Octets of a message that are looked at: many screens full."""
MAX_DEPTH = 8
"""Parts within parts; mail of people has two or three."""
MAX_PARTS = 50
"""Parts beside each other."""
MAX_FIELD = 1000
"""Octets of one field that are looked at."""

# RFC 2045 §5.1; the blanks of folding are gone.
_TYPE = re.compile(r"[ \t]*([!#$&^_.+0-9a-z-]+/[!#$&^_.+0-9a-z-]+)")
_PARAMETER = re.compile(r';[ \t]*([!#$&*^_.+0-9a-z-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)
_CHARSET = re.compile(
    r"us-ascii|utf-?8|iso-8859-(?:1[0-6]|[1-9])|windows-125[0-8]|cp125[0-8]|koi8-[ru]|gb2312|gbk|gb18030|big5"
    r"|euc-jp|iso-2022-jp|shift_jis|euc-kr",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Readable:
    """What a message says in plain text."""

    text: str | None
    """Lines end as the sender ended them; None where there is no plain text."""
    is_all: bool
    """Nothing was left out: neither another part nor the rest of a long one."""
    subject: str = ""


def readable(content: bytes) -> Readable:
    """Find the text of a message, or of the beginning of one."""
    subject = field(content[:MAX_OCTETS], "Subject")
    found = _read(content[:MAX_OCTETS], MAX_DEPTH)
    return Readable(
        found.text,
        found.is_all and len(content) <= MAX_OCTETS,
        HeaderField("Subject", subject.body[:MAX_FIELD]).text if subject is not None else "",
    )


_NOTHING = Readable(None, False)


def _read(part: bytes, depth: int) -> Readable:
    """One entity: its own text, or that of the first part in it that has some."""
    header = part[: header_size(part)]
    body = part[len(header) :]
    kind, parameters = _content_type(header)
    if kind.startswith("multipart/"):
        pieces = _pieces(body, parameters.get("boundary", "")) if depth else []
        return _read_all(kind, pieces, depth - 1)
    if kind != "text/plain" or _word(header, "Content-Disposition").startswith("attachment"):
        return _NOTHING
    octets = _decoded(body, _word(header, "Content-Transfer-Encoding"))
    return _NOTHING if octets is None else Readable(_text(octets, parameters.get("charset", "")), True)


def _read_all(kind: str, pieces: list[bytes], depth: int) -> Readable:
    if kind == "multipart/signed":  # RFC 1847 §2.1: what is behind the first is its signature
        pieces = pieces[:1]
    text: str | None = None
    is_all = bool(pieces) and len(pieces) <= MAX_PARTS
    for piece in pieces[:MAX_PARTS]:
        found = _read(piece, depth)
        if kind == "multipart/alternative":  # RFC 2046 §5.1.4: the others say the same
            if found.text is not None:
                return found
        elif text is None and found.text is not None:
            text, is_all = found.text, is_all and found.is_all
        else:
            is_all = False
    return Readable(text, is_all and text is not None)


def _pieces(body: bytes, boundary: str) -> list[bytes]:
    """The parts between the delimiter lines (RFC 2046 §5.1.1)."""
    if not boundary or len(boundary) > 70:  # RFC 2046 §5.1.1
        return []
    delimiter = re.compile(rb"\r\n--" + re.escape(boundary.encode("utf-8", "replace")) + rb"(--)?[ \t]*(?=\r\n|\Z)")
    body = b"\r\n" + body
    pieces: list[bytes] = []
    begins: int | None = None
    for match in delimiter.finditer(body):
        if begins is not None:
            pieces.append(body[begins : match.start()])
        begins = match.end() + 2
        if match[1] is not None or len(pieces) > MAX_PARTS:
            return pieces
    if begins is not None:  # cut off, or never closed
        pieces.append(body[begins:])
    return pieces


def _content_type(header: bytes) -> tuple[str, dict[str, str]]:
    text = _text_of(header, "Content-Type")
    if text is None:
        return "text/plain", {}  # RFC 2045 §5.2
    kind = _TYPE.match(text.lower())
    if kind is None:
        return "text/plain", {}
    parameters: dict[str, str] = {}
    for name, quoted, token in _PARAMETER.findall(text, kind.end()):
        parameters.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) or token)
    return kind[1], parameters


def _word(header: bytes, name: str) -> str:
    return (_text_of(header, name) or "").strip().lower()


def _text_of(header: bytes, name: str) -> str | None:
    found = field(header, name)
    return None if found is None else found.body[:MAX_FIELD].replace(b"\r\n", b"").decode("utf-8", "replace")


def _decoded(body: bytes, encoding: str) -> bytes | None:
    """RFC 2045 §6; None where nobody can decode it."""
    if encoding in ("", "7bit", "8bit", "binary"):
        return body
    if encoding == "quoted-printable":
        return a2b_qp(body)
    if encoding != "base64":
        return None
    try:
        return a2b_base64(body)
    except BadEncoding:  # cut off within a group of four
        return None


def _text(octets: bytes, charset: str) -> str:
    """Decoded; what says nothing of its octets is read as UTF-8, which ASCII is."""
    is_known = _CHARSET.fullmatch(charset) is not None and charset.lower() != "us-ascii"
    return octets.decode(charset if is_known else "utf-8", "replace")
