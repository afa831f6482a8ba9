"""FETCH over a real store: items, sections, flags, what is gone meanwhile, large messages."""

from __future__ import annotations

import asyncio
import random
from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.access.imap.post import Post, message, post

from estafeta.access.imap import octets as reading
from estafeta.store import messages
from estafeta.store.flags import DELETED

MULTIPART = (
    b"Date: Mon, 02 Jan 2006 15:04:05 -0700\r\nFrom: =?utf-8?q?Bo_=C3=98?= <bo@example.net>\r\nTo: ana@example.org\r\n"
    b"Subject: parts\r\nMessage-ID: <parts@example.net>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\npreamble\r\n'
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"caf=C3=A9\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nFrom: cy@example.net\r\n\r\nInner body.\r\n"
    b"--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAw==\r\n"
    b"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: x-odd\r\n\r\nodd\r\n"
    b"--b--\r\n"
)


def run(folder: Path, talk: Callable[[Post], Awaitable[None]], *, large_content: int = 256 * 1024) -> None:
    """Run a conversation with a post office."""

    async def conversation() -> None:
        async with post(folder, large_content=large_content) as office:
            await talk(office)

    asyncio.run(conversation())


@pytest.mark.rfc("9051 §6.4.5", "the items of a message come in the order in which they were asked for")
def test_items_come_in_order(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message(), flags=("\\Seen", "$Label"))
        client = await office.client()
        answer = await client.command("FETCH 1 (RFC822.SIZE FLAGS INTERNALDATE UID ENVELOPE)")
        assert answer.is_ok
        (told,) = answer.of(r"FETCH")
        assert told == (
            b"1 FETCH (RFC822.SIZE %d FLAGS (\\Recent \\Seen $Label) " % len(message())
            + b'INTERNALDATE "15-Jan-2027 08:00:00 +0000" UID 1 '
            + b'ENVELOPE ("Mon, 02 Jan 2006 15:04:05 -0700" "one" (("Bo" NIL "bo" "example.net")) '
            + b'(("Bo" NIL "bo" "example.net")) (("Bo" NIL "bo" "example.net")) '
            + b'((NIL NIL "ana" "example.org")) NIL NIL NIL "<one@example.net>"))'
        )

    run(tmp_path, talk)


def test_macros_and_the_old_names(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message())
        client = await office.client()
        (told,) = (await client.command("FETCH 1 FULL")).of("FETCH")
        for name in (b"FLAGS (", b"INTERNALDATE ", b"RFC822.SIZE ", b"ENVELOPE (", b'BODY ("text" "plain"'):
            assert name in told
        (told,) = (await client.command("FETCH 1 RFC822.HEADER")).of("FETCH")
        header = message().partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        assert told == b"1 FETCH (RFC822.HEADER {%d}\r\n%b)" % (len(header), header)
        (told,) = (await client.command("FETCH 1 RFC822.TEXT")).of("FETCH")
        assert told.startswith(b"1 FETCH (RFC822.TEXT {8}\r\nHello.\r\n FLAGS (")
        (told,) = (await client.command("FETCH 1 RFC822")).of("FETCH")
        assert told == b"1 FETCH (RFC822 {%d}\r\n%b)" % (len(message()), message())

    run(tmp_path, talk)


@pytest.mark.rfc("9051 §6.4.5.1", "sections of parts, of messages in messages, and of what is not there")
def test_sections(tmp_path: Path) -> None:
    expected = {
        "1": b"caf=C3=A9",
        "1.MIME": b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
        "2": b"Subject: inner\r\nFrom: cy@example.net\r\n\r\nInner body.",
        "2.HEADER": b"Subject: inner\r\nFrom: cy@example.net\r\n\r\n",
        "2.TEXT": b"Inner body.",
        "2.1": b"Inner body.",
        "2.HEADER.FIELDS (from)": b"From: cy@example.net\r\n\r\n",
        "2.HEADER.FIELDS.NOT (from)": b"Subject: inner\r\n\r\n",
        "3": b"AAECAw==",
        "HEADER.FIELDS (SUBJECT X-No)": b"Subject: parts\r\n\r\n",
        "TEXT": MULTIPART.partition(b"\r\n\r\n")[2],
        "": MULTIPART,
    }

    async def talk(office: Post) -> None:
        await office.put(MULTIPART)
        client = await office.client()
        for section, octets in expected.items():
            answer = await client.command(f"UID FETCH 1 BODY.PEEK[{section}]")
            assert answer.of("FETCH") == [
                b"1 FETCH (UID 1 BODY[%b] {%d}\r\n%b)" % (section.encode(), len(octets), octets)
            ], section
        assert (await client.command("FETCH 1 BODY.PEEK[7]")).of("FETCH") == [b"1 FETCH (BODY[7] NIL)"]
        all_of_them = " ".join(f"BODY.PEEK[{section}]" for section in expected)
        (told,) = (await client.command(f"FETCH 1 ({all_of_them})")).of("FETCH")
        assert all(b"{%d}\r\n%b" % (len(octets), octets) in told for octets in expected.values())

    run(tmp_path, talk)


