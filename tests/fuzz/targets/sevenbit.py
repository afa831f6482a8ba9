"""Whatever is to go to a host for 7-bit mail: it is refused with CannotDowngrade, or becomes lines of at most 998
octets of ASCII, which a second time stay as they are, and in which its parts are the same when decoded."""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz.inputs import Input

from estafeta.mail.downgrade import CannotDowngrade, to_seven_bit
from estafeta.mail.line_ends import has_bare_line_ends
from estafeta.mail.mime.index import Part, index
from estafeta.mail.mime.section import UnknownEncoding, decoded

BINARY, MULTIPART, MESSAGE, LONG = range(4)
"""Flags: binary content; what stands before the octets; the last of them stand there a thousand times."""
_BEFORE = {
    MULTIPART: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n",
    MESSAGE: b"Content-Type: message/rfc822\r\n\r\n",
}
_SAME = ("", "7bit", "8bit", "binary")


def leaves(octets: bytes, part: Part) -> Iterator[tuple[str, bytes]]:
    """Type and decoded octets of the parts that have none; ends of lines at the end may belong to a delimiter."""
    if part.parts:
        for each in part.parts:
            yield from leaves(octets, each)
        return
    try:
        yield f"{part.media_type}/{part.subtype}", decoded(octets, part).rstrip(b"\r\n")
    except UnknownEncoding:
        yield "unknown", b""


def check(content: bytes, *, is_binary: bool) -> None:
    """All that is asked of the result."""
    try:
        made = to_seven_bit(content, is_binary=is_binary)
    except CannotDowngrade as error:
        assert str(error).isprintable()
        return
    assert made.isascii() and b"\0" not in made and not has_bare_line_ends(made)
    assert all(len(line) <= 998 for line in made.split(b"\r\n"))
    assert to_seven_bit(made) is made
    if content.isascii() and not is_binary and made == content:
        return
    before, after = list(leaves(content, index(content))), list(leaves(made, index(made)))
    if not is_binary:  # of binary content only the body of one part is found alike
        assert before == after, (before, after)


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    content = b"".join(before for bit, before in _BEFORE.items() if given.has(bit)) + given.octets
    if given.has(LONG):
        content += content[-max(given.cut & 15, 1) :] * 1000
    check(content, is_binary=given.has(BINARY))
