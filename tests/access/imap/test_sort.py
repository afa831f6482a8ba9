"""SORT and THREAD over a real store (RFC 5256, RFC 5957, RFC 5267)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.access.imap.post import Client, Post, post


def run(folder: Path, talk: Callable[[Post, Client], Awaitable[None]], *heads: str) -> None:
    """Run a conversation with a mailbox of messages that have these fields."""

    async def conversation() -> None:
        async with post(folder) as office:
            await office.put(*[head.encode() + b"\r\n\r\n" for head in heads])
            await talk(office, await office.client())

    asyncio.run(conversation())


async def order(client: Client, criteria: str, key: str = "ALL", command: str = "SORT") -> list[int]:
    """The numbers of an untagged SORT."""
    answer = await client.command(f"{command} ({criteria}) US-ASCII {key}")
    assert answer.is_ok, answer
    (line,) = answer.of("SORT")
    return [int(each) for each in line.split()[1:]]


async def threads(client: Client, algorithm: str, key: str = "ALL", command: str = "THREAD") -> str:
    """What THREAD says."""
    answer = await client.command(f"{command} {algorithm} UTF-8 {key}")
    assert answer.is_ok, answer
    (line,) = answer.of("THREAD")
    return line.decode().removeprefix("THREAD").strip()


@pytest.mark.rfc(
    "5256 §3", "By subject without Re:, by the first address; what is equal stays by number, also in reverse."
)
def test_order(tmp_path: Path) -> None:
    async def talk(_office: Post, client: Client) -> None:
        assert await order(client, "SUBJECT") == [4, 2, 3, 1]
        assert await order(client, "REVERSE SUBJECT") == [1, 2, 3, 4]
        assert await order(client, "SUBJECT REVERSE DATE") == [4, 3, 2, 1]
        assert await order(client, "FROM") == [4, 2, 3, 1]
        assert await order(client, "TO") == [2, 3, 4, 1]
        assert await order(client, "SUBJECT", "2:3") == [2, 3]
        assert await order(client, "SUBJECT", "DELETED") == []
        assert (await client.command("SORT () US-ASCII ALL")).completion.startswith(b"BAD")
        assert (await client.command("SORT (NONE) US-ASCII ALL")).completion.startswith(b"BAD")
        assert (await client.command("SORT (DATE) X-NONE ALL")).completion.startswith(b"NO [BADCHARSET")

    run(
        tmp_path,
        talk,
        "Subject: zebra\r\nFrom: Amy <zoe@a>\r\nTo: x@a\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000",
        "Subject: Re: Apple\r\nFrom: Bo <bo@a>\r\nDate: Tue, 2 Jan 2024 00:00:00 +0000",
        "Subject: =?utf-8?q?apple?=\r\nFrom: Cy <BO@b>\r\nDate: Wed, 3 Jan 2024 00:00:00 +0000",
        "Subject: (fwd)\r\nDate: Thu, 4 Jan 2024 00:00:00 +0000",
    )


@pytest.mark.rfc("5256 §2.2", "DATE goes by the instant, whatever its zone; without a date by when the message came.")
def test_dates(tmp_path: Path) -> None:
    async def talk(_office: Post, client: Client) -> None:
        # All came at 2027-01-15 08:00:00 +0000.
        assert await order(client, "DATE") == [2, 1, 4, 3]
        assert await order(client, "REVERSE DATE") == [3, 4, 1, 2]
        assert await order(client, "ARRIVAL") == [1, 2, 3, 4]
        assert await order(client, "REVERSE ARRIVAL") == [1, 2, 3, 4]

    run(
        tmp_path,
        talk,
        "Date: Fri, 15 Jan 2027 09:30:00 +0200",
        "Date: Fri, 15 Jan 2027 06:00:00 +0000",
        "Date: Fri, 15 Jan 2027 08:00:01 +0000",
        "Subject: without",
    )


@pytest.mark.rfc("5957 §3", "DISPLAYFROM goes by the name that is shown, or else by the address.")
def test_display(tmp_path: Path) -> None:
    async def talk(_office: Post, client: Client) -> None:
        assert await order(client, "DISPLAYFROM") == [4, 2, 3, 1]
        assert await order(client, "REVERSE DISPLAYTO") == [2, 1, 3, 4]

    run(
        tmp_path,
        talk,
        "From: =?utf-8?q?Z=C3=B6e?= <a@a>\r\nTo: b@a",
        "From: bob@a\r\nTo: Carl <a@a>",
        "From: Bobby <z@a>",
        "Subject: nobody",
    )


@pytest.mark.rfc(
    "5267 §3", "SORT with RETURN tells numbers in their order: ALL, MIN and MAX are the first and the last."
)
def test_esort(tmp_path: Path) -> None:
    async def talk(_office: Post, client: Client) -> None:
        async def told(returning: str, command: str = "SORT") -> str:
            answer = await client.command(f"{command} RETURN ({returning}) (SUBJECT) UTF-8 ALL")
            assert answer.is_ok, answer
            assert not answer.of("SORT")
            return answer.of("ESEARCH")[0].decode().partition(")")[2].strip()

        assert await told("ALL MIN MAX COUNT") == "MIN 3 MAX 2 COUNT 4 ALL 3:4,1:2"
        assert await told("PARTIAL 2:3") == "PARTIAL (2:3 4,1)"
        assert await told("PARTIAL -1:-1") == "PARTIAL (-1:-1 2)"
        assert await told("ALL", "UID SORT") == "UID ALL 3:4,1:2"

    run(tmp_path, talk, "Subject: c", "Subject: d", "Subject: a", "Subject: b")


@pytest.mark.rfc("5267 §4.3.3", "What comes into sorted results is told with the place where it stands.")
def test_sorted_results_that_are_kept_up_to_date(tmp_path: Path) -> None:
    async def talk(office: Post, client: Client) -> None:
        await client.command("SORT RETURN (UPDATE ALL) (SUBJECT) UTF-8 UNSEEN")

        async def news(command: str) -> list[str]:
            answer = await client.command(command)
            return [line.decode().partition(") ")[2] for line in answer.of("ESEARCH")]

        assert await news("STORE 1 +FLAGS (\\Seen)") == ["REMOVEFROM (2 1)"]
        await office.put(b"Subject: b\r\n\r\n")
        assert await news("NOOP") == ["ADDTO (2 3)"]
        await client.command("STORE 2 +FLAGS.SILENT (\\Deleted)")
        assert await news("EXPUNGE") == ["REMOVEFROM (1 2)"]
        assert await order(client, "SUBJECT", "UNSEEN") == [2]

    run(tmp_path, talk, "Subject: c", "Subject: a")


@pytest.mark.rfc("5256 §3", "THREAD tells message numbers or UIDs, of what the keys find.")
def test_threads(tmp_path: Path) -> None:
    async def talk(_office: Post, client: Client) -> None:
        assert await threads(client, "REFERENCES") == "(1 (2 4)(3))(5)"
        assert await threads(client, "ORDEREDSUBJECT") == "(1 (2)(3)(4))(5)"
        assert await threads(client, "REFERENCES", "2:5") == "((2 4)(3))(5)"
        assert await threads(client, "REFERENCES", "DELETED") == ""
        await client.command("STORE 2 +FLAGS.SILENT (\\Deleted)")
        await client.command("EXPUNGE")
        assert await threads(client, "REFERENCES", command="UID THREAD") == "(1 (3)(4))(5)"
        assert await threads(client, "references") == "(1 (2)(3))(4)"
        assert (await client.command("THREAD NONE UTF-8 ALL")).completion.startswith(b"BAD")

    run(
        tmp_path,
        talk,
        "Message-ID: <1@a>\r\nSubject: one\r\nDate: Mon, 1 Jan 2024 00:00:01 +0000",
        "Message-ID: <2@a>\r\nIn-Reply-To: <1@a>\r\nSubject: Re: one\r\nDate: Mon, 1 Jan 2024 00:00:02 +0000",
        "Message-ID: <3@a>\r\nReferences: <1@a>\r\nSubject: Re: one\r\nDate: Mon, 1 Jan 2024 00:00:03 +0000",
        "Message-ID: <4@a>\r\nReferences: <1@a> <2@a>\r\nSubject: Re: one\r\nDate: Mon, 1 Jan 2024 00:00:04 +0000",
        "Message-ID: <5@a>\r\nSubject: two\r\nDate: Mon, 1 Jan 2024 00:00:05 +0000",
    )
