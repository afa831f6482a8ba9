"""8-bit mail made 7-bit: whoever decodes it finds the same, and what need not change does not."""

from __future__ import annotations

import email
import re
import time
from base64 import b64encode
from contextlib import suppress
from email.message import Message

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from estafeta.mail.downgrade import MAX_DEPTH, MAX_LINE, MAX_PARTS, CannotDowngrade, to_seven_bit
from estafeta.mail.quoted_printable import quoted_printable


def lines_of(octets: bytes) -> list[bytes]:
    return octets.split(b"\r\n")


def is_fit(octets: bytes) -> bool:
    return octets.isascii() and max(map(len, lines_of(octets))) <= MAX_LINE


Decoded = list[tuple[str, str | None, str | None, bytes | None]]


def decoded(octets: bytes) -> Decoded:
    """What a reader finds: each part's type, charset, file name and decoded octets, in their order."""
    parts = []
    for part in email.message_from_bytes(octets).walk():
        assert isinstance(part, Message)
        payload = part.get_payload(decode=True)
        assert payload is None or isinstance(payload, bytes)
        charset = part.get_content_charset()
        charset = None if charset == "unknown-8bit" else charset
        parts.append((part.get_content_type(), charset, part.get_filename(), payload))
    return parts


# Messages of parts within parts. Each multipart has a boundary of its own that is in none of its parts.

