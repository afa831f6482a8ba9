"""Whatever comes as a message: its parts stand within each other, what IMAP says of it is well formed and agrees with
its octets, each section is cut out of it, and nothing of it raises but the encoding that nobody knows."""

from __future__ import annotations

from tests.fuzz.inputs import Input

from estafeta.mail.mime.description import describe
from estafeta.mail.mime.fields import header_end
from estafeta.mail.mime.index import Part, find, index, pack, unpack
from estafeta.mail.mime.section import FIELDS, FIELDS_NOT, UnknownEncoding, decoded, section, section_span
from estafeta.mail.mime.structure import body, body_structure, envelope
from estafeta.mail.mime.text import PREVIEW, field_texts, folded, searchable
from estafeta.mail.readable import readable

MULTIPART, MESSAGE, PAGE = range(3)
"""Flags: what stands before the octets."""
_BEFORE = {
    MULTIPART: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n",
    MESSAGE: b"Content-Type: message/rfc822\r\n\r\n",
    PAGE: b"Content-Type: text/html; charset=utf-8\r\n\r\n",
}
_TEXTS = ("", "HEADER", "TEXT", "MIME", FIELDS, FIELDS_NOT)


def check_parts(octets: bytes, part: Part, path: tuple[int, ...], root: Part) -> None:
    """A part, and all in it, in their places and under their numbers."""
    assert 0 <= part.start <= part.body <= part.end <= len(octets)
    assert part.lines in (0, octets.count(b"\n", part.body, part.end))
    assert part.media_type == part.media_type.lower() and part.encoding == part.encoding.lower()
    assert find(root, path) == part
    at = part.body
    for number, inner in enumerate(part.parts, 1):
        assert at <= inner.start and inner.end <= part.end
        at = inner.end
        if part.is_multipart:
            check_parts(octets, inner, (*path, number), root)
        else:
            assert len(part.parts) == 1 and part.is_message
    try:
        assert len(decoded(octets, part)) <= part.size
    except UnknownEncoding:
        assert not part.parts
    for text in _TEXTS:
        span, found = section_span(root, path, text), section(octets, root, path, text, ("Subject", "b"))
        assert (span is None) == (found is None)
        if span is not None and found is not None and text not in (FIELDS, FIELDS_NOT):
            assert found == octets[slice(*span)]
        elif found is not None:
            assert found.endswith(b"\n")


def check_written(octets: bytes) -> None:
    """Lists, strings, literals, numbers and NIL, closed as they were opened."""
    at = depth = 0
    while at < len(octets):
        letter = octets[at : at + 1]
        if letter == b'"':
            at += 1
            while octets[at] != 34:
                assert 0 < octets[at] < 128 and octets[at] not in b"\r\n"
                at += 2 if octets[at] == 92 else 1
        elif letter == b"{":
            end = octets.index(b"}\r\n", at)
            at = end + 2 + int(octets[at + 1 : end])
        elif letter in (b"(", b")"):
            depth += 1 if letter == b"(" else -1
            assert depth > 0 or at == len(octets) - 1
        else:
            assert letter in b"NIL 0123456789"
        at += 1
    assert depth == 0


def check(octets: bytes) -> None:
    """All that is asked of a message."""
    root = index(octets)
    assert (root.start, root.end) == (0, len(octets))
    check_parts(octets, root, (), root)
    assert unpack(pack(root)) == root
    found = describe(octets)
    assert root.body == header_end(octets, 0, len(octets))
    assert (found.envelope, found.body) == (envelope(octets, root), body(octets, root))
    assert found.body_structure == body_structure(octets, root)
    for written in (found.envelope, found.body, found.body_structure):
        check_written(written)
    assert len(found.preview) <= PREVIEW and found.preview == " ".join(found.preview.split())
    text = searchable(octets, root)
    for each in (text.subject, text.from_, text.header, text.body):
        assert folded(folded(each)) == folded(each)
    assert text.subject == "\n".join(field_texts(octets, root, "SUBJECT"))
    said = readable(octets)
    assert said.text is not None or not said.is_all


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    check(b"".join(before for bit, before in _BEFORE.items() if given.has(bit)) + given.octets)
