"""The grammar's words, one by one, and their bounds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire.imap.numbers import STAR, NumberSet
from estafeta.wire.imap.reading import MAX_ITEMS, MAX_MODSEQ, MAX_NUMBER, GrammarError, Reader
from estafeta.wire.imap.session import Offer, Session

Read = Callable[[Reader], Any]


def reader(octets: bytes, *enabled: str) -> Reader:
    session = Session(Offer())
    session.enabled |= set(enabled)
    return Reader(octets, session)


@pytest.mark.rfc("9051 §9", "Each word of the grammar is read in its forms.")
@pytest.mark.parametrize(
    ("read", "octets", "expected"),
    [
        (Reader.atom, b"a+b.c=d rest", "a+b.c=d"),
        (Reader.keyword, b"utf8=accept", "UTF8=ACCEPT"),
        (Reader.astring, b"a]b c", b"a]b"),
        (Reader.astring, b'""', b""),
        (Reader.astring, "ñ".encode(), "ñ".encode()),
        (Reader.string, b'"a\\"b\\\\"', b'a"b\\'),
        (Reader.string, b"{3}\r\na\r\n", b"a\r\n"),
        (Reader.string, b"~{2+}\r\n\0a", b"\0a"),
        (Reader.nstring, b"nil", None),
        (Reader.nstring, b'"NIL"', b"NIL"),
        (Reader.text, '"ñ"'.encode(), "ñ"),
        (Reader.number, b"0", 0),
        (Reader.number, b"4294967295", MAX_NUMBER),
        (lambda each: each.number(MAX_MODSEQ), b"9223372036854775807", MAX_MODSEQ),
        (Reader.nz_number, b"1", 1),
        (Reader.sequence_set, b"1,3:5,*:7,*", NumberSet(((1, 1), (3, 5), (STAR, 7), (STAR, STAR)))),
        (Reader.sequence_set, b"$", NumberSet(is_saved=True)),
        (Reader.flag, b"\\Seen)", "\\Seen"),
        (Reader.flag_list, b"()", ()),
        (Reader.flag_list, b"( $a)", ("$a",)),
        (Reader.flag_list, b"(\\Seen $a b)", ("\\Seen", "$a", "b")),
        (Reader.date, b"1-feb-2026", date(2026, 2, 1)),
        (Reader.date, b'"29-Feb-2024"', date(2024, 2, 29)),
        (Reader.date_time, b'" 1-Jan-1970 01:00:00 +0100"', 0.0),
        (Reader.date_time, b'"31-Dec-1969 23:00:00 -0100"', 0.0),
        (Reader.date_time, b'"31-Dec-2016 23:59:60 +0000"', 1483228799.0),
        (Reader.mailbox, b"inBox", "INBOX"),
        (Reader.mailbox, b"Inbox/Work", "INBOX/Work"),
        (Reader.mailbox, b"inboxes", "inboxes"),
        (Reader.mailbox, b'"&AOE- &-"', "á &"),
        (Reader.mailbox, "á".encode(), "á"),
        (Reader.list_mailbox, b"a%*]", "a%*]"),
        (Reader.list_mailbox, b'""', ""),
        (Reader.list_mailbox, b"&AOE-/%", "á/%"),
        (Reader.list_mailbox, b"&AO*", "&AO*"),
    ],
)
def test_a_word_is_read(read: Read, octets: bytes, expected: object) -> None:
    found = read(reader(octets))
    assert found == expected and type(found) is type(expected)


@pytest.mark.rfc("9051 §9", "What the grammar does not have is refused.")
@pytest.mark.parametrize(
    ("read", "octets"),
    [
        (Reader.atom, b""),
        (Reader.atom, b"(a"),
        (Reader.atom, b"]"),
        (Reader.astring, b"\x7f"),
        (Reader.string, b"a"),
        (Reader.string, b'"a'),
        (Reader.string, b'"a\\b"'),
        (Reader.string, b'"a\r\n"'),
        (Reader.string, b"{3}\r\nab"),
        (Reader.string, b"{3}abc"),
        (Reader.nstring, b"a"),
        (Reader.text, b"{1}\r\n\0"),
        (Reader.text, b'"\xff"'),
        (Reader.number, b"-1"),
        (Reader.number, b"4294967296"),
        (Reader.number, b"9" * 30),
        (lambda each: each.number(MAX_MODSEQ), b"9223372036854775808"),
        (Reader.nz_number, b"0"),
        (Reader.sequence_set, b"0"),
        (Reader.sequence_set, b"1:0"),
        (Reader.sequence_set, b"4294967296"),
        (Reader.sequence_set, b"a"),
        (Reader.flag, b"\\"),
        (Reader.flag_list, b"\\Seen"),
        (Reader.flag_list, b"(\\Seen"),
        (Reader.flag_list, b"(\\Seen )"),
        (Reader.date, b"30-Feb-2026"),
        (Reader.date, b"1-Foo-2026"),
        (Reader.date, b'"1-Feb-2026'),
        (Reader.date, b"1-Feb-0000"),
        (Reader.date_time, b'"1-Feb-2026 00:00:00 +0000"'),
        (Reader.date_time, b'" 1-Feb-2026 24:00:00 +0000"'),
        (Reader.date_time, b'" 1-Feb-2026 00:00:00"'),
        (Reader.mailbox, b"&AGE-"),
        (Reader.mailbox, b"*a"),
        (Reader.sp, b"a"),
        (Reader.sp, b""),
        (Reader.end, b" "),
    ],
)
def test_what_is_no_such_word_is_refused(read: Read, octets: bytes) -> None:
    with pytest.raises(GrammarError):
        read(reader(octets))


@pytest.mark.rfc("9051 §5.1", "With IMAP4rev2 or UTF8=ACCEPT a name is as it is said.")
@pytest.mark.parametrize("enabled", ["IMAP4REV2", "UTF8=ACCEPT"])
def test_a_name_in_utf8_is_as_it_is_said(enabled: str) -> None:
    assert reader(b"&AOE-", enabled).mailbox() == "&AOE-"
    assert reader('"á"'.encode(), enabled).mailbox() == "á"
    assert reader(b"&AOE-%", enabled).list_mailbox() == "&AOE-%"


def test_lists_have_an_end() -> None:
    assert len(reader(b",".join([b"1"] * MAX_ITEMS)).sequence_set().ranges) == MAX_ITEMS
    with pytest.raises(GrammarError) as refused:
        reader(b",".join([b"1"] * (MAX_ITEMS + 1))).sequence_set()
    assert refused.value.code == "LIMIT"
    with pytest.raises(GrammarError):
        reader(b"(" + b" ".join([b"a"] * (MAX_ITEMS + 1)) + b")").flag_list()


_METHODS: tuple[Read, ...] = (
    Reader.atom, Reader.astring, Reader.string, Reader.nstring, Reader.text, Reader.mailbox, Reader.list_mailbox,
    Reader.number, Reader.sequence_set, Reader.flag_list, Reader.date, Reader.date_time,
)  # fmt: skip


@given(st.binary(max_size=20) | st.text('"\\{}()&-~+*%$0123456789:, \r\nA', max_size=20).map(str.encode))
def test_a_word_is_read_or_refused_and_never_past_the_end(octets: bytes) -> None:
    for read in _METHODS:
        each = reader(octets)
        try:
            read(each)
        except GrammarError as error:
            assert str(error)
        assert 0 <= each.at <= len(octets)
        assert octets.endswith(each.rest())
