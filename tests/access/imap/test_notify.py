"""NOTIFY: what is told, of which mailboxes, and when (RFC 5465)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.access.imap.post import BO, Client, Post, message, post
from tests.access.imap.test_managing import code, ok

from estafeta.access.imap import watching


async def told(client: Client, count: int) -> list[bytes]:
    """What the server says without being asked, so many responses."""
    return [(await client.response()).removeprefix(b"* ") for _ in range(count)]


async def two(office: Post, command: str) -> tuple[Client, Client]:
    """A client that has said NOTIFY, and one that does things."""
    watcher, other = await office.client(), await office.client("Trash")
    await ok(watcher, command)
    return watcher, other


@pytest.mark.rfc("5465 §3.1", "With STATUS each watched mailbox but the open one is told first, with what is watched.")
def test_status_first(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            await office.put(message(), mailbox="Junk")
            client = await office.client()
            for events, more in (
                ("MessageNew MessageExpunge", b""),
                ("MessageNew MessageExpunge FlagChange", b" HIGH"),
            ):
                [line] = await ok(client, f"NOTIFY SET STATUS (mailboxes Junk ({events}))")
                assert line.startswith(b"STATUS Junk (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ")
                assert (b" HIGHESTMODSEQ " in line) == bool(more)
            assert await ok(client, "NOTIFY SET (mailboxes Junk (MessageNew MessageExpunge))") == []
            lines = await ok(client, "NOTIFY SET STATUS (personal (MessageNew MessageExpunge))")
            assert {line.split()[1] for line in lines} == {b"Archive", b"Drafts", b"Junk", b"Sent", b"Trash"}
            assert await ok(client, "NOTIFY SET STATUS (mailboxes None (MessageNew MessageExpunge))") == []
            assert await ok(client, "NOTIFY SET STATUS (subtree Sent NONE)") == []

    asyncio.run(run())


@pytest.mark.rfc("5465 §5", "MessageNew and MessageExpunge go together, FlagChange with both; else BAD.")
@pytest.mark.rfc("5465 §6.1", "Of the selected mailbox only its messages can be told, and it is named once.")
@pytest.mark.parametrize(
    "groups",
    [
        "(personal (MessageNew))",
        "(personal (MessageExpunge))",
        "(personal (FlagChange))",
        "(selected (MailboxName))",
        "(selected NONE) (selected-delayed NONE)",
        "(personal (MessageNew (UID) MessageExpunge))",
    ],
)
def test_groups_that_cannot_be(tmp_path: Path, groups: str) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            assert (await client.command(f"NOTIFY SET {groups}")).completion.startswith(b"BAD")

    asyncio.run(run())


@pytest.mark.rfc("5465 §3.1", "An event that is not known is NO, and the code tells those that are.")
def test_events_that_are_none(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            assert (await code(client, "NOTIFY SET (personal (AnnotationChange))")).startswith("BADEVENT (")

    asyncio.run(run())


@pytest.mark.rfc("5465 §5.2", "A new message of the selected mailbox is told at once, with what was asked of it.")
@pytest.mark.rfc("5465 §5.3", "So is an expunge, by its number.")
def test_of_the_selected_mailbox(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            items = "UID BODY.PEEK[HEADER.FIELDS (SUBJECT)]"
            watcher, other = await two(
                office, f"NOTIFY SET (selected (MessageNew ({items}) MessageExpunge FlagChange))"
            )
            await other.append(message("news"))
            exists, *more = await told(watcher, 3)
            assert exists == b"1 EXISTS"
            fetch = next(each for each in more if b"FETCH" in each)
            assert b"UID 1" in fetch and b"Subject: news" in fetch
            await ok(other, "SELECT INBOX")
            await ok(other, "STORE 1 +FLAGS (\\Deleted)")
            [flags] = await told(watcher, 1)
            assert flags.startswith(b"1 FETCH (") and b"\\Deleted" in flags
            await ok(other, "EXPUNGE")
            assert await told(watcher, 1) == [b"1 EXPUNGE"]

    asyncio.run(run())


@pytest.mark.rfc("5465 §6.1.2", "With selected-delayed an expunge waits for a command that may tell of it.")
def test_of_the_selected_mailbox_later(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            await office.put(message("one"), message("two"))
            watcher, other = await two(office, "NOTIFY SET (selected-delayed (MessageNew (UID) MessageExpunge))")
            await ok(other, "SELECT INBOX")
            await ok(other, "STORE 1 +FLAGS.SILENT (\\Deleted)")
            await ok(other, "EXPUNGE")
            await other.append(message("three"))
            assert (await told(watcher, 1)) == [b"3 EXISTS"]
            lines = await ok(watcher, "NOOP")
            assert b"1 EXPUNGE" in lines

    asyncio.run(run())


@pytest.mark.rfc("5465 §3.1", "Who does not name the selected mailbox is told nothing of its messages.")
def test_nothing_of_the_selected_mailbox(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            watcher, other = await two(office, "NOTIFY SET (mailboxes Junk (MessageNew MessageExpunge))")
            await other.append(message())
            assert await ok(watcher, "NOOP") == []
            await other.append(message(), "Junk")
            assert await told(watcher, 1) == [b"STATUS Junk (MESSAGES 1 UIDNEXT 2)"]
            await ok(watcher, "NOTIFY NONE")
            await other.append(message(), "Junk")
            assert await ok(watcher, "NOOP") == []

    asyncio.run(run())


@pytest.mark.rfc("5465 §5.1", "Flags of another mailbox are told by STATUS: with HIGHESTMODSEQ for who knows MODSEQ.")
def test_flags_elsewhere(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            await office.put(message(), mailbox="Junk")
            group = "NOTIFY SET (subtree Junk (MessageNew MessageExpunge FlagChange))"
            watcher, other = await two(office, group)
            await ok(other, "SELECT Junk")
            await ok(other, "STORE 1 +FLAGS (\\Seen)")
            assert await told(watcher, 1) == [b"STATUS Junk (UNSEEN 0)"]
            await ok(watcher, "ENABLE CONDSTORE")
            await ok(other, "STORE 1 +FLAGS (\\Flagged)")
            [line] = await told(watcher, 1)
            assert line.startswith(b"STATUS Junk (HIGHESTMODSEQ ") and b" UIDVALIDITY " in line

    asyncio.run(run())


@pytest.mark.rfc("5465 §5.4", "What is made, removed or renamed is told with the level above; children are not.")
def test_names(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            watcher, other = await two(office, "NOTIFY SET (personal (MailboxName))")
            await ok(other, "CREATE a/b")
            assert await told(watcher, 2) == [b'LIST (\\HasChildren) "/" a', b'LIST (\\HasNoChildren) "/" a/b']
            await ok(other, "RENAME a c")
            assert await told(watcher, 1) == [b'LIST (\\HasChildren) "/" c ("OLDNAME" (a))']
            await ok(other, "DELETE c/b")
            assert await told(watcher, 2) == [
                b'LIST (\\HasNoChildren) "/" c',
                b'LIST (\\NonExistent \\HasNoChildren) "/" c/b',
            ]
            # What one does oneself is not told.
            assert await ok(watcher, "CREATE own") == []
            assert await ok(watcher, "RENAME own mine") == []
            await ok(other, "CREATE last")
            assert await told(watcher, 1) == [b'LIST (\\HasNoChildren) "/" last']

    asyncio.run(run())


@pytest.mark.rfc("5465 §5.4", "The right l given or taken is a mailbox made or removed.")
@pytest.mark.rfc("5465 §3.1", "A mailbox that can be listed and not read is told as \\NoAccess.")
def test_rights(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            ana, bo = await office.client(), await office.client(user=BO)
            top = '"Other Users/ana@example.org/Junk"'
            groups = '(subtree "Other Users/ana@example.org" (MailboxName MessageNew MessageExpunge))'
            await ok(bo, f"NOTIFY SET {groups}")
            await ok(ana, "SETACL Junk bo@example.org lr")
            lines = await told(bo, 2)
            assert f'LIST (\\HasNoChildren) "/" {top}'.encode() in lines
            await ana.append(message(), "Junk")
            assert await told(bo, 1) == [f"STATUS {top} (MESSAGES 1 UIDNEXT 2)".encode()]
            await ok(ana, "DELETEACL Junk bo@example.org")
            lines = await told(bo, 2)
            assert f'LIST (\\NonExistent \\HasNoChildren) "/" {top}'.encode() in lines
            await ok(ana, "SETACL Junk anyone l")
            await told(bo, 2)
            assert await ok(bo, f"NOTIFY SET {groups}") == [f'LIST (\\NoAccess) "/" {top}'.encode()]

    asyncio.run(run())


@pytest.mark.rfc("5465 §5.5", "A name that is subscribed, or no more, is told with its attributes.")
def test_subscriptions(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            watcher, other = await two(office, "NOTIFY SET (subscribed (SubscriptionChange))")
            await ok(other, "UNSUBSCRIBE Junk")
            assert await told(watcher, 1) == [b'LIST (\\HasNoChildren \\Junk) "/" Junk']
            await ok(other, "SUBSCRIBE none")
            assert await told(watcher, 1) == [b'LIST (\\Subscribed \\NonExistent \\HasNoChildren) "/" none']
            assert await ok(watcher, "SUBSCRIBE Junk") == []

    asyncio.run(run())


@pytest.mark.rfc("5465 §5.6", "Annotations that changed are told by their names, those removed too.")
@pytest.mark.rfc("5465 §5.7", "So are those of the server.")
def test_annotations(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            group = "NOTIFY SET (personal (MailboxMetadataChange ServerMetadataChange))"
            watcher, other = await two(office, group)
            await ok(other, 'SETMETADATA Junk (/shared/comment "x" /private/comment "y")')
            assert await told(watcher, 1) == [b"METADATA Junk /private/comment /shared/comment"]
            await ok(other, "SETMETADATA Junk (/shared/comment NIL)")
            assert await told(watcher, 1) == [b"METADATA Junk /shared/comment"]
            await ok(other, 'SETMETADATA "" (/private/vendor/x/y "1")')
            assert await told(watcher, 1) == [b'METADATA "" /private/vendor/x/y']
            assert await ok(watcher, 'SETMETADATA Junk (/private/comment "own")') == []

    asyncio.run(run())


@pytest.mark.rfc("5465 §5.8", "Where there is too much to tell, the client is told that, and nothing more.")
def test_overflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST_WATCHED", 6)

    async def run() -> None:
        async with post(tmp_path) as office:
            watcher, other = await two(office, "NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))")
            await ok(other, "CREATE seventh")
            lines = await told(watcher, 2)
            assert lines[1].startswith(b"OK [NOTIFICATIONOVERFLOW]")
            await ok(other, "CREATE eighth")
            assert await ok(watcher, "NOOP") == []
            again = "NOTIFY SET (personal (MessageNew MessageExpunge))"
            assert await code(watcher, again) == "NOTIFICATIONOVERFLOW"

    asyncio.run(run())


@pytest.mark.rfc("5465 §4", "In IDLE the same is told.")
def test_in_idle(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            watcher, other = await two(
                office, "NOTIFY SET (inboxes (MailboxName)) (mailboxes Junk (MessageNew MessageExpunge))"
            )
            watcher.stream.send(b"i IDLE\r\n")
            assert (await watcher.response()).startswith(b"+")
            await other.append(message(), "Junk")
            assert await told(watcher, 1) == [b"STATUS Junk (MESSAGES 1 UIDNEXT 2)"]
            watcher.stream.send(b"DONE\r\n")
            assert (await watcher.response()).startswith(b"i OK")

    asyncio.run(run())
