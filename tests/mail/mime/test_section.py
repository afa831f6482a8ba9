"""The sections of a message that IMAP names."""

from __future__ import annotations

import pytest

from estafeta.mail.mime.index import find, index
from estafeta.mail.mime.section import FIELDS, FIELDS_NOT, UnknownEncoding, decoded, section, section_span

HEAD = b"From: ana@example.org\r\nSubject: outer\r\n folded\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
ONE = b"Content-Type: text/plain\r\nX-One: 1\r\n\r\n"
INNER_HEAD = b"Subject: inner\r\nTo: luis@example.net\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n"
INNER_BODY = b"--c\r\n\r\ninner one\r\n--c\r\nContent-Type: text/html\r\n\r\n<p>two\r\n--c--\r\n"
TWO = b"Content-Type: message/rfc822\r\n\r\n"
PLAIN = b"Subject: plain\r\n\r\nonly text\r\n"
BODY = (
    b"preamble\r\n--b\r\n"
    + ONE
    + b"one\r\n\r\n--b\r\n"
    + TWO
    + INNER_HEAD
    + INNER_BODY
    + b"\r\n--b\r\n"
    + TWO
    + PLAIN
    + b"\r\n--b--\r\nepilogue"
)
MESSAGE = HEAD + BODY


def cut(path: tuple[int, ...], text: str = "", *names: str) -> bytes | None:
    return section(MESSAGE, index(MESSAGE), path, text, names)


@pytest.mark.rfc("9051 §6.4.5.1", "Parts, MIME headers, and HEADER and TEXT of messages on any nesting.")
@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ((), "", MESSAGE),
        ((), "HEADER", HEAD),
        ((), "TEXT", BODY),
        ((1,), "", b"one\r\n"),
        ((1,), "MIME", ONE),
        ((2,), "", INNER_HEAD + INNER_BODY),
        ((2,), "MIME", TWO),
        ((2,), "HEADER", INNER_HEAD),
        ((2,), "TEXT", INNER_BODY),
        ((2, 1), "", b"inner one"),
        ((2, 1), "MIME", b"\r\n"),
        ((2, 2), "MIME", b"Content-Type: text/html\r\n\r\n"),
        ((2, 2), "", b"<p>two"),
        ((3,), "TEXT", b"only text\r\n"),
        ((3, 1), "", b"only text\r\n"),
        ((3, 1), "MIME", b"Subject: plain\r\n\r\n"),
    ],
)
def test_sections_are_cut_out(path: tuple[int, ...], text: str, found: bytes) -> None:
    assert cut(path, text) == found
    span = section_span(index(MESSAGE), path, text)
    assert span is not None
    assert MESSAGE[slice(*span)] == found


@pytest.mark.parametrize(
    ("path", "text"),
    [((4,), ""), ((1, 1), ""), ((), "MIME"), ((1,), "HEADER"), ((1,), "TEXT"), ((2, 2), "TEXT"), ((2, 3), "MIME")],
)
def test_what_is_not_there_is_none(path: tuple[int, ...], text: str) -> None:
    assert cut(path, text) is None
    assert section_span(index(MESSAGE), path, text) is None


