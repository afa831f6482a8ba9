"""Transfer encodings and character sets, as strangers use them."""

from __future__ import annotations

import pytest

from estafeta.mail.mime.decoding import base64, characters, codec, quoted_printable


@pytest.mark.rfc("2045 §6.7", "Blanks at the ends of lines are dropped, soft line breaks undone, broken codes left.")
@pytest.mark.parametrize(
    ("body", "octets"),
    [
        (b"a=3Db=C3=b1", b"a=b\xc3\xb1"),
        (b"soft =\r\nbreak= \t\nnext", b"soft breaknext"),
        (b"hello  \r\nbar \t\nx ", b"hello\r\nbar\nx"),
        (b"a b\tc", b"a b\tc"),
        (b"=XX =4", b"=XX =4"),
        (b"end=", b"end"),
    ],
)
def test_quoted_printable_is_undone(body: bytes, octets: bytes) -> None:
    assert quoted_printable(body) == octets


@pytest.mark.rfc("2045 §6.8", "What is not of the alphabet is passed over, and = ends the data.")
@pytest.mark.parametrize(
    ("body", "octets"),
    [
        (b"aGVsbG8=\r\n", b"hello"),
        (b" aG\r\nVs bG8", b"hello"),
        (b"aGVsbG8=ignored", b"hello"),
        (b"aGVsb", b"hel"),
        (b"a", b""),
        (b"=", b""),
        (b"", b""),
    ],
)
def test_base64_is_undone(body: bytes, octets: bytes) -> None:
    assert base64(body) == octets


@pytest.mark.parametrize(
    ("charset", "octets", "text"),
    [
        ("utf-8", b"a\xc3\xb1\xff", "añ\ufffd"),
        ("us-ascii", b"a\xc3\xb1", "añ"),
        ("us-ascii", b"a\xf1\x80", "añ€"),
        ("", b"a\xc3\xb1 cut \xc3", "añ cut \ufffd"),
        ("ISO-8859-15", b"\xa4", "€"),
        ("windows-1252", b"\x93a\x94", "“a”"),
        ("koi8-r", "да".encode("koi8-r"), "да"),
        ("GB2312", "中文".encode("gbk"), "中文"),
        ("big5", "中文".encode("big5"), "中文"),
        ("shift_jis", "日本".encode("cp932"), "日本"),
        ("iso-2022-jp", "日本".encode("iso-2022-jp"), "日本"),
        ("ks_c_5601-1987", "한국".encode("cp949"), "한국"),
        ("utf-16le", "añ".encode("utf-16le"), "añ"),
        ("utf-7", b"a+APE-", "añ"),
        ("macintosh", b"a\x96", "añ"),
        ("nobody-knows", b"a\xf1o", "año"),
    ],
)
def test_character_sets_are_known_by_many_names(charset: str, octets: bytes, text: str) -> None:
    assert characters(octets, charset) == text


@pytest.mark.parametrize(
    "name", ["punycode", "idna", "unicode_escape", "raw_unicode_escape", "rot13", "zlib", "x" * 99]
)
def test_what_is_no_character_set_is_not_used_as_one(name: str) -> None:
    assert codec(name) is None
