"""Base subjects, sent dates and message ids, as SORT and THREAD need them."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from estafeta.mail.mime.sorting import MAX_REFERENCES, base_subject, casemapped, message_ids, sent_at


@pytest.mark.rfc("5256 §2.1", "The base subject is what is left without the marks of replies, forwards and lists.")
@pytest.mark.parametrize(
    ("subject", "base", "is_reply"),
    [
        ("hello", "hello", False),
        ("", "", False),
        ("  a \t b  ", "a b", False),
        ("Re: hello", "hello", True),
        ("RE:hello", "hello", True),
        ("re : hello", "hello", True),
        ("Fw: Fwd: FWD : hello", "hello", True),
        ("Re[2]: hello", "hello", True),
        ("Re [list] : hello", "hello", True),
        ("hello (fwd)", "hello", True),
        ("hello (fWd)  (FWD) ", "hello", True),
        ("[list] hello", "hello", False),
        ("[a][b] [c] hello", "hello", False),
        ("[a] Re: [b] Fwd: hello", "hello", True),
        ("[list]", "[list]", False),
        ("[a] [b]", "[b]", False),
        ("Re: [a]", "[a]", True),
        ("Re: ", "", True),
        ("Re:", "", True),
        ("(fwd)", "", True),
        ("[Fwd: hello]", "hello", True),
        ("re: [fwd: [fwd: re: [fwd: hello]]]", "hello", True),
        ("[foo] Fwd: [bar] Re: fw: b (fWd)  (fwd)", "b", True),
        ("[fwd: hello", "[fwd: hello", False),
        ("[fwd:]", "", True),
        ("Ad: Re: hello", "Ad: Re: hello", False),
        ("Regarding: hello", "Regarding: hello", False),
        ("Re hello", "Re hello", False),
        ("hello [list]", "hello [list]", False),
        ("[] hello", "hello", False),
        ("b (a)", "b (a)", False),
    ],
)
def test_base_subjects(subject: str, base: str, is_reply: bool) -> None:
    assert base_subject(subject) == (base, is_reply)


@pytest.mark.rfc("5256 §3", "Texts are compared without regard to case.")
def test_texts_are_compared_without_case() -> None:
    assert casemapped("Straße ñ") == casemapped("STRAßE Ñ")
    assert casemapped("n\u0303") == casemapped("ñ") != casemapped("n")
    assert sorted(["b", "A", "_", "C"], key=casemapped) == ["A", "b", "C", "_"]


def instant(*numbers: int) -> float:
    return datetime(*numbers, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]


@pytest.mark.rfc("5322 §3.3", "Dates are read with their zones; the day is the one that is written.")
@pytest.mark.rfc("5322 §4.3", "Obsolete forms: short years, names of zones, comments, no seconds.")
@pytest.mark.rfc("5256 §2.2", "A zone that nobody knows counts as UTC, a time that is none as midnight.")
@pytest.mark.parametrize(
    ("body", "at", "day"),
    [
        (b"Thu, 15 Feb 2029 01:02:03 +0200", (2029, 2, 14, 23, 2, 3), date(2029, 2, 15)),
        (b" Fri,  1 Jan 1999 00:00:00 -0330\r\n", (1999, 1, 1, 3, 30, 0), date(1999, 1, 1)),
        (b"1 Jan 2029 10:00 GMT", (2029, 1, 1, 10, 0, 0), date(2029, 1, 1)),
        (b"Mon,\r\n 1 Jan\r\n 2029 10:00:00 +0000 (CET (x))", (2029, 1, 1, 10, 0, 0), date(2029, 1, 1)),
        (b"(now) Mon (x) , 1 (x) January 2029 10:00:00", (2029, 1, 1, 10, 0, 0), date(2029, 1, 1)),
        (b"21 Nov 97 09:55:06 -0600", (1997, 11, 21, 15, 55, 6), date(1997, 11, 21)),
        (b"21 Nov 29 09:55:06 EST", (2029, 11, 21, 14, 55, 6), date(2029, 11, 21)),
        (b"21 Nov 129 09:55:06 pdt", (2029, 11, 21, 16, 55, 6), date(2029, 11, 21)),
        (b"Mon, 21 Aug 95 13:30:57 -600", (1995, 8, 21, 19, 30, 57), date(1995, 8, 21)),
        (b"21 Nov 2029 09:55:06 Z", (2029, 11, 21, 9, 55, 6), date(2029, 11, 21)),
        (b"21-Nov-2029 09:55:06 XYZ", (2029, 11, 21, 9, 55, 6), date(2029, 11, 21)),
        (b"21 Nov 2029", (2029, 11, 21, 0, 0, 0), date(2029, 11, 21)),
        (b"21 Nov 2029 99:99:99 +0100", (2029, 11, 20, 23, 0, 0), date(2029, 11, 21)),
        (b"31 Dec 2029 23:59:60 +0000", (2030, 1, 1, 0, 0, 0), date(2029, 12, 31)),
        (b"Mon Jan  1 10:00:00 2029", (2029, 1, 1, 10, 0, 0), date(2029, 1, 1)),
        (b"Mon Jan  1 10:00:00 EST 2029", (2029, 1, 1, 15, 0, 0), date(2029, 1, 1)),
        (b"2029-01-31 10:00:00 +01:00", (2029, 1, 31, 9, 0, 0), date(2029, 1, 31)),
        (b"2029-01-31T10:00:00.123Z", (2029, 1, 31, 10, 0, 0), date(2029, 1, 31)),
        (b"1 Jan 1601 00:00:00 +0000", (1601, 1, 1, 0, 0, 0), date(1601, 1, 1)),
    ],
)
def test_dates_are_read_as_they_are_written(body: bytes, at: tuple[int, ...], day: date) -> None:
    assert sent_at(body) == (instant(*at), day)


@pytest.mark.parametrize(
    "body",
    [b"", b"today", b"32 Jan 2029 10:00:00 +0000", b"1 Foo 2029 10:00:00 +0000", b"0 Jan 2029", b"1 Jan 0000", b"("],
)
def test_what_is_no_date_is_none(body: bytes) -> None:
    assert sent_at(body) is None


@pytest.mark.rfc("5256 §3", "Message ids are compared without their quoting; what is none is passed over.")
@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (b"<a@b>", ("a@b",)),
        (b" <a@b>\r\n\t<c@d> <e@f>", ("a@b", "c@d", "e@f")),
        (b"<a@b><c@d>,<e@f>", ("a@b", "c@d", "e@f")),
        (b'Your mail of <"01KF8 \\"x"@b.example>', ('01KF8 "x@b.example',)),
        (b"< a@\r\n b >", ("a@b",)),
        (b"<a<b@c>", ("b@c",)),
        (b"none", ()),
        (b"<>", ()),
        (b"", ()),
        (b"<\xc3\xb1@b>", ("ñ@b",)),
        (b"<" + b"a" * 2000 + b"> <b@c>", ("b@c",)),
    ],
)
def test_message_ids(body: bytes, ids: tuple[str, ...]) -> None:
    assert message_ids(body) == ids


def test_of_many_ids_the_first_and_the_last_are_kept() -> None:
    found = message_ids(b" ".join(b"<%d@b>" % number for number in range(1000)))
    assert len(found) == MAX_REFERENCES
    assert (found[0], found[1], found[-1]) == ("0@b", f"{1001 - MAX_REFERENCES}@b", "999@b")
