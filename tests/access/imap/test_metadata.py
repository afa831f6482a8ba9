"""GETMETADATA and SETMETADATA: annotations of mailboxes and of the server (RFC 5464)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.access.imap.post import BO, Client, post
from tests.access.imap.test_managing import code, ok

from estafeta.store import metadata


@pytest.mark.rfc("5464 §4.3", "SETMETADATA sets entries and removes them with NIL; GETMETADATA tells them.")
def test_set_and_get(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            await ok(client, b'SETMETADATA Junk (/private/comment "mine" /shared/Comment {10+}\r\ntwo\r\nlines)')
            told = await ok(client, "GETMETADATA Junk (/PRIVATE/comment /shared/comment /shared/none)")
            assert told == [
                b'METADATA Junk (/private/comment "mine" /shared/comment {10}\r\ntwo\r\nlines /shared/none NIL)'
            ]
            await ok(client, "SETMETADATA Junk (/private/comment NIL)")
            assert await ok(client, "GETMETADATA Junk /private/comment") == [b"METADATA Junk (/private/comment NIL)"]
            await ok(client, b"SETMETADATA Junk (/private/vendor/x/y ~{3+}\r\na\0b)")
            told = await ok(client, "GETMETADATA Junk /private/vendor/x/y")
            assert told == [b"METADATA Junk (/private/vendor/x/y ~{3}\r\na\0b)"]
            assert await code(client, "GETMETADATA None /shared/comment") == "NONEXISTENT"

    asyncio.run(run())


@pytest.mark.rfc("5464 §3.2", "Names that cannot be are BAD.")
@pytest.mark.parametrize(
    "name",
    [
        "comment",
        "/comment",
        "/private",
        "/private/a//b",
        "/private/a/",
        "/other/comment",
        "/private/vendor/x",
        "/shared/vendor",
    ],
)
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            assert (await client.command(f'SETMETADATA INBOX ({name} "x")')).completion.startswith(b"BAD")
            assert (await client.command(f"GETMETADATA INBOX {name}")).completion.startswith(b"BAD")

    asyncio.run(run())


@pytest.mark.rfc("5464 §4.2.1", "MAXSIZE leaves out what is larger, and the code tells how large that is.")
@pytest.mark.rfc("5464 §4.2.2", "DEPTH adds what is below: at once below, or all.")
def test_options(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            entries = '/private/f/a "12" /private/f/a/b "123" /private/f/a/b/c "1234" /private/fa "1"'
            await ok(client, f"SETMETADATA INBOX ({entries})")
            a, b, c = b'/private/f/a "12"', b'/private/f/a/b "123"', b'/private/f/a/b/c "1234"'
            for depth, wanted in (("0", [a]), ("1", [a, b]), ("infinity", [a, b, c])):
                told = await ok(client, f"GETMETADATA (DEPTH {depth}) INBOX /private/f/a")
                assert told == [b"METADATA INBOX (%s)" % b" ".join(wanted)]
            assert await ok(client, "GETMETADATA (DEPTH infinity) INBOX /private/f") == [
                b"METADATA INBOX (%s)" % b" ".join([a, b, c])
            ]
            answer = await client.command("GETMETADATA (MAXSIZE 3 DEPTH infinity) INBOX /private/f/a")
            assert answer.untagged == [b"METADATA INBOX (%s)" % b" ".join([a, b])]
            assert answer.completion.startswith(b"OK [METADATA LONGENTRIES 4]")

    asyncio.run(run())


@pytest.mark.rfc("5464 §4.3", "Too large and too many are told by their codes, and then nothing is changed.")
def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "MOST_OCTETS", 1024)
    monkeypatch.setattr(metadata, "MOST_ENTRIES", 10)

    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            large = b"SETMETADATA INBOX (/private/comment {%d+}\r\n%s)"
            assert await code(client, large % (1025, b"x" * 1025)) == "METADATA MAXSIZE 1024"
            await ok(client, large % (1024, b"x" * 1024))
            many = " ".join(f'/private/vendor/x/{number} "x"' for number in range(10))
            assert await code(client, f"SETMETADATA INBOX ({many})") == "METADATA TOOMANY"
            told = await ok(client, "GETMETADATA INBOX /private/vendor/x/0")
            assert told == [b"METADATA INBOX (/private/vendor/x/0 NIL)"]

    asyncio.run(run())


@pytest.mark.rfc("5464 §3.3", "Private values are one's own; who may list and read sees the shared ones.")
def test_of_shared_mailboxes(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            ana, bo = await office.client(), await office.client(user=BO)
            hers = '"Other Users/ana@example.org/Junk"'
            await ok(ana, 'SETMETADATA Junk (/private/comment "hers" /shared/comment "ours")')
            get = f"GETMETADATA {hers} (/private/comment /shared/comment)"
            assert await code(bo, get) == "NONEXISTENT"
            await ok(ana, "SETACL Junk bo@example.org l")
            assert await code(bo, get) == "NOPERM"
            await ok(ana, "SETACL Junk bo@example.org lr")
            assert await ok(bo, get) == [f'METADATA {hers} (/private/comment NIL /shared/comment "ours")'.encode()]
            await ok(bo, f'SETMETADATA {hers} (/private/comment "his")')
            assert await code(bo, f'SETMETADATA {hers} (/shared/comment "his")') == "NOPERM"
            told = await ok(ana, "GETMETADATA Junk (/private/comment /shared/comment)")
            assert told == [b'METADATA Junk (/private/comment "hers" /shared/comment "ours")']

    asyncio.run(run())


@pytest.mark.rfc("5464 §3.2.1.1", "The server says how its administrator is reached; only the user's own can be set.")
def test_of_the_server(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            ana, bo = await office.client(), await office.client(user=BO)
            admin = await ok(ana, 'GETMETADATA "" /shared/admin')
            assert admin == [b'METADATA "" (/shared/admin "mailto:postmaster@example.org")']
            assert await code(ana, 'SETMETADATA "" (/shared/admin "mailto:me")') == "NOPERM"
            assert await code(ana, 'SETMETADATA "" (/shared/comment "x")') == "NOPERM"
            await ok(ana, 'SETMETADATA "" (/private/vendor/x/y "1")')
            get = 'GETMETADATA "" /private/vendor/x/y'
            assert await ok(ana, get) == [b'METADATA "" (/private/vendor/x/y "1")']
            assert await ok(bo, get) == [b'METADATA "" (/private/vendor/x/y NIL)']

    asyncio.run(run())


@pytest.mark.rfc(
    "6154 §4", "The special use of a mailbox is an annotation that can be changed; what is taken is USEATTR."
)
def test_special_use(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            get = "GETMETADATA Sent /private/specialuse"
            assert await ok(client, get) == [b'METADATA Sent (/private/specialuse "\\\\Sent")']
            await ok(client, "CREATE Other")
            take = 'SETMETADATA Other (/private/specialuse "\\\\Sent")'
            assert await code(client, take) == "USEATTR"
            await ok(client, "SETMETADATA Sent (/private/specialuse NIL)")
            await ok(client, take)
            assert await ok(client, get) == [b"METADATA Sent (/private/specialuse NIL)"]
            assert await ok(client, 'LIST (SPECIAL-USE) "" O*') == [b'LIST (\\HasNoChildren \\Sent) "/" Other']
            for value in ("\\\\All", "\\\\Junk \\\\Trash", "x"):
                assert await code(client, f'SETMETADATA Other (/private/specialuse "{value}")') == "USEATTR"
            await ok(client, "DELETE Trash")
            assert await code(client, 'SETMETADATA INBOX (/private/specialuse "\\\\Trash")') == "USEATTR"

    asyncio.run(run())


@pytest.mark.rfc("5464 §4.4", "After ENABLE METADATA a command ends with the names of what others changed.")
def test_what_others_change(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client, other = await office.client(), await office.client()
            await ok(client, "ENABLE METADATA")
            await ok(other, 'SETMETADATA Junk (/shared/comment "x")')
            assert await eventually(client) == [b"METADATA Junk /shared/comment"]
            assert await ok(client, 'SETMETADATA Junk (/shared/comment "y")') == []
            await ok(other, 'SETMETADATA "" (/private/vendor/x/y "1")')
            assert await eventually(client) == [b'METADATA "" /private/vendor/x/y']
            # It changes nothing of what is told of messages.
            await other.append(b"one\r\n")
            assert b"1 EXISTS" in await ok(client, "NOOP")

    asyncio.run(run())


async def eventually(client: Client) -> list[bytes]:
    """What NOOP tells once there is something: a change is known a moment after its commit."""
    async with asyncio.timeout(5):
        while not (told := await ok(client, "NOOP")):
            await asyncio.sleep(0)
    return told
