"""The limits of a session and of a message at their edges: one below, at it, one above, and what is answered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.agents.conftest import Office
from tests.agents.outbound.street import Host
from tests.agents.test_smuggling import run as run_alone
from tests.agents.test_smuggling import street

from estafeta.agents.settings import SmtpLimits

HEAD = b"From: someone@example.net\r\nSubject: x\r\n\r\n"


def content(size: int) -> bytes:
    """A message of so many octets."""
    body = b"x" * (size - len(HEAD) - 2) + b"\r\n"
    assert len(HEAD + body) == size
    return HEAD + body


@pytest.mark.rfc("5321 §4.5.3.1.7", "A message of 64K octets is taken, and one of the limit's size, and none above.")
@pytest.mark.parametrize("limit", [1000, 65_536])
def test_the_size_of_a_message(run: Any, limit: int) -> None:
    async def test(office: Office) -> None:
        client = await office.client()
        for size, code in ((limit - 1, "250"), (limit, "250"), (limit + 1, "552 5.3.4"), (limit * 3, "552 5.3.4")):
            assert (await client.send("a@example.net", "ana@example.org", content(size))).startswith(code), size
            declared = await client.say(f"MAIL FROM:<a@example.net> SIZE={size}")
            assert declared.startswith(code), size
            if code == "250":
                await client.say("RCPT TO:<ana@example.org>")
                octets = content(size)
                client.stream.send(b"BDAT %d LAST\r\n%b" % (size, octets))
                assert (await client.reply()).startswith("250")
            await client.say("RSET")
        messages = await office.mailbox("ana@example.org")
        assert len(messages) == 4
        assert all(message.endswith((content(limit), content(limit - 1))) for message in messages)

    run(test, limits=SmtpLimits(message_size=limit))


@pytest.mark.rfc(
    "5321 §4.5.3.1.8", "A hundred recipients are taken; those above the limit are refused with 452, not all."
)
@pytest.mark.rfc("5321 §4.5.3.1.10", "One recipient too many is answered 452, and those before it get the message.")
@pytest.mark.parametrize("limit", [1, 100])
def test_the_recipients_of_a_transaction(run: Any, limit: int) -> None:
    async def test(office: Office) -> None:
        client = await office.client()
        for count in (limit - 1, limit, limit + 1):
            await client.say("MAIL FROM:<a@example.net>")
            said = [await client.say("RCPT TO:<ana@example.org>") for _ in range(count)]
            assert [reply[:9] for reply in said[:limit]] == ["250 2.1.5"] * min(count, limit)
            assert [reply[:9] for reply in said[limit:]] == ["452 4.5.3"] * max(0, count - limit)
            if count:
                assert (await client.say("DATA")).startswith("354")
                assert (await client.say(HEAD + b".")).startswith("250")
            await client.say("RSET")
        assert len(await office.mailbox("ana@example.org")) == (2 if limit == 1 else 3)

    run(test, limits=SmtpLimits(recipients=limit))


def test_the_recipients_of_a_transaction_are_a_thousand_at_least_by_default() -> None:
    assert SmtpLimits().recipients >= 100
    assert SmtpLimits().command_line >= 512
    assert SmtpLimits().message_size >= 64 * 1024


def test_the_messages_of_a_session(run: Any) -> None:
    async def test(office: Office) -> None:
        client = await office.client()
        for _ in range(3):
            assert (await client.send("a@example.net", "ana@example.org", HEAD)).startswith("250")
        assert (await client.say("MAIL FROM:<a@example.net>")).startswith("421 4.7.0")
        assert await client.reply() == ""
        assert len(await office.mailbox("ana@example.org")) == 3

    run(test, limits=SmtpLimits(transactions=3))


@pytest.mark.parametrize("line", ["NOTHING", "MAIL", "RCPT TO:<ana@example.org>", "AUTH", "\0", "BDAT 0"])
def test_the_faults_of_a_session(run: Any, line: str) -> None:
    async def test(office: Office) -> None:
        client = await office.client()
        for number in range(1, 5):
            reply = await client.say(line)
            assert reply[0] == "5", number
            if number <= 3:
                assert (await client.say("NOOP")).startswith("250"), number
        assert (await client.reply()).startswith("421 4.7.0")
        assert await client.reply() == ""

    run(test, limits=SmtpLimits(faults=3))


def test_the_refusals_of_a_session(run: Any) -> None:
    async def test(office: Office) -> None:
        client = await office.client()
        await client.say("MAIL FROM:<a@example.net>")
        for number in range(1, 5):
            assert (await client.say(f"RCPT TO:<nobody{number}@example.org>")).startswith("550 5.1.1")
        assert (await client.reply()).startswith("421 4.7.0")

    run(test, limits=SmtpLimits(refusals=3))


@pytest.mark.parametrize(("size", "code"), [(999, "250"), (1000, "250"), (1001, "55")])
def test_the_header_section(run: Any, size: int, code: str) -> None:
    async def test(office: Office) -> None:
        client = await office.client()
        header = b"Subject: " + b"x" * (size - 13) + b"\r\n\r\n"
        assert len(header) == size
        reply = await client.send("a@example.net", "ana@example.org", header + b"body\r\n")
        assert reply.startswith(code)

    run(test, limits=SmtpLimits(header_octets=1000))


@pytest.mark.rfc("5321 §6.3", "A message that has passed too many hosts is looping: at the limit it is refused.")
@pytest.mark.parametrize(("hops", "code"), [(98, "250"), (99, "250"), (100, "554 5.4.6")])
def test_the_hosts_that_a_message_has_passed(run: Any, hops: int, code: str) -> None:
    async def test(office: Office) -> None:
        client = await office.client()
        header = b"Received: from a by b; Mon, 1 Jan 2029 00:00:00 +0000\r\n" * hops
        assert (await client.send("a@example.net", "ana@example.org", header + HEAD)).startswith(code)

    run(test)


@pytest.mark.rfc("5321 §4.5.3.1.4", "The limit of a command line is the setting's, and the session goes on behind it.")
def test_the_command_line(run: Any) -> None:
    async def test(office: Office) -> None:
        client = await office.client()
        for size, code in ((599, "250"), (600, "250"), (601, "500 5.5.2"), (100_000, "500 5.5.2")):
            assert (await client.say("NOOP".ljust(size - 2))).startswith(code), size
        assert (await client.say("NOOP")).startswith("250")

    run(test, limits=SmtpLimits(command_line=600))


@pytest.mark.rfc("5321 §4.5.3.1.6", "Lines of 1000 octets and more are delivered and relayed as they came.")
@pytest.mark.parametrize("size", [998, 1000, 1001, 5000])
def test_a_line_of_mail_data_is_not_broken(tmp_path: Any, issued: Any, size: int) -> None:
    """A host that takes 8 bits gets it octet for octet; for one of 7 bits alone nothing changes either: it is ASCII."""

    async def main() -> None:
        far = Host("PIPELINING", "8BITMIME")
        message = content(len(HEAD) + size)
        async with street(tmp_path, issued, far=far) as office:
            client = await office.client()
            for path in ("ana@example.org", "u@far.example"):
                assert (await client.send("a@example.net", path, message)).startswith("250")
            while await office.queued():
                await asyncio.sleep(0.005)
            [delivered] = await office.mailbox("ana@example.org")
        [relayed] = far.taken
        assert delivered.endswith(message) and relayed.content.endswith(message)

    run_alone(main())