@pytest.mark.rfc("9051 §6.4.5", "a partial is cut at the end, and empty beyond it")
def test_partials(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(MULTIPART)
        client = await office.client()
        whole = len(MULTIPART)
        for origin, most in ((0, 10), (5, 7), (whole - 3, 10), (whole + 5, 10), (0, 2**40)):
            octets = MULTIPART[origin : origin + most]
            (told,) = (await client.command(f"FETCH 1 BODY.PEEK[]<{origin}.{most}>")).of("FETCH")
            assert told == b"1 FETCH (BODY[]<%d> {%d}\r\n%b)" % (origin, len(octets), octets)
        (told,) = (await client.command("FETCH 1 BODY.PEEK[HEADER]<6.4>")).of("FETCH")
        assert told == b"1 FETCH (BODY[HEADER]<6> {4}\r\nMon,)"
        (told,) = (await client.command("FETCH 1 BODY.PEEK[1]<1.3>")).of("FETCH")
        assert told == b"1 FETCH (BODY[1]<1> {3}\r\naf=)"

    run(tmp_path, talk)


@pytest.mark.rfc("3516 §4.3", "BINARY undoes the encoding; a literal8 where there is a NUL; UNKNOWN-CTE")
def test_binary(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(MULTIPART)
        client = await office.client()
        (told,) = (await client.command("FETCH 1 (BINARY.PEEK[1] BINARY.SIZE[1] BINARY.PEEK[3]<1.2>)")).of("FETCH")
        assert told == b"1 FETCH (BINARY[1] {5}\r\ncaf\xc3\xa9 BINARY.SIZE[1] 5 BINARY[3]<1> {2}\r\n\x01\x02)"
        (told,) = (await client.command("FETCH 1 BINARY.PEEK[3]")).of("FETCH")
        assert told == b"1 FETCH (BINARY[3] ~{4}\r\n\x00\x01\x02\x03)"
        answer = await client.command("FETCH 1 BINARY.PEEK[4]")
        assert answer.completion.startswith(b"NO [UNKNOWN-CTE]")
        answer = await client.command("FETCH 1 BINARY.SIZE[]")
        assert answer.of("FETCH") == [b"1 FETCH (BINARY.SIZE[] %d)" % len(MULTIPART)]

    run(tmp_path, talk)


@pytest.mark.rfc("9051 §6.4.5", "BODY[...] sets \\Seen and tells it, BODY.PEEK[...] does not")
def test_seen_is_set_and_told(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("a"), message("b"))
        client = await office.client()
        other = await office.client()
        assert b"FLAGS" not in (await client.command("FETCH 1 BODY.PEEK[TEXT]")).of("FETCH")[0]
        answer = await client.command("FETCH 1:2 BODY[TEXT]")
        assert answer.of("FETCH") == [
            b"1 FETCH (BODY[TEXT] {8}\r\nHello.\r\n FLAGS (\\Recent \\Seen))",
            b"2 FETCH (BODY[TEXT] {8}\r\nHello.\r\n FLAGS (\\Recent \\Seen))",
        ]
        # It is told once, and not again for what is seen already.
        assert (await client.command("FETCH 1 BODY[TEXT]")).of("FETCH") == [b"1 FETCH (BODY[TEXT] {8}\r\nHello.\r\n)"]
        assert sorted((await other.command("NOOP")).of("FETCH")) == [
            b"1 FETCH (FLAGS (\\Seen))",
            b"2 FETCH (FLAGS (\\Seen))",
        ]

    run(tmp_path, talk)


def test_flags_that_are_asked_for_have_the_new_seen(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message())
        client = await office.client()
        answer = await client.command("FETCH 1 (FLAGS BODY[TEXT])")
        assert answer.of("FETCH") == [b"1 FETCH (FLAGS (\\Recent \\Seen) BODY[TEXT] {8}\r\nHello.\r\n)"]

    run(tmp_path, talk)


@pytest.mark.rfc("9051 §6.3.3", "in a mailbox opened by EXAMINE nothing becomes \\Seen")
def test_read_only_sets_nothing(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message())
        client = await office.client(verb="EXAMINE")
        assert b"FLAGS" not in (await client.command("FETCH 1 BODY[]")).of("FETCH")[0]
        assert b"Seen" not in (await client.command("FETCH 1 FLAGS")).of("FETCH")[0]

    run(tmp_path, talk)


@pytest.mark.rfc("7162 §3.2.4", "with CONDSTORE a new \\Seen is told with UID and MODSEQ")
def test_seen_with_modseq(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message())
        client = await office.connect()
        await client.login()
        await client.command("ENABLE CONDSTORE")
        await client.command("SELECT INBOX")
        (told,) = (await client.command("FETCH 1 BODY[TEXT]")).of("FETCH")
        assert told.endswith(b" FLAGS (\\Recent \\Seen) UID 1 MODSEQ (3))")

    run(tmp_path, talk)


@pytest.mark.rfc("7162 §3.1.4.1", "CHANGEDSINCE tells of what changed, with MODSEQ")
@pytest.mark.rfc("7162 §3.2.6", "VANISHED (EARLIER) comes first")
def test_changed_since_and_vanished(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(*[message(str(number)) for number in range(6)])
        client = await office.connect()
        await client.login()
        await client.command("ENABLE QRESYNC")
        answer = await client.command("SELECT INBOX")
        modseq = int(next(each for each in answer.untagged if b"HIGHESTMODSEQ" in each).split()[2].rstrip(b"]"))
        mailbox_id = await office.mailbox_id()
        await office.store.write(lambda tx: messages.expunge(tx, mailbox_id, [2, 5]))
        await office.store.write(lambda tx: messages.change_flags(tx, mailbox_id, [(3, 3)], add=4))
        await client.command("NOOP")
        answer = await client.command(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)")
        assert answer.untagged[0] == b"VANISHED (EARLIER) 2,5"
        (told,) = answer.of("FETCH")
        assert told.startswith(b"2 FETCH (UID 3 FLAGS (\\Recent \\Flagged) MODSEQ (")

    run(tmp_path, talk)


@pytest.mark.rfc("9394 §3.3", "PARTIAL takes a window of the messages, from either end")
def test_partial_window(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(*[message(str(number)) for number in range(9)])
        client = await office.client(verb="EXAMINE")
        for window, uids in (
            ("1:2", [1, 2]),
            ("-1:-3", [7, 8, 9]),
            ("8:20", [8, 9]),
            ("-8:-20", [1, 2]),
            ("30:40", []),
        ):
            answer = await client.command(f"UID FETCH 1:* (UID) (PARTIAL {window})")
            assert answer.of("FETCH") == [b"%d FETCH (UID %d)" % (uid, uid) for uid in uids], window

    run(tmp_path, talk)


@pytest.mark.rfc("9586 §3.3", "with UIDONLY responses go by UID")
def test_uid_only(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message("a"), message("b"))
        client = await office.connect()
        await client.login()
        await client.command("ENABLE UIDONLY")
        await client.command("EXAMINE INBOX")
        answer = await client.command("UID FETCH 2 (FLAGS RFC822.SIZE)")
        assert answer.of("UIDFETCH") == [b"2 UIDFETCH (FLAGS (\\Recent) RFC822.SIZE %d)" % len(message("b"))]

    run(tmp_path, talk)


@pytest.mark.rfc("2180 §4.1.2", "what another session has expunged is left out")
def test_messages_that_are_gone(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(*[message(str(number)) for number in range(4)])
        client = await office.client()
        mailbox_id = await office.mailbox_id()
        await office.store.write(lambda tx: messages.expunge(tx, mailbox_id, [2, 3]))
        answer = await client.command("FETCH 1:4 (RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        assert [each.split()[0] for each in answer.of("FETCH")] == [b"1", b"4"]
        assert b"Subject: 3" in answer.of("FETCH")[1]
        assert answer.completion.startswith(b"OK [EXPUNGEISSUED]")
        assert not answer.of("EXPUNGE")
        answer = await client.command("FETCH 2:3 BODY.PEEK[]")
        assert answer.completion.startswith(b"OK [EXPUNGEISSUED]") and not answer.of("FETCH")
        answer = await client.command("UID FETCH 2:3 BODY.PEEK[]")
        assert answer.completion.startswith(b"OK [EXPUNGEISSUED]")

    run(tmp_path, talk)


@pytest.mark.rfc("8474 §5", "EMAILID is that of the content, THREADID that of the conversation")
@pytest.mark.rfc("8514 §4.2", "SAVEDATE is when it came into this mailbox")
@pytest.mark.rfc("8970 §3.2", "PREVIEW is the beginning of the text")
def test_object_ids_dates_previews(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        reply = message("two").replace(b"Subject:", b"References: <one@example.net>\r\nSubject:")
        await office.put(message("one"), reply, message("other", "Grüße".encode() + b"\r\n"))
        client = await office.client()
        assert (await client.command("COPY 1 Archive")).is_ok
        first, second, third = (await client.command("FETCH 1:3 (EMAILID THREADID)")).of("FETCH")
        threads = [each.rpartition(b"THREADID ")[2] for each in (first, second, third)]
        assert threads[0] == threads[1] != threads[2]
        assert len({each.partition(b"EMAILID ")[2].split()[0] for each in (first, second, third)}) == 3
        told = (await client.command("FETCH 1,3 (PREVIEW)")).of("FETCH")
        assert told == [b'1 FETCH (PREVIEW "Hello.")', b"3 FETCH (PREVIEW {7}\r\nGr\xc3\xbc\xc3\x9fe)"]
        (told_date,) = (await client.command("FETCH 1 SAVEDATE")).of("FETCH")
        assert told_date == b'1 FETCH (SAVEDATE "15-Jan-2027 08:00:00 +0000")'
        await client.command("SELECT Archive")
        (copied,) = (await client.command("FETCH 1 (EMAILID THREADID)")).of("FETCH")
        assert copied == first

    run(tmp_path, talk)


def test_lazy_preview_is_nil_until_somebody_reads_it(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message())
        client = await office.client()
        assert (await client.command("FETCH 1 (PREVIEW (LAZY))")).of("FETCH") == [b"1 FETCH (PREVIEW NIL)"]
        await client.command("FETCH 1 PREVIEW")
        await office.store.write(lambda tx: None)  # what was to be kept is kept
        assert (await client.command("FETCH 1 (PREVIEW (LAZY))")).of("FETCH") == [b'1 FETCH (PREVIEW "Hello.")']

    run(tmp_path, talk)


def test_more_messages_than_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [message(str(number), b"x" * random.Random(number).randrange(3000)) for number in range(300)]

    async def talk(office: Post) -> None:
        await office.put(*contents)
        client = await office.client(verb="EXAMINE")
        answer = await client.command("FETCH 1:* BODY.PEEK[]")
        told = answer.of("FETCH")
        assert len(told) == 300 and answer.completion.startswith(b"OK Fetch")
        for number, (response, octets) in enumerate(zip(told, contents, strict=True), 1):
            assert response == b"%d FETCH (BODY[] {%d}\r\n%b)" % (number, len(octets), octets)
        odd = ",".join(str(number) for number in range(1, 300, 2))
        told = (await client.command(f"FETCH {odd} (UID ENVELOPE)")).of("FETCH")
        assert [int(each.split()[0]) for each in told] == list(range(1, 300, 2))
        assert all(b'"%d"' % (int(each.split()[0]) - 1) in each for each in told)

    monkeypatch.setattr(reading, "OCTETS", 20_000)
    run(tmp_path, talk)


@pytest.mark.parametrize(
    ("item", "name", "cut"),
    [
        ("BODY.PEEK[]", "BODY[]", slice(None)),
        ("BODY.PEEK[]<1000.5000>", "BODY[]<1000>", slice(1000, 6000)),
        ("BODY.PEEK[]<10.5>", "BODY[]<10>", slice(10, 15)),
        ("BODY.PEEK[]<999999999.5>", "BODY[]<999999999>", slice(0, 0)),
        ("BINARY.PEEK[]", "BINARY[]", slice(None)),
    ],
)
def test_large_messages_come_from_their_file(tmp_path: Path, item: str, name: str, cut: slice) -> None:
    octets = message("large", b"line of a large message\r\n" * 80_000)

    async def talk(office: Post) -> None:
        client = await office.client()
        assert (await client.append(octets)).is_ok
        assert (await client.append(message("small"))).is_ok
        told = (await client.command(f"FETCH 1:2 ({item} RFC822.SIZE)")).of("FETCH")
        expected = octets[cut]
        assert told[0] == b"1 FETCH (%b {%d}\r\n%b RFC822.SIZE %d)" % (
            name.encode(), len(expected), expected, len(octets),
        )  # fmt: skip
        assert told[1].startswith(b"2 FETCH (")

    run(tmp_path, talk, large_content=4096)


def test_parts_of_large_messages(tmp_path: Path) -> None:
    data = bytes(range(256)) * 2000
    octets = (
        MULTIPART.rpartition(b"--b--")[0]
        + b"--b\r\nContent-Transfer-Encoding: base64\r\nContent-Type: image/png\r\n\r\n"
        + b64encode(data)
        + b"\r\n--b--\r\n"
    )

    async def talk(office: Post) -> None:
        client = await office.client()
        assert (await client.append(octets)).is_ok
        encoded = b64encode(data)
        (told,) = (await client.command("FETCH 1 BODY[5]")).of("FETCH")
        assert told == b"1 FETCH (BODY[5] {%d}\r\n%b FLAGS (\\Recent \\Seen))" % (len(encoded), encoded)
        (told,) = (
            await client.command("FETCH 1 (BINARY.PEEK[5] BINARY.SIZE[5] BODY.PEEK[2.HEADER.FIELDS (FROM)])")
        ).of("FETCH")
        assert b"BINARY[5] ~{%d}\r\n%b BINARY.SIZE[5] %d " % (len(data), data, len(data)) in told
        assert told.endswith(b"BODY[2.HEADER.FIELDS (FROM)] {24}\r\nFrom: cy@example.net\r\n\r\n)")
        (told,) = (await client.command("FETCH 1 (BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT]<0.8>)")).of(
            "FETCH"
        )
        assert b"Subject: parts\r\n\r\n" in told and told.endswith(b"BODY[TEXT]<0> {8}\r\npreamble)")
        assert (await client.command("FETCH 1 BINARY.PEEK[4]")).completion.startswith(b"NO [UNKNOWN-CTE]")

    run(tmp_path, talk, large_content=4096)


@pytest.mark.rfc("9051 §4.3", "No literal has a NUL, whether the message is large or not.")
@pytest.mark.parametrize("large_content", [1, 256 * 1024])
def test_a_nul_is_another_octet_in_a_literal(tmp_path: Path, large_content: int) -> None:
    octets = b"Subject: nul\r\n\r\na\0b\r\n"

    async def talk(office: Post) -> None:
        client = await office.client()
        assert (await client.append(octets)).is_ok
        for item in ("BODY.PEEK[]", "BODY.PEEK[]<0.99>", "BODY.PEEK[TEXT]", "RFC822"):
            (told,) = (await client.command(f"FETCH 1 {item}")).of("FETCH")
            assert b"a\x80b\r\n" in told and b"\0" not in told

    run(tmp_path, talk, large_content=large_content)


def test_headers_longer_than_what_is_read_first(tmp_path: Path) -> None:
    long = b"Subject: long\r\n" + b"X-Line: " + b"y" * 70 + b"\r\n"
    octets = long + b"X-More: z\r\n" * 9000 + b"X-Last: here\r\n\r\nbody\r\n"

    async def talk(office: Post) -> None:
        await office.put(octets)
        client = await office.client()
        (told,) = (await client.command("FETCH 1 BODY.PEEK[HEADER.FIELDS (X-Last)]")).of("FETCH")
        assert told.endswith(b"{16}\r\nX-Last: here\r\n\r\n)")

    run(tmp_path, talk)


def test_a_client_that_goes_away_in_the_middle(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(*[message(str(number), b"x" * 50_000) for number in range(100)])
        client = await office.client()
        client.stream.send(b"x FETCH 1:* BODY.PEEK[]\r\n")
        await client.response()
        client.stream.abort()
        other = await office.client()
        assert (await other.command("NOOP")).is_ok

    run(tmp_path, talk)


def test_deleted_stays_visible(tmp_path: Path) -> None:
    async def talk(office: Post) -> None:
        await office.put(message())
        mailbox_id = await office.mailbox_id()
        await office.store.write(lambda tx: messages.change_flags(tx, mailbox_id, [(1, 1)], add=DELETED))
        client = await office.client()
        assert (await client.command("FETCH 1 FLAGS")).of("FETCH") == [b"1 FETCH (FLAGS (\\Recent \\Deleted))"]

    run(tmp_path, talk)
