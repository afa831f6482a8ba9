"""The text of a message that a person would read first, out of its MIME structure (RFC 2045, RFC 2046).

What strangers send is read with limits: so many octets, so deep, so many parts, and only character sets whose
decoders do nothing but decode. What cannot be read is said to be more than the text.
"""

from __future__ import annotations

from estafeta.mail.mime.decoding import UnknownEncoding, codec
from estafeta.mail.mime.index import Limits, Part, indexed
from estafeta.mail.mime.section import decoded
from estafeta.mail.mime.text import header_text
from estafeta.mail.value import value

MAX_OCTETS = 65_536
"""Octets of a message that are looked at: many screens full."""
MAX_DEPTH = 8
"""Parts within parts; mail of people has two or three."""
MAX_PARTS = 50
"""Parts beside each other."""
MAX_FIELD = 1000
"""Octets of one field that are looked at."""
MAX_BOUNDARY = 70
"""Letters of a boundary (RFC 2046 §5.1.1)."""

_LIMITS = Limits(depth=MAX_DEPTH, parts=500, field=MAX_FIELD)


@value
class Readable:
    """What a message says in plain text."""

    text: str | None
    """Lines end as the sender ended them; None where there is no plain text."""
    is_all: bool
    """Nothing was left out: neither another part nor the rest of a long one."""
    subject: str = ""


def readable(content: bytes) -> Readable:
    """Find the text of a message, or of the beginning of one."""
    octets = content[:MAX_OCTETS]
    root, found = indexed(octets, _LIMITS)
    said = _read(octets, root)
    subjects = found.get(b"subject")
    return Readable(
        said.text,
        said.is_all and len(content) <= MAX_OCTETS,
        header_text(subjects[0][:MAX_FIELD]) if subjects else "",
    )


_NOTHING = Readable(None, False)


def _read(octets: bytes, part: Part) -> Readable:
    """One entity: its own text, or that of the first part in it that has some."""
    if part.is_multipart:
        return _read_all(octets, part)
    is_attached = part.disposition is not None and part.disposition[0] == "attachment"
    if (part.media_type, part.subtype) != ("text", "plain") or is_attached:
        return _NOTHING
    try:
        body = decoded(octets, part)
    except UnknownEncoding:
        return _NOTHING
    if part.size and not body and octets[part.body : part.end].strip():  # nothing could be made of it
        return _NOTHING
    charset = codec((part.parameter("charset") or b"").decode("latin-1"))
    return Readable(body.decode(charset or "utf-8", "replace"), True)


def _read_all(octets: bytes, whole: Part) -> Readable:
    if whole.parts[0].start == whole.body or len(whole.parameter("boundary") or b"") > MAX_BOUNDARY:
        return _NOTHING  # no delimiter, and so no parts
    parts = whole.parts
    if whole.subtype == "signed":  # RFC 1847 §2.1: what is behind the first is its signature
        parts = parts[:1]
    text: str | None = None
    is_all = len(parts) <= MAX_PARTS
    for part in parts[:MAX_PARTS]:
        found = _read(octets, part)
        if whole.subtype == "alternative":  # RFC 2046 §5.1.4: the others say the same
            if found.text is not None:
                return found
        elif text is None and found.text is not None:
            text, is_all = found.text, is_all and found.is_all
        else:
            is_all = False
    return Readable(text, is_all and text is not None)
