"""Notifications as another reader finds them: Python's email package parses each, and people understand it."""

from __future__ import annotations

import email
import email.policy
import re
import time
from dataclasses import replace
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.address import Address, ForwardPath
from estafeta.mail.downgrade import to_seven_bit
from estafeta.mail.envelope import Body, OriginalRecipient
from estafeta.mail.notification import (
    Action,
    ComposedNotification,
    Language,
    Report,
    ReportedRecipient,
    compose,
)
from estafeta.mail.reply import EnhancedStatusCode, Reply

ORIGINAL = (
    b"Return-Path: <ana@example.org>\r\n"
    b"Received: from a by mx.example.org; Tue, 14 Nov 2023 22:13:20 +0000\r\n"
    b"From: Ana <ana@example.org>\r\n"
    b"Subject: =?utf-8?q?Comida_el_mi=C3=A9rcoles?=\r\n"
    b"Date: Tue, 14 Nov 2023 23:13:00 +0100\r\n"
    b"Message-ID: <lunch@example.org>\r\n"
    b"\r\n"
    b"Shall we?\r\n"
)
HEADER = ORIGINAL[: ORIGINAL.index(b"\r\n\r\n") + 4]
UNKNOWN = Reply.of(550, "No such user here", "5.1.1")


def path(text: str) -> ForwardPath:
    return ForwardPath(Address.parse(text))


def failed(text: str = "bob@example.net", reply: Reply = UNKNOWN, **more: object) -> ReportedRecipient:
    return replace(
        ReportedRecipient(
            path(text),
            Action.FAILED,
            EnhancedStatusCode(5, 1, 1),
            remote_host="mx.example.net",
            reply=reply,
            is_remote=True,
            stage="RCPT",
            last_attempt_at=1_700_000_100.0,
        ),
        **more,  # type: ignore[arg-type]
    )


def report(*recipients: ReportedRecipient, **more: object) -> Report:
    return replace(
        Report(
            notification_id="0notice",
            at=1_700_000_200.0,
            to=Address.parse("ana@example.org"),
            author=Address.parse("postmaster@mx.example.org"),
            reporting_host="mx.example.org",
            language=Language.EN,
            arrived_at=1_700_000_000.0,
            recipients=recipients or (failed(),),
            returned=ORIGINAL,
            is_full=True,
        ),
        **more,  # type: ignore[arg-type]
    )


def parsed(composed: ComposedNotification) -> EmailMessage:
    """The message, after what must be true of every notification was seen to be."""
    octets = composed.octets
    message = email.message_from_bytes(octets, policy=email.policy.SMTPUTF8)
    assert isinstance(message, EmailMessage)
    letter, status, _ = message.iter_parts()
    for part in (message, letter, status):
        assert part.defects == []
        # The email package counts a local-part in UTF-8 as a defect (RFC 6532 came after it).
        defects = [defect for value in part.values() for defect in value.defects]
        assert [defect for defect in defects if "non-ASCII" not in str(defect) and "Non-ASCII" not in str(defect)] == []
    assert message.get_content_type() == "multipart/report"
    assert message["Content-Type"].params["report-type"] == "delivery-status"
    assert letter.get_content_type() == "text/plain"
    assert octets.count(b"\n") == octets.count(b"\r\n") == octets.count(b"\r") and octets.endswith(b"--\r\n")
    header = octets[: octets.index(b"\r\n\r\n")]
    assert composed.smtputf8 is (not header.isascii())
    assert composed.body is (Body.SEVEN_BIT if octets.isascii() else Body.EIGHT_BIT)
    return message


def letter_of(composed: ComposedNotification) -> str:
    """What people read, on one line."""
    letter = next(iter(parsed(composed).iter_parts()))
    assert isinstance(letter, EmailMessage)
    text = letter.get_content()
    assert isinstance(text, str)
    return " ".join(text.split())


def groups_of(composed: ComposedNotification) -> list[dict[str, str]]:
    """The fields of the status part: of the message, then of each recipient."""
    status = list(parsed(composed).iter_parts())[1]
    if status.get_content_type() == "message/delivery-status":
        return [dict(group.items()) for group in status.get_payload()]  # type: ignore[union-attr]
    # The email package does not know the type of RFC 6533, which has the same form.
    _, _, rest = composed.octets.partition(b"Content-Type: message/global-delivery-status\r\n")
    text = rest.partition(b"\r\n\r\n")[2].partition(b"\r\n--=_")[0].decode()
    return [
        dict(email.message_from_string(group, policy=email.policy.SMTPUTF8).items()) for group in text.split("\r\n\r\n")
    ]


