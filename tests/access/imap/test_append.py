"""APPEND, MULTIAPPEND, CATENATE and REPLACE over a real store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.access.imap.post import ANA, Post, message, post

from estafeta.access.imap.settings import ImapSettings
from estafeta.store import accounts, messages


def run(folder: Path, talk: Callable[[Post], Awaitable[None]], **how: object) -> None:
    """Run a conversation with a post office."""

    async def conversation() -> None:
        async with post(folder, **how) as office:  # type: ignore[arg-type]
            await talk(office)

    asyncio.run(conversation())


@pytest.mark.rfc("9051 §6.3.12", "flags and date are kept, APPENDUID is said, and an open mailbox tells of it")
def test_append(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        client = await office.client()
        octets = message("one", "Grüße\n, bare line feed, and NUL \0\r\n".encode())
        words = b'APPEND INBOX (\\Seen $Work) "17-Jul-1996 02:44:25 -0700" ~{%d+}\r\n' % len(octets)
        answer = await client.command(words + octets)
        assert answer.completion.startswith(b"OK [APPENDUID ") and b" 1] " in answer.completion
        assert b"1 EXISTS" in answer.untagged
        (told,) = (await client.command("FETCH 1 (FLAGS INTERNALDATE BODY.PEEK[])")).of("FETCH")
        assert told == (
            b'1 FETCH (FLAGS (\\Recent \\Seen $Work) INTERNALDATE "17-Jul-1996 09:44:25 +0000" BODY[] {%d}\r\n%b)'
            % (len(octets), octets.replace(b"\0", b"\x80"))
        )
        (told,) = (await client.command("FETCH 1 BINARY.PEEK[]")).of("FETCH")
        assert told == b"1 FETCH (BINARY[] ~{%d}\r\n%b)" % (len(octets), octets)

    run(tmp_path, talk)


def test_a_literal_that_waits_is_not_asked_for_in_vain(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        client = await office.client()
        client.stream.send(b"x APPEND Nowhere {1000000}\r\n")
        assert (await client.response()).startswith(b"x NO [TRYCREATE]")
        client.stream.send(b"y APPEND INBOX {5}\r\n")
        assert (await client.response()).startswith(b"+ ")
        client.stream.send(b"a: b\n\r\n")
        assert (await client.completed("y")).is_ok

    run(tmp_path, talk)


@pytest.mark.rfc("3502 §6.3.11", "several messages are appended, all or none")
def test_multiappend(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        client = await office.client()
        one, two = message("one"), message("two")
        words = b"APPEND INBOX (\\Seen) {%d+}\r\n%b {%d+}\r\n%b" % (len(one), one, len(two), two)
        answer = await client.command(words)
        assert b" 1:2] " in answer.completion and b"2 EXISTS" in answer.untagged
        await office.store.write(lambda tx: accounts.set_quota(tx, ANA, quota_octets=None, quota_messages=3))
        answer = await client.command(words)
        assert answer.completion.startswith(b"NO [OVERQUOTA]")
        assert b"MESSAGES 2" in (await client.command("STATUS INBOX (MESSAGES)")).of("STATUS")[0]
        assert (await client.append(one)).is_ok

    run(tmp_path, talk)


@pytest.mark.rfc("4469 §3", "a message is put together from pieces that are there and pieces that come")
def test_catenate(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("one", b"Body of one.\r\n"))
        client = await office.client()
        answer = await client.command(
            b"APPEND Drafts (\\Draft) CATENATE (TEXT {14+}\r\nSubject: new\r\n"
            b' TEXT {2+}\r\n\r\n URL "/INBOX/;UID=1/;SECTION=TEXT" URL ";UID=1/;SECTION=HEADER.FIELDS%20(Subject)")'
        )
        assert answer.completion.startswith(b"OK [APPENDUID ")
        await client.command("SELECT Drafts")
        (told,) = (await client.command("FETCH 1 BODY.PEEK[]")).of("FETCH")
        assert told.endswith(b"\r\nSubject: new\r\n\r\nBody of one.\r\nSubject: one\r\n\r\n)")
        answer = await client.command(b'APPEND Drafts CATENATE (URL "/INBOX/;UID=9" TEXT {5+}\r\nHello)')
        assert answer.completion.startswith(b"NO [BADURL /INBOX/;UID=9]")
        assert (await client.command("NOOP")).is_ok
        answer = await client.command(b'APPEND Drafts CATENATE (URL "/INBOX;UIDVALIDITY=1/;UID=1")')
        assert answer.completion.startswith(b"NO [BADURL ")
        assert b"MESSAGES 1" in (await client.command("STATUS Drafts (MESSAGES)")).of("STATUS")[0]

    run(tmp_path, talk)


@pytest.mark.rfc("7889 §4", "TOOBIG for more octets than the server takes")
@pytest.mark.rfc("4469 §4.2", "TOOBIG for what is too large only when it is put together")
def test_too_large(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        client = await office.client()
        client.stream.send(b"x APPEND INBOX {5001}\r\n")
        assert (await client.response()).startswith(b"x NO [TOOBIG]")
        half = b"h" * 3000
        answer = await client.command(b"APPEND INBOX CATENATE (TEXT {3000+}\r\n%b TEXT {3000+}\r\n%b)" % (half, half))
        assert answer.completion.startswith(b"NO [TOOBIG]")
        assert (await client.append(b"x" * 5000)).is_ok

    run(tmp_path, talk, settings=ImapSettings(message_size=5000))


def test_large_content_goes_through_a_file(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        client = await office.client()
        octets = message("large", b"l" * 300_000)
        assert (await client.append(octets)).is_ok
        assert len(list((tmp_path / "content").rglob("*"))) == 2  # a folder and the file
        assert (await client.append(octets, "Nowhere")).completion.startswith(b"NO")
        assert not list((tmp_path / "incoming").iterdir())
        (told,) = (await client.command("FETCH 1 BODY.PEEK[]")).of("FETCH")
        assert octets in told

    run(tmp_path, talk, large_content=10_000)


@pytest.mark.rfc("3502 §6.3.11", "a message without octets calls the command off")
def test_empty_messages(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        client = await office.client()
        one = message("one")
        assert (await client.command(b"APPEND INBOX {%d+}\r\n%b {0+}\r\n" % (len(one), one))).completion[:2] == b"NO"
        answer = await client.command(b"APPEND INBOX CATENATE (TEXT {0+}\r\n)")
        assert answer.completion.startswith(b"NO ")
        assert b"MESSAGES 0" in (await client.command("STATUS INBOX (MESSAGES)")).of("STATUS")[0]

    run(tmp_path, talk)


def test_a_client_that_goes_away_leaves_nothing(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        client = await office.client()
        client.stream.send(b"x APPEND INBOX {500000+}\r\n" + b"y" * 400_000)
        await client.stream.drain()
        client.stream.abort()
        other = await office.client()
        assert b"MESSAGES 0" in (await other.command("STATUS INBOX (MESSAGES)")).of("STATUS")[0]

    run(tmp_path, talk, large_content=10_000)
    assert not list((tmp_path / "incoming").iterdir())


@pytest.mark.rfc("8508 §3.4", "the new message is there and the old one gone, by one change")
@pytest.mark.rfc("8508 §4.3", "APPENDUID comes before EXPUNGE")
def test_replace(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("a"), message("b"))
        await office.store.write(lambda tx: accounts.set_quota(tx, ANA, quota_octets=None, quota_messages=2))
        client = await office.client()
        new = message("new")
        answer = await client.command(b"REPLACE 1 INBOX (\\Draft) {%d+}\r\n%b" % (len(new), new))
        assert answer.untagged[0].startswith(b"OK [APPENDUID ") and b" 3] " in answer.untagged[0]
        assert answer.of("EXPUNGE") == [b"1 EXPUNGE"] and b"2 EXISTS" in answer.untagged
        told = (await client.command("FETCH 1:* (UID FLAGS)")).of("FETCH")
        assert told[1].startswith(b"2 FETCH (UID 3 FLAGS (") and b"\\Draft" in told[1]
        answer = await client.command(b"UID REPLACE 3 Sent {%d+}\r\n%b" % (len(new), new))
        assert answer.is_ok and answer.of("EXPUNGE") == [b"2 EXPUNGE"]
        assert b"MESSAGES 1" in (await client.command("STATUS Sent (MESSAGES)")).of("STATUS")[0]

    run(tmp_path, talk)


def test_replace_of_what_is_gone(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("a"), message("b"))
        client = await office.client()
        new = message("new")
        literal = b"{%d+}\r\n%b" % (len(new), new)
        mailbox_id = await office.mailbox_id()
        await office.store.write(lambda tx: messages.expunge(tx, mailbox_id, [2]))
        assert (await client.command(b"REPLACE 2 INBOX " + literal)).completion.startswith(b"NO [EXPUNGEISSUED]")
        assert (await client.command(b"UID REPLACE 9 INBOX " + literal)).completion.startswith(b"NO [NONEXISTENT]")
        assert b"MESSAGES 1" in (await client.command("STATUS INBOX (MESSAGES)")).of("STATUS")[0]

    run(tmp_path, talk)


def test_the_utf8_form(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        client = await office.connect()
        await client.login()
        await client.command("ENABLE UTF8=ACCEPT")
        await client.command("SELECT INBOX")
        octets = "Subject: Grüße\r\n\r\n".encode()
        answer = await client.command(b"APPEND INBOX UTF8 (~{%d+}\r\n%b)" % (len(octets), octets))
        assert answer.is_ok
        (told,) = (await client.command("FETCH 1 BODY.PEEK[]")).of("FETCH")
        assert octets in told

    run(tmp_path, talk)
