"""COPY, MOVE and EXPUNGE over a real store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path

import pytest
from tests.access.imap.post import ANA, BO, Post, message, post

from estafeta.access.imap.settings import ImapSettings
from estafeta.store import accounts, acl, mailboxes, messages


def run(folder: Path, talk: Callable[[Post], Awaitable[None]]) -> None:
    """Run a conversation with a post office."""

    async def conversation() -> None:
        async with post(folder) as office:
            await talk(office)

    asyncio.run(conversation())


@pytest.mark.rfc("9051 §6.4.7", "flags, keywords and dates go along, and COPYUID says the UIDs")
def test_copy(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("x"), mailbox="Archive", flags=("other",))
        await office.put(message("a"), message("b"), message("c"), flags=("\\Flagged", "$Work"))
        client = await office.client()
        answer = await client.command("COPY 1,3 Archive")
        code = answer.completion.split(b"]")[0]
        assert answer.is_ok and code.startswith(b"OK [COPYUID ") and code.endswith(b" 1,3 2:3")
        await client.command("EXAMINE Archive")
        told = (await client.command("FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")).of("FETCH")
        assert len(told) == 3 and b"\\Flagged $Work" in told[1] and b"Subject: c" in told[2] and b"other" not in told[2]

    run(tmp_path, talk)


@pytest.mark.rfc("9051 §6.4.7", "TRYCREATE where the mailbox could be made")
def test_no_such_mailbox(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("a"))
        client = await office.client()
        assert (await client.command("COPY 1 Nowhere")).completion.startswith(b"NO [TRYCREATE]")
        assert (await client.command("MOVE 1 Nowhere")).completion.startswith(b"NO [TRYCREATE]")
        assert (await client.command("UID COPY 77 Archive")).completion.startswith(b"OK There")
        assert (await client.append(message("b"), "Nowhere")).completion.startswith(b"NO [TRYCREATE]")

    run(tmp_path, talk)


@pytest.mark.rfc("9051 §6.4.7", "a copy that fails leaves nothing behind, in however many steps it was made")
def test_copy_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(office: Post) -> None:
        await office.put(*[message(str(number)) for number in range(20)])
        await office.store.write(lambda tx: accounts.set_quota(tx, ANA, quota_octets=None, quota_messages=30))
        client = await office.client()
        assert (await client.command("COPY 1:* Archive")).completion.startswith(b"NO [OVERQUOTA]")
        assert b"MESSAGES 0" in (await client.command("STATUS Archive (MESSAGES)")).untagged[0]
        assert (await client.command("COPY 1:10 Archive")).is_ok
        # A move within the account needs no room.
        assert (await client.command("MOVE 1:5 Archive")).is_ok

    monkeypatch.setattr(import_module("estafeta.access.imap.commands.copy"), "AT_ONCE", 4)
    run(tmp_path, talk)


@pytest.mark.rfc("2180 §4.4.1", "a copy by number of what is gone copies nothing")
def test_copy_of_what_is_gone(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("a"), message("b"), message("c"))
        client = await office.client()
        mailbox_id = await office.mailbox_id()
        await office.store.write(lambda tx: messages.expunge(tx, mailbox_id, [2]))
        assert (await client.command("COPY 1:3 Archive")).completion.startswith(b"NO [EXPUNGEISSUED]")
        assert b"MESSAGES 0" in (await client.command("STATUS Archive (MESSAGES)")).of("STATUS")[0]
        assert b" 1,3 1:2]" in (await client.command("UID COPY 1:3 Archive")).completion

    run(tmp_path, talk)


@pytest.mark.rfc("6851 §3.3", "moved messages are there, and gone here")
@pytest.mark.rfc("6851 §4.3", "COPYUID comes before EXPUNGE")
def test_move(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("a"), message("b"), message("c"))
        client = await office.client()
        answer = await client.command("MOVE 1:2 Archive")
        assert answer.is_ok and answer.untagged[0].startswith(b"OK [COPYUID ") and b" 1:2 1:2]" in answer.untagged[0]
        assert answer.of("EXPUNGE") == [b"2 EXPUNGE", b"1 EXPUNGE"]
        assert b"UID 3" in (await client.command("FETCH 1 UID")).of("FETCH")[0]
        # Onto the same mailbox: a new UID.
        answer = await client.command("UID MOVE 3 INBOX")
        assert answer.is_ok and b" 3 4]" in answer.untagged[0]
        assert b"UID 4" in (await client.command("FETCH 1 UID")).of("FETCH")[0]

    run(tmp_path, talk)


@pytest.mark.rfc("7162 §3.2.7", "EXPUNGE tells VANISHED and HIGHESTMODSEQ to who asked for QRESYNC")
def test_expunge_with_qresync(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(*[message(str(number)) for number in range(6)])
        client = await office.connect()
        await client.login()
        await client.command("ENABLE QRESYNC")
        await client.command("SELECT INBOX")
        await client.command("STORE 2:4,6 +FLAGS.SILENT (\\Deleted)")
        answer = await client.command("UID EXPUNGE 1:3")
        assert answer.of("VANISHED") == [b"VANISHED 2:3"]
        assert answer.completion.startswith(b"OK [HIGHESTMODSEQ ")
        assert (await client.command("EXPUNGE")).of("VANISHED") == [b"VANISHED 4,6"]
        assert (await client.command("EXPUNGE")).completion.startswith(b"OK Expunge")

    run(tmp_path, talk)


@pytest.mark.rfc("9051 §6.4.3", "what is \\Deleted is removed, in steps too")
def test_expunge_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(office: Post) -> None:
        await office.put(*[message(str(number)) for number in range(30)])
        client = await office.client()
        other = await office.client()
        await client.command("STORE 3:27 +FLAGS.SILENT (\\Deleted)")
        answer = await client.command("EXPUNGE")
        assert answer.is_ok and len(answer.of("EXPUNGE")) == 25
        told = (await client.command("FETCH 1:* UID")).of("FETCH")
        assert [each.split()[3] for each in told] == [b"1)", b"2)", b"28)", b"29)", b"30)"]
        assert len((await other.command("NOOP")).of("EXPUNGE")) == 25

    monkeypatch.setattr(import_module("estafeta.access.imap.commands.expunge"), "AT_ONCE", 4)
    run(tmp_path, talk)


def test_read_only(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("a"))
        client = await office.client(verb="EXAMINE")
        assert (await client.command("EXPUNGE")).completion.startswith(b"NO [READ-ONLY]")
        assert (await client.command("MOVE 1 Archive")).completion.startswith(b"NO [READ-ONLY]")
        assert (await client.command("COPY 1 Archive")).is_ok

    run(tmp_path, talk)


@pytest.mark.rfc("4314 §4", "COPY needs the right i, and flags go along as far as there are rights for them")
def test_rights_where_it_goes(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        mailbox_id = await office.mailbox_id("Archive")
        await office.store.write(lambda tx: acl.set_(tx, mailboxes.get(tx, mailbox_id), str(BO), "lri"))
        client = await office.client(user=BO)
        assert (await client.append(message("a"), flags="(\\Seen \\Flagged)")).is_ok
        assert (await client.command('COPY 1 "Other Users/ana@example.org/Archive"')).is_ok
        await office.store.write(lambda tx: acl.set_(tx, mailboxes.get(tx, mailbox_id), str(BO), "lr"))
        answer = await client.command('COPY 1 "Other Users/ana@example.org/Archive"')
        assert answer.completion.startswith(b"NO [NOPERM]")
        owner = await office.client("Archive")
        (told,) = (await owner.command("FETCH 1:* FLAGS")).of("FETCH")
        assert b"Seen" not in told and b"Flagged" not in told

    run(tmp_path, talk)


def test_the_most_messages_of_one_command(tmp_path: Path) -> None:
    async def talk() -> None:
        async with post(tmp_path, ImapSettings(message_limit=3)) as office:
            await office.put(*[message(str(number)) for number in range(5)])
            client = await office.client()
            answer = await client.command("FETCH 1:* UID")
            assert len(answer.of("FETCH")) == 3 and answer.completion.startswith(b"OK [MESSAGELIMIT 3 3]")
            answer = await client.command("STORE 1:* +FLAGS (\\Deleted)")
            assert len(answer.of("FETCH")) == 3 and answer.completion.startswith(b"OK [MESSAGELIMIT 3 3]")
            assert (await client.command("UID STORE 1:2 +FLAGS (\\Deleted)")).completion.startswith(b"OK Store")
            assert (await client.command("COPY 1:4 Archive")).completion.startswith(b"NO [MESSAGELIMIT 3 2]")
            answer = await client.command("EXPUNGE")
            assert len(answer.of("EXPUNGE")) == 3 and answer.completion.startswith(b"OK [MESSAGELIMIT 3 3]")
            assert len((await client.command("MOVE 1:* Archive")).of("EXPUNGE")) == 2

    asyncio.run(talk())