def returned_of(composed: ComposedNotification) -> tuple[str, bytes]:
    """The type of the third part and its octets as they stand."""
    message = parsed(composed)
    boundary = b"\r\n--" + message.get_boundary("").encode()
    part = composed.octets.split(boundary)[3]
    _, _, octets = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    return list(message.iter_parts())[2].get_content_type(), octets


@pytest.mark.rfc("3464 §2.3", "A failure is told field by field.")
@pytest.mark.rfc("3834 §5", "Notifications are marked as Auto-Submitted.")
def test_a_failure_is_told_field_by_field() -> None:
    composed = compose(report(received_from="laptop.example.org", queue_id="0abc", envid="E 1+2"))
    message = parsed(composed)
    assert message["To"] == "ana@example.org"
    assert message["From"] == "Mail Delivery System <postmaster@mx.example.org>"
    assert message["Subject"] == "Your message was not delivered: Comida el miércoles"
    assert message["Date"].datetime.timestamp() == 1_700_000_200
    assert message["Message-ID"] == composed.message_id == "<0notice@mx.example.org>"
    assert message["In-Reply-To"] == message["References"] == "<lunch@example.org>"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Content-Language"] == "en"
    assert groups_of(composed) == [
        {
            "Original-Envelope-Id": "E 1+2",
            "Reporting-MTA": "dns; mx.example.org",
            "Received-From-MTA": "dns; laptop.example.org",
            "Arrival-Date": "Tue, 14 Nov 2023 22:13:20 +0000",
        },
        {
            "Final-Recipient": "rfc822; bob@example.net",
            "Action": "failed",
            "Status": "5.1.1",
            "Remote-MTA": "dns; mx.example.net",
            "Diagnostic-Code": "smtp; 550 5.1.1 No such user here",
            "Last-Attempt-Date": "Tue, 14 Nov 2023 22:15:00 +0000",
            "Final-Log-ID": "0abc",
        },
    ]
    assert composed.octets.isascii()


def test_people_read_what_happened_and_why_and_what_to_do() -> None:
    text = letter_of(compose(report(queue_id="0abc")))
    assert text.startswith(
        "We are sorry: your message could not be delivered to bob@example.net Why: There is no mailbox"
    )
    assert "What you can do: Check the address" in text
    assert "The recipient's mail server mx.example.net said: > 550 5.1.1 No such user here" in text
    assert "Subject: Comida el miércoles Sent: 14 November 2023 at 23:13 (+0100) Reference: 0abc" in text
    assert "so that nothing that you wrote is lost" in text
    assert text.endswith("mx.example.org, the mail server that carries your mail")


@pytest.mark.rfc("2047", "Subjects beyond ASCII are written in encoded words.")
def test_people_are_told_in_spanish() -> None:
    composed = compose(report(language=Language.ES))
    message = parsed(composed)
    assert message["Subject"] == "Su mensaje no se ha entregado: Comida el miércoles"
    assert message["Content-Language"] == "es"
    text = letter_of(composed)
    assert text.startswith(
        "Lo sentimos: su mensaje no se ha podido entregar a bob@example.net Por qué: No existe ningún"
    )
    assert "Enviado: 14 de noviembre de 2023 a las 23:13 (+0100)" in text
    # What programs read is the same in all languages, and all of it is 7-bit.
    assert groups_of(composed) == groups_of(compose(report()))
    assert composed.octets.isascii()


@pytest.mark.rfc("3461 §6.3", "ENVID and ORCPT are there as they were said.")
def test_what_was_asked_to_be_kept_end_to_end_is_there_as_it_was_said() -> None:
    # RFC 3461 §6.3 (a), (d): decoded from xtext.
    original = OriginalRecipient("rfc822", "Bob+lists=x@Example.NET")
    composed = compose(report(failed(original=original), envid="QQ+314=159"))
    message, recipient = groups_of(composed)
    assert message["Original-Envelope-Id"] == "QQ+314=159"
    assert recipient["Original-Recipient"] == "rfc822;Bob+lists=x@Example.NET"
    assert "bob@example.net (you wrote to Bob+lists=x@Example.NET)" in letter_of(composed)
    message, recipient = groups_of(compose(report()))
    assert "Original-Envelope-Id" not in message and "Original-Recipient" not in recipient


