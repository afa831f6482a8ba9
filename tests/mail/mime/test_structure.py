"""ENVELOPE, BODY and BODYSTRUCTURE as IMAP sends them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.mime.index import index
from estafeta.mail.mime.structure import body, body_structure, envelope, nstring, string


def envelope_of(*fields: str | bytes) -> str:
    octets = b"".join((each.encode() if isinstance(each, str) else each) + b"\r\n" for each in fields) + b"\r\nbody"
    return envelope(octets, index(octets)).decode("latin-1")


ANA = '((NIL NIL "ana" "example.org"))'


@pytest.mark.rfc("9051 §7.5.2", "An envelope has date, subject, six address lists, in-reply-to and message-id.")
def test_an_envelope_has_ten_members_in_order() -> None:
    assert envelope_of(
        "Message-ID: <m@id>",
        "In-Reply-To: <r@id>",
        "Date: Thu, 15 Feb 2029 01:02:03 +0200",
        'Subject: a "subject" with \\',
        "From: From Name <f@from.example>",
        'Sender: "Sender, Name" <s@sender.example>',
        "Reply-To: =?utf-8?q?R=C3=A9ply?= <r@reply.example>",
        "To: t@to.example",
        "Cc: c@cc.example",
        "Bcc: b@bcc.example",
    ) == (
        '("Thu, 15 Feb 2029 01:02:03 +0200" "a \\"subject\\" with \\\\" (("From Name" NIL "f" "from.example"))'
        ' (("Sender, Name" NIL "s" "sender.example")) (("=?utf-8?q?R=C3=A9ply?=" NIL "r" "reply.example"))'
        ' ((NIL NIL "t" "to.example")) ((NIL NIL "c" "cc.example")) ((NIL NIL "b" "bcc.example")) "<r@id>" "<m@id>")'
    )


@pytest.mark.rfc("9051 §7.5.2", "Absent members are NIL; of Date, Subject and ids an empty field is an empty string.")
def test_what_is_absent_is_nil() -> None:
    assert envelope_of("X-Other: y") == "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
    assert envelope_of("Subject:", "Date: ", "Message-ID:", "In-Reply-To:\r\n ", "To:", "Cc: ,") == (
        '("" "" NIL NIL NIL NIL NIL NIL "" "")'
    )


@pytest.mark.rfc("3501 §7.4.2", "Sender and Reply-To that are absent or empty are those of From.")
@pytest.mark.parametrize("fields", [(), ("Sender:", "Reply-To: "), ("Sender: ,", "Reply-To: (nobody)")])
def test_sender_and_reply_to_are_from_where_they_are_empty(fields: tuple[str, ...]) -> None:
    assert envelope_of("From: ana@example.org", *fields) == f"(NIL NIL {ANA} {ANA} {ANA} NIL NIL NIL NIL NIL)"


@pytest.mark.rfc("9051 §7.5.2", "A group begins with its name as mailbox and NIL as host, and ends with NIL in both.")
def test_groups_have_a_beginning_and_an_end() -> None:
    assert envelope_of("To: a: b@c.example, d@e.example;, undisclosed recipients:;") == (
        '(NIL NIL NIL NIL NIL ((NIL NIL "a" NIL)(NIL NIL "b" "c.example")(NIL NIL "d" "e.example")(NIL NIL NIL NIL)'
        '(NIL NIL "undisclosed recipients" NIL)(NIL NIL NIL NIL)) NIL NIL NIL NIL)'
    )


@pytest.mark.rfc("9051 §7.5.2", "A source route is given as the address's at-domain-list.")
def test_a_route_is_kept_apart() -> None:
    assert '((NIL "@one,@two" "user" "host"))' in envelope_of("From: <@one,@two:user@host>")


def test_octets_that_are_no_ascii_are_literals() -> None:
    assert envelope_of(b"Subject: ma\xc3\xb1ana", b"From: \xf1 <a@b>").startswith(
        '(NIL {7}\r\nma\xc3\xb1ana (({1}\r\n\xf1 NIL "a" "b"))'
    )
    assert envelope_of(b"Subject: a\0b") == "(NIL {2}\r\nab NIL NIL NIL NIL NIL NIL NIL NIL)"
    assert envelope_of("Subject: a\r\n folded\r\n\tline") == '(NIL "a folded\tline" NIL NIL NIL NIL NIL NIL NIL NIL)'


@pytest.mark.rfc("5322 §4.5.3", "Of destination fields that stand several times all addresses count.")
def test_several_fields_of_recipients_are_one_list() -> None:
    assert '((NIL NIL "a" "b")(NIL NIL "c" "d"))' in envelope_of("To: a@b", "Subject: x", "To: c@d")
    assert envelope_of("Subject: first", "Subject: second") == '(NIL "first" NIL NIL NIL NIL NIL NIL NIL NIL)'


def structures_of(octets: bytes) -> tuple[str, str]:
    root = index(octets)
    return body(octets, root).decode("latin-1"), body_structure(octets, root).decode("latin-1")


@pytest.mark.rfc("9051 §7.5.2", "A text has its lines; a body without a type is text/plain in us-ascii.")
def test_a_text_has_octets_and_lines() -> None:
    basic = '"text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 12 2'
    assert structures_of(b"Subject: x\r\n\r\nhello\r\nyou\r\n") == (f"({basic})", f"({basic} NIL NIL NIL NIL)")
    assert structures_of(b"Content-Type: text/html\r\n\r\n<p>\n")[0] == '("text" "html" NIL NIL NIL "7bit" 4 1)'


@pytest.mark.rfc("9051 §7.5.2", "Extension data are MD5, disposition, language and location; BODY has none.")
def test_extension_data_are_only_in_bodystructure() -> None:
    octets = (
        b"Content-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: BASE64\r\nContent-ID: <i@d>\r\n"
        b"Content-Description: a picture\r\nContent-MD5: Q2hlY2s=\r\nContent-Language: es, de\r\n"
        b'Content-Location: a.png\r\nContent-Disposition: inline; filename="a\\"b"; size=4\r\n\r\nAAAA'
    )
    basic = '"image" "png" ("name" "a.png") "<i@d>" "a picture" "base64" 4'
    assert structures_of(octets) == (
        f"({basic})",
        f'({basic} "Q2hlY2s=" ("inline" ("filename" "a\\"b" "size" "4")) ("es" "de") "a.png")',
    )


@pytest.mark.rfc("9051 §7.5.2", "A multipart is its parts and its subtype; its parameters are extension data.")
def test_a_multipart_is_its_parts() -> None:
    octets = (
        b"Content-Type: multipart/mixed; boundary=b\r\nContent-Language: es\r\n\r\n"
        b"--b\r\n\r\none\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\n1\r\n2\r\n--b--\r\n"
    )
    text, data = (
        '"text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 0',
        '"application" "octet-stream" NIL NIL NIL "7bit" 4',
    )
    assert structures_of(octets) == (
        f'(({text})({data}) "mixed")',
        f'(({text} NIL NIL NIL NIL)({data} NIL NIL NIL NIL) "mixed" ("boundary" "b") NIL "es" NIL)',
    )


def test_a_multipart_is_never_without_parts() -> None:
    # RFC 9051 §9, body-type-mpart = 1*body SP media-subtype
    assert structures_of(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n")[0] == (
        '(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) "mixed")'
    )


@pytest.mark.rfc("3501 §7.4.2", "A message in a message has its envelope, its structure and the lines of it all.")
@pytest.mark.parametrize("kind", ["rfc822", "global"])
def test_a_message_within_has_envelope_and_structure(kind: str) -> None:
    inner = b"Subject: in\r\nFrom: ana@example.org\r\n\r\nhola\r\n"
    octets = b"Content-Type: message/" + kind.encode() + b"\r\n\r\n" + inner
    head = f'(NIL "in" {ANA} {ANA} {ANA} NIL NIL NIL NIL NIL)'
    text = '"text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 1'
    basic = f'"message" "{kind}" NIL NIL NIL "7bit" {len(inner)} {head}'
    assert structures_of(octets) == (f"({basic} ({text}) 4)", f"({basic} ({text} NIL NIL NIL NIL) 4 NIL NIL NIL NIL)")


def test_an_encoded_message_has_an_empty_envelope() -> None:
    # The grammar asks for an envelope and a body of every message/rfc822 (RFC 9051 §9, body-type-msg).
    octets = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA0K\r\n"
    assert structures_of(octets)[0] == (
        '("message" "rfc822" NIL NIL NIL "base64" 18 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)'
        ' ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) 1)'
    )


@pytest.mark.rfc("9051 §4.3", "What cannot be quoted is a literal.")
def test_strings_are_quoted_or_literals() -> None:
    assert nstring(None) == b"NIL"
    assert string(b"") == b'""'
    assert string(b'a\\b"c') == b'"a\\\\b\\"c"'
    assert string(b"a\r\nb") == b"{4}\r\na\r\nb"
    assert string(b"a" * 5000) == b"{5000}\r\n" + b"a" * 5000


def well_formed(octets: bytes) -> None:
    """Parentheses, strings, literals and atoms, and nothing left over."""
    at, depth = 0, 0
    while at < len(octets):
        letter = octets[at : at + 1]
        if letter == b'"':
            at += 1
            while octets[at : at + 1] != b'"':
                assert octets[at] < 128 and octets[at : at + 1] not in (b"\r", b"\n", b"\0", b"")
                at += 2 if octets[at : at + 1] == b"\\" else 1
        elif letter == b"{":
            end = octets.index(b"}\r\n", at)
            at = end + 2 + int(octets[at + 1 : end])
            assert at < len(octets)
        elif letter in (b"(", b")"):
            depth += 1 if letter == b"(" else -1
            assert depth >= 0
        else:
            assert letter in b"NIL 0123456789", letter
        at += 1
    assert depth == 0


@given(
    st.lists(
        st.sampled_from(
            [
                b"From: ",
                b"To: ",
                b"Subject: ",
                b"Content-Type: ",
                b"Content-Disposition: ",
                b"Content-Language: ",
                b"\r\n",
                b"multipart/x; boundary=b",
                b"message/rfc822",
                b"--b",
                b"<",
                b">",
                b"@",
                b":",
                b";",
                b",",
                b'"',
                b"\\",
                b"(",
                b")",
                b"a",
                b"\0",
                b"\xff",
                b" ",
                b"\t",
                b"=?",
                b"[",
                b"]",
                b".",
                b"\n",
                b"\r",
                b"text/plain",
                b"; a=b",
            ]
        ),
        max_size=60,
    ).map(b"".join)
)
def test_whatever_comes_in_is_written_well(octets: bytes) -> None:
    root = index(octets)
    for written in (envelope(octets, root), body(octets, root), body_structure(octets, root)):
        assert written.startswith(b"(") and written.endswith(b")")
        well_formed(written)
