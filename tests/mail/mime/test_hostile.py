"""What is made to be slow, or to become large, is read in time and in bounds."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from estafeta.mail.mime.description import describe
from estafeta.mail.mime.index import Limits, Part, index, unpack
from estafeta.mail.mime.text import MAX_TEXT, folded, searchable

SIZE = 1_048_576
SECONDS = 5.0
"""Of the processor. One is what it may take; what is not linear takes minutes, and test machines are busy."""

MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
HTML = b"Content-Type: text/html; charset=utf-8\r\n\r\n"
MESSAGE = b"Content-Type: message/rfc822\r\n\r\n"


def filled(octets: bytes, size: int = SIZE) -> bytes:
    return (octets * (size // len(octets) + 1))[:size]


def nested(levels: int, boundary: bytes) -> bytes:
    each = (boundary * (level + 1) if boundary == b"a" else boundary + b"%d" % level for level in range(levels))
    return b"".join(b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n--%b\r\n" % (one, one) for one in each)


CASES = {
    "boundaries": MIXED + b"--b\r\n" * 100_000,
    "lines that are nearly boundaries": nested(60, b"a") + filled(b"\n--" + b"a" * 60),
    "a long boundary": b"Content-Type: multipart/mixed; boundary="
    + b"-" * 16_000
    + b"\r\n\r\n"
    + filled(b"\n" + b"-" * 900),
    "nested multiparts": nested(10_000, b"b"),
    "nested in themselves": filled(MIXED + b"--b\r\n"),
    "nested messages": filled(MESSAGE),
    "encoded messages in themselves": filled(MESSAGE[:-2] + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"),
    "one long field": b"Subject: " + filled(b"a") + b"\r\n\r\n",
    "folds": b"Subject: a" + filled(b"\r\n a") + b"\r\n\r\n",
    "short fields": filled(b"a:\r\n") + b"\r\n",
    "no fields": filled(b"aaaa\r\n"),
    "blanks before a colon": b"a" + filled(b" "),
    "parameters": b"Content-Type: text/plain" + filled(b'; a="b"') + b"\r\n\r\n",
    "parameters in many parts": MIXED + filled(b"\r\n--b\r\nContent-Type: text/plain" + b'; a="b"' * 60),
    "quotes in parameters": b'Content-Type: text/plain; a="' + filled(b'\\"') + b"\r\n\r\n",
    "comments in parameters": b"Content-Type: text/plain " + filled(b"(") + b"\r\n\r\n",
    "messages with addresses": MIXED + filled(b"--b\r\n" + MESSAGE + b"To: " + b":," * 150 + b"\r\n\r\n\r\n"),
    "ids": b"References: " + filled(b'"<\\') + b"\r\nIn-Reply-To: " + filled(b"<a") + b"\r\n\r\n",
    "unclosed comments of pages": HTML + filled(b"<!--"),
    "unclosed tags": HTML + filled(b"<a"),
    "numbers of letters": HTML + b"&#" + filled(b"9"),
    "letters by name": HTML + filled(b"&a"),
    "blanks in quoted-printable": b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + filled(b" ") + b"\n",
    "utf-7": b"Content-Type: text/plain; charset=utf-7\r\n\r\n" + filled(b"+AAA"),
    **{
        f"{octets!r} in From": b"From: " + filled(octets) + b"\r\n\r\n"
        for octets in (b",", b"(", b")", b'"', b'\\"', b"<", b":", b";", b"@a,", b"[", b"a b@c, ", b"a. ")
    },
    **{
        f"{octets!r} in Subject": b"Subject: " + filled(octets) + b"\r\n\r\n"
        for octets in (b"=?utf-8?q?", b"=?utf-8?q?a?= ", b"Re: ", b"[a]", b"[fwd:", b"(fwd)")
    },
}


def count(part: Part) -> tuple[int, int]:
    """Parts in all, and how deep they go."""
    inner = [count(each) for each in part.parts]
    return 1 + sum(each[0] for each in inner), 1 + max((each[1] for each in inner), default=0)


@pytest.mark.parametrize("name", CASES)
def test_what_is_made_to_be_slow_is_described_in_time(name: str) -> None:
    octets = CASES[name]
    begun = time.process_time()
    found = describe(octets)
    root = unpack(found.parts)
    text = searchable(octets, root)
    folded(text.body)
    assert time.process_time() - begun < SECONDS
    limits = Limits()
    parts, depth = count(root)
    assert parts <= 2 * limits.parts
    assert depth <= limits.depth + 2
    assert sum(map(len, (found.envelope, found.body, found.body_structure, found.parts))) < 4 * max(len(octets), SIZE)
    assert len(text.body) <= 2 * MAX_TEXT
    assert len(found.preview) <= 200


@pytest.mark.parametrize("name", ["parameters in many parts", "b'<' in From", "letters by name", "folds"])
def test_what_is_made_to_become_large_stays_within_bounds(name: str) -> None:
    octets = CASES[name]
    tracemalloc.start()
    try:
        describe(octets)
        searchable(octets, index(octets))
        assert tracemalloc.get_traced_memory()[1] < 64 * SIZE
    finally:
        tracemalloc.stop()