@pytest.mark.parametrize(
    ("original", "field"),
    [
        (
            OriginalRecipient("rfc822", "x\r\nAction: delivered\r\n\r\n@y"),
            "rfc822;x+0D+0AAction:+20delivered+0D+0A+0D+0A@y",
        ),
        (OriginalRecipient("rfc822", "josé@y"), "rfc822;jos+C3+A9@y"),
        (OriginalRecipient("x400", "/C=NO/S=a b/"), "x400;/C=NO/S=a b/"),
        (OriginalRecipient("bad type", "x@y"), "unknown;x@y"),
        (OriginalRecipient("utf-8", "plain@y"), "utf-8;plain@y"),
        (OriginalRecipient("utf-8", "a\nb@y"), "utf-8;a\\x{0A}b@y"),
    ],
)
def test_an_original_recipient_stays_one_field(original: OriginalRecipient, field: str) -> None:
    composed = compose(report(failed(original=original)))
    assert composed.octets.isascii()
    recipient = groups_of(composed)[1]
    assert recipient["Original-Recipient"] == field
    assert recipient["Action"] == "failed"


def test_an_envelope_id_stays_one_field() -> None:
    message = groups_of(compose(report(envid="x\r\n\r\nFinal-Recipient: rfc822; eve@y")))[0]
    assert message["Original-Envelope-Id"] == "x Final-Recipient: rfc822; eve@y"


def test_several_recipients_are_told_together_by_what_happened_and_why() -> None:
    busy = Reply.of(452, "mailbox full", "4.2.2")
    recipients = (
        ReportedRecipient(
            path("slow@example.net"), Action.DELAYED, EnhancedStatusCode(4, 2, 2), remote_host="mx.example.net",
            reply=busy, is_remote=True, stage="RCPT", will_retry_until=1_700_400_000.0,
        ),
        failed("bob@example.net"),
        ReportedRecipient(path("ok@example.org"), Action.DELIVERED, EnhancedStatusCode(2, 0, 0)),
        failed("eve@example.com"),
        failed("tom@example.com", Reply.of(451, "timed out", "4.4.1"), is_remote=False, stage="connect",
               is_expired=True, status=EnhancedStatusCode(4, 4, 7)),
        ReportedRecipient(path("far@example.net"), Action.RELAYED, EnhancedStatusCode(2, 0, 0),
                          remote_host="[192.0.2.1]", reply=Reply.of(250, "ok"), is_remote=True),
        ReportedRecipient(path("team@example.org"), Action.EXPANDED, EnhancedStatusCode(2, 0, 0)),
    )  # fmt: skip
    composed = compose(report(*recipients, is_full=False, returned=HEADER))
    _, *groups = groups_of(composed)
    assert [(group["Final-Recipient"][8:], group["Action"], group["Status"]) for group in groups] == [
        ("slow@example.net", "delayed", "4.2.2"),
        ("bob@example.net", "failed", "5.1.1"),
        ("ok@example.org", "delivered", "2.0.0"),
        ("eve@example.com", "failed", "5.1.1"),
        ("tom@example.com", "failed", "4.4.7"),
        ("far@example.net", "relayed", "2.0.0"),
        ("team@example.org", "expanded", "2.0.0"),
    ]
    assert [group.get("Will-Retry-Until") for group in groups] == ["Sun, 19 Nov 2023 13:20:00 +0000", *[None] * 6]
    assert groups[4]["Diagnostic-Code"] == "X-Estafeta; 451 4.4.1 timed out"
    assert groups[5]["Remote-MTA"] == "dns; [192.0.2.1]"
    assert "Diagnostic-Code" not in groups[2]
    assert parsed(composed)["Subject"].startswith("Your message was not delivered")
    text = letter_of(composed)
    places = [
        text.index(part)
        for part in (
            "could not be delivered to bob@example.net eve@example.com Why: There is no mailbox",
            "Nor could it be delivered to tom@example.com We have tried since 14 November 2023 at 22:13 (UTC)",
            "Our mail server noted: > 451 4.4.1 timed out",
            "has not yet reached slow@example.net Why it takes so long: The person's mailbox is full.",
            "You need not do anything. We keep trying until 19 November 2023 at 13:20 (UTC)",
            "was delivered to ok@example.org",
            "was passed on for far@example.net The next mail server does not confirm",
            "was sent on to everybody behind team@example.org",
            "The header of the message is attached.",
        )
    ]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("action", "start"),
    [
        (Action.DELAYED, "Your message is delayed"),
        (Action.DELIVERED, "Your message was delivered"),
        (Action.RELAYED, "Your message was passed on"),
        (Action.EXPANDED, "Your message was distributed"),
    ],
)
def test_the_subject_says_what_happened(action: Action, start: str) -> None:
    composed = compose(
        report(ReportedRecipient(path("x@y.org"), action, EnhancedStatusCode(2, 0, 0)), returned=b"\r\n")
    )
    assert parsed(composed)["Subject"] == start


