"""The sections of a message that BODY[...] and BINARY[...] name (RFC 9051 §6.4.5.1, RFC 3516).

A section that is one stretch of the message is given as a span, so that only its octets need be read.
"""

from __future__ import annotations

from estafeta.mail.mime.decoding import UnknownEncoding, transfer_decoded
from estafeta.mail.mime.fields import selected
from estafeta.mail.mime.index import Part, find

__all__ = ["FIELDS", "FIELDS_NOT", "UnknownEncoding", "decoded", "header_fields", "section", "section_span"]

FIELDS = "HEADER.FIELDS"
FIELDS_NOT = "HEADER.FIELDS.NOT"


def section_span(root: Part, path: tuple[int, ...], text: str = "") -> tuple[int, int] | None:
    """Where a section stands: its first octet and behind its last; None where there is no such part.

    `text` is "", HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT or MIME. Of the two that choose fields it is the header
    section, out of which `header_fields` takes them.
    """
    part = find(root, path)
    if part is None:
        return None
    if text == "MIME":  # of a message's only body it is the message's header section
        return (part.start, part.body) if path else None
    if not path:
        message: Part | None = part
        if not text:
            return part.start, part.end
    elif not text:
        return part.body, part.end
    else:
        message = part.parts[0] if part.is_message and part.parts else None
    if message is None:
        return None
    return (message.body, message.end) if text == "TEXT" else (message.start, message.body)


def header_fields(header: bytes, text: str, names: tuple[str, ...]) -> bytes:
    """HEADER.FIELDS or HEADER.FIELDS.NOT out of a header section: lines as they stand, and the empty line."""
    return selected(header, names, others=text == FIELDS_NOT)


def section(
    octets: bytes, root: Part, path: tuple[int, ...], text: str = "", names: tuple[str, ...] = ()
) -> bytes | None:
    """The octets of a section; None where there is no such part."""
    span = section_span(root, path, text)
    if span is None:
        return None
    found = octets[span[0] : span[1]]
    return header_fields(found, text, names) if text in (FIELDS, FIELDS_NOT) else found


def decoded(octets: bytes, part: Part) -> bytes:
    """The body of a part without its transfer encoding; of parts that hold others, as it stands (RFC 3516 §4.2).

    Raises UnknownEncoding where the encoding is none of RFC 2045 §6.
    """
    body = octets[part.body : part.end]
    return body if part.is_multipart or part.parts else transfer_decoded(body, part.encoding)
