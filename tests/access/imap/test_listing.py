"""LIST in all its forms, LSUB, and patterns that cost the same whatever they are."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.access.imap.post import Client, post

from estafeta.access.imap.listing import Pattern, levels_of, matching
from estafeta.store import mailboxes
from estafeta.store.engine import Transaction
from estafeta.store.records import Instant
from estafeta.wire.imap.names import encoded

FIRST = ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"]


async def names(client: Client, command: str) -> list[str]:
    """The names of LIST or LSUB, in their order."""
    answer = await client.command(command)
    assert answer.is_ok, answer
    return [each.rpartition(b'"/" ')[2].decode().strip('"') for each in answer.untagged]


async def make(client: Client, *wanted: str) -> None:
    """Make mailboxes."""
    for name in wanted:
        answer = await client.command(f'CREATE "{name}"')
        assert answer.is_ok, answer


@pytest.mark.rfc("9051 §6.3.9", "`*` matches anything, `%` anything within a level; the reference goes before.")
def test_wildcards(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            await make(client, "top/test", "top/test2", "top/test3/test4/test5")
            below = ["top/test", "top/test2", "top/test3", "top/test3/test4", "top/test3/test4/test5"]
            assert await names(client, 'LIST "" *') == [*FIRST, "top", *below]
            assert await names(client, 'LIST "" top/%') == ["top/test", "top/test2", "top/test3"]
            assert await names(client, 'LIST "" top/%/%') == ["top/test3/test4"]
            assert await names(client, "LIST top/ *4") == ["top/test3/test4"]
            assert await names(client, 'LIST "" top/%t*4') == ["top/test3/test4"]
            assert await names(client, 'LIST "" top/*test*5') == ["top/test3/test4/test5"]
            assert await names(client, 'LIST "" top/test') == ["top/test"]
            assert await names(client, 'LIST "" nothing') == []
            assert await names(client, 'LIST "" iNbOx') == ["INBOX"]
            assert await names(client, 'LIST "" in%') == ["INBOX"]

    asyncio.run(run())


@pytest.mark.rfc("9051 §6.3.9", 'LIST "" "" tells the delimiter and the root; in the extended form it means nothing.')
def test_the_delimiter(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            assert (await client.command('LIST "" ""')).untagged == [b'LIST (\\Noselect) "/" ""']
            root = (await client.command('LIST "Other Users/bo@example.org" ""')).untagged
            assert root == [b'LIST (\\Noselect) "/" "Other Users/"']
            assert (await client.command('LIST "" ("")')).untagged == []
            assert (await client.command('LSUB "" ""')).untagged == [b'LSUB (\\Noselect) "/" ""']

    asyncio.run(run())


@pytest.mark.rfc(
    "9051 §6.3.9", "A level that is no mailbox is listed for % at the end, as \\Noselect or \\NonExistent."
)
def test_levels_that_are_no_mailboxes(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            await make(client, "a/b/c")
            assert (await client.command("DELETE a/b")).is_ok
            assert (await client.command('LIST "" a/%')).untagged == [b'LIST (\\Noselect \\HasChildren) "/" a/b']
            assert (await client.command('LIST "" a/*')).untagged == [b'LIST (\\HasNoChildren) "/" a/b/c']
            extended = (await client.command('LIST "" (a/b a/%) RETURN (CHILDREN)')).untagged
            assert extended == [b'LIST (\\NonExistent \\HasChildren) "/" a/b']
            assert (await client.command("DELETE a/b")).completion.startswith(b"NO [HASCHILDREN]")
            assert (await client.command("DELETE a/b/c")).is_ok
            assert await names(client, 'LIST "" a*') == ["a"]

    asyncio.run(run())


@pytest.mark.rfc("5258 §3.1", "SUBSCRIBED selects subscribed names, there or not; RECURSIVEMATCH what has such below.")
@pytest.mark.rfc("9051 §6.3.9.6", "CHILDINFO is left out where all that is meant is listed itself.")
def test_subscribed_and_what_is_above(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            await make(client, "t/one", "t/two/one", "t/six", "t/seven/seven", "t/eight/8", "t/eight/9")
            for name in ("t/one", "t/two/one", "t/six", "t/seven/seven", "t/eight/8", "t/eight/9"):
                assert (await client.command(f"SUBSCRIBE {name}")).is_ok
            assert (await client.command("DELETE t/six")).is_ok
            answer = await client.command('LIST (SUBSCRIBED) "" t/*')
            assert set(answer.untagged) == {
                b'LIST (\\Subscribed \\HasNoChildren) "/" t/one',
                b'LIST (\\Subscribed \\HasNoChildren) "/" t/two/one',
                b'LIST (\\Subscribed \\NonExistent \\HasNoChildren) "/" t/six',
                b'LIST (\\Subscribed \\HasNoChildren) "/" t/seven/seven',
                b'LIST (\\Subscribed \\HasNoChildren) "/" t/eight/8',
                b'LIST (\\Subscribed \\HasNoChildren) "/" t/eight/9',
            }
            two = b'LIST (\\HasChildren) "/" t/two ("CHILDINFO" ("SUBSCRIBED"))'
            assert (await client.command('LIST (SUBSCRIBED RECURSIVEMATCH) "" t/tw%')).untagged == [two]
            both = await client.command('LIST (SUBSCRIBED RECURSIVEMATCH) "" (t/two t/two/one)')
            assert both.untagged == [b'LIST (\\Subscribed \\HasNoChildren) "/" t/two/one']
            some = await names(client, 'LIST (SUBSCRIBED RECURSIVEMATCH) "" *seven')
            assert some == ["t/seven/seven"]
            answer = await client.command('LIST "" t/% RETURN (CHILDREN SUBSCRIBED)')
            assert b'LIST (\\Subscribed \\HasNoChildren) "/" t/one' in answer.untagged
            assert b'LIST (\\HasChildren) "/" t/eight' in answer.untagged
            assert (await client.command("SUBSCRIBE t/two")).is_ok
            two = b'LIST (\\Subscribed \\HasChildren) "/" t/two ("CHILDINFO" ("SUBSCRIBED"))'
            assert two in (await client.command('LIST (SUBSCRIBED RECURSIVEMATCH) "" t/*')).untagged

    asyncio.run(run())


@pytest.mark.rfc("5258 §3", "Options that are not known are BAD, and so is RECURSIVEMATCH alone; REMOTE is taken.")
def test_options_that_are_none(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            for options in ("(foo)", "(RECURSIVEMATCH)", "(RECURSIVEMATCH REMOTE)"):
                assert (await client.command(f'LIST {options} "" *')).completion.startswith(b"BAD"), options
            assert (await client.command('LIST "" * RETURN (foo)')).completion.startswith(b"BAD")
            assert set(await names(client, 'LIST (REMOTE) "" %')) == set(FIRST)

    asyncio.run(run())


@pytest.mark.rfc("6154 §5.2", "Special uses are told, can be selected, and need not be asked for.")
def test_special_uses(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            answer = await client.command('LIST (SPECIAL-USE) "" *')
            assert set(answer.untagged) == {
                b'LIST (\\HasNoChildren \\%s) "/" %s' % (name.encode(), name.encode()) for name in FIRST[1:]
            }
            await make(client, "Sent/2026")
            answer = await client.command('LIST "" Sent RETURN (SPECIAL-USE)')
            assert answer.untagged == [b'LIST (\\HasChildren \\Sent) "/" Sent']

    asyncio.run(run())


@pytest.mark.rfc("5819 §2", "STATUS of each mailbox that can be opened follows its LIST.")
@pytest.mark.rfc("8440 §3", "MYRIGHTS follows, too.")
@pytest.mark.rfc("9590 §3", "And so do annotations, NIL for those that are not there.")
def test_what_return_adds(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            await office.put(b"one\r\n", b"two\r\n", mailbox="Junk")
            await make(client, "a/b")
            await client.command("DELETE a")
            await client.command('SETMETADATA Junk (/private/comment "bad")')
            returning = "RETURN (MYRIGHTS STATUS (MESSAGES SIZE) METADATA (/private/comment /shared/comment))"
            answer = await client.command(f'LIST "" (Junk a) {returning}')
            assert answer.untagged == [
                b'LIST (\\HasNoChildren \\Junk) "/" Junk',
                b"MYRIGHTS Junk lrswipkxteacd",
                b"STATUS Junk (MESSAGES 2 SIZE 10)",
                b'METADATA Junk (/private/comment "bad" /shared/comment NIL)',
                b'LIST (\\NonExistent \\HasChildren) "/" a',
            ]

    asyncio.run(run())


@pytest.mark.rfc("3501 §6.3.9", "LSUB with % tells of the level when only what is below it is subscribed.")
def test_lsub(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            await make(client, "t/one", "t/two/one", "t/three/three")
            for name in ("t/one", "t/two/one", "t/three/three"):
                await client.command(f"SUBSCRIBE {name}")
            assert (await client.command('LSUB "" t/%')).untagged == [
                b'LSUB () "/" t/one',
                b'LSUB (\\Noselect) "/" t/three',
                b'LSUB (\\Noselect) "/" t/two',
            ]
            assert await names(client, 'LSUB "" *one') == ["t/one", "t/two/one"]
            assert set(await names(client, 'LSUB "" *')) == {*FIRST, "t/one", "t/two/one", "t/three/three"}
            await client.command("UNSUBSCRIBE t/one")
            assert await names(client, 'LSUB "" t/*') == ["t/three/three", "t/two/one"]

    asyncio.run(run())


@pytest.mark.rfc("9051 §5.1", "Names are in UTF-8 once that is enabled, else in modified UTF-7.")
def test_names_beyond_ascii(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            old, new = await office.client(), await office.client()
            await new.command("ENABLE IMAP4rev2")
            assert (await new.command('CREATE "täst/日本"')).is_ok
            assert await names(new, 'LIST "" t%') == ["täst"]
            assert await names(old, 'LIST "" t*') == [encoded("täst"), encoded("täst/日本")]
            assert (await old.command(f'STATUS "{encoded("täst/日本")}" (MESSAGES)')).is_ok
            answer = await new.command('STATUS "täst/日本" (MESSAGES)')
            assert answer.untagged == ['STATUS "täst/日本" (MESSAGES 0)'.encode()]

    asyncio.run(run())


def test_ten_thousand_mailboxes_are_no_trouble(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            inbox = await office.mailbox_id()

            def fill(tx: Transaction) -> None:
                account_id = mailboxes.get(tx, inbox).account_id
                for number in range(10_000):
                    mailboxes.add(tx, account_id, f"many{number // 100}/box{number}", now=Instant(1.0))

            await office.store.write(fill)
            assert len(await names(client, 'LIST "" *')) == 10_106
            assert len(await names(client, 'LIST "" %')) == 106
            answer = await client.command('LIST "" many7/* RETURN (STATUS (MESSAGES UIDNEXT))')
            assert len(answer.of("STATUS")) == 100

    asyncio.run(run())


# Patterns.


@given(
    st.text(alphabet="ab/*%", max_size=8),
    st.text(alphabet="ab/", min_size=1, max_size=10),
)
@settings(max_examples=500, deadline=None)
def test_a_pattern_matches_as_its_plain_definition(pattern: str, name: str) -> None:
    plain = "".join({"*": ".*", "%": "[^/]*"}.get(letter, re.escape(letter)) for letter in pattern)
    assert Pattern(pattern).matches(name) == (re.fullmatch(plain, name) is not None)


def test_no_pattern_is_slow() -> None:
    hostile = Pattern("*a%" * 300 + "b")
    started = time.process_time()
    assert not hostile.matches("a" * 1000)
    assert time.process_time() - started < 1  # seconds; what tries all ways takes ages


def test_inbox_has_no_case_in_patterns() -> None:
    for text in ("inbox", "InBox", "in*", "%", "*", "*x"):
        assert matching([Pattern(text)], "INBOX"), text
    assert matching([Pattern("inbox/%")], "INBOX/a")
    assert not matching([Pattern("inbox2")], "INBOX")
    assert not matching([Pattern("archive")], "Archive")


def test_levels() -> None:
    assert levels_of(["a/b/c", "a/b/d", "e", "f/g"]) == {"a", "a/b", "f"}