@pytest.mark.rfc("6522 §4", "The header alone is text/rfc822-headers.")
@pytest.mark.rfc("6522 §3", "The message comes back whole, or its header alone.")
def test_the_message_comes_back_whole_or_its_header_alone() -> None:
    assert returned_of(compose(report())) == ("message/rfc822", ORIGINAL)
    kind, octets = returned_of(compose(report(returned=HEADER, is_full=False)))
    assert (kind, octets) == ("text/rfc822-headers", HEADER[:-2])


def test_a_message_in_8_bits_comes_back_as_it_is() -> None:
    original = HEADER + "café\r\n".encode("latin-1")
    composed = compose(report(returned=original))
    assert composed.body is Body.EIGHT_BIT and not composed.smtputf8
    assert returned_of(composed) == ("message/rfc822", original)
    assert b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n" in composed.octets


def test_a_header_in_no_known_charset_comes_back_readable() -> None:
    header = b"Subject: caf\xe9\r\nMessage-ID: <x@y>\r\n\r\n"
    composed = compose(report(returned=header, is_full=False))
    assert composed.octets.isascii()
    kind, octets = returned_of(composed)
    assert (kind, octets) == ("text/rfc822-headers", b"Subject: caf=E9\r\nMessage-ID: <x@y>\r\n")
    assert returned_of(compose(report(returned=header + b"x\r\n"))) == ("message/rfc822", header + b"x\r\n")


@pytest.mark.rfc("6533 §3", "An address in UTF-8 is told with the type utf-8.")
@pytest.mark.rfc("6533 §4.1", "Fields in UTF-8 go in message/global-delivery-status.")
def test_addresses_in_utf8_are_told_by_the_types_for_them() -> None:
    # RFC 6533 §4.
    original = "Subject: Año\r\nMessage-ID: <x@y>\r\n\r\nhola\r\n".encode()
    recipients = (
        failed(
            "josé@example.net",
            Reply.of(550, "não existe", "5.1.1"),
            original=OriginalRecipient("utf-8", "用户@例え.jp"),
        ),
        failed("bob@example.net"),
    )
    composed = compose(report(*recipients, returned=original))
    assert not composed.smtputf8 and composed.body is Body.EIGHT_BIT
    _, first, second = groups_of(composed)
    assert first["Final-Recipient"] == "utf-8; josé@example.net"
    assert first["Original-Recipient"] == "utf-8;用户@例え.jp"
    assert first["Diagnostic-Code"] == "smtp; 550 5.1.1 não existe"
    assert second["Final-Recipient"] == "rfc822; bob@example.net"
    assert returned_of(composed) == ("message/global", original)
    assert "josé@example.net (you wrote to 用户@例え.jp)" in letter_of(composed)
    kind, octets = returned_of(compose(report(*recipients, returned=original[:-6], is_full=False)))
    assert (kind, octets) == ("message/global-headers", original[:-8])


@pytest.mark.rfc("6533 §4.5", "A host for 7-bit mail can take it all.")
def test_a_host_for_7_bit_mail_can_take_it_all() -> None:
    # RFC 6533 §4.5: in that case what is in UTF-8 is encoded.
    original = "Subject: Año\r\n\r\nseñor\r\n".encode()
    composed = compose(report(failed("josé@example.net"), returned=original))
    octets = to_seven_bit(composed.octets)
    assert octets.isascii()
    assert b"Final-Recipient: utf-8; jos=C3=A9@example.net\r\n" in octets
    assert b"\r\n\r\nSubject: A=C3=B1o\r\n\r\nse=C3=B1or\r\n" in octets


