"""Clients with loose manners: where a listener allows it they are read, and nowhere else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.agents.counter import Counter

from estafeta.agents.environment import Role

HELLO = "EHLO client.example.net"
MAIL, RCPT = "MAIL FROM:<someone@example.net>", "RCPT TO:<ana@example.org>"
REPAIR = {"repairs_line_ends": True}


@pytest.mark.parametrize("octet_by_octet", [False, True])
def test_a_sender_that_ends_lines_with_lf_is_read_where_that_is_allowed(run: Any, octet_by_octet: bool) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office, facts=REPAIR, refuse_early_commands=False)
        await counter.reply()
        octets = "\n".join((HELLO, MAIL, RCPT, "DATA", "Subject: x", "", "..dot", "mixed\r", "end", ".", "QUIT", ""))
        for part in octets if octet_by_octet else [octets]:
            counter.client.send(part.encode())
            await asyncio.sleep(0)
        assert (await counter.rest()).splitlines()[-2:][0].startswith(b"250 2.0.0 accepted")
        (message,) = await office.mailbox("ana@example.org")
        assert message.endswith(b"Subject: x\r\n\r\n.dot\r\nmixed\r\nend\r\n")
        assert message.count(b"\n") == message.count(b"\r\n")

    run(test)


def test_repairing_takes_crlf_too_and_leaves_a_bare_cr_a_fault(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office, facts=REPAIR)
        await counter.reply()
        assert await counter.codes(HELLO, MAIL, RCPT, "DATA", "x\r\n.") == ["250", "250", "250", "354", "250"]
        assert await counter.codes(MAIL, RCPT, "DATA", "a\rb\n.", end="\n") == ["250", "250", "354", "550"]
        assert await counter.codes("NO\rOP", "NOOP") == ["500", "250"]

    run(test)


def test_chunks_are_counted_and_so_not_offered_where_line_ends_are_repaired(run: Any) -> None:
    async def test(office: Any) -> None:
        for facts, offered in ((REPAIR, False), ({}, True)):
            counter = Counter(office, facts=facts)
            await counter.reply()
            assert ("CHUNKING" in (await counter.say(HELLO))[0]) is offered

    run(test)


@pytest.mark.rfc("5321 §2.3.8", "Without the setting a bare LF is refused in commands and in mail data.")
def test_else_a_bare_lf_is_a_fault(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office)
        await counter.reply()
        assert await counter.codes(HELLO, end="\n") == ["500"]
        await counter.say(HELLO, MAIL, RCPT, "DATA")
        counter.client.send(b"a\nb\r\n.\r\n")
        assert (await counter.reply())[:3] == "550"
        assert await office.mailbox("ana@example.org") == []

    run(test)


@pytest.mark.parametrize(
    "lines",
    [
        ("MAIL FROM:someone@example.net", "RCPT TO:ana@example.org"),
        ("mail from: someone@example.net  SIZE=100", "rcpt to: ana@example.org  "),
        ("MAIL FROM: <someone@example.net>", "RCPT TO:Postmaster"),
        ("MAIL FROM:<>", "RCPT TO : ana@example.org NOTIFY=NEVER"),
    ],
)
def test_addresses_without_brackets_are_read_where_that_is_allowed(run: Any, lines: tuple[str, ...]) -> None:
    async def test(office: Any) -> None:
        for allowed in (True, False):
            counter = Counter(office, role=Role.MX, facts={"bare_addresses": allowed})
            await counter.reply()
            await counter.say(HELLO)
            codes = []
            for line, sound in zip(lines, (MAIL, RCPT), strict=True):
                codes += await counter.codes(line)
                if codes[-1] == "501":
                    await counter.say(sound)
            expected = ["250" if allowed or "<" in line else "501" for line in lines]
            assert codes == expected

    run(test)


@pytest.mark.parametrize(
    "line", ["MAIL FROM:", "MAIL FROM:a b@c", "MAIL FROM:<a@b", "MAIL FROM:a@b>", "MAIL someone@example.net"]
)
def test_what_is_no_address_is_none_without_brackets_either(run: Any, line: str) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office, facts={"bare_addresses": True})
        await counter.reply()
        await counter.say(HELLO)
        assert (await counter.codes(line))[0] in ("501", "555")

    run(test)


@pytest.mark.rfc("5321 §2.4", "Verbs, and the words of paths, come in any case.")
@pytest.mark.rfc("5321 §4.1.1.1", "Any name is taken in EHLO, address literals and underscores too.")
@pytest.mark.rfc("5321 §4.1.1.2", "The null reverse-path is taken with blanks around and in it.")
@pytest.mark.parametrize(
    "line",
    [
        "helo under_score.example.net",
        "EHLO [127.0.0.1]",
        "EHLO [IPv6:2001:db8::1]",
        "eHlO client  ",
        "EHLO client.example.net. ",
        "noop   ",
        "NOOP with words",
        "rset\t",
        "MAIL FROM: <>",
        "MAIL FROM:< >",
        "MAIL FROM:<>   ",
        "mail from:<a@[127.0.0.1]>",
        "MAIL FROM:<a@[IPv6:::1]>",
        "MAIL FROM:<a@under_score.example.net>",
        "MAIL  FROM:<a@example.net>",
    ],
)
def test_what_the_world_writes_is_read_everywhere(run: Any, line: str) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office)
        await counter.reply()
        assert await counter.codes(HELLO, line) == ["250", "250"]

    run(test)
