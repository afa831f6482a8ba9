"""Messages of the standard library as they leave, and whom they are from and for."""

from __future__ import annotations

import email
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.mime.text import MIMEText

import pytest

from estafeta.client.flattening import flatten, recipients_of, sender_of
from estafeta.mail.reply import Reply
from estafeta.wire.errors import ExtensionMissing
from estafeta.wire.smtp.replies import Capabilities

NOTHING = Capabilities.of(Reply(250, None, ("mx.example.net",)))
EIGHT_BIT = Capabilities.of(Reply(250, None, ("mx.example.net", "8BITMIME")))
EVERYTHING = Capabilities.of(Reply(250, None, ("mx.example.net", "8BITMIME", "SMTPUTF8")))


def letter(**fields: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ana <ana@example.org>"
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    message.set_content("Hello.\n")
    return message


def parsed(octets: bytes) -> EmailMessage:
    return email.message_from_bytes(octets, policy=policy.default)


@pytest.mark.rfc("5322 §3.6.3", "Bcc leaves the header of what is sent, and its addresses are recipients.")
def test_blind_copies_are_recipients_and_not_in_the_header() -> None:
    message = letter(To="Luis <luis@example.net>, eva@example.net", Cc="luis@example.net", Bcc="secret@example.com")
    octets, is_utf8 = flatten(message, EVERYTHING)
    assert recipients_of(message) == ["luis@example.net", "eva@example.net", "secret@example.com"]
    assert b"secret" not in octets and not is_utf8
    assert message["Bcc"] == "secret@example.com"  # the program's own message is as it was


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "ana@example.org"),
        ({"Sender": "desk@example.org"}, "desk@example.org"),
        ({"Resent_Date": "Mon, 1 Jun 2026 12:00:00 +0000", "Resent_From": "luis@example.net"}, "luis@example.net"),
        (
            {
                "Sender": "desk@example.org",
                "Resent_Date": "Mon, 1 Jun 2026 12:00:00 +0000",
                "Resent_From": "luis@example.net",
                "Resent_Sender": "eva@example.net",
            },
            "eva@example.net",
        ),
    ],
)
@pytest.mark.rfc("5322 §3.6.6", "Of a message that was resent, the Resent fields say whom it is from.")
def test_the_reverse_path_is_that_of_who_sends_now(fields: dict[str, str], expected: str) -> None:
    assert sender_of(letter(**fields)) == expected


@pytest.mark.rfc("5322 §3.6.6", "Of a message that was resent, the Resent fields say whom it is for.")
def test_a_resent_message_goes_to_whom_it_is_resent() -> None:
    message = letter(To="luis@example.net", Resent_Date="Mon, 1 Jun 2026 12:00:00 +0000", Resent_To="eva@example.net")
    message["Resent-Bcc"] = "secret@example.com"
    assert recipients_of(message) == ["eva@example.net", "secret@example.com"]
    assert b"secret" not in flatten(message, EVERYTHING)[0]
    message["Resent-Date"] = "Tue, 2 Jun 2026 12:00:00 +0000"
    for question in (sender_of, recipients_of):
        with pytest.raises(ValueError, match="more than once"):
            question(message)


def test_groups_and_quoted_names_are_read() -> None:
    message = letter(To='friends: luis@example.net, "Eva, of sales" <eva@example.net>;, "a b"@example.com')
    assert recipients_of(message) == ["luis@example.net", "eva@example.net", '"a b"@example.com']


def test_lines_end_in_crlf_whatever_the_message_had() -> None:
    message = EmailMessage(policy=policy.default.clone(linesep="\n"))
    message["From"] = "ana@example.org"
    message.set_content("one\ntwo\r\nthree\n")
    octets, _ = flatten(message, NOTHING)
    assert octets.endswith(b"\r\n\r\none\r\ntwo\r\nthree\r\n") and octets.count(b"\n") == octets.count(b"\r\n")


def test_words_beyond_ascii_need_nothing_of_the_server_in_the_header() -> None:
    octets, is_utf8 = flatten(letter(To="José Núñez <jose@example.net>", Subject="¡Hola!"), NOTHING)
    assert octets.isascii() and not is_utf8
    read = parsed(octets)
    assert read["Subject"] == "¡Hola!" and read["To"].addresses[0].display_name == "José Núñez"


@pytest.mark.rfc("6152 §3", "8-bit text goes as it is where 8BITMIME is announced, and in 7 bits where not.")
def test_text_beyond_ascii_goes_as_the_server_takes_it() -> None:
    message = letter()
    message.set_content("Señora\n")
    as_it_is, _ = flatten(message, EIGHT_BIT)
    encoded, _ = flatten(message, NOTHING)
    assert "Señora".encode() in as_it_is and encoded.isascii()
    assert parsed(as_it_is).get_content().split() == parsed(encoded).get_content().split() == ["Señora"]