def test_a_notification_to_an_address_in_utf8_needs_smtputf8() -> None:
    composed = compose(report(to=Address.parse("josé@example.org")))
    assert composed.smtputf8
    assert parsed(composed)["To"] == "josé@example.org"


def test_words_in_utf8_do_not_leave_ascii_where_the_address_is_plain() -> None:
    composed = compose(report(failed(reply=Reply.of(550, "usuário não existe", "5.1.1"))))
    assert composed.octets.isascii()
    assert groups_of(composed)[1]["Diagnostic-Code"] == "smtp; 550 5.1.1 usu?rio n?o existe"
    assert "> 550 5.1.1 usuário não existe" in letter_of(composed)


@pytest.mark.rfc("3461 §9.2", "A reply of many lines is transcribed line by line.")
def test_a_reply_of_many_lines_is_transcribed_line_by_line() -> None:
    reply = Reply.of(550, "The email account that you tried to reach does not exist. Please check it.\nBye", "5.1.1")
    composed = compose(report(failed(reply=reply)))
    # RFC 3461 §9.2
    assert (
        b"\r\nDiagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach\r\n"
        b" does not exist. Please check it.\r\n 550 5.1.1 Bye\r\n"
    ) in composed.octets


@pytest.mark.parametrize(
    "hostile",
    [
        "x\r\n\r\nFinal-Recipient: rfc822; eve@example.net\r\nAction: delivered",
        "x\nBcc: eve@example.net",
        "\x00\x08\x1b[2Jx",
        "‮desrever \u2028 \u0085 \x0b\x0c",
        "\udcff\ud800",
        "=?utf-8?q?x?=",
        "x" * 100_000,
        "x " * 50_000,
        "",
    ],
)
def test_hostile_words_stay_words(hostile: str) -> None:
    reply = Reply(550, EnhancedStatusCode(5, 1234, 7), (hostile,) * 300)
    text = re.sub(r"[\r\n]+", "\r\n ", hostile)
    content = f"Subject: {text}\r\nDate: {text}\r\nMessage-ID: <{text}>\r\n\r\n".encode("utf-8", "replace")
    composed = compose(
        report(failed(reply=reply, remote_host=hostile), returned=content, received_from=hostile, envid=hostile)
    )
    message = parsed(composed)
    assert sorted(message.keys()) == sorted(set(message.keys())) and "Bcc" not in message
    groups = groups_of(composed)
    assert [group.get("Final-Recipient") for group in groups] == [None, "rfc822; bob@example.net"]
    assert groups[1]["Diagnostic-Code"].startswith("smtp; 550-5.0.0")
    assert len(groups[1]["Diagnostic-Code"]) < 20_000
    own = composed.octets.replace(content, b"")
    assert max(map(len, own.split(b"\r\n"))) <= 998
    assert len(letter_of(composed)) < 10_000
    assert re.search(r"[\x00-\x09\x0b-\x1f\u202e\ud800-\udfff]", letter_of(composed)) is None


@pytest.mark.parametrize(
    "subject", [b"=?a?q?" * 40_000, b"\r\n " * 80_000, b"(" * 250_000, b"x" * 250_000, b"=?utf-8?b?" + b"A" * 250_000]
)
def test_huge_headers_take_no_long_time(subject: bytes) -> None:
    began = time.process_time()
    composed = compose(report(returned=b"Subject: " + subject + b"\r\nDate: " + subject + b"\r\n\r\n", is_full=False))
    assert time.process_time() - began < 2
    assert len(parsed(composed)["Subject"]) < 300


def test_a_message_without_message_id_subject_and_date_is_told_of_too() -> None:
    composed = compose(report(returned=b"X: y\r\n\r\nhello\r\n"))
    message = parsed(composed)
    assert "In-Reply-To" not in message and "References" not in message
    assert message["Subject"] == "Your message was not delivered"
    assert "This is about your message Sent: 14 November 2023 at 22:13 (UTC) The message is attached" in letter_of(
        composed
    )


