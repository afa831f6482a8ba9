"""What is written is what is read: strings, names, sets, dates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire.imap import writing
from estafeta.wire.imap.numbers import NumberSet
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.session import Offer, Session


def reader(octets: bytes, *, is_utf8: bool = False) -> Reader:
    session = Session(Offer())
    session.enabled |= {"IMAP4REV2"} if is_utf8 else set()
    return Reader(octets, session)


@pytest.mark.rfc("9051 §4.3", "A string is quoted, or a literal where that cannot be.")
@given(st.binary(max_size=40) | st.binary(max_size=3).map(lambda octets: octets * 400))
def test_a_string_is_read_as_it_was_written(octets: bytes) -> None:
    written = writing.string(octets)
    assert reader(written).string() == octets
    assert reader(writing.nstring(octets)).nstring() == octets
    assert written.startswith(b'"') == (len(octets) <= 1000 and octets.isascii() and not set(octets) & {0, 10, 13})


def test_what_is_nothing_is_nil() -> None:
    assert writing.nstring(None) == b"NIL"
    assert reader(b"nil").nstring() is None
    assert writing.literal(b"") == b"{0}\r\n"


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20))
def test_a_text_is_read_as_it_was_written(text: str) -> None:
    assert reader(writing.astring(text)).text() == text
    assert reader(writing.quoted(text)).text() == text


@pytest.mark.parametrize(
    ("text", "written"), [("a]b", b"a]b"), ("a b", b'"a b"'), ("nil", b'"nil"'), ("", b'""'), ('a"\\', b'"a\\"\\\\"')]
)
def test_an_astring_is_an_atom_where_it_can_be(text: str, written: bytes) -> None:
    assert writing.astring(text) == written


@pytest.mark.rfc("9051 §5.1", "Names are in UTF-8 for those who enabled it, else in modified UTF-7.")
@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12), st.booleans())
def test_a_mailbox_is_read_as_it_was_written(name: str, is_utf8: bool) -> None:
    name = "x" + name
    written = writing.mailbox_name(name, is_utf8)
    assert is_utf8 or written.isascii()
    assert reader(written, is_utf8=is_utf8).mailbox() == name


@given(st.sets(st.integers(1, 60)))
def test_numbers_are_written_as_ranges(numbers: set[int]) -> None:
    written = writing.number_set(sorted(numbers))
    if not numbers:
        assert written == b""
        return
    ranges = reader(written).sequence_set().ranges
    assert ranges == tuple(NumberSet(ranges).resolved(99))
    assert [number for low, high in ranges for number in range(low, high + 1)] == sorted(numbers)
    assert writing.range_set(ranges) == written


@pytest.mark.rfc("9051 §7.5.2", "INTERNALDATE is written with a day of two places and its zone.")
def test_a_date_is_written_with_two_places_for_the_day() -> None:
    assert writing.date_time(0.0) == b'" 1-Jan-1970 00:00:00 +0000"'
    assert writing.date_time(1770681723.9) == b'"10-Feb-2026 00:02:03 +0000"'
    assert reader(writing.date_time(1770681723.0)).date_time() == 1770681723.0


def test_flags_stand_in_parentheses() -> None:
    assert writing.flag_list(["\\Seen", "$Junk"]) == b"(\\Seen $Junk)"
    assert writing.flag_list([]) == b"()"
