"""Shared mailboxes: what rights others have, and that each command asks for the right ones (RFC 4314)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.access.imap.post import ANA, BO, message, post
from tests.access.imap.test_managing import code, listed, ok

from estafeta.store import accounts

HERS = '"Other Users/ana@example.org/Work"'
ALL = b"lrswipkxteacd"


@pytest.mark.rfc(
    "4314 §3.1", "SETACL gives rights, adds and takes some; c and d stand for those that took their place."
)
@pytest.mark.rfc("4314 §3.3", "GETACL tells all entries, with c and d where one of their members is there.")
def test_lists(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            ana = await office.client()
            await ok(ana, "CREATE Work")
            owner = b"ACL Work ana@example.org " + ALL
            assert await ok(ana, "GETACL Work") == [owner]
            await ok(ana, "SETACL Work BO@example.org lrc")
            assert await ok(ana, "GETACL Work") == [owner + b" bo@example.org lrkxc"]
            await ok(ana, "SETACL Work bo@example.org +d")
            await ok(ana, "SETACL Work bo@example.org -kx")
            await ok(ana, "SETACL Work -anyone t")
            assert await ok(ana, "GETACL Work") == [owner + b" -anyone td bo@example.org lrted"]
            await ok(ana, "DELETEACL Work -anyone")
            await ok(ana, "DELETEACL Work nobody@example.org")
            assert await ok(ana, "GETACL Work") == [owner + b" bo@example.org lrted"]
            for rights in ("lrq", "LR", "+l+", "1"):
                assert (await ana.command(f"SETACL Work bo@example.org {rights}")).completion.startswith(b"BAD"), rights
            assert await code(ana, "SETACL Work nobody@example.org l") == "CANNOT"
            assert await code(ana, "SETACL Work ana@example.org -a") == "CANNOT"
            assert await code(ana, "SETACL None bo@example.org l") == "NONEXISTENT"

    asyncio.run(run())


@pytest.mark.rfc("4314 §3.4", "LISTRIGHTS: each right by itself, and all of them always for the owner.")
@pytest.mark.rfc("4314 §3.5", "MYRIGHTS tells what the user may do.")
def test_rights(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            ana, bo = await office.client(), await office.client(user=BO)
            await ok(ana, "CREATE Work")
            told = await ok(ana, "LISTRIGHTS Work Bo@example.org")
            assert told == [b'LISTRIGHTS Work Bo@example.org "" l r s w i p k x t e a c d']
            assert await ok(ana, "LISTRIGHTS Work ana@example.org") == [b"LISTRIGHTS Work ana@example.org " + ALL]
            assert await ok(ana, "MYRIGHTS Work") == [b"MYRIGHTS Work " + ALL]
            assert await code(bo, f"MYRIGHTS {HERS}") == "NONEXISTENT"
            await ok(ana, "SETACL Work anyone i")
            assert await ok(bo, f"MYRIGHTS {HERS}") == [f"MYRIGHTS {HERS} i".encode()]
            await ok(ana, "SETACL Work anyone s")  # no right that lets him know of it
            assert await code(bo, f"MYRIGHTS {HERS}") == "NONEXISTENT"

    asyncio.run(run())


@pytest.mark.rfc("4314 §4", "LIST shows what one has the right l for; a mailbox above without it is no mailbox.")
@pytest.mark.rfc("2342 §5", "Other users' mailboxes are below their prefix.")
def test_what_others_see(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            ana, bo = await office.client(), await office.client(user=BO)
            await ok(ana, "CREATE Work/Plans")
            assert await listed(bo, "Other*") == []
            await ok(ana, "SETACL Work/Plans bo@example.org l")
            assert await listed(bo, "Other Users/*") == ["Other Users/ana@example.org/Work/Plans"]
            above = await ok(bo, 'LIST "Other Users/ana@example.org/" %')
            assert above == [b'LIST (\\Noselect \\HasChildren) "/" "Other Users/ana@example.org/Work"']
            assert await listed(bo, "%") == ["INBOX", "Archive", "Drafts", "Junk", "Other Users", "Sent", "Trash"]
            # Special uses are one user's.
            await ok(ana, "SETACL Sent bo@example.org lr")
            sent = await ok(bo, 'LIST "" "Other Users/ana@example.org/Sent" RETURN (MYRIGHTS)')
            assert sent == [
                b'LIST (\\HasNoChildren) "/" "Other Users/ana@example.org/Sent"',
                b'MYRIGHTS "Other Users/ana@example.org/Sent" lr',
            ]
            await ok(ana, "SETACL Sent -bo@example.org l")
            assert await listed(bo, "Other*Sent") == []

    asyncio.run(run())


@pytest.mark.rfc("4314 §4", "Each command needs its rights: without l it is as if nothing was there, with l NOPERM.")
@pytest.mark.parametrize(
    ("right", "command"),
    [
        ("r", f"SELECT {HERS}"),
        ("r", f"EXAMINE {HERS}"),
        ("r", f"STATUS {HERS} (MESSAGES)"),
        ("a", f"GETACL {HERS}"),
        ("a", f"SETACL {HERS} anyone l"),
        ("a", f"DELETEACL {HERS} anyone"),
        ("a", f"LISTRIGHTS {HERS} anyone"),
        ("x", f"DELETE {HERS}"),
        ("r", f"GETQUOTAROOT {HERS}"),
        ("r", f"RESETKEY {HERS}"),
        ("i", f"APPEND {HERS} {{5+}}\r\none\r\n"),
        ("i", f"COPY 1 {HERS}"),
    ],
)
def test_commands_ask_for_rights(tmp_path: Path, right: str, command: str) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            ana, bo = await office.client(), await office.client(user=BO)
            await ok(ana, "CREATE Work")
            await bo.append(message())
            await ok(bo, "NOOP")
            hidden = await code(bo, command)
            assert hidden == await code(bo, command.replace("Work", "None").replace("ana@", "nobody@"))
            assert hidden in ("NONEXISTENT", "TRYCREATE")
            others = "lrswipkxtea".replace(right, "")
            await ok(ana, f"SETACL Work bo@example.org {others}")
            assert await code(bo, command) == "NOPERM"
            await ok(ana, f"SETACL Work bo@example.org {right}")
            await ok(bo, command)

    asyncio.run(run())


@pytest.mark.rfc("4314 §4", "CREATE needs k on the nearest mailbox above, and a new mailbox has its list.")
def test_making_mailboxes_for_others(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            ana, bo = await office.client(), await office.client(user=BO)
            await ok(ana, "CREATE Work")
            new = '"Other Users/ana@example.org/Work/a/b"'
            assert await code(bo, f"CREATE {new}") == "NOPERM"
            assert await code(bo, 'CREATE "Other Users/nobody@example.org/a"') == "NOPERM"
            assert await code(bo, 'CREATE "Other Users/ana@example.org/top"') == "NOPERM"
            await ok(ana, "SETACL Work bo@example.org lkx")
            await ok(bo, f"CREATE {new}")
            assert await ok(ana, "GETACL Work/a/b") == [
                b"ACL Work/a/b ana@example.org " + ALL + b" bo@example.org lkxc"
            ]
            await ok(bo, f'RENAME {new} "Other Users/ana@example.org/Work/c"')
            assert await listed(ana, "Work/*") == ["Work/a", "Work/c"]
            assert await code(bo, 'RENAME "Other Users/ana@example.org/Work/c" Mine') == "CANNOT"
            assert await code(bo, 'RENAME Junk "Other Users/ana@example.org/Work/d"') == "CANNOT"
            await ok(ana, "SETACL Work/c bo@example.org l")
            assert await code(bo, 'RENAME "Other Users/ana@example.org/Work/c" x') == "NOPERM"
            # A mailbox below that he may not remove stays where it is, and so does the one above.
            await ok(ana, "CREATE Work/a/own")
            await ok(ana, "DELETEACL Work/a/own bo@example.org")
            refused = 'RENAME "Other Users/ana@example.org/Work/a" "Other Users/ana@example.org/Work/z"'
            assert await code(bo, refused) == "NONEXISTENT"

    asyncio.run(run())


def test_the_list_goes_with_its_mailbox(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            ana, bo = await office.client(), await office.client(user=BO)
            await ok(ana, "CREATE Work")
            await ok(ana, "SETACL Work bo@example.org lr")
            await ok(ana, "RENAME Work Play")
            assert await listed(bo, "Other Users/*") == ["Other Users/ana@example.org/Play"]
            await ok(ana, "DELETE Play")
            await ok(ana, "CREATE Play")
            assert await listed(bo, "Other Users/*") == []

    asyncio.run(run())


@pytest.mark.rfc("9208 §4.2.1", "QUOTA tells usage and limits, storage in units of 1024 octets.")
@pytest.mark.rfc("9208 §4.1.2", "GETQUOTAROOT names the root of a mailbox; a shared one has its owner's.")
def test_quota(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            await office.put(b"x" * 3000, b"y" * 100)
            ana, bo = await office.client(), await office.client(user=BO)
            assert await ok(ana, 'GETQUOTA ""') == [b'QUOTA "" (MAILBOX 6 20000)']
            await office.store.write(lambda tx: accounts.set_quota(tx, ANA, quota_octets=10_240, quota_messages=7))
            limits = b"(STORAGE 4 10 MESSAGE 2 7 MAILBOX 6 20000)"
            assert await ok(ana, "GETQUOTAROOT Junk") == [b'QUOTAROOT Junk ""', b'QUOTA "" ' + limits]
            assert await code(bo, "GETQUOTA ana@example.org") == "NONEXISTENT"
            await ok(ana, "SETACL Junk bo@example.org lr")
            hers = '"Other Users/ana@example.org/Junk"'
            assert await ok(bo, f"GETQUOTAROOT {hers}") == [
                f"QUOTAROOT {hers} ana@example.org".encode(),
                b"QUOTA ana@example.org " + limits,
            ]
            assert await code(ana, 'SETQUOTA "" (STORAGE 1)') == "NOPERM"
            assert await code(ana, "GETQUOTA nothing") == "NONEXISTENT"
            assert await code(ana, b"APPEND INBOX {8000+}\r\n" + b"x" * 8000) == "OVERQUOTA"

    asyncio.run(run())
