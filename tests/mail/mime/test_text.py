"""A message as text: what SEARCH finds in it, and what a preview says."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.mime.index import index
from estafeta.mail.mime.text import PREVIEW, Searchable, field_texts, folded, header_text, preview, searchable


@pytest.mark.rfc("2047 §6.2", "Encoded words are shown decoded, blanks between two of them are not.")
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b" plain\r\n folded ", "plain folded"),
        (b"=?utf-8?q?ma=C3=B1ana_ya?=", "mañana ya"),
        (b"=?ISO-8859-1?B?bWHxYW5h?=", "mañana"),
        (b"a =?utf-8?q?b?= c =?utf-8?q?d?=", "a b c d"),
        (b"=?utf-8?q?a?= \r\n =?iso-8859-1?q?=F1?=", "añ"),
        (b"=?utf-8?b?w7E=?=\r\n\t=?utf-8?b?w7E=?=", "ññ"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=B1?=", "ñ"),
        (b"=?utf-8*es?q?uno?=", "uno"),
        (b"=?utf-8?q?with blanks?=", "with blanks"),
        (b"=?nobody-knows?q?a=C3=B1o?=", "año"),
        (b"=?utf-8?q?unfinished", "=?utf-8?q?unfinished"),
        (b"=?utf-8?x?other?=", "=?utf-8?x?other?="),
        (b"ma\xc3\xb1ana", "mañana"),
        (b"ma\xf1ana", "mañana"),
        (b"\xc3\xb1 =?utf-8?q?=C3=B1?= \xf1", "ñ ñ ñ"),
        (b"=?utf-8?q?ai_?=\r\n =?utf-8?q?=C3=A8s?=", "ai ès"),
        (b"=?utf-8?q??=", ""),
        (b"", ""),
    ],
)
def test_fields_are_decoded(body: bytes, text: str) -> None:
    assert header_text(body) == text


def test_folded_texts_know_neither_case_nor_accents() -> None:
    assert folded("  Ça  VA,\r\n\tMAÑANA ") == folded("ca va, manana")
    assert folded("Straße") == folded("STRASSE")
    assert folded("ﬁ Å ｗ") == folded("fi a W")
    assert folded("Да") == folded("да") != folded("нет")
    assert folded("かﾞ") == folded("が")
    assert folded("") == ""


@given(st.text(max_size=40))
def test_what_is_folded_stays_as_it_is(text: str) -> None:
    assert folded(folded(text)) == folded(text)


MESSAGE = (
    b"From: =?utf-8?q?Ana_Mu=C3=B1oz?= <ana (x) @ example.org>\r\nTo: luis@example.net (Luis), g: eva@example.net;\r\n"
    b'Cc: "C, D" <c@example.net>\r\nBcc: <bcc@example.net>\r\nSubject: =?iso-8859-1?q?ma=F1ana?=\r\n'
    b"X-Extra: one\r\nX-Extra: t\xc3\xb3\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\npl=C3=A1in\r\n"
    b"--b\r\nContent-Type: text/html; charset=iso-8859-1\r\n\r\n<p class=hidden>p\xe1ge &amp; tag\r\n"
    b"--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=named.csv\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n" + b64encode("cél;ls".encode()) + b"\r\n"
    b"--b\r\nContent-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822;gone@example.com\r\n"
    b"--b\r\nContent-Type: application/octet-stream\r\n\r\nbinary\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?q?inn=C3=A9r?=\r\n\r\ninner text\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + b64encode(b"Subject: wrapped subject\r\n\r\nwrapped text")
    + b"\r\n--b--\r\nepilogue"
)


def found_in(octets: bytes) -> Searchable:
    return searchable(octets, index(octets))


@pytest.mark.rfc("9051 §6.4.4", "Addresses, subject and header are searched as they are shown, decoded.")
def test_the_header_is_searched_decoded() -> None:
    found = found_in(MESSAGE)
    assert found.subject == "mañana"
    assert found.from_ == "Ana Muñoz <ana@example.org>"
    assert found.to == "Luis <luis@example.net>, g:, eva@example.net"
    assert (found.cc, found.bcc) == ("C, D <c@example.net>", "bcc@example.net")
    assert "subject: mañana\n" in found.header
    assert "x-extra: tó" in found.header
    assert field_texts(MESSAGE, index(MESSAGE), "X-EXTRA") == ("one", "tó")
    assert field_texts(MESSAGE, index(MESSAGE), "x-none") == ()


@pytest.mark.rfc("9051 §6.4.4", "BODY is the text of all text parts and of messages within, their fields too, decoded.")
def test_the_body_is_all_text_decoded() -> None:
    text = found_in(MESSAGE).body
    for word in ("pláin", "páge & tag", "cél;ls", "innér", "inner text", "wrapped subject", "wrapped text", "gone@"):
        assert word in text
    for word in ("preamble", "epilogue", "binary", "mañana", "hidden", "--b", "named.csv"):
        assert word not in text


def test_only_so_much_text_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("estafeta.mail.mime.text.MAX_TEXT", 100)
    octets = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + (b"--b\r\n\r\n" + b"x" * 60 + b"\r\n") * 5
    assert len(found_in(octets).body.replace("\n", "")) == 100
    encoded = b"Content-Transfer-Encoding: base64\r\n\r\n" + b64encode(b"x" * 300)
    assert found_in(encoded).body == "x" * 100


@pytest.mark.rfc("8970 §3.2", "A preview is the beginning of the first text, at most 200 letters, blanks collapsed.")
def test_a_preview_is_the_beginning_of_the_text() -> None:
    def said(octets: bytes) -> str:
        return preview(octets, index(octets))

    assert said(MESSAGE) == "pláin"
    assert said(b"\r\n  Hola,\r\n\r\n\tLuis  \r\n") == "Hola, Luis"
    assert said(b"\r\n" + b"word " * 100) == ("word " * 100)[:PREVIEW].rstrip()
    assert said(b"\r\n" + b" \r\n" * 5000 + b"late") == "late"
    assert (
        said(b"Content-Type: text/html\r\n\r\n<style>" + b"x{} " * 9000 + b"</style><p>Shown&nbsp;all") == "Shown all"
    )
    page_first = (
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>page\r\n"
        b"--b\r\n\r\nplain\r\n--b--\r\n"
    )
    assert said(page_first) == "plain"
    assert said(page_first.replace(b"\r\n\r\nplain", b"\r\nContent-Type: image/png\r\n\r\nplain")) == "page"
    attached = b"Content-Disposition: attachment\r\n\r\nattached\r\n"
    assert said(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + attached + b"--b\r\n\r\nshown") == "shown"
    assert said(b"Content-Type: image/png\r\n\r\nx") == said(b"") == ""


@pytest.mark.rfc("9051 §6.4.4", "What is searched in hard messages of strangers is text, whatever they hold.")
def test_all_of_strangers_messages_are_text(suites: Path) -> None:
    files = sorted((suites / "mime").rglob("*.msg"))
    assert len(files) == 80
    texts = [found_in(file.read_bytes()) for file in files]
    assert sum(bool(each.subject) for each in texts) > 40
    assert sum(bool(each.body.strip()) for each in texts) > 70
