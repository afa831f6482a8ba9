"""Header facts and trace fields: found as they stand, and written so that nothing can be slipped in."""

from __future__ import annotations

import tracemalloc
from email import message_from_bytes
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.address import NULL_REVERSE_PATH, Address, ReversePath
from estafeta.mail.header import authors, field, fields, header_facts, header_size
from estafeta.mail.trace import Hop, date_time, protocol_word, return_path

MESSAGE = (
    b"Received: from a\r\n\tby b; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    b"received: from c by d\r\n"
    b"Message-ID:\r\n <one@example.org>\r\n"
    b"From: =?utf-8?q?Jos=C3=A9?= <Jose@Example.org>, luis@example.org\r\n"
    b"Subject : caf\xc3\xa9\r\n"
    b"\r\n"
    b"Date: this is the body\r\nReceived: too\r\n"
)


@pytest.mark.rfc("5322 §2.2", "The header section is found and read up to its end.")
def test_facts_are_of_the_header_section_alone() -> None:
    facts = header_facts(MESSAGE)
    assert (facts.message_id, facts.has_date, facts.hops) == ("<one@example.org>", False, 2)
    assert MESSAGE[facts.size :].startswith(b"Date: this is the body")


@pytest.mark.parametrize(
    ("content", "size"),
    [(b"", 0), (b"\r\n", 2), (b"\r\nbody", 2), (b"A: b\r\n", 6), (b"A: b\r\n\r\nbody", 8), (b"no header", 9)],
)
def test_the_size_of_odd_header_sections(content: bytes, size: int) -> None:
    assert header_size(content) == size
    assert header_facts(content).size == size


@pytest.mark.rfc("5322 §3.6.2", "Addresses in From are read.")
def test_fields_are_unfolded_and_decoded_for_people() -> None:
    assert [found.name for found in fields(MESSAGE)] == [
        "Received",
        "received",
        "Message-ID",
        "From",
        "Subject",
    ]
    found = field(MESSAGE, "FROM")
    assert found is not None and found.text.startswith("José <")
    subject = field(MESSAGE, "subject")
    assert subject is not None and subject.text == "café"
    assert authors(MESSAGE) == ("jose@example.org", "luis@example.org")


@pytest.mark.parametrize("body", [b"=?utf-8?b?a?=", b"=?bogus?q?x?=", b"=?utf-8?q?=ff?=", b"\xff"])
def test_broken_encoded_words_are_shown_somehow(body: bytes) -> None:
    found = field(b"Subject: " + body + b"\r\n\r\n", "subject")
    assert found is not None and found.text


def test_an_author_in_endless_comments_is_nobody() -> None:
    assert authors(b"From: " + b"(" * 10_000 + b"\r\n\r\n") == ("",)
    assert authors(b"From: " + b"a@example.org," * 10_000 + b"\r\n\r\n") == ("",)


def test_a_message_id_of_another_field_is_not_taken() -> None:
    assert header_facts(b"Message-ID:\r\nSubject: <not@this>\r\n\r\n").message_id is None


@pytest.mark.parametrize("field", [b"Message-ID: " + b"a" * 500_000, b"Message-ID:" + b"\r\n a" * 100_000])
def test_a_field_without_end_takes_no_memory(field: bytes) -> None:
    tracemalloc.start()
    try:
        assert header_facts(field + b"\r\n\r\n").message_id is None
        assert len(fields(field + b"\r\n\r\n")) == 1
        assert tracemalloc.get_traced_memory()[1] < 8 * len(field)
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=200))
def test_whatever_the_octets_facts_are_found_without_error(octets: bytes) -> None:
    facts = header_facts(octets)
    assert 0 <= facts.size <= len(octets)
    fields(octets)
    authors(octets)


@pytest.mark.rfc("5322 §3.3", "Dates are written so that another reader reads them.")
def test_dates_are_read_back_by_another_reader() -> None:
    assert parsedate_to_datetime(date_time(1_700_000_000.7)).timestamp() == 1_700_000_000


@pytest.mark.rfc("3848", "The `with` word says whether the session was extended, secured and logged in.")
@pytest.mark.rfc("6531 §4.3", "With SMTPUTF8 the `with` word is one of UTF8SMTP and its kin.")
@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ({}, "ESMTP"),
        ({"extended": False}, "SMTP"),
        ({"secure": True}, "ESMTPS"),
        ({"authenticated": True}, "ESMTPA"),
        ({"secure": True, "authenticated": True}, "ESMTPSA"),
        ({"lmtp": True}, "LMTP"),
        ({"smtputf8": True, "secure": True, "authenticated": True}, "UTF8SMTPSA"),
        ({"smtputf8": True, "lmtp": True}, "UTF8LMTP"),
    ],
)
def test_the_protocol_word_is_that_of_rfc_3848_and_6531(flags: dict[str, bool], word: str) -> None:
    defaults = {"lmtp": False, "extended": True, "secure": False, "authenticated": False, "smtputf8": False}
    assert protocol_word(**(defaults | flags)) == word


@pytest.mark.rfc("5321 §4.4", "Received stays one field, whatever the client calls itself.")
@given(st.text(max_size=300), st.one_of(st.none(), st.text(max_size=50)))
def test_a_received_field_is_one_field_whatever_the_client_calls_itself(hello: str, tls: str | None) -> None:
    hop = Hop.of(hello=hello, peer_ip="2001:db8::1", tls=tls, host="mx.example.org", word="ESMTPS")
    octets = hop.received("0abc", "ana@example.org", 0.0)
    message = message_from_bytes(octets + b"\r\nbody")
    assert message.keys() == ["Received"]
    assert str(message["Received"]).endswith("Thu, 1 Jan 1970 00:00:00 +0000")


@pytest.mark.rfc("5321 §4.4", "Return-Path has the reverse-path, or <>.")
def test_return_path_names_the_reverse_path_or_nothing() -> None:
    assert return_path(NULL_REVERSE_PATH) == b"Return-Path: <>\r\n"
    assert return_path(ReversePath(Address("a b", "example.org"))) == b'Return-Path: <"a b"@example.org>\r\n'