@pytest.mark.rfc("9051 §6.4.5.1", "HEADER.FIELDS gives the fields of the names as they stand, and the empty line.")
def test_fields_are_chosen_by_name() -> None:
    assert cut((), FIELDS, "SUBJECT", "x-none") == b"Subject: outer\r\n folded\r\n\r\n"
    assert cut((), FIELDS, "Content-Type", "From") == (
        b"From: ana@example.org\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    )
    assert cut((), FIELDS, "x-none") == b"\r\n"
    assert cut((2,), FIELDS, "to") == b"To: luis@example.net\r\n\r\n"
    assert cut((), FIELDS_NOT, "subject", "CONTENT-type") == b"From: ana@example.org\r\n\r\n"
    assert cut((1,), FIELDS, "x-one") is None


@pytest.mark.parametrize(
    ("octets", "found"),
    [
        (b"A: 1\nB: 2\n\nbody", b"B: 2\n\r\n"),
        (b"A: 1\r\nB: 2", b"B: 2\r\n\r\n"),
        (b"A: 1\r\nB: 2\r\n", b"B: 2\r\n\r\n"),
        (b"B: 2\r\nno field\r\nB : 3\r\n\r\n", b"B: 2\r\nB : 3\r\n\r\n"),
        (b"B: \xff\r\n\t\xfe\r\nBB: 1\r\n\r\n", b"B: \xff\r\n\t\xfe\r\n\r\n"),
        (b"\r\nB: 2\r\n", b"\r\n"),
    ],
)
def test_fields_of_broken_header_sections(octets: bytes, found: bytes) -> None:
    assert section(octets, index(octets), (), FIELDS, ("b",)) == found


@pytest.mark.rfc("9051 §6.4.5.1", "HEADER.FIELDS.NOT leaves out the fields of the names, and nothing else.")
@pytest.mark.parametrize(
    ("octets", "found"),
    [
        (b"A: 1\nB: 2\nC: 3\n\nbody", b"A: 1\nC: 3\n\n"),
        (b"A: 1\r\nB: 2", b"A: 1\r\n\r\n"),
        (b"B: 2\r\nA: 1", b"A: 1\r\n\r\n"),
        (b"From x Mon\r\nB: 2\r\n folded\r\nno field\r\n\xf1: 3\r\n\r\n", b"From x Mon\r\nno field\r\n\xf1: 3\r\n\r\n"),
        (b"B: 2\r\n\r\n", b"\r\n"),
        (b"B: 2", b"\r\n"),
        (b"\r\n", b"\r\n"),
        (b"", b"\r\n"),
    ],
)
def test_all_but_the_named_fields_are_given(octets: bytes, found: bytes) -> None:
    assert section(octets, index(octets), (), FIELDS_NOT, ("b",)) == found


@pytest.mark.rfc("9051 §6.4.5.1", "A message that is no multipart has one part, its body.")
def test_the_only_body_has_the_number_one() -> None:
    octets = b"Subject: x\r\n\r\nbody\r\n"
    root = index(octets)
    assert section(octets, root, (1,)) == section(octets, root, (), "TEXT") == b"body\r\n"
    assert section(octets, root, (1,), "MIME") == b"Subject: x\r\n\r\n"


@pytest.mark.rfc("3516 §4.2", "BINARY gives the octets without their transfer encoding.")
@pytest.mark.parametrize(
    ("encoding", "body", "found"),
    [
        (b"base64", b"aGVsbG8g\r\nd29ybGQ=\r\n", b"hello world"),
        (b"BASE64", b"  aGVs \r\n bG8g\t", b"hello "),
        (b"base64", b"aGVsbG8gd29ybG", b"hello worl"),
        (b"base64", b"aGV*sbG8=", b"hello"),
        (b"quoted-printable", b"a=C3=B1o  \r\nb =\r\nc=\t \r\nd", b"a\xc3\xb1o\r\nb cd"),
        (b"quoted-printable", b"no=XX code=", b"no=XX code"),
        (b"8bit", b"\xff\0", b"\xff\0"),
        (b"", b"x", b"x"),
    ],
)
def test_bodies_are_decoded(encoding: bytes, body: bytes, found: bytes) -> None:
    octets = b"Content-Type: image/png\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body
    assert decoded(octets, index(octets)) == found


def test_an_unknown_encoding_is_said_so() -> None:
    octets = b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 a"
    with pytest.raises(UnknownEncoding):
        decoded(octets, index(octets))


def test_parts_that_hold_others_are_given_as_they_stand() -> None:
    root = index(MESSAGE)
    inner = find(root, (2,))
    assert inner is not None
    assert decoded(MESSAGE, inner) == INNER_HEAD + INNER_BODY
    assert decoded(MESSAGE, root) == BODY
