"""SEARCH and ESEARCH over a real store: every key, what is told of the result, and the plain definition."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.access.imap.post import ANA, NOW, Client, Post, message, post

from estafeta.access.imap.searching import plain
from estafeta.mail.address import ForwardPath
from estafeta.store import acceptance, directory
from estafeta.store.engine import Transaction
from estafeta.store.records import (
    Acceptance,
    Content,
    Delivery,
    EntryKind,
    Instant,
    JournalEntry,
    MailboxId,
    MessageId,
)
from estafeta.wire.imap.searching import Contains, HasField, Where


def run(folder: Path, talk: Callable[[Post], Awaitable[None]]) -> None:
    """Run a conversation with a post office."""

    async def conversation() -> None:
        async with post(folder) as office:
            await talk(office)

    asyncio.run(conversation())


async def found(client: Client, key: str | bytes, command: str = "SEARCH") -> list[int]:
    """The numbers of an untagged SEARCH or SORT."""
    octets = key if isinstance(key, bytes) else key.encode()
    answer = await client.command(command.encode() + b" " + octets)
    assert answer.is_ok, answer
    (line,) = answer.of(command.split()[-1])
    return [int(each) for each in line.split()[1:]]


async def told(client: Client, command: str) -> str:
    """The one ESEARCH response, without its tag."""
    answer = await client.command(command)
    assert answer.is_ok, answer
    (line,) = answer.of("ESEARCH")
    return line.decode().partition(")")[2].strip()


async def deliver(office: Post, content: bytes, prefix: bytes) -> None:
    """A message that comes by SMTP, with what is put before it."""
    mailbox_id: MailboxId = await office.mailbox_id()

    def change(tx: Transaction) -> None:
        message_id = MessageId(tx.ids.next_id())
        delivery = Delivery(mailbox_id, ForwardPath(ANA), prefix)
        entry = JournalEntry(EntryKind.TRANSACTION, NOW, None, message_id, {})
        accepted = Acceptance(
            message_id, Instant(NOW), Content(len(content), content), (delivery,), (), directory.version(tx), entry
        )
        acceptance.accept(tx, accepted)

    await office.store.write(change)


def mail(head: str = "", body: str = "Hello.") -> bytes:
    return (head + "\r\n" if head else "").encode() + b"\r\n" + body.encode() + b"\r\n"


@pytest.mark.rfc("9051 §6.4.4", "Texts are found as parts of words, without case and accents, decoded from any form.")
def test_texts(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(
            mail("Subject: =?iso-8859-1?q?Reuni=F3n?= del martes\r\nFrom: Bo <bo@example.net>"),
            mail(
                "Subject: other\r\nContent-Type: text/html; charset=utf-8",
                "<p>la reuni&oacute;n</p><i>one <b>two</b></i>",
            ),
            mail("Subject: =?utf-8?b?5pel5pys6Kqe?=\r\nContent-Transfer-Encoding: base64", "bGEgcmV1bmlvbg=="),
            mail("Subject: x\r\nX-Extra: reunion in a header"),
        )
        client = await office.client()
        assert await found(client, "SUBJECT reunion") == [1]
        assert await found(client, "BODY reuni") == [2, 3]
        assert await found(client, "TEXT REUNION") == [1, 2, 3, 4]
        assert await found(client, "CHARSET UTF-8 TEXT {8+}\r\nreunión") == [1, 2, 3, 4]
        assert await found(client, b"CHARSET ISO-8859-1 SUBJECT {3+}\r\ni\xf3n") == [1]
        assert await found(client, "SUBJECT {6+}\r\n本語") == [3]
        assert await found(client, 'SUBJECT "n del m"') == [1]
        assert await found(client, 'BODY "one two"') == [2]
        assert await found(client, 'BODY "two one"') == []
        assert await found(client, "FROM bo@example") == [1]
        assert await found(client, "HEADER X-Extra header") == [4]
        assert await found(client, 'HEADER X-Extra ""') == [4]
        assert await found(client, 'HEADER Subject "martes"') == [1]
        assert await found(client, "HEADER From martes") == []
        assert await found(client, 'SUBJECT ""') == [1, 2, 3, 4]
        answer = await client.command("SEARCH CHARSET X-NONE SUBJECT x")
        assert answer.completion.startswith(b"NO [BADCHARSET")

    run(tmp_path, talk)


@pytest.mark.rfc(
    "9051 §6.4.4", "TEXT and HEADER search the whole header section, also what was put before the content."
)
@pytest.mark.parametrize(
    ("key", "numbers"),
    [
        ("TEXT return-path", [1]),
        ("TEXT bounce+7", [1]),
        ('TEXT "by mail.example.org with"', [1]),
        ("TEXT {4+}\r\nGöte", [1]),
        ("TEXT gote", [1]),
        ("HEADER Return-Path bounce", [1]),
        ("HEADER List-Id gote", [1]),
        ('HEADER Return-Path ""', [1]),
        ("HEADER Subject bounce", [2]),
        ("BODY bounce", []),
        ("NOT TEXT return-path", [2]),
    ],
)
def test_what_stands_before_the_content(tmp_path: Path, key: str, numbers: list[int]) -> None:
    prefix = (
        "Return-Path: <bounce+7@example.net>\r\nReceived: from a by mail.example.org\r\n\twith ESMTP\r\n"
        "List-Id: =?utf-8?q?G=C3=B6teborg?= <l.example.net>\r\n"
    )

    async def talk(office: Post) -> None:
        await deliver(office, mail("Subject: one"), prefix.encode())
        await deliver(office, mail("Subject: bounce"), b"")
        client = await office.client()
        octets = key.encode().replace(b"{4+}", b"{5+}")
        assert await found(client, octets) == numbers

    run(tmp_path, talk)


_WORDS = [
    "Müller",
    "muller",
    "straße",
    "STRASSE",
    "日本語の手紙",
    "日本",
    "💌",
    "one",
    "two",
    "One-Two",
    "e\u0301t\u00e9",
    "x" * 90,
]
_SOURCES = ("ascii", "utf-8", "iso-8859-1", "iso-2022-jp", "koi8-r")


def _message(chance: random.Random) -> bytes:
    words = [chance.choice(_WORDS) for _ in range(chance.randint(0, 6))]
    text = chance.choice([" ", "\r\n", "--", "  "]).join(words)
    charset = chance.choice(_SOURCES)
    octets = text.encode(charset, "ignore")
    kind = "html" if chance.random() < 0.3 else "plain"
    if kind == "html":
        octets = b"<p>" + octets.replace(b" ", b"</p> <b>")
    subject = " ".join(chance.choices(_WORDS, k=chance.randint(0, 3)))
    head = [f"Content-Type: text/{kind}; charset={charset}".encode()]
    if subject:
        head.append(b"Subject: " + subject.encode())
    if chance.random() < 0.5:
        head.append(f"From: {chance.choice(_WORDS)} <a{chance.randint(1, 3)}@example.net>".encode())
    if chance.random() < 0.3:
        head.append(
            b"X-Odd: =?utf-8?q?" + b"".join(b"=%02X" % octet for octet in chance.choice(_WORDS).encode()) + b"?="
        )
    return b"\r\n".join([*head, b"", octets]) + b"\r\n"


def _key(chance: random.Random) -> Contains | HasField:
    text = "".join(chance.choices([*_WORDS, " ", "-", "@"], k=chance.randint(1, 3)))
    begin = chance.randint(0, len(text) - 1)
    text = text[begin : begin + chance.randint(1, 50)]
    if chance.random() < 0.3:
        return HasField(chance.choice(["X-Odd", "subject", "From", "X-None"]), text if chance.random() < 0.8 else "")
    return Contains(chance.choice(list(Where)), text)


def _written(key: Contains | HasField) -> bytes:
    octets = key.text.encode()
    text = b"{%d+}\r\n%b" % (len(octets), octets)
    return (
        b"HEADER %b %b" % (key.name.encode(), text) if isinstance(key, HasField) else key.where.encode() + b" " + text
    )


@pytest.mark.rfc("9051 §6.4.4", "The answer is that of reading every message, whatever the index knows.")
@pytest.mark.parametrize("seed", range(6))
def test_it_agrees_with_the_plain_definition(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)

    async def talk(office: Post) -> None:
        messages: list[bytes] = []
        client = await office.client()
        for _ in range(4):  # more come while some are in the index
            more = [_message(chance) for _ in range(12)]
            for each in more:
                if chance.random() < 0.3:
                    prefix = f"Return-Path: <x@example.net>\r\nX-Odd: {chance.choice(_WORDS)}\r\n".encode()
                    await deliver(office, each, prefix)
                    messages.append(prefix + each)
                else:
                    await office.put(each)
                    messages.append(each)
            await client.command("NOOP")
            for _ in range(30):
                key = _key(chance)
                wanted = [number for number, octets in enumerate(messages, 1) if plain.matches(octets, key)]
                assert await found(client, _written(key)) == wanted, key
                assert await found(client, b"NOT " + _written(key)) == [
                    number for number in range(1, len(messages) + 1) if number not in wanted
                ]

    run(tmp_path, talk)


@pytest.mark.rfc("9051 §6.4.4", "Flags, numbers, sizes, and how keys are put together.")
def test_flags_numbers_and_sizes(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        for number, flags in enumerate(
            [("\\Seen", "Work"), ("\\Flagged",), ("\\Seen", "\\Flagged"), (), ("\\Deleted",)]
        ):
            await office.put(message("s", b"x" * number), flags=flags)
        client = await office.client()
        size = len(message("s", b"xx"))
        for key, numbers in {
            "ALL": [1, 2, 3, 4, 5],
            "SEEN": [1, 3],
            "UNSEEN FLAGGED": [2],
            "OR SEEN FLAGGED": [1, 2, 3],
            "NOT (SEEN FLAGGED)": [1, 2, 4, 5],
            "KEYWORD work": [1],
            "KEYWORD unknown": [],
            "UNKEYWORD unknown": [1, 2, 3, 4, 5],
            "NOT NOT DELETED": [5],
            "2:3,5": [2, 3, 5],
            "*": [5],
            "UID 4:2": [2, 3, 4],
            "UID 99:*": [5],
            "UID 99": [],
            f"LARGER {size}": [4, 5],
            f"SMALLER {size}": [1, 2],
            f"NOT LARGER {size} NOT SMALLER {size}": [3],
            "OR (SEEN NOT FLAGGED) OR 4 DELETED": [1, 4, 5],
        }.items():
            assert await found(client, key) == numbers, key
        await client.command("EXPUNGE")
        assert await found(client, "NOT SEEN", "UID SEARCH") == [2, 4]

    run(tmp_path, talk)


@pytest.mark.rfc("9051 §6.4.4", "Days are those of Date as it is written, and of INTERNALDATE, without time and zone.")
@pytest.mark.rfc("5032 §3", "OLDER and YOUNGER count from now, and both take the very second.")
@pytest.mark.rfc("8514 §4.3", "SAVEDATE is when a message came into this mailbox.")
def test_dates(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        client = await office.client()
        for sent, came in (
            ("Sun, 25 Mar 2007 00:30:00 +0900", "01-Feb-2020 23:59:59 +0000"),
            ("Sat, 24 Mar 2007 23:30:00 -0900", "02-Feb-2020 00:00:00 +0000"),
            ("no date", "15-Jan-2027 07:59:00 +0000"),
        ):
            octets = mail(f"Date: {sent}")
            answer = await client.command(f'APPEND INBOX "{came}" {{{len(octets)}+}}\r\n'.encode() + octets)
            assert answer.is_ok
        for key, numbers in {
            "SENTON 25-Mar-2007": [1],
            "SENTBEFORE 25-Mar-2007": [2],
            "SENTSINCE 24-Mar-2007": [1, 2],
            "ON 1-Feb-2020": [1],
            "BEFORE 2-Feb-2020": [1],
            "SINCE 2-Feb-2020": [2, 3],
            "YOUNGER 60": [3],
            "YOUNGER 59": [],
            "OLDER 60": [1, 2, 3],
            "OLDER 61": [1, 2],
            "SAVEDON 15-Jan-2027": [1, 2, 3],
            "SAVEDBEFORE 15-Jan-2027": [],
            "SAVEDSINCE 15-Jan-2027": [1, 2, 3],
            "SAVEDATESUPPORTED": [1, 2, 3],
        }.items():
            assert await found(client, key) == numbers, key

    run(tmp_path, talk)


@pytest.mark.rfc(
    "4731 §3.1", "ESEARCH tells what RETURN asks for, and MIN, MAX and ALL only where something was found."
)
def test_esearch(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(*[message(f"s{number}") for number in range(1, 7)], flags=())
        client = await office.client()
        await client.command("STORE 2,4:6 +FLAGS.SILENT (\\Seen)")
        assert await told(client, "SEARCH RETURN (MIN MAX COUNT ALL) SEEN") == "MIN 2 MAX 6 COUNT 4 ALL 2,4:6"
        assert await told(client, "SEARCH RETURN () SEEN") == "ALL 2,4:6"
        assert await told(client, "UID SEARCH RETURN (MIN) SEEN") == "UID MIN 2"
        assert await told(client, "SEARCH RETURN (MIN MAX ALL) DELETED") == ""
        assert await told(client, "UID SEARCH RETURN (COUNT) DELETED") == "UID COUNT 0"
        assert (await client.command("SEARCH RETURN (NONE) ALL")).completion.startswith(b"BAD")

    run(tmp_path, talk)


@pytest.mark.rfc("9394 §3.1", "PARTIAL tells a window of the results, from the begin or from the end.")
def test_partial(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(*[message(f"s{number}") for number in range(1, 7)])
        client = await office.client()
        assert await told(client, "SEARCH RETURN (PARTIAL 2:3) NOT 3") == "PARTIAL (2:3 2,4)"
        assert await told(client, "SEARCH RETURN (PARTIAL 3:2) ALL") == "PARTIAL (2:3 2:3)"
        assert await told(client, "SEARCH RETURN (PARTIAL 5:9) ALL") == "PARTIAL (5:9 5:6)"
        assert await told(client, "SEARCH RETURN (PARTIAL 7:9) ALL") == "PARTIAL (7:9 NIL)"
        assert await told(client, "SEARCH RETURN (PARTIAL -1:-2) ALL") == "PARTIAL (-1:-2 5:6)"
        assert await told(client, "SEARCH RETURN (PARTIAL -5:-99 COUNT) ALL") == "COUNT 6 PARTIAL (-5:-99 1:2)"
        assert await told(client, "SEARCH RETURN (PARTIAL -7:-8) ALL") == "PARTIAL (-7:-8 NIL)"
        for bad in ("PARTIAL 1", "PARTIAL 1:*", "PARTIAL -1:2", "PARTIAL 0:1", "ALL PARTIAL 1:2"):
            assert (await client.command(f"SEARCH RETURN ({bad}) ALL")).completion.startswith(b"BAD"), bad

    run(tmp_path, talk)


@pytest.mark.rfc(
    "5182 §2.1", "SAVE keeps the result as $, which follows expunges; a search that fails leaves it empty."
)
@pytest.mark.rfc("5182 §2.4", "With MIN or MAX only these are kept, unless ALL or COUNT ask for everything.")
def test_saved_results(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(*[message(f"s{number}") for number in range(1, 7)])
        client = await office.client()
        assert not (await client.command("SEARCH RETURN (SAVE) 2:5")).of("ESEARCH")
        assert await found(client, "$") == [2, 3, 4, 5]
        assert await found(client, "UID $ NOT 3") == [2, 4, 5]
        await client.command("STORE 3 +FLAGS (\\Deleted)")
        await client.command("EXPUNGE")
        assert await found(client, "$") == [2, 3, 4]
        assert await found(client, "$", "UID SEARCH") == [2, 4, 5]
        assert await told(client, "SEARCH RETURN (SAVE MIN) $") == "MIN 2"
        assert await found(client, "$") == [2]
        await client.command("SEARCH RETURN (SAVE MIN MAX) ALL")
        assert await found(client, "$") == [1, 5]
        await client.command("SEARCH RETURN (SAVE MIN COUNT) 2:4")
        assert await found(client, "$") == [2, 3, 4]
        await client.command("SEARCH RETURN (SAVE PARTIAL 2:3) ALL")
        assert await found(client, "$") == [2, 3]
        assert (await client.command("SEARCH RETURN (SAVE) NONSENSE")).completion.startswith(b"BAD")
        assert await found(client, "$") == [2, 3]
        assert (await client.command("SEARCH RETURN (SAVE) FILTER none")).completion.startswith(b"NO")
        assert await found(client, "$") == []

    run(tmp_path, talk)


@pytest.mark.rfc("7162 §3.1.5", "MODSEQ finds what changed since, and the highest of what is told is told.")
@pytest.mark.rfc("4731 §3.2", "With MIN or MAX it is theirs.")
def test_modseq(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(*[message(f"s{number}") for number in range(1, 4)])
        client = await office.client()
        await client.command("STORE 3 +FLAGS.SILENT (\\Seen)")
        await client.command("STORE 1 +FLAGS.SILENT (\\Seen)")
        answer = await client.command("SEARCH MODSEQ 1")
        highest = int(answer.of("SEARCH")[0].rpartition(b" ")[2].rstrip(b")"))
        assert answer.of("SEARCH") == [b"SEARCH 1 2 3 (MODSEQ %d)" % highest]
        assert (await client.command(f"SEARCH MODSEQ {highest + 1}")).of("SEARCH") == [b"SEARCH"]
        entry = '"/flags/\\\\Seen" all'
        assert await told(client, f"SEARCH RETURN (ALL) MODSEQ {entry} {highest}") == f"ALL 1 MODSEQ {highest}"
        assert await told(client, f"SEARCH RETURN (MAX) MODSEQ {highest - 1}") == f"MAX 3 MODSEQ {highest - 1}"

    run(tmp_path, talk)


@pytest.mark.rfc("8474 §6", "EMAILID and THREADID find what FETCH says of them, in every mailbox.")
def test_object_ids(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("one"), message("two"))
        client = await office.client()
        reply = mail("Message-ID: <r@example.net>\r\nReferences: <one@example.net>")
        await office.put(reply)
        await client.command("NOOP")
        answer = await client.command("FETCH 1:3 (EMAILID THREADID)")
        ids = [line.replace(b"(", b" ").replace(b")", b" ").split()[3::2] for line in answer.of("FETCH")]
        assert ids[0][1] == ids[2][1] != ids[1][1]
        assert await found(client, b"EMAILID " + ids[1][0]) == [2]
        assert await found(client, b"THREADID " + ids[0][1]) == [1, 3]
        assert await found(client, "EMAILID nonsense") == []
        await client.command("COPY 2 Sent")
        await client.command("SELECT Sent")
        assert await found(client, b"EMAILID " + ids[1][0]) == [1]

    run(tmp_path, talk)


@pytest.mark.rfc("5466 §3.1", "FILTER stands for a key that is kept as metadata; one that is not there is named.")
def test_filters(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("apple"), message("pear"))
        client = await office.client()
        await client.command('SETMETADATA "" (/private/filters/values/fruit "SUBJECT apple")')
        await client.command('SETMETADATA "" (/private/filters/values/both "OR FILTER fruit SUBJECT pear")')
        await client.command('SETMETADATA "" (/private/filters/values/loop "FILTER pool")')
        await client.command('SETMETADATA "" (/private/filters/values/pool "NOT FILTER loop")')
        assert await found(client, "FILTER fruit") == [1]
        assert await found(client, "NOT FILTER fruit") == [2]
        assert await found(client, "FILTER both") == [1, 2]
        assert (await client.command("SEARCH FILTER none")).completion.startswith(b"NO [UNDEFINED-FILTER none]")
        assert (await client.command("SEARCH FILTER loop")).completion.startswith(b"NO")
        other = await office.client(user=ANA)
        assert await found(other, "FILTER fruit") == [1]

    run(tmp_path, talk)


@pytest.mark.rfc("9051 §6.4.4", "For clients of IMAP4rev2 the answer is ESEARCH, also without RETURN.")
def test_rev2_is_told_by_esearch(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("one"), message("two"))
        client = await office.client()
        await client.command("ENABLE IMAP4rev2")
        answer = await client.command("SEARCH ALL")
        assert not answer.of("SEARCH")
        assert len(answer.of("ESEARCH")) == 1

    run(tmp_path, talk)


@pytest.mark.rfc("9051 §9", "Command names and keys have no case.")
def test_case_does_not_matter(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("one"))
        client = await office.client()
        for command in ("uid search all", "Uid Search Not Seen", "UID search subject ONE"):
            answer = await client.command(command)
            assert answer.of("SEARCH") == [b"SEARCH 1"], command

    run(tmp_path, talk)


@pytest.mark.rfc(
    "7377 §2.1", "ESEARCH in several mailboxes names each that has results, with its UIDVALIDITY and UIDs."
)
def test_several_mailboxes(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        client = await office.client()
        await client.command("CREATE a")
        await client.command("CREATE a/b")
        await client.command("CREATE a/b/c")
        for name in ("INBOX", "a", "a/b/c"):
            await office.put(message("apple"), message("pear"), mailbox=name)
        await client.command("NOOP")

        async def names(source: str, key: str = "SUBJECT apple") -> list[str]:
            answer = await client.command(f"ESEARCH IN ({source}) {key}")
            assert answer.is_ok, answer
            lines = [line.decode() for line in answer.of("ESEARCH")]
            assert all(line.endswith(" UID ALL 1") and "UIDVALIDITY" in line for line in lines)
            return [line.partition("MAILBOX ")[2].split()[0] for line in lines]

        assert sorted(await names("personal")) == ["INBOX", "a", "a/b/c"]
        assert await names("selected") == ["INBOX"]
        assert await names("inboxes") == ["INBOX"]
        assert await names("subtree a") == ["a", "a/b/c"]
        assert await names("subtree-one a") == ["a"]
        assert await names("mailboxes (a/b/c INBOX)") == ["a/b/c", "INBOX"]
        assert await names("personal", "SUBJECT none") == []
        answer = await client.command("ESEARCH IN (mailboxes a) RETURN (COUNT) ALL")
        assert answer.of("ESEARCH")[0].endswith(b" UID COUNT 2")
        await client.command("UNSELECT")
        assert (await client.command("ESEARCH IN (selected) ALL")).completion.startswith(b"BAD")
        assert sorted(await names("personal")) == ["INBOX", "a", "a/b/c"]

    run(tmp_path, talk)


@pytest.mark.rfc("5267 §4.3", "With UPDATE, what comes into the results and what leaves them is told as it happens.")
def test_results_that_are_kept_up_to_date(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(*[message(f"s{number}") for number in range(1, 6)])
        client, other = await office.client(), await office.client()
        answer = await client.command("SEARCH RETURN (UPDATE ALL) SEEN")
        tag = answer.of("ESEARCH")[0].split(b'"')[1].decode()

        def news(untagged: list[bytes]) -> list[str]:
            return [line.decode().partition(") ")[2] for line in untagged if line.startswith(b"ESEARCH")]

        # Others change the mailbox ...
        await other.command("STORE 1,2,4 +FLAGS.SILENT (\\Seen)")
        assert news((await client.command("NOOP")).untagged) == ["ADDTO (0 1:2,4)"]
        await other.command("STORE 2 -FLAGS.SILENT (\\Seen)")
        assert news((await client.command("NOOP")).untagged) == ["REMOVEFROM (0 2)"]
        # ... and so does the session itself, silently or not.
        assert news((await client.command("STORE 3 +FLAGS (\\Seen)")).untagged) == ["ADDTO (0 3)"]
        assert news((await client.command("STORE 3 -FLAGS.SILENT (\\Seen)")).untagged) == ["REMOVEFROM (0 3)"]
        await office.put(message("new"), flags=("\\Seen",))
        assert news((await client.command("NOOP")).untagged) == ["ADDTO (0 6)"]
        # What is expunged leaves by the number that it still has.
        await other.command("STORE 1 +FLAGS.SILENT (\\Deleted)")
        await other.command("EXPUNGE")
        untagged = (await client.command("NOOP")).untagged
        assert news(untagged) == ["REMOVEFROM (0 1)"]
        assert untagged.index(b"1 EXPUNGE") > next(at for at, line in enumerate(untagged) if b"REMOVEFROM" in line)
        assert (await client.command(f'CANCELUPDATE "{tag}"')).is_ok
        assert not news((await client.command("STORE 1 +FLAGS (\\Seen)")).untagged)
        assert (await client.command('CANCELUPDATE "none"')).completion.startswith(b"BAD")

    run(tmp_path, talk)


def test_many_updates_at_once_are_told_quickly(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(*[message("s", b"")] * 20_000)
        client = await office.client()
        await client.command("SEARCH RETURN (UPDATE COUNT) UNSEEN")
        began = asyncio.get_running_loop().time()
        answer = await client.command("STORE 1:* +FLAGS.SILENT (\\Seen)")
        ranges = [line.rpartition(b" (0 ")[2].rstrip(b")").split(b":") for line in answer.of("ESEARCH")]
        assert sum(int(last) - int(first) + 1 for first, last in ranges) == 20_000
        assert asyncio.get_running_loop().time() - began < 5

    run(tmp_path, talk)


def test_there_is_an_end_of_updates(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        client = await office.client()
        for _ in range(20):
            assert not (await client.command("SEARCH RETURN (UPDATE) SEEN")).of("NO")
        answer = await client.command("SEARCH RETURN (UPDATE) SEEN")
        assert answer.is_ok
        assert answer.of("NO")[0].startswith(b"NO [NOUPDATE ")

    run(tmp_path, talk)


def test_a_stranger_cannot_stop_the_index(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(
            b"Subject: =?utf-7?Q?+2AA-?= odd\r\n\r\nx\r\n",
            b"Subject: odd\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n+2AA- half a letter\r\n",
            message("odd"),
        )
        client = await office.client()
        assert await found(client, "SUBJECT odd") == [1, 2, 3]
        assert await found(client, "BODY half") == [2]
        assert await found(client, "(SUBJECT) US-ASCII ALL", "SORT") == [1, 2, 3]

    run(tmp_path, talk)