_LETTERS = bytes(set(range(1, 256)) - set(b"\r\n"))
_line = st.one_of(
    st.lists(st.sampled_from(_LETTERS), max_size=90).map(bytes),
    st.text(alphabet="aé -.=_\t", max_size=90).map(str.encode),
    st.integers(900, 2500).flatmap(lambda size: st.sampled_from([b"x" * size, b"y \xe9=" * (size // 4)])),
    st.sampled_from([b".", b"--", b"--other", b"From here", b"a ", b"=", b"", b"\xe1" * 80]),
)
_body = st.lists(_line, max_size=6).map(b"\r\n".join)
_ascii_line = _line.map(lambda line: bytes(letter if 31 < letter < 127 else ord("?") for letter in line))
_ascii_body = st.lists(_ascii_line, max_size=6).map(b"\r\n".join)


@st.composite
def leaf(draw: st.DrawFn) -> bytes:
    kind = draw(
        st.sampled_from(
            [
                b"Content-Type: text/plain; charset=utf-8\r\n",
                b"Content-type: TEXT/HTML;\r\n\tcharset=iso-8859-1\r\n",
                b'Content-Type: application/octet-stream; name="a b.bin"\r\n',
                b"Content-Type: image/png\r\n",
                b"Content-Type: nonsense\r\n",
                b"X-Other: y\r\n",
                b"",
            ]
        )
    )
    body = draw(st.one_of(_body, _ascii_body))
    how = draw(st.sampled_from(["8bit", "8BIT (as it is)", "7bit", "binary", "none", "qp", "raw qp", "base64"]))
    if how == "qp":
        return kind + b"Content-Transfer-Encoding: Quoted-Printable\r\n\r\n" + quoted_printable(body)
    if how == "raw qp":  # labelled and not encoded, as some programs do
        return kind + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + body
    if how == "base64":
        return kind + b"Content-Transfer-Encoding: base64\r\n\r\n" + b64encode(body)  # one line, however long
    if how == "none":
        return kind + b"\r\n" + body
    return b"Content-Transfer-Encoding: " + how.encode() + b"\r\n" + kind + b"\r\n" + body


def multipart(parts: list[bytes], subtype: str, boundary: str, preamble: bytes, *, is_closed: bool = True) -> bytes:
    delimiter = b"--" + boundary.encode()
    body = preamble + b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in parts)
    end = delimiter + b"--\r\n" if is_closed else b""
    quoted = f'"{boundary}"' if " " in boundary else boundary
    return f"Content-Type: multipart/{subtype}; boundary={quoted}\r\n\r\n".encode() + body + end


@st.composite
def tree(draw: st.DrawFn, depth: int = 0) -> bytes:
    choice = draw(st.integers(0, 3 if depth < 3 else 1))
    if choice <= 1:
        return draw(leaf())
    if choice == 2:
        inner = draw(tree(depth + 1))
        label = draw(st.sampled_from([b"", b"Content-Transfer-Encoding: 8bit\r\n"]))
        return b"Content-Type: message/rfc822\r\n" + label + b"\r\nMIME-Version: 1.0\r\nSubject: inner\r\n" + inner
    parts = draw(st.lists(tree(depth + 1), min_size=1, max_size=3))
    boundary = f"b{depth}.{draw(st.integers(0, 10**9))} x"
    subtype = draw(st.sampled_from(["mixed", "signed", "alternative"]))
    preamble = draw(st.sampled_from([b"", b"This is MIME.\r\n", b"\xe9" * 1200 + b"\r\n"]))
    return multipart(parts, subtype, boundary, preamble, is_closed=draw(st.booleans()))


@pytest.mark.rfc("6152 §3", "Content converted for a 7-bit host decodes to the same.")
@given(tree())
def test_whoever_decodes_it_finds_the_same(message: bytes) -> None:
    message = b"From: ana@example.org\r\nMIME-Version: 1.0\r\n" + message
    converted = to_seven_bit(message)
    assert is_fit(converted)
    assert decoded(converted) == decoded(message)
    assert to_seven_bit(converted) == converted
    if is_fit(message):
        assert converted == message


@given(
    st.one_of(
        st.binary(max_size=400),
        st.lists(
            st.sampled_from(
                [
                    b"Content-Type: multipart/mixed; boundary=b\r\n",
                    b"Content-Type: message/rfc822\r\n",
                    b"Content-Transfer-Encoding: base64\r\n",
                    b"\r\n",
                    b"--b\r\n",
                    b"\r\n--b\r\n",
                    b"\r\n--b--\r\n",
                    b"\r\n--b" + b" " * 1000 + b"\r\n",
                    b"\xe9",
                    b"x" * 1000,
                    b"Subject:" + b" x" * 600 + b"\r\n",
                ]
            ),
            max_size=12,
        ).map(b"".join),
    )
)
@example(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\xe9" + b"\r\n--b\r\n")
def test_whatever_it_is_the_result_is_fit_or_there_is_none(octets: bytes) -> None:
    try:
        converted = to_seven_bit(octets)
    except CannotDowngrade as error:
        assert str(error).isascii() and str(error)
    else:
        assert is_fit(converted)
        assert to_seven_bit(converted) == converted


@pytest.mark.rfc("2045 §6.7", "Text becomes quoted-printable.")
@pytest.mark.rfc("2045 §6.8", "Other parts become base64.")
def test_text_becomes_quoted_printable_and_other_parts_base64() -> None:
    text = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncafé\r\n".encode()
    image = b"Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\x89PNG\x01"
    plain = b"Content-Type: text/html\r\n\r\n<p>as it was</p> \t\r\n"
    message = b"MIME-Version: 1.0\r\n" + multipart([text, image, plain], "mixed", "bb", b"A preamble\r\n")
    converted = to_seven_bit(message)
    assert b"Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf=C3=A9\r\n" in converted
    assert b"Content-Transfer-Encoding: base64\r\n\r\niVBORwE=\r\n" in converted
    assert b"\r\n--bb\r\n" + plain + b"\r\n--bb--\r\n" in converted
    assert b"\r\n\r\nA preamble\r\n--bb\r\n" in converted
    assert b"8bit" not in converted and b"binary" not in converted


@pytest.mark.rfc("2045 §6.4", "What is around a converted part is labelled anew.")
def test_what_is_around_a_part_is_labelled_anew() -> None:
    inner = b"Subject: inner\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n\xe9\r\n"
    nested = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + inner
    message = b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n" + multipart([nested], "mixed", "bb", b"")
    converted = to_seven_bit(message)
    # RFC 2045 §6.4: what has parts or a message in it is never encoded itself.
    assert re.findall(rb"Content-Transfer-Encoding: (\S+)", converted) == [b"7bit", b"7bit", b"quoted-printable"]
    assert converted.endswith(b"\r\n\r\n=E9\r\n\r\n--bb--\r\n")


@pytest.mark.rfc("1428", "8-bit text that names no charset becomes text in unknown-8bit.")
def test_a_message_without_mime_gets_it_with_a_charset_that_says_nobody_knows() -> None:
    converted = to_seven_bit(b"Subject: old\r\n\r\ncaf\xe9\r\n")
    assert converted == (
        b"Subject: old\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9\r\n"
    )
    nested = b"MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\nSubject: old\r\n\r\ncaf\xe9\r\n"
    assert to_seven_bit(nested).endswith(converted)


def test_seven_bit_mail_is_the_same_object() -> None:
    message = b"Subject: x\r\n\r\n" + b"x" * 998 + b"\r\nlast line without an end"
    assert to_seven_bit(message) is message


@pytest.mark.rfc("5322 §2.1.1", "Lines that are too long for a host are wrapped.")
@pytest.mark.rfc("5322 §2.2.3", "Fields that are too long are folded before a blank.")
def test_long_lines_are_wrapped_softly_and_long_fields_folded() -> None:
    field = b"References:" + b" <12345678901234567890@example.org>" * 60
    message = field + b"\r\nMIME-Version: 1.0\r\n\r\n" + b"word " * 400 + b"\r\n"
    converted = to_seven_bit(message)
    assert is_fit(converted)
    assert decoded(converted) == decoded(message)
    before, after = email.message_from_bytes(message), email.message_from_bytes(converted)
    assert before["References"] == after["References"].replace("\r\n", "")
    assert b"unknown-8bit" not in converted


def test_a_field_without_a_blank_to_fold_at_is_too_much() -> None:
    with pytest.raises(CannotDowngrade, match="field"):
        to_seven_bit(b"X-Token: " + b"x" * 1000 + b"\r\n\r\nhello\r\n")


@pytest.mark.rfc("2046 §5.2.2", "`message/partial` that is not 7-bit cannot be converted.")
@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Subject: café\r\n\r\nhello\r\n".encode(), "8-bit"),
        (
            "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: é\r\n\r\n\r\n--b--".encode(),
            "8-bit",
        ),
        (b"Subject: x\r\n\r\n\xe9\nbare\r\n", "CRLF"),
        (b"Subject: x\r\nno field\r\n\r\n\xe9\r\n", "no field"),
        (b" no fold\r\nSubject: x\r\n\r\n\xe9\r\n", "no field"),
        (b"Content-Transfer-Encoding: x-uuencode\r\n\r\n\xe9\r\n", "encoding"),
        (b"Content-Type: multipart/mixed\r\n\r\n\xe9\r\n", "boundary"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n\xe9\r\n", "no parts"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n\xe9\r\n--b--\r\n", "no parts"),
        (b"Content-Type: message/partial; id=x\r\n\r\n\xe9\r\n", "partial"),
        (b"Content-Type: text/plain;" + b" " * 9000 + b"\r\n\r\n\xe9\r\n", "too long"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b" + b" " * 1000 + b"\r\n\r\n\xe9\r\n--b--", "too long"),
    ],
)
def test_what_cannot_be_said_in_seven_bits_is_told(message: bytes, reason: str) -> None:
    with pytest.raises(CannotDowngrade, match=reason):
        to_seven_bit(message)


def test_a_wrapped_line_never_becomes_a_boundary() -> None:
    # After 75 letters the encoder breaks the line: what follows would stand at the beginning of one.
    trap = b"x" * 75 + b"--bb--" + b"y" * 60 + b"\xe9\r\n"
    part = b"Content-Type: text/plain\r\n\r\n" + trap
    assert b"\r\n--bb--" in quoted_printable(trap)
    message = b"MIME-Version: 1.0\r\n" + multipart([part, b"\r\nsecond"], "mixed", "bb", b"")
    converted = to_seven_bit(message)
    assert decoded(converted) == decoded(message)
    assert b"Content-Transfer-Encoding: base64" in converted


@pytest.mark.rfc("2045 §6.8", "What is none of base64 is passed over.")
def test_base64_with_octets_that_are_none_is_read_as_before() -> None:
    body = b64encode(b"attached" * 300)
    message = b"MIME-Version: 1.0\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    converted = to_seven_bit(message + b"\xff" + body + b"\r\n")
    assert is_fit(converted)
    assert decoded(converted) == decoded(message + body)


@pytest.mark.rfc("6532 §3.7", "`message/global` is encoded whole.")
def test_mail_in_utf8_within_mail_is_encoded_whole() -> None:
    # RFC 6532 §3.7: message/global may be encoded, for its header cannot be said in 7 bits.
    inner = "Subject: café\r\n\r\nhello\r\n".encode()
    message = b"MIME-Version: 1.0\r\nContent-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + inner
    converted = to_seven_bit(message)
    assert b"Content-Transfer-Encoding: quoted-printable\r\n\r\nSubject: caf=C3=A9\r\n" in converted


@pytest.mark.rfc("1847 §2.1", "Parts of multipart/signed that are not 7-bit are converted too.")
def test_signed_mail_is_converted_like_other() -> None:
    signed = b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xa9\r\n"
    signature = b"Content-Type: application/pgp-signature\r\n\r\n-----BEGIN PGP SIGNATURE-----\r\n"
    converted = to_seven_bit(b"MIME-Version: 1.0\r\n" + multipart([signed, signature], "signed", "bb", b""))
    assert b"=C3=A9" in converted
    assert signature in converted


def test_a_field_said_twice_counts_once() -> None:
    message = b"Content-Transfer-Encoding: 8bit\r\nSubject: x\r\ncontent-transfer-encoding: base64\r\n\r\n\xe9\r\n"
    converted = to_seven_bit(b"MIME-Version: 1.0\r\n" + message)
    assert converted.lower().count(b"content-transfer-encoding") == 1
    assert converted.endswith(b"=E9\r\n")


@pytest.mark.parametrize(
    "kind",
    [b"multipart / mixed; boundary=b", b"(a (b)) multipart/mixed (c); boundary=b", b'multipart/mixed (");boundary=b'],
)
def test_blanks_and_comments_in_a_type_hide_no_parts(kind: bytes) -> None:
    made = to_seven_bit(b"Content-Type: " + kind + b"\r\n\r\n--b\r\n\r\n\xe9\r\n--b--\r\n")
    assert b"--b\r\nContent-Type: text/plain; charset=unknown-8bit\r\n" in made and b"\r\n\r\n=E9\r\n--b--" in made
    with pytest.raises(CannotDowngrade, match="not known"):
        to_seven_bit(b"Content-Transfer-Encoding: \x1b (base64)\r\n\r\n\xe9\r\n")


@pytest.mark.rfc("2046 §5.1.1", "Parts are bounded in depth and number.")
def test_bombs_of_parts_are_told_and_cost_little() -> None:
    deep = b"\xe9\r\n"
    for number in range(MAX_DEPTH + 2):
        deep = multipart([deep if number else b"\r\n" + deep], "mixed", f"b{number:03}", b"")
    with pytest.raises(CannotDowngrade, match="deep"):
        to_seven_bit(deep)
    many = multipart([b"\r\n"] * MAX_PARTS + [b"\r\n\xe9"], "mixed", "b", b"")
    with pytest.raises(CannotDowngrade, match="many"):
        to_seven_bit(many)


@pytest.mark.parametrize(
    "hostile",
    [
        b"Content-Type: text/plain; " + b'a="' * 2700,
        b"Content-Type: text/plain" + b"; a" * 2700,
        b"Content-Type:" + b"\r\n " * 2700,
        b"X:" + b" " * 250_000,
        b"X" * 250_000,
        b"X: " + b"abcdefg " * 1_000_000,
        b"Content-Type" + b" " * 250_000,
    ],
)
def test_hostile_fields_take_no_long_time(hostile: bytes) -> None:
    began = time.process_time()
    with suppress(CannotDowngrade):
        to_seven_bit(hostile + b"\r\n\r\n\xe9\r\n")
    assert time.process_time() - began < 2


BINARY_LEAF = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"
TEXT_LEAF = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: binary\r\n\r\n"


@pytest.mark.rfc("3030 §3", "Binary content is encoded for a host that does not take it, and is the same when decoded.")
@given(st.binary(max_size=300), st.sampled_from([BINARY_LEAF, TEXT_LEAF]))
@example(b"\r\n.\r\nMAIL FROM:<>\n.\n\0\r", TEXT_LEAF)
def test_binary_parts_are_the_same_when_decoded(octets: bytes, header: bytes) -> None:
    made = to_seven_bit(b"MIME-Version: 1.0\r\n" + header + octets, is_binary=True)
    assert is_fit(made)
    assert made.count(b"\n") == made.count(b"\r") == made.count(b"\r\n")
    assert b"\0" not in made
    assert email.message_from_bytes(made).get_payload(decode=True) == octets
    assert to_seven_bit(made) == made


def test_binary_parts_of_a_multipart_are_encoded_each_by_itself() -> None:
    octets = bytes(range(256)) * 3
    whole = (
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\nbe\nfore\0\r\n--b\r\n'
        + BINARY_LEAF
        + octets
        + b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nas it is\r\n--b--\r\n"
    )
    with pytest.raises(CannotDowngrade):
        to_seven_bit(whole)
    made = to_seven_bit(whole, is_binary=True)
    assert made.count(b"\n") == made.count(b"\r") == made.count(b"\r\n")
    parts = [part.get_payload(decode=True) for part in email.message_from_bytes(made).walk()]
    assert parts == [None, octets, b"as it is"]


@pytest.mark.parametrize("header", [b"Subject: a\nb\r\n", b"Subject: a\0\r\n", b"Subject: \xff\r\n"])
def test_a_binary_header_section_cannot_be_encoded(header: bytes) -> None:
    with pytest.raises(CannotDowngrade):
        to_seven_bit(header + b"\r\n\xff\n", is_binary=True)
