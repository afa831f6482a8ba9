"""Addresses as people and programs write them in header fields."""

from __future__ import annotations

import pytest

from estafeta.mail.mime.addresses import Address, addresses

END = Address(None, None, None, None)


def one(name: bytes | None, mailbox: bytes, host: bytes, route: bytes | None = None) -> list[Address]:
    return [Address(name, route, mailbox, host)]


@pytest.mark.rfc("5322 §3.4", "Addresses with and without a name, quoted, commented and folded.")
@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"a@b.example", one(None, b"a", b"b.example")),
        (b" A B <a@b.example> ", one(b"A B", b"a", b"b.example")),
        (b'"B, A" <a@b.example>', one(b"B, A", b"a", b"b.example")),
        (b'"B \\"x\\" A" <a@b.example>', one(b'B "x" A', b"a", b"b.example")),
        (b'"" <a@b.example>', one(None, b"a", b"b.example")),
        (b"A\r\n\t B <a@b.example>", one(b"A B", b"a", b"b.example")),
        (b"<a@b.example>", one(None, b"a", b"b.example")),
        (b"A <a@b.example> (later)", one(b"A", b"a", b"b.example")),
        (b"a@b.example (A (and) B)", one(b"A (and) B", b"a", b"b.example")),
        (b"A. B. <a@b.example>", one(b"A. B.", b"a", b"b.example")),
        (b'"a b"@c.example', one(None, b"a b", b"c.example")),
        (b'A "B" C <"a\\"b"@c.example>', one(b"A B C", b'a"b', b"c.example")),
        (b"a@[192.0.2.1]", one(None, b"a", b"[192.0.2.1]")),
        (b"\xc3\xb1 <\xc3\xb1@\xc3\xb1.example>", one(b"\xc3\xb1", b"\xc3\xb1", b"\xc3\xb1.example")),
        (b"=?utf-8?q?a=2C?= <a@b.example>", one(b"=?utf-8?q?a=2C?=", b"a", b"b.example")),
    ],
)
def test_one_address_is_read(body: bytes, found: list[Address]) -> None:
    assert addresses([body]) == found


@pytest.mark.rfc("5322 §4.4", "Obsolete forms: blanks around dots, routes, empty members of lists.")
@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"a . b @ c . example", one(None, b"a.b", b"c.example")),
        (b"<a (x) @ (y) b.example>", one(None, b"a", b"b.example")),
        (b"A <@x.example,@y.example:a@b.example>", one(b"A", b"a", b"b.example", b"@x.example,@y.example")),
        (b",, a@b.example , ,", one(None, b"a", b"b.example")),
    ],
)
def test_obsolete_forms_are_read(body: bytes, found: list[Address]) -> None:
    assert addresses([body]) == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"a", one(None, b"a", b"")),
        (b"two words", one(None, b"two words", b"")),
        (b"<>", one(None, b"", b"")),
        (b"A <a>", one(b"A", b"a", b"")),
        (b"@b.example", one(None, b"", b"b.example")),
        (b"A a@b.example", one(b"A", b"a", b"b.example")),
        (b"A <a@b.example", one(b"A", b"a", b"b.example")),
        (b'"A <a@b.example>', one(None, b"A <a@b.example>", b"")),
        (b"A <a@b.example, c@d.example", [*one(b"A", b"a", b"b.example"), *one(None, b"c", b"d.example")]),
        (b"a@b@c.example", one(None, b"a@b", b"c.example")),
        (b"A <a@b@c.example>", one(b"A", b"a@b", b"c.example")),
        (b"(only a comment)", []),
        (b"", []),
        (b" , ; ", []),
    ],
)
def test_what_is_broken_gives_what_it_has(body: bytes, found: list[Address]) -> None:
    assert addresses([body]) == found


@pytest.mark.rfc("5322 §3.4", "Groups, empty ones and such as are never closed.")
def test_groups_have_their_members_between() -> None:
    group = Address(None, None, b"A B", None)
    assert addresses([b"A B:;"]) == [group, END]
    assert addresses([b'"A B": a@b.example, C <c@d.example>;, e@f.example']) == [
        group,
        *one(None, b"a", b"b.example"),
        *one(b"C", b"c", b"d.example"),
        END,
        *one(None, b"e", b"f.example"),
    ]
    assert addresses([b"A B: a@b.example"]) == [group, *one(None, b"a", b"b.example"), END]
    assert all(each.is_group for each in addresses([b"A B:;"]))


def test_no_more_are_read_than_the_limit() -> None:
    assert len(addresses([b"a@b.example, " * 10], 4)) == 4
    assert len(addresses([b"a@b.example, " * 3, b"a@b.example, " * 3], 4)) == 4
