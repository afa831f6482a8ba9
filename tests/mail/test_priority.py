"""The MT-Priority field (RFC 6758)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.priority import said_priority, with_priority


@pytest.mark.rfc("6758 §4", "The field's value is a priority, with comments beside it.")
@pytest.mark.parametrize(
    ("field", "priority"),
    [
        (b"MT-Priority: -3\r\n", -3),
        (b"MT-Priority: 4 (ultra)\r\n", 4),
        (b"mt-priority:0\r\n", 0),
        (b"MT-Priority:\r\n (so it is)\r\n 9\r\n", 9),
    ],
)
def test_it_is_read(field: bytes, priority: int) -> None:
    assert said_priority(b"From: a@example.org\r\n" + field + b"Subject: x\r\n\r\n") == priority


@pytest.mark.rfc("6758 §3.1", "Only one field that is right says something.")
@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"Subject: MT-Priority: 3\r\n\r\n",
        b"MT-Priority: 3\r\nMT-Priority: 3\r\n\r\n",
        b"MT-Priority: 10\r\n\r\n",
        b"MT-Priority: high\r\n\r\n",
        b"MT-Priority: 3 4\r\n\r\n",
        b"MT-Priority: " + b"(" * 50_000 + b"\r\n\r\n",
        b"MT-Priority: " + b" " * 50_000 + b"3\r\n\r\n",
    ],
)
def test_all_else_says_nothing(head: bytes) -> None:
    assert said_priority(head) is None


@pytest.mark.rfc("6758 §3.3", "All fields there are go, and one of ours says the priority.")
def test_it_is_written_in_place_of_others() -> None:
    content = b"MT-Priority: 9\r\nFrom: a\r\nMT-PRIORITY: 7\r\n (x)\r\nSubject: x\r\n\r\nMT-Priority: 5\r\n"
    assert with_priority(content, 2) == b"MT-Priority: 2\r\nFrom: a\r\nSubject: x\r\n\r\nMT-Priority: 5\r\n"
    assert with_priority(content, 0) == b"MT-Priority: 0\r\nFrom: a\r\nSubject: x\r\n\r\nMT-Priority: 5\r\n"


def test_what_has_none_and_needs_none_stays_as_it_is() -> None:
    content = b"From: a\r\n\r\nbody\r\n"
    assert with_priority(content, 0) is content


@given(st.binary(max_size=200), st.integers(-9, 9))
def test_what_is_written_is_read_and_the_body_is_left_alone(body: bytes, priority: int) -> None:
    content = b"MT-Priority: 1\r\nFrom: a\r\n\r\n" + body
    written = with_priority(content, priority)
    assert said_priority(written[: written.index(b"\r\n\r\n") + 4]) == priority
    assert written.endswith(b"From: a\r\n\r\n" + body)