@pytest.mark.parametrize("date", [b"nonsense", b"Mon, 32 Foo 99999 99:99:99 +9999", b"1 Jan 0001 00:00:00 +2400", b""])
def test_a_date_that_is_none_is_replaced_by_that_of_arrival(date: bytes) -> None:
    composed = compose(report(returned=b"Date: " + date + b"\r\n\r\n"))
    assert "Sent: 14 November 2023 at 22:13 (UTC)" in letter_of(composed)


def test_the_boundary_is_in_no_part_even_where_somebody_knew_it() -> None:
    first = parsed(compose(report())).get_boundary("")
    original = ORIGINAL + b"--" + first.encode() + b"--\r\n"
    composed = compose(report(returned=original))
    assert parsed(composed).get_boundary("") != first
    assert returned_of(composed) == ("message/rfc822", original)
    assert compose(report()) == compose(report())


def test_a_thousand_recipients_are_all_in_the_report_and_some_in_the_letter() -> None:
    recipients = tuple(
        failed(f"user{number}@example.net", Reply.of(550, f"user{number}: unknown", "5.1.1")) for number in range(1000)
    )
    composed = compose(report(*recipients))
    _, *groups = groups_of(composed)
    assert [group["Final-Recipient"] for group in groups] == [
        f"rfc822; user{number}@example.net" for number in range(1000)
    ]
    text = letter_of(composed)
    assert "user99@example.net and 900 more, whom the attached report names" in text
    assert "Of user9@example.net the mail server mx.example.net said: > 550 5.1.1 user9: unknown" in text
    assert "user10: unknown" not in text


_addresses = st.sampled_from(
    [
        "bob@example.net",
        '"a b"@example.net',
        "josé@example.org",
        '"quote\\" <x>"@y.org',
        "x@[192.0.2.1]",
        "a=b+c@例え.jp",
    ]
)
_replies = st.builds(
    Reply,
    st.integers(400, 599),
    st.none() | st.builds(EnhancedStatusCode, st.sampled_from([4, 5]), st.integers(0, 2000), st.integers(0, 2000)),
    st.lists(st.text(max_size=200), max_size=4).map(tuple),
)
_recipients = st.builds(
    ReportedRecipient,
    final=_addresses.map(path),
    action=st.sampled_from(Action),
    status=st.builds(EnhancedStatusCode, st.sampled_from([4, 5]), st.integers(0, 99), st.integers(0, 99)),
    original=st.none()
    | st.builds(OriginalRecipient, st.sampled_from(["rfc822", "utf-8", "x y"]), st.text(max_size=40)),
    remote_host=st.none() | st.text(max_size=20) | st.just("mx.example.net"),
    reply=st.none() | _replies,
    is_remote=st.booleans(),
    is_expired=st.booleans(),
    will_retry_until=st.none() | st.just(1_700_000_000.0),
)


@pytest.mark.rfc("3464 §2", "Any report is read back with exactly its recipients.")
@given(
    st.lists(_recipients, min_size=1, max_size=5).map(tuple),
    st.one_of(
        st.binary(max_size=300).map(lambda octets: octets.replace(b"\r", b"").replace(b"\n", b"\r\n")),
        st.text(max_size=100)
        .map(lambda text: re.sub(r"[\r\n]+", "\r\n ", text))
        .map(lambda text: f"Subject: {text}\r\nMessage-ID: <{text}>\r\n\r\n{text}".encode("utf-8", "replace")),
    ),
    st.sampled_from(Language),
    st.booleans(),
    st.none() | st.text(max_size=50),
)  # fmt: skip
def test_any_report_is_read_with_exactly_its_recipients(
    recipients: tuple[ReportedRecipient, ...], original: bytes, language: Language, is_full: bool, envid: str | None
) -> None:
    composed = compose(report(*recipients, returned=original, language=language, is_full=is_full, envid=envid))
    first, *groups = groups_of(composed)
    assert first["Reporting-MTA"] == "dns; mx.example.org"
    assert [(group["Final-Recipient"].split("; ", 1)[1], group["Action"], group["Status"]) for group in groups] == [
        (str(each.final), each.action, str(each.status)) for each in recipients
    ]
    kind, octets = returned_of(composed)
    if is_full and b"\0" not in original:  # RFC 3030 §3: what is not lines of text does not go by DATA
        assert kind in ("message/rfc822", "message/global") and octets == original
