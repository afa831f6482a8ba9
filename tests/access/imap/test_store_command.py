"""STORE over a real store: flags, keywords, conditions, rights, other sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path

import pytest
from tests.access.imap.post import BO, Post, message, post

from estafeta.store import acl, mailboxes, messages


def run(folder: Path, talk: Callable[[Post], Awaitable[None]]) -> None:
    """Run a conversation with a post office."""

    async def conversation() -> None:
        async with post(folder) as office:
            await talk(office)

    asyncio.run(conversation())


@pytest.mark.rfc("9051 §6.4.6", "flags are replaced, added and removed, and the new ones told")
def test_flags_are_changed_and_told(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("a"), message("b"))
        client = await office.client()
        other = await office.client()
        told = (await client.command("STORE 1:2 FLAGS (\\Seen \\Deleted)")).of("FETCH")
        assert told == [
            b"1 FETCH (FLAGS (\\Recent \\Seen \\Deleted))",
            b"2 FETCH (FLAGS (\\Recent \\Seen \\Deleted))",
        ]
        assert (await client.command("UID STORE 2 -FLAGS (\\Deleted)")).of("FETCH") == [
            b"2 FETCH (UID 2 FLAGS (\\Recent \\Seen))"
        ]
        answer = await client.command("STORE 1 +FLAGS ($Work)")
        assert answer.of("FETCH") == [b"1 FETCH (FLAGS (\\Recent \\Seen \\Deleted $Work))"]
        assert b"$Work" in answer.of("FLAGS")[0]  # the keyword is announced before it is used
        assert answer.untagged.index(answer.of("FLAGS")[0]) < answer.untagged.index(answer.of("FETCH")[0])
        # What is so already is told as well.
        assert (await client.command("STORE 1 +FLAGS (\\Seen)")).of("FETCH")
        assert sorted((await other.command("NOOP")).of("FETCH")) == [
            b"1 FETCH (FLAGS (\\Seen \\Deleted $Work))",
            b"2 FETCH (FLAGS (\\Seen))",
        ]

    run(tmp_path, talk)


@pytest.mark.rfc("9051 §6.4.6", ".SILENT is silent, but for what others have changed meanwhile")
def test_silent(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("a"), message("b"))
        client = await office.client()
        assert not (await client.command("STORE 1:2 +FLAGS.SILENT (\\Flagged)")).of("FETCH")
        mailbox_id = await office.mailbox_id()
        await office.store.write(lambda tx: messages.change_flags(tx, mailbox_id, [(2, 2)], add=2))
        answer = await client.command("STORE 1:2 +FLAGS.SILENT (\\Seen)")
        assert answer.of("FETCH") == [b"2 FETCH (FLAGS (\\Recent \\Seen \\Answered \\Flagged))"] or (
            answer.of("FETCH") == [b"2 FETCH (FLAGS (\\Seen \\Answered \\Flagged \\Recent))"]
        )

    run(tmp_path, talk)


@pytest.mark.rfc("7162 §3.1.3", "MODSEQ is told even when silent; what others changed is left alone, and MODIFIED")
def test_unchanged_since(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("a"), message("b"), message("c"))
        client = await office.connect()
        await client.login()
        await client.command("SELECT INBOX (CONDSTORE)")
        told = (await client.command("FETCH 1 (MODSEQ)")).of("FETCH")
        modseq = int(told[0].partition(b"MODSEQ (")[2].rstrip(b")"))
        mailbox_id = await office.mailbox_id()
        await office.store.write(lambda tx: messages.change_flags(tx, mailbox_id, [(2, 2)], add=4))
        answer = await client.command(f"STORE 1:3 (UNCHANGEDSINCE {modseq}) +FLAGS.SILENT (\\Deleted)")
        assert answer.completion.startswith(b"OK [MODIFIED 2]")
        told = answer.of("FETCH")
        assert any(each.startswith(b"1 FETCH (UID 1 MODSEQ (") for each in told)
        assert any(each.startswith(b"3 FETCH (UID 3 MODSEQ (") for each in told)
        assert any(b"UID 2 FLAGS (" in each and b"\\Deleted" not in each for each in told)
        answer = await client.command(f"UID STORE 2 (UNCHANGEDSINCE {modseq}) +FLAGS (\\Deleted)")
        assert answer.completion.startswith(b"OK [MODIFIED 2]")
        assert not [each for each in answer.of("FETCH") if b"Deleted" in each]

    run(tmp_path, talk)


def test_read_only_and_recent_are_refused(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("a"))
        client = await office.client(verb="EXAMINE")
        assert (await client.command("STORE 1 +FLAGS (\\Seen)")).completion.startswith(b"NO [READ-ONLY]")
        client = await office.client()
        assert (await client.command("STORE 1 +FLAGS (\\Recent)")).completion.startswith(b"BAD")
        assert (await client.command("STORE 2 +FLAGS (\\Seen)")).completion.startswith(b"BAD")
        assert (await client.command("UID STORE 2 +FLAGS (\\Seen)")).is_ok

    run(tmp_path, talk)


def test_no_room_for_keywords(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("a"), message("b"))
        client = await office.client()
        for start in (0, 19, 38):
            words = " ".join(f"k{number}" for number in range(start, start + 19))
            assert (await client.command(f"STORE 1 +FLAGS ({words})")).is_ok
        assert (await client.command("STORE 2 +FLAGS (another)")).completion.startswith(b"NO [LIMIT]")
        # A keyword that no message has makes room.
        assert (await client.command("STORE 1 -FLAGS (k3)")).is_ok
        assert b"another" in (await client.command("STORE 2 +FLAGS (another)")).of("FETCH")[0]

    run(tmp_path, talk)


@pytest.mark.rfc("4314 §4", "only flags that the user has a right for are changed, and NO comes only without any")
def test_rights(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("a"), flags=("\\Flagged",))
        mailbox_id = await office.mailbox_id()
        await office.store.write(lambda tx: acl.set_(tx, mailboxes.get(tx, mailbox_id), str(BO), "lrs"))
        client = await office.client('"Other Users/ana@example.org/INBOX"', BO)
        assert (await client.command("STORE 1 +FLAGS (\\Deleted)")).completion.startswith(b"NO [NOPERM]")
        told = (await client.command("STORE 1 FLAGS (\\Seen \\Deleted $x)")).of("FETCH")
        assert b"\\Seen \\Flagged" in told[0] and b"Deleted" not in told[0] and b"$x" not in told[0]
        assert (await client.command("EXPUNGE")).completion.startswith(b"NO [NOPERM]")

    run(tmp_path, talk)


def test_messages_that_are_gone(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("a"), message("b"), message("c"))
        client = await office.client()
        mailbox_id = await office.mailbox_id()
        await office.store.write(lambda tx: messages.expunge(tx, mailbox_id, [2]))
        answer = await client.command("STORE 1:3 +FLAGS (\\Seen)")
        assert [each.split()[0] for each in answer.of("FETCH")] == [b"1", b"3"]
        assert answer.completion.startswith(b"OK [EXPUNGEISSUED]") and not answer.of("EXPUNGE")

    run(tmp_path, talk)


def test_many_messages_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(office: Post) -> None:
        await office.put(*[message(str(number)) for number in range(60)])
        client = await office.client(verb="SELECT")
        told = (await client.command("STORE 1:* +FLAGS (\\Answered)")).of("FETCH")
        assert len(told) == 60 and all(b"\\Answered" in each for each in told)

    monkeypatch.setattr(import_module("estafeta.access.imap.commands.store"), "AT_ONCE", 7)
    run(tmp_path, talk)
