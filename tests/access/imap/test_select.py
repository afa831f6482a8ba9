"""SELECT and EXAMINE: what is said of a mailbox, and what a client that was away has missed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.access.imap.post import BO, Client, Post, message, post

from estafeta.access.imap.resync import matched_until, vanished
from estafeta.store import acl, mailboxes, messages
from estafeta.wire.imap.commands.select import QResync
from estafeta.wire.imap.numbers import NumberSet


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(30):
            await scenario

    asyncio.run(within())


async def known(client: Client) -> Client:
    """The same client, logged in."""
    await client.login()
    return client


async def with_messages(office: Post, count: int) -> tuple[int, int]:
    """Put so many messages into the INBOX; gives UIDVALIDITY and HIGHESTMODSEQ."""
    for number in range(count):
        await office.put(message(str(number)))
    snapshot = await office.snapshots.current(await office.mailbox_id())
    return snapshot.uid_validity, snapshot.modseq


@pytest.mark.rfc("3501 §6.3.1", "SELECT tells of flags, EXISTS, RECENT, UNSEEN, UIDNEXT and UIDVALIDITY.")
@pytest.mark.rfc("8474 §4.2", "SELECT tells the MAILBOXID.")
def test_select_for_clients_of_rev1(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            await office.put(message(), flags=("\\Seen",))
            await office.put(message("two"), flags=("$Work",))
            mailbox_id = await office.mailbox_id()
            row = await office.store.read(lambda tx: mailboxes.get(tx, mailbox_id))
            client = await known(await office.connect())
            answer = await client.command("SELECT inbox")
            assert answer.completion.startswith(b"OK [READ-WRITE] ")
            assert [each.rpartition(b"]")[0] or each for each in answer.untagged] == [
                b"FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $Work)",
                b"OK [PERMANENTFLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $Work \\*)",
                b"2 EXISTS",
                b"2 RECENT",
                b"OK [UNSEEN 2",
                b"OK [UIDVALIDITY %d" % row.uid_validity,
                b"OK [UIDNEXT 3",
                b"OK [HIGHESTMODSEQ 3",
                b"OK [MAILBOXID (%b)" % mailboxes.object_id(mailbox_id).encode(),
            ]

    run(scenario())


@pytest.mark.rfc(
    "9051 §6.3.2", "After ENABLE IMAP4rev2 there is LIST, and neither RECENT nor UNSEEN; CLOSED comes first."
)
def test_select_for_clients_of_rev2(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            await office.put(message())
            client = await known(await office.connect())
            await client.command("ENABLE IMAP4rev2")
            answer = await client.command("SELECT INBOX")
            said = b"\n".join(answer.untagged)
            assert b"RECENT" not in said and b"UNSEEN" not in said and b"CLOSED" not in said
            assert answer.untagged[-1] == b'LIST (\\HasNoChildren) "/" INBOX'
            answer = await client.command("SELECT Drafts")
            assert answer.untagged[0].startswith(b"OK [CLOSED]")
            assert answer.untagged[-1] == b'LIST (\\HasNoChildren \\Drafts) "/" Drafts'

    run(scenario())


@pytest.mark.rfc("9051 §6.3.3", "EXAMINE opens for reading only.")
@pytest.mark.rfc("3501 §2.3.2", "Only SELECT takes messages as \\Recent, and only one session has them.")
def test_examine_takes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            await office.put(message())
            client = await known(await office.connect())
            answer = await client.command("EXAMINE INBOX")
            assert answer.completion.startswith(b"OK [READ-ONLY] ")
            assert b"OK [PERMANENTFLAGS ()] Flags permitted" in answer.untagged
            assert answer.of("RECENT") == [b"1 RECENT"]  # looked at, and not taken
            assert (await client.command("STORE 1 +FLAGS (\\Seen)")).completion.startswith(b"NO")
            assert (await client.command("SELECT INBOX")).of("RECENT") == [b"1 RECENT"]
            assert (await client.command("FETCH 1 FLAGS")).untagged == [b"1 FETCH (FLAGS (\\Recent))"]
            other = await known(await office.connect())
            assert (await other.command("SELECT INBOX")).of("RECENT") == [b"0 RECENT"]

    run(scenario())


@pytest.mark.rfc("9051 §6.3.2", "After a SELECT that fails no mailbox is open.")
def test_a_select_that_fails_closes_what_was_open(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            assert (await client.command("SELECT nowhere")).completion.startswith(b"NO [NONEXISTENT]")
            assert (await client.command("CHECK")).completion.startswith(b"BAD")

    run(scenario())


@pytest.mark.rfc("4314 §5.2", "A mailbox in which nothing may be changed is READ-ONLY; PERMANENTFLAGS go by rights.")
@pytest.mark.parametrize(
    ("rights", "code", "flags"),
    [("lr", b"READ-ONLY", b""), ("lrs", b"READ-WRITE", b"\\Seen"), ("lrt", b"READ-WRITE", b"\\Deleted")],
)
def test_rights_of_others(tmp_path: Path, rights: str, code: bytes, flags: bytes) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            mailbox_id = await office.mailbox_id("Archive")
            await office.store.write(lambda tx: acl.set_(tx, mailboxes.get(tx, mailbox_id), str(BO), rights))
            client = await office.connect()
            await client.login(BO)
            answer = await client.command('SELECT "Other Users/ana@example.org/Archive"')
            assert answer.completion.startswith(b"OK [%b]" % code)
            assert b"OK [PERMANENTFLAGS (%b)] Flags permitted" % flags in answer.untagged
            assert (await client.command('SELECT "Other Users/ana@example.org/INBOX"')).completion.startswith(b"NO")

    run(scenario())


@pytest.mark.rfc(
    "9051 §6.4.1", "CLOSE removes what is \\Deleted and tells nothing of it; UNSELECT and EXAMINE remove nothing."
)
@pytest.mark.parametrize(
    ("verb", "end", "left"), [("SELECT", "CLOSE", 1), ("SELECT", "UNSELECT", 2), ("EXAMINE", "CLOSE", 2)]
)
def test_leaving_a_mailbox(tmp_path: Path, verb: str, end: str, left: int) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            await office.put(message(), flags=("\\Deleted",))
            await office.put(message("two"))
            client = await office.client(verb=verb)
            answer = await client.command(end)
            assert answer.is_ok and not answer.untagged
            assert (await client.command("EXAMINE INBOX")).of("EXISTS") == [b"%d EXISTS" % left]

    run(scenario())


# Quick resynchronization.


@pytest.mark.rfc("7162 §3.2.5.1", "What was expunged and what was changed is told, and of known UIDs alone.")
def test_resynchronizing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            validity, modseq = await with_messages(office, 6)
            mailbox_id = await office.mailbox_id()
            await office.store.write(lambda tx: messages.expunge(tx, mailbox_id, [2, 3, 6]))
            await office.store.write(lambda tx: messages.change_flags(tx, mailbox_id, [(4, 4)], add=4))
            await office.put(message("new"))
            client = await known(await office.connect())
            await client.command("ENABLE QRESYNC")
            answer = await client.command(f"SELECT INBOX (QRESYNC ({validity} {modseq} 1:6))")
            assert answer.untagged[-2:] == [
                b"VANISHED (EARLIER) 2:3,6",
                b"2 FETCH (UID 4 FLAGS (\\Recent \\Flagged) MODSEQ (%d))" % (modseq + 2),
            ]
            answer = await client.command(f"SELECT INBOX (QRESYNC ({validity} {modseq} 1:2,7))")
            assert [each.split()[0] for each in answer.untagged[-2:]] == [b"VANISHED", b"4"]
            assert b"VANISHED (EARLIER) 2" in answer.untagged
            answer = await client.command(f"SELECT INBOX (QRESYNC ({validity} {modseq}))")
            assert len(answer.of("FETCH")) == 2 and b"VANISHED (EARLIER) 2:3,6" in answer.untagged

    run(scenario())


@pytest.mark.rfc("7162 §3.2.5", "When UIDVALIDITY is another one the rest is ignored; without ENABLE it is an error.")
def test_resynchronizing_another_mailbox(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            validity, modseq = await with_messages(office, 2)
            client = await known(await office.connect())
            assert (await client.command(f"SELECT INBOX (QRESYNC ({validity} 1))")).completion.startswith(b"BAD")
            await client.command("ENABLE QRESYNC")
            answer = await client.command(f"SELECT INBOX (QRESYNC ({validity + 1} 1))")
            assert answer.is_ok and not answer.of("FETCH") and not answer.of("VANISHED")
            answer = await client.command(f"SELECT INBOX (QRESYNC ({validity} {modseq}))")
            assert answer.is_ok and not answer.of("FETCH") and not answer.of("VANISHED")

    run(scenario())


@pytest.mark.rfc("7162 §3.2.5.2", "Up to the last pair of number and UID that is right, the client knows what is gone.")
def test_pairs_of_numbers_and_uids_shorten_the_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            validity, modseq = await with_messages(office, 8)
            mailbox_id = await office.mailbox_id()
            await office.store.write(lambda tx: messages.expunge(tx, mailbox_id, [2, 6]))
            client = await known(await office.connect())
            await client.command("ENABLE QRESYNC")
            # The client has missed that 6 is gone, and not that 2 is.
            answer = await client.command(f"SELECT INBOX (QRESYNC ({validity} {modseq} 1:8 (2,4,6 3,5,7)))")
            assert answer.of("VANISHED") == [b"VANISHED (EARLIER) 6"]
            snapshot = await office.snapshots.current(mailbox_id)
            assert snapshot.uids.tolist() == [1, 3, 4, 5, 7, 8]
            pairs = [(((1, 3),), ((1, 1), (3, 4))), (((1, 1), (4, 9)), ((1, 1), (6, 9))), (((6, 6),), ((9, 9),))]
            found = [
                matched_until(snapshot, QResync(1, 1, None, NumberSet(numbers), NumberSet(uids)))
                for numbers, uids in pairs
            ]
            assert found == [4, 8, 0]

    run(scenario())


@pytest.mark.rfc("7162 §3.2.7", "When it is not known any more what was expunged, all that is missing is told.")
def test_what_is_forgotten_counts_as_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            await with_messages(office, 5)
            mailbox_id = await office.mailbox_id()
            await office.store.write(lambda tx: messages.expunge(tx, mailbox_id, [1, 4]))
            snapshot = await office.snapshots.current(mailbox_id)
            query = await office.store.read(lambda tx: vanished(tx, snapshot, snapshot.modseq - 1, [(3, 5), (9, 9)]))
            assert query == [(4, 4)]
            await office.store.write(
                lambda tx: tx.do(messages._sql.set_expunged_after, mailbox_id=mailbox_id, modseq=99)
            )
            query = await office.store.read(lambda tx: vanished(tx, snapshot, 1, [(1, 2), (4, 7)]))
            assert query == [(1, 1), (4, 4), (6, 7)]

    run(scenario())


@pytest.mark.rfc("7162 §3.2.10", "After ENABLE QRESYNC expunges are told by UID.")
@pytest.mark.rfc("9586 §3", "After ENABLE UIDONLY messages are told of by UID alone, and numbers are refused.")
def test_uids_take_the_place_of_numbers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            await with_messages(office, 4)
            mailbox_id = await office.mailbox_id()
            await office.store.write(lambda tx: messages.expunge(tx, mailbox_id, [1]))
            clients = [await known(await office.connect()) for _ in range(2)]
            for client, extension in zip(clients, ("QRESYNC", "UIDONLY"), strict=True):
                await client.command(f"ENABLE {extension}")
                await client.command("EXAMINE INBOX")
            await office.store.write(lambda tx: messages.expunge(tx, mailbox_id, [2, 4]))
            await office.store.write(lambda tx: messages.change_flags(tx, mailbox_id, [(3, 3)], add=1))
            assert (await clients[0].command("NOOP")).untagged == [
                b"VANISHED 2,4",
                b"1 FETCH (UID 3 FLAGS (\\Recent \\Seen) MODSEQ (8))",
            ]
            assert (await clients[1].command("NOOP")).untagged == [
                b"VANISHED 2,4",
                b"3 UIDFETCH (FLAGS (\\Recent \\Seen))",
            ]
            assert (await clients[1].command("FETCH 1 FLAGS")).completion.startswith(b"BAD [UIDREQUIRED]")
            assert (await clients[1].command("UID FETCH 3 FLAGS")).untagged == [b"3 UIDFETCH (FLAGS (\\Recent \\Seen))"]

    run(scenario())
