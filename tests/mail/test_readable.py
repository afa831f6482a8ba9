"""The text that a person would read first, whatever a stranger makes of MIME."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.readable import MAX_DEPTH, MAX_OCTETS, MAX_PARTS, Readable, readable

PLAIN = b"Content-Type: text/plain; charset=utf-8\r\n\r\n"


def entity(kind: str, *parts: bytes, boundary: str = "b") -> bytes:
    lines = "".join(f"\r\n--{boundary}\r\n\0" for _ in parts).encode().split(b"\0")
    body = b"".join(line + part for line, part in zip(lines, parts, strict=False))
    return (
        f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\npreamble'.encode()
        + body
        + (f"\r\n--{boundary}--\r\nepilogue".encode())
    )


@pytest.mark.rfc("2045 §5.2", "Without a Content-Type a message is plain text.")
def test_plain_text_is_read_as_it_is() -> None:
    found = readable(b"Subject: =?utf-8?q?ma=C3=B1ana?=\r\n\r\nhola\r\nadios\r\n")
    assert found == Readable("hola\r\nadios\r\n", True, "mañana")
    assert readable(b"\r\n") == Readable("", True)


@pytest.mark.rfc("2045 §6", "Quoted-printable, base64, 7bit and 8bit are decoded.")
@pytest.mark.parametrize(
    ("header", "body", "text"),
    [
        (b"Content-Transfer-Encoding: 8bit\r\nContent-Type: text/plain; charset=ISO-8859-1", b"a\xf1o", "año"),
        (b"Content-Transfer-Encoding: Quoted-Printable", b"a=C3=B1o =\r\nnuevo", "año nuevo"),
        (b"Content-Transfer-Encoding: BASE64", b64encode("año".encode()), "año"),
        (b'Content-Type: text/plain;\r\n charset="windows-1252"', b"\x93a\x94", "“a”"),
        (b"Content-Type: text/plain; charset=koi8-r", "да".encode("koi8-r"), "да"),
        (b"Content-Type: text/plain; charset=us-ascii", "año".encode(), "año"),
        (b"Content-Type: text/plain", b"a\xff", "a\ufffd"),
        (b"Content-Type: not a type", b"a", "a"),
        (b"Content-Type: text/plain; charset=punycode", b"a-ecp", "a-ecp"),
        (b"Content-Type: text/plain; charset=unicode_escape", b"\\x1b", "\\x1b"),
    ],
)
def test_encodings_and_character_sets_are_undone(header: bytes, body: bytes, text: str) -> None:
    assert readable(header + b"\r\n\r\n" + body) == Readable(text, True)


@pytest.mark.parametrize(
    "content",
    [
        b"Content-Transfer-Encoding: base64\r\n\r\nA",
        b"Content-Transfer-Encoding: uuencode\r\n\r\nA",
        b"Content-Type: text/html\r\n\r\n<p>A",
        b"Content-Disposition: attachment; filename=a.txt\r\n\r\nA",
        b"Content-Type: multipart/mixed\r\n\r\nA",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\nA",
        b"Content-Type: multipart/mixed; boundary=" + b"b" * 71 + b"\r\n\r\n--" + b"b" * 71 + b"\r\n\r\nA",
    ],
)
def test_what_nobody_can_read_has_no_text(content: bytes) -> None:
    assert readable(content) == Readable(None, False)


@pytest.mark.rfc("2046 §5.1", "Of the parts of a message the first plain text is read, of alternatives the plain one.")
def test_of_several_parts_the_text_is_found() -> None:
    html, image = b"Content-Type: text/html\r\n\r\n<p>A", b"Content-Type: image/png\r\n\r\nA"
    assert readable(entity("alternative", PLAIN + b"A", html)) == Readable("A", True)
    assert readable(entity("mixed", PLAIN + b"A", image)) == Readable("A", False)
    assert readable(entity("mixed", image, PLAIN + b"A")) == Readable("A", False)
    signature = b"Content-Type: application/pgp-signature\r\n\r\nA"
    assert readable(entity("signed", PLAIN + b"A", signature)) == Readable("A", True)
    inner = entity("alternative", PLAIN + b"A\r\n--b", html, boundary="bb")
    assert readable(entity("mixed", inner, boundary="b")).text == "A"
    assert readable(entity("mixed", b"\r\nA\r\n--bb\r\nB", boundary="b")) == Readable("A\r\n--bb\r\nB", True)
    assert readable(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ncut off") == Readable("cut off", True)


def test_depth_parts_and_octets_have_limits() -> None:
    nested = PLAIN + b"A"
    for level in range(MAX_DEPTH):
        nested = entity("mixed", nested, boundary=f"b{level}")
    assert readable(nested) == Readable("A", True)
    assert readable(entity("mixed", nested, boundary="more")) == Readable(None, False)
    image = b"Content-Type: image/png\r\n\r\nA"
    assert readable(entity("mixed", *[image] * MAX_PARTS, PLAIN + b"A")).text is None
    long = b"\r\n" + b"a" * MAX_OCTETS
    assert readable(long) == Readable("a" * (MAX_OCTETS - 2), False)


@pytest.mark.parametrize(
    "content",
    [
        b"Content-Type: text/plain" + b"; a" * 20_000 + b"\r\n\r\nA",
        b"Content-Type: text/plain; a=" + b'"\\' * 20_000 + b"\r\n\r\nA",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"\r\n--b" + b" \t" * 30_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * 13_000,
        b"Subject: " + b"=?utf-8?q?" * 6_000 + b"\r\n\r\nA",
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n" * 1_200,
    ],
)
def test_what_is_made_to_be_slow_is_read_at_once(content: bytes) -> None:
    # A reader that tries every way to part it would not come back within the life of the test run.
    assert isinstance(readable(content), Readable)


@given(st.binary(max_size=400), st.sampled_from([b"", PLAIN, entity("mixed", PLAIN), b"Content-Type: "]))
def test_nothing_that_comes_in_raises(octets: bytes, before: bytes) -> None:
    found = readable(before + octets)
    assert found.text is not None or not found.is_all