@pytest.mark.rfc("6532 §3.2", "A header with an address beyond ASCII is sent in UTF-8, and only where SMTPUTF8 is.")
def test_addresses_beyond_ascii_need_smtputf8() -> None:
    message = letter(Subject="¡Hola!")
    message["To"] = Address("", "josé", "example.net")
    octets, is_utf8 = flatten(message, EVERYTHING)
    assert is_utf8 and "josé@example.net".encode() in octets and "¡Hola!".encode() in octets
    with pytest.raises(ExtensionMissing) as missing:
        flatten(message, EIGHT_BIT)
    assert missing.value.keyword == "SMTPUTF8"


@pytest.mark.rfc("5890 §2.3.2.1", "A domain in Unicode is said as A-labels where the header is in ASCII.")
def test_domains_beyond_ascii_need_nothing() -> None:
    message = letter()
    message["To"] = (Address("Eva", "eva", "bücher.example"), Address("", "luis", "example.net"))
    octets, is_utf8 = flatten(message, EVERYTHING)
    assert b"Eva <eva@xn--bcher-kva.example>, luis@example.net" in octets and not is_utf8
    assert "bücher" in str(message["To"])  # the program's own message is as it was


def test_attachments_arrive_as_they_were_attached() -> None:
    picture = bytes(range(256)) * 10
    message = letter(To="luis@example.net")
    message.add_attachment(picture, maintype="image", subtype="png", filename="año.png")
    message.add_attachment("Señora\n", filename="note.txt")
    for capabilities in (NOTHING, EVERYTHING):
        one, two = parsed(flatten(message, capabilities)[0]).iter_attachments()
        assert one.get_content() == picture and one.get_filename() == "año.png"
        assert two.get_content().split() == ["Señora"]


def test_messages_of_the_older_class_go_too() -> None:
    message = MIMEText("Señora\n", "plain", "utf-8")
    message["From"] = "Ana <ana@example.org>"
    message["To"] = "luis@example.net, =?utf-8?q?Jos=C3=A9?= <jose@example.net>"
    message["Bcc"] = "secret@example.com"
    octets, is_utf8 = flatten(message, NOTHING)
    assert sender_of(message) == "ana@example.org"
    assert recipients_of(message) == ["luis@example.net", "jose@example.net", "secret@example.com"]
    assert parsed(octets).get_content().split() == ["Señora"] and b"secret" not in octets and not is_utf8
    assert octets.count(b"\n") == octets.count(b"\r\n")


def test_a_message_that_was_read_from_a_file_goes_too() -> None:
    raw = "From: ana@example.org\nTo: luis@example.net\nSubject: señora\n\nñ\n".encode()
    message = email.message_from_bytes(raw, policy=policy.default)
    octets, is_utf8 = flatten(message, EIGHT_BIT)
    header, _, body = octets.partition(b"\r\n\r\n")
    assert header.isascii() and not is_utf8 and body == "ñ\r\n".encode()
    assert parsed(octets)["Subject"] == "señora" and parsed(octets)["To"] == "luis@example.net"


def test_a_field_in_which_the_standard_library_errs_goes_as_it_came() -> None:
    field = b"From: \xc3\xb1 <ana@espa\xc3\xb1a.e Resent-Date: Mon, 1 Jan 2" + b"\xca" * 28 + b"029 00:00:00 +0000"
    octets = field + b"\r\n\r\nx\r\n"
    message = email.message_from_bytes(octets, policy=policy.default)
    with pytest.raises(ValueError, match="surrogates"):
        message.as_bytes(policy=policy.SMTPUTF8)
    assert flatten(message, EVERYTHING, smtputf8=True) == (octets, True)


@pytest.mark.parametrize("read", [policy.default, policy.compat32])
@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e"])
def test_no_field_of_a_message_that_was_read_becomes_another(read: policy.Policy, end: str) -> None:
    octets = f"From: a@example.org\r\nSubject: a{end}Bcc: b@example.org\r\nX-A: a{end}{end}b\r\n\r\nx\r\n".encode()
    made, _ = flatten(email.message_from_bytes(octets, policy=read), EVERYTHING)
    assert made == octets.replace(end.encode(), b" ")


def test_a_message_without_from_has_no_sender() -> None:
    message = EmailMessage()
    assert sender_of(message) is None and recipients_of(message) == []
