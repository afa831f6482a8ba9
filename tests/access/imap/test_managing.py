"""CREATE, DELETE, RENAME, SUBSCRIBE, NAMESPACE and STATUS, as clients see them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.access.imap.post import NOW, Client, message, post

from estafeta.access.imap import naming
from estafeta.store import mailboxes, messages
from estafeta.store.messages import Draft
from estafeta.store.records import Content, Instant


async def code(client: Client, command: str | bytes) -> str:
    """The response code of a NO."""
    answer = await client.command(command)
    assert answer.completion.startswith(b"NO ["), answer
    return answer.completion[4:].partition(b"]")[0].decode()


async def ok(client: Client, command: str | bytes) -> list[bytes]:
    """What is told by a command that succeeds."""
    answer = await client.command(command)
    assert answer.is_ok, answer
    return answer.untagged


async def listed(client: Client, pattern: str) -> list[str]:
    """The names that match."""
    return [each.rpartition(b'"/" ')[2].decode().strip('"') for each in await ok(client, f'LIST "" "{pattern}"')]


@pytest.mark.rfc("9051 §6.3.4", "CREATE makes what is above; a separator at the end means nothing; twice is an error.")
@pytest.mark.rfc("8474 §4.1", "CREATE tells the MAILBOXID, which STATUS has too.")
def test_create(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            answer = await client.command("CREATE a/b/c/")
            assert answer.completion.startswith(b"OK [MAILBOXID (F")
            object_id = answer.completion.partition(b"(")[2].partition(b")")[0]
            assert await listed(client, "a*") == ["a", "a/b", "a/b/c"]
            assert await ok(client, "STATUS a/b/c (MAILBOXID)") == [b"STATUS a/b/c (MAILBOXID (%s))" % object_id]
            assert await code(client, "CREATE a/b") == "ALREADYEXISTS"
            assert await code(client, "CREATE inbox") == "ALREADYEXISTS"
            await ok(client, "CREATE INBOX/below")
            assert await listed(client, "INBOX/%") == ["INBOX/below"]
            # RFC 5530 §3: CANNOT for what no mailbox can be called
            for name in ("a//b", "/a", "a*", "a%b", "Other Users", "Other Users/x", "x" * 256, "a/" * 40 + "b"):
                assert await code(client, f'CREATE "{name}"') == "CANNOT", name
            await ok(client, "ENABLE IMAP4rev2")
            assert await code(client, b"CREATE {3+}\r\na\x07b") == "CANNOT"

    asyncio.run(run())


@pytest.mark.rfc("9051 §5.1", "Names are kept in the form NFC, whatever form they are said in, in all commands.")
@pytest.mark.rfc("9051 §6.3.9.7", "OLDNAME tells the client how the name that it said is kept.")
def test_names_are_normal(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            await ok(client, "ENABLE IMAP4rev2")
            loose, kept = "E\N{COMBINING ACUTE ACCENT}te", "\N{LATIN CAPITAL LETTER E WITH ACUTE}te"
            assert await ok(client, f'CREATE "{loose}"') == [f'LIST () "/" "{kept}" ("OLDNAME" ("{loose}"))'.encode()]
            assert await ok(client, f'STATUS "{loose}" (MESSAGES)') == [f'STATUS "{kept}" (MESSAGES 0)'.encode()]
            await ok(client, f'SUBSCRIBE "{loose}"')
            assert f'LSUB () "/" "{kept}"'.encode() in await ok(client, 'LSUB "" *')
            assert await ok(client, f'DELETE "{loose}"') == [
                f'LIST (\\NonExistent) "/" "{kept}" ("OLDNAME" ("{loose}"))'.encode()
            ]

    asyncio.run(run())


@pytest.mark.rfc("6154 §3", "CREATE gives a special use; one that is taken, or cannot be given, is USEATTR.")
def test_create_for_a_use(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            assert await code(client, "CREATE Mine (USE (\\Sent))") == "USEATTR"
            assert await code(client, "CREATE Mine (USE (\\All))") == "USEATTR"
            assert await code(client, "CREATE Mine (USE (\\Sent \\Trash))") == "USEATTR"
            assert await listed(client, "Mine") == []
            await ok(client, "DELETE Sent")
            await ok(client, "CREATE Mine (USE (\\Sent))")
            assert await ok(client, 'LIST "" Mine') == [b'LIST (\\HasNoChildren \\Sent) "/" Mine']
            await ok(client, "RENAME Mine Yours/too")
            assert await ok(client, 'LIST "" Yours/*') == [b'LIST (\\HasNoChildren \\Sent) "/" Yours/too']

    asyncio.run(run())


def test_there_is_an_end_of_mailboxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "MOST_MAILBOXES", 8)

    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            assert await code(client, "CREATE a/b/c") == "OVERQUOTA"
            await ok(client, "CREATE a/b")
            assert await code(client, "CREATE c") == "OVERQUOTA"
            assert await listed(client, "a*") == ["a", "a/b"]

    asyncio.run(run())


@pytest.mark.rfc("9051 §6.3.5", "DELETE removes a mailbox and what is in it, not what is below it; never INBOX.")
def test_delete(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client, other = await office.client(), await office.client()
            await ok(client, "CREATE a/b")
            await client.append(message(), "a")
            before = await ok(client, "STATUS a (UIDVALIDITY UIDNEXT)")
            await ok(client, "DELETE a")
            assert await listed(other, "a*") == ["a/b"]
            assert await code(client, "DELETE a") == "HASCHILDREN"
            assert await code(client, "DELETE none") == "NONEXISTENT"
            assert await code(client, "DELETE inbox") == "CANNOT"
            await ok(other, "CREATE a")
            after = await ok(other, "STATUS a (UIDVALIDITY UIDNEXT)")
            assert before != after and after[0].endswith(b"UIDNEXT 1)")

    asyncio.run(run())


@pytest.mark.rfc("2180 §3.3", "Who has a mailbox open that another session removes is told, and cut off.")
def test_delete_under_another_session(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            await ok(client, "CREATE a")
            other = await office.client("a")
            await ok(client, "DELETE a")
            other.stream.send(b"x NOOP\r\n")
            assert (await other.response()).startswith(b"* BYE")

    asyncio.run(run())


@pytest.mark.rfc(
    "9051 §6.3.6", "RENAME takes along what is below and makes what is above; what is there is not touched."
)
def test_rename(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            await ok(client, "CREATE a/b/c")
            await ok(client, "CREATE other")
            await client.append(message(), "a/b")
            before = await ok(client, "STATUS a/b (UIDVALIDITY MESSAGES MAILBOXID)")
            await ok(client, "RENAME a x/y/z")
            assert await listed(client, "x*") == ["x", "x/y", "x/y/z", "x/y/z/b", "x/y/z/b/c"]
            assert await listed(client, "a*") == []
            after = await ok(client, "STATUS x/y/z/b (UIDVALIDITY MESSAGES MAILBOXID)")
            assert after == [before[0].replace(b"a/b", b"x/y/z/b", 1)]
            assert await code(client, "RENAME none some") == "NONEXISTENT"
            assert await code(client, "RENAME x other") == "ALREADYEXISTS"
            assert await code(client, "RENAME x x/y/q") == "CANNOT"
            assert await code(client, 'RENAME other "Other*"') == "CANNOT"
            assert await code(client, f"RENAME x/y/z {'w' * 200}/{'v' * 256}") == "CANNOT"
            # A level that is no mailbox has a name, too.
            await ok(client, "DELETE x/y/z")
            await ok(client, "RENAME x/y/z v")
            assert await listed(client, "v*") == ["v", "v/b", "v/b/c"]

    asyncio.run(run())


def test_rename_of_a_large_inbox_takes_several_changes(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            mailbox_id = await office.mailbox_id()
            content = Content(3, b"abc")
            drafts = [Draft(content, (), Instant(1.0))] * 400
            for _ in range(3):
                await office.store.write(lambda tx: messages.append(tx, mailbox_id, drafts, now=Instant(1.0)))
            client = await office.client()
            assert (await client.command("RENAME INBOX Old")).is_ok
            answer = await client.command("STATUS Old (MESSAGES)")
            assert answer.untagged == [b"STATUS Old (MESSAGES 1200)"]
            assert (await client.command("STATUS INBOX (MESSAGES)")).untagged == [b"STATUS INBOX (MESSAGES 0)"]

    asyncio.run(run())


@pytest.mark.rfc("9051 §6.3.6", "RENAME of INBOX moves its messages; INBOX and what is below it stays.")
def test_rename_of_inbox(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            await ok(client, "CREATE INBOX/below")
            await office.put(message("one"), message("two"))
            await ok(client, "SETMETADATA INBOX (/shared/comment {3+}\r\nold)")
            await ok(client, "RENAME inbox 2026/old")
            assert await listed(client, "INBOX*") == ["INBOX", "INBOX/below"]
            assert await ok(client, "STATUS 2026/old (MESSAGES)") == [b"STATUS 2026/old (MESSAGES 2)"]
            assert b"STATUS INBOX (MESSAGES 0)" in await ok(client, "STATUS INBOX (MESSAGES)")
            # RFC 5464 §4.1: annotations are copied then
            for name in (b"INBOX", b"2026/old"):
                told = await ok(client, b"GETMETADATA %s /shared/comment" % name)
                assert told == [b'METADATA %s (/shared/comment "old")' % name]

    asyncio.run(run())


@pytest.mark.rfc(
    "9051 §6.3.7", "A name can be subscribed before there is such a mailbox; once it is, twice is no error."
)
def test_subscribe(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client, other = await office.client(), await office.client()
            for _ in range(2):
                await ok(client, "SUBSCRIBE not/yet")
            assert b'LSUB () "/" not/yet' in await ok(other, 'LSUB "" *')
            for _ in range(2):
                await ok(other, "UNSUBSCRIBE not/yet")
            assert b'LSUB () "/" not/yet' not in await ok(client, 'LSUB "" *')
            assert await code(client, 'SUBSCRIBE "a*"') == "CANNOT"
            # RFC 9051 §6.3.6: a rename leaves subscriptions as they are
            await ok(client, "RENAME Junk Spam")
            told = await ok(client, 'LIST (SUBSCRIBED) "" %')
            assert b'LIST (\\Subscribed \\NonExistent \\HasNoChildren) "/" Junk' in told

    asyncio.run(run())


@pytest.mark.rfc("9051 §6.3.10", "NAMESPACE tells where one's own mailboxes begin and where those of others do.")
def test_namespace(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            assert await ok(client, "NAMESPACE") == [b'NAMESPACE (("" "/")) (("Other Users/" "/")) NIL']

    asyncio.run(run())


@pytest.mark.rfc("9051 §6.3.11", "STATUS counts, of the open mailbox too, in the order of the question.")
@pytest.mark.rfc("8438 §3", "SIZE is that of all messages together.")
@pytest.mark.rfc("9208 §4.1.4", "DELETED and DELETED-STORAGE tell what an EXPUNGE would give back.")
@pytest.mark.rfc("7889 §4", "APPENDLIMIT can be asked for.")
def test_status(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            await office.put(b"one\r\n", b"three\r\n", flags=("\\Deleted",))
            await office.put(b"five\r\n", flags=("\\Seen",))
            client = await office.client("Junk")
            items = "UNSEEN MESSAGES UIDNEXT SIZE DELETED DELETED-STORAGE APPENDLIMIT RECENT"
            counts = b"UNSEEN 2 MESSAGES 3 UIDNEXT 4 SIZE 18 DELETED 2 DELETED-STORAGE 12 APPENDLIMIT 52428800 RECENT "
            assert await ok(client, f"STATUS INBOX ({items})") == [b"STATUS INBOX (" + counts + b"3)"]
            await ok(client, "SELECT INBOX")
            assert await ok(client, f"STATUS INBOX ({items})") == [b"STATUS INBOX (" + counts + b"0)"]
            assert await code(client, "STATUS none (MESSAGES)") == "NONEXISTENT"
            inbox = await office.mailbox_id()
            row = await office.store.read(lambda tx: mailboxes.get(tx, inbox))
            told = await ok(client, "STATUS inbox (UIDVALIDITY)")
            assert told == [b"STATUS INBOX (UIDVALIDITY %d)" % row.uid_validity]
            assert row.uid_validity >= NOW

    asyncio.run(run())


@pytest.mark.rfc("7162 §3.1", "STATUS of HIGHESTMODSEQ enables CONDSTORE.")
def test_status_of_modseq(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            await office.put(message())
            client = await office.client()
            told = await ok(client, "STATUS INBOX (HIGHESTMODSEQ)")
            assert told[-1].startswith(b"STATUS INBOX (HIGHESTMODSEQ ")
            assert b"MODSEQ" in (await ok(client, "STORE 1 +FLAGS (\\Seen)"))[0]

    asyncio.run(run())
