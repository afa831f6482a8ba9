"""What is kept beside a message."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from estafeta.mail.mime.description import describe
from estafeta.mail.mime.index import index, unpack
from estafeta.mail.mime.structure import body, body_structure, envelope

MESSAGE = (
    b"From: =?utf-8?q?Ana_Mu=C3=B1oz?= <ana@example.org>\r\nTo: group: eva@example.net;\r\nCc: luis@example.net\r\n"
    b"Subject: Re: [list] =?utf-8?q?ma=C3=B1ana?= (fwd)\r\nDate: Thu, 15 Feb 2029 01:02:03 +0200\r\n"
    b'Message-ID: <"3"@example.org>\r\nReferences: <1@example.net>\r\n\t<2@example.net>\r\n'
    b"In-Reply-To: <9@x> <8@x>\r\n\r\nHola\r\n"
)


@pytest.mark.rfc("5256 §3", "Messages are sorted by base subject, sent date and the first mailbox of an address list.")
@pytest.mark.rfc("5957 §3", "By display name, and where there is none by the whole address.")
def test_a_description_has_what_lists_ask_for() -> None:
    found = describe(MESSAGE)
    root = index(MESSAGE)
    assert found.envelope == envelope(MESSAGE, root)
    assert (found.body, found.body_structure) == (body(MESSAGE, root), body_structure(MESSAGE, root))
    assert unpack(found.parts) == root
    assert found.preview == "Hola"
    assert (found.sent_at, found.sent_day) == (datetime(2029, 2, 14, 23, 2, 3, tzinfo=UTC).timestamp(), "2029-02-15")
    assert (found.subject, found.is_reply) == ("MAN\u0303ANA", True)
    assert (found.sort_from, found.sort_to, found.sort_cc) == ("ANA", "GROUP", "LUIS")
    assert (found.display_from, found.display_to) == ("ANA MUN\u0303OZ", "GROUP")
    assert (found.message_id, found.references) == ("3@example.org", ("1@example.net", "2@example.net"))


def test_what_is_missing_is_empty() -> None:
    found = describe(b"")
    assert (found.sent_at, found.sent_day, found.message_id, found.references) == (None, None, None, ())
    assert (found.subject, found.is_reply, found.preview) == ("", False, "")
    assert found.sort_from == found.sort_to == found.sort_cc == found.display_from == found.display_to == ""
    assert describe(b"From: d\r\n\r\n").display_from == "D"
    assert describe(b"From: d@e\r\n\r\n").display_from == "D@E"


@pytest.mark.rfc("5256 §3", "Where References has no valid id the first of In-Reply-To is the only reference.")
@pytest.mark.parametrize("fields", [b"", b"References: none\r\n", b"References:\r\n"])
def test_in_reply_to_counts_where_there_are_no_references(fields: bytes) -> None:
    assert describe(fields + b"In-Reply-To: about <1@x> and <2@x>\r\n\r\n").references == ("1@x",)
