"""Whatever stands in the fields that messages are sorted and threaded by: a base subject has none but itself, a date is
the one that others (email) read where it is written by the book, and an id has no brackets and no blanks."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tests.fuzz.inputs import Input

from estafeta.mail.mime.sorting import MAX_REFERENCES, MAX_SUBJECT, base_subject, casemapped, message_ids, sent_at
from estafeta.mail.mime.text import folded, header_text

DATE, IDS = range(2)
"""Flags: a date; message ids; otherwise a subject."""
# RFC 5322 §3.3, without comments and folds
_BY_THE_BOOK = re.compile(
    rb"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?[0-3]?\d (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (?:19|20)\d\d"
    rb" [01]\d:[0-5]\d:[0-5]\d [+-](?:0\d|1[0-4])[0-5]\d"
)


def check_subject(octets: bytes) -> None:
    """A subject."""
    text = header_text(octets)
    base, is_reply = base_subject(text)
    assert base_subject(base)[0] == base, (text, base)
    assert len(base) <= MAX_SUBJECT and isinstance(is_reply, bool)
    assert base_subject("Re: " + text) == (base, True) or len(text) > MAX_SUBJECT - 4, text
    casemapped(base)
    assert folded(folded(text)) == folded(text)


def check_date(octets: bytes) -> None:
    """A date."""
    found = sent_at(octets)
    if found is not None:
        at, day = found
        assert abs(at - (day.toordinal() - 719_163) * 86_400) <= 2 * 86_400 + 1
    if _BY_THE_BOOK.fullmatch(octets):
        try:
            others = parsedate_to_datetime(octets.decode("ascii"))
        except ValueError:
            assert found is None, octets
            return
        if others.tzinfo is None:  # -0000 says that nobody knows the zone
            others = others.replace(tzinfo=UTC)
        assert found is not None and found[0] == (others - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds(), octets
        assert found[1] == others.date()


def check_ids(octets: bytes) -> None:
    """Message ids."""
    found = message_ids(octets)
    assert len(found) <= MAX_REFERENCES
    assert all(each and not set(each) & set("<>") for each in found), found
    plain = tuple(each for each in found if not re.search(r'["\s]', each))
    assert message_ids(b" ".join(b"<" + each.encode() + b">" for each in plain)) == plain


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    if given.has(DATE):
        check_date(given.octets)
    elif given.has(IDS):
        check_ids(given.octets)
    else:
        check_subject(given.octets)
