"""URLs that let others fetch a message: signing, fetching, and making them void (RFC 4467, RFC 5524)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.access.imap.post import BO, Client, message, post
from tests.access.imap.test_managing import code, ok

LETTER = (
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nSubject: parts\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8gd29ybGQ=\r\n"
    b"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: x-strange\r\n\r\nwhat\r\n"
    b"--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nYQBi\r\n"
    b"--b--\r\n"
)
PLAIN = message("one")


async def sign(client: Client, url: str) -> str:
    """The URL with its signature."""
    [line] = await ok(client, f'GENURLAUTH "{url}" INTERNAL')
    assert line.startswith(b"GENURLAUTH ")
    return line.removeprefix(b"GENURLAUTH ").decode().strip('"')


async def fetched(client: Client, url: str, *wanted: str) -> bytes:
    """What URLFETCH tells of one URL."""
    asked = f'("{url}" {" ".join(wanted)})' if wanted else f'"{url}"'
    [line] = await ok(client, f"URLFETCH {asked}")
    told = line.removeprefix(b"URLFETCH ").removeprefix(b'"').removeprefix(url.encode())
    return told.removeprefix(b'"').removeprefix(b" ")


def literal(octets: bytes) -> bytes:
    """As a literal."""
    return b"{%d}\r\n%s" % (len(octets), octets)


@pytest.mark.rfc("4467 §7", "GENURLAUTH signs; URLFETCH gives the octets, NIL for what cannot be fetched.")
@pytest.mark.rfc("4467 §6", "A signature is of the whole URL: what is changed in it makes it void.")
def test_sign_and_fetch(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            await office.put(PLAIN)
            ana = await office.client()
            url = await sign(ana, "imap://ana@example.org/INBOX/;UID=1;URLAUTH=user+ana@example.org")
            rump, mechanism, token = url.rsplit(":", 2)
            assert mechanism == "INTERNAL" and len(token) == 64
            assert await fetched(ana, url) == literal(PLAIN)
            assert await fetched(ana, url.replace("UID=1", "UID=2")) == b"NIL"
            assert await fetched(ana, url.replace("INBOX/", "INBOX/;SECTION=1")) == b"NIL"
            assert await fetched(ana, url[:-1] + ("0" if token[-1] != "0" else "1")) == b"NIL"
            assert await fetched(ana, f"{rump}:OTHER:{token}") == b"NIL"
            assert await fetched(ana, rump) == b"NIL"
            several = await ok(ana, f'URLFETCH "{url}" "imap://elsewhere.example/INBOX/;UID=1"')
            assert [each.endswith(b"NIL") for each in several] == [False, True]

    asyncio.run(run())


@pytest.mark.rfc("4467 §3", "user+ is one user, authuser who has logged in; submit+ is for submission servers alone.")
def test_who_may_fetch(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            await office.put(PLAIN)
            ana, bo = await office.client(), await office.client(user=BO)
            head = "imap://ana%40example.org@mail.example.org/INBOX/;UID=1"
            for access, by_ana, by_bo in (
                ("user+bo@example.org", False, True),
                ("user+bo", False, True),
                ("authuser", True, True),
                ("anonymous", True, True),
                ("submit+ana", False, False),
            ):
                url = await sign(ana, f"{head};URLAUTH={access}")
                assert (await fetched(ana, url) != b"NIL") == by_ana, access
                assert (await fetched(bo, url) != b"NIL") == by_bo, access
            # One's own messages are fetched without a signature, those of others are not.
            assert await fetched(ana, head) == literal(PLAIN)
            assert await fetched(bo, head) == b"NIL"

    asyncio.run(run())


@pytest.mark.rfc("4467 §2", "After EXPIRE a URL is void.")
def test_time(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            await office.put(PLAIN)
            ana = await office.client()
            for expires, is_there in (("2027-01-15T07:59:59Z", False), ("2027-01-15T09:00:01%2B01:00", True)):
                url = f"imap://ana@example.org/INBOX/;UID=1;EXPIRE={expires};URLAUTH=authuser"
                assert (await fetched(ana, await sign(ana, url)) != b"NIL") == is_there, expires

    asyncio.run(run())


@pytest.mark.rfc("4467 §7", "RESETKEY makes void what was signed, in one mailbox or in all.")
def test_reset(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            await office.put(PLAIN)
            await office.put(PLAIN, mailbox="Junk")
            ana = await office.client()
            inbox, junk = [
                await sign(ana, f"imap://ana@example.org/{name}/;UID=1;URLAUTH=authuser") for name in ("INBOX", "Junk")
            ]
            answer = await ana.command("RESETKEY INBOX INTERNAL")
            assert answer.completion.startswith(b"OK [URLMECH INTERNAL]")
            assert await fetched(ana, inbox) == b"NIL"
            assert await fetched(ana, junk) == literal(PLAIN)
            await ok(ana, "RESETKEY")
            assert await fetched(ana, junk) == b"NIL"
            again = await sign(ana, "imap://ana@example.org/Junk/;UID=1;URLAUTH=authuser")
            assert again != junk and await fetched(ana, again) == literal(PLAIN)
            assert await code_or_text(ana, "RESETKEY INBOX OTHER") == "NO"
            assert await code(ana, "RESETKEY None") == "NONEXISTENT"

    asyncio.run(run())


async def code_or_text(client: Client, command: str) -> str:
    """The first word of the completion."""
    return (await client.command(command)).completion.partition(b" ")[0].decode()


@pytest.mark.rfc("4467 §7", "Nothing is signed for another user, of another host, of no message, or by no mechanism.")
@pytest.mark.parametrize(
    "asked",
    [
        '"imap://bo@example.org/INBOX/;UID=1;URLAUTH=authuser" INTERNAL',
        '"imap://ana@elsewhere.example/INBOX/;UID=1;URLAUTH=authuser" INTERNAL',
        '"imap://ana@example.org/INBOX;URLAUTH=authuser" INTERNAL',
        '"imap://ana@example.org/INBOX/;UID=1" INTERNAL',
        '"imap://ana@example.org/INBOX/;UID=1;URLAUTH=everybody" INTERNAL',
        '"imap://ana@example.org/None/;UID=1;URLAUTH=authuser" INTERNAL',
        '"imap://ana@example.org/INBOX/;UID=1;URLAUTH=authuser" OTHER',
        '"http://ana@example.org/INBOX" INTERNAL',
    ],
)
def test_what_is_not_signed(tmp_path: Path, asked: str) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            await office.put(PLAIN)
            ana = await office.client()
            assert await code_or_text(ana, f"GENURLAUTH {asked}") == "NO"

    asyncio.run(run())


@pytest.mark.rfc("4467 §8", "A user signs what he may read of others, and only as long as he may.")
def test_of_shared_mailboxes(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            await office.put(PLAIN)
            ana, bo = await office.client(), await office.client(user=BO)
            url = "imap://bo@example.org/Other%20Users/ana@example.org/INBOX/;UID=1;URLAUTH=authuser"
            assert await code_or_text(bo, f'GENURLAUTH "{url}" INTERNAL') == "NO"
            await ok(ana, "SETACL INBOX bo@example.org lr")
            signed = await sign(bo, url)
            assert await fetched(ana, signed) == literal(PLAIN)
            await ok(ana, "DELETEACL INBOX bo@example.org")
            assert await fetched(ana, signed) == b"NIL"

    asyncio.run(run())


@pytest.mark.rfc("5092 §3", "SECTION and PARTIAL name a part, UIDVALIDITY the mailbox as it was.")
def test_parts(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            await office.put(PLAIN)
            ana = await office.client()
            [status] = await ok(ana, "STATUS INBOX (UIDVALIDITY)")
            validity = int(status.rpartition(b" ")[2].rstrip(b")"))
            head = "imap://ana@example.org/inbox"
            body = PLAIN.partition(b"\r\n\r\n")[2]
            for rest, wanted in (
                (f";UIDVALIDITY={validity}/;UID=1", PLAIN),
                (f";UIDVALIDITY={validity + 1}/;UID=1", None),
                ("/;UID=1/;SECTION=TEXT", body),
                ("/;UID=1/;SECTION=1", body),
                ("/;UID=1/;SECTION=2", None),
                ("/;UID=1/;SECTION=HEADER.FIELDS%20(SUBJECT)", b"Subject: one\r\n\r\n"),
                ("/;UID=1/;SECTION=TEXT/;PARTIAL=2.3", body[2:5]),
                ("/;UID=1/;PARTIAL=100000.1", b""),
                ("/;UID=9", None),
            ):
                told = await fetched(ana, head + rest, "BODY")
                if wanted is None:
                    assert told == b"NIL", rest
                else:
                    assert told in (b"(BODY " + literal(wanted) + b")", b'(BODY "' + wanted + b'")'), rest

    asyncio.run(run())


@pytest.mark.rfc("5524 §3", "BINARY undoes the encoding, BODYPARTSTRUCTURE describes the part that is named.")
def test_binary(tmp_path: Path) -> None:
    async def run() -> None:
        async with post(tmp_path) as office:
            await office.put(LETTER)
            ana = await office.client()
            head = "imap://ana@example.org/INBOX/;UID=1/;SECTION="
            assert await fetched(ana, head + "1", "BINARY") == b'(BINARY "hello world")'
            told = await fetched(ana, head + "1", "BODYPARTSTRUCTURE", "BODY")
            assert told.startswith(b'(BODYPARTSTRUCTURE ("text" "plain" ') and b' "base64" 16 ' in told
            assert told.endswith(b' (BODY "aGVsbG8gd29ybGQ=")')
            # With BINARY it is described as it is told then.
            told = await fetched(ana, head + "1", "BODYPARTSTRUCTURE", "BINARY")
            assert b' "7bit" 11 ' in told and told.endswith(b' (BINARY "hello world")')
            assert await fetched(ana, head + "2", "BINARY") == b"(BINARY NIL)"
            assert await fetched(ana, head + "3", "BINARY") == b"(BINARY ~{3}\r\na\0b)"
            assert await fetched(ana, head + "1/;PARTIAL=6.5", "BINARY") == b'(BINARY "world")'
            assert await fetched(ana, head + "HEADER", "BODYPARTSTRUCTURE") == b"(BODYPARTSTRUCTURE NIL)"
            whole = await fetched(ana, "imap://ana@example.org/INBOX/;UID=1", "BODYPARTSTRUCTURE")
            assert whole.lower().startswith(b'(bodypartstructure ("message" "rfc822" ')

    asyncio.run(run())
