"""`estafeta watch`: a real reader in a process of its own, beside a running post office."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from estafeta.app import PostOffice
from estafeta.config.reading import read
from estafeta.config.settings import ListenerKind
from estafeta.net.stream import connect as connect_stream

if TYPE_CHECKING:
    from .conftest import Operator

LISTEN = """
[[listen]]
kind = "smtp"
address = "127.0.0.1"
port = 0
[smtp]
trusted_networks = ["127.0.0.0/8"]
"""
ON = f"{LISTEN}[live]\nenabled = true\n"


@asynccontextmanager
async def watching(office: Operator, *arguments: str) -> AsyncIterator[Process]:
    """The reader's process; ended by Ctrl-C, without a complaint."""
    command = (sys.executable, "-m", "estafeta.cli.main", "watch", "ana@example.org", *arguments)
    process = await asyncio.create_subprocess_exec(*command, "--config", str(office.config), stdout=PIPE, stderr=PIPE)
    try:
        yield process
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            _, complaints = await process.communicate()
        assert (process.returncode, complaints) == (0, b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def say(office: PostOffice, *lines: bytes) -> bytes:
    """A session with the post office; its last reply."""
    stream = await connect_stream("127.0.0.1", office.port(ListenerKind.SMTP))
    stream.set_deadline(30)
    reply = b""
    try:
        for line in (b"", b"EHLO client.example.net\r\n", *lines):
            stream.send(line)
            reply = b""
            while not reply.endswith(b"\r\n") or reply.rsplit(b"\r\n", 2)[-2][3:4] == b"-":
                reply += await stream.receive()
    finally:
        await stream.close()
    return reply


def sending(verb: str, text: bytes) -> tuple[bytes, ...]:
    return (
        f"{verb} FROM:<luis@example.org>\r\n".encode(),
        b"RCPT TO:<ana@example.org>\r\n",
        b"DATA\r\n",
        b"Subject: lunch\r\n\r\n" + text + b"\r\n.\r\n",
    )


@pytest.mark.rfc("821 §3.4", "A message of SEND appears in a reader that is open, and SEND is 450 once it is closed.")
def test_a_reader_shows_what_is_sent_until_it_is_closed(office: Operator) -> None:
    office.set(ON)

    async def main() -> None:
        async with PostOffice(read(office.config)) as post_office:
            async with watching(office) as reader:
                assert reader.stdout is not None
                async with asyncio.timeout(30):
                    first = await reader.stdout.readline()
                    assert first == b"messages to ana@example.org appear here; Ctrl-C ends\n"
                    reply = await say(post_office, *sending("SEND", b"hola \x1b[2J\xc3\xb1"))
                    assert reply.startswith(b"250 ")
                    lines = [await reader.stdout.readline() for _ in range(5)]
                assert lines[0] == b"\n"
                assert lines[1].startswith(b"Message from luis@example.org by way of 127.0.0.1 at ")
                assert lines[2:] == [b"| Subject: lunch\n", "| hola \ufffd[2Jñ\n".encode(), b"-- end\n"]
            assert list((office.folder / "data" / "live").iterdir()) == []
            assert (await say(post_office, *sending("SEND", b"hola")[:2])).startswith(b"450 ")
            assert (await say(post_office, *sending("SOML", b"hola"))).startswith(b"250 ")

    asyncio.run(main())
    assert "1 messages" in office.done("mailbox", "list", "ana@example.org")
    traced = office.done("trace", "luis@example.org")
    assert "opening" in traced and "account ana@example.org, on 1 reader" in traced
    assert "450 4.2.1 recipient is not active now (not-active" in traced


def test_a_reader_for_machines_prints_documents(office: Operator) -> None:
    office.set(ON)

    async def main() -> None:
        async with PostOffice(read(office.config)) as post_office, watching(office, "--json") as reader:
            assert reader.stdout is not None
            async with asyncio.timeout(30):
                while not (await say(post_office, *sending("SEND", b"")[:2])).startswith(b"250 "):
                    pass  # it is not there yet
                assert (await say(post_office, *sending("SAML", b"hola"))).startswith(b"250 ")
                text = b""
                while not text.endswith(b"\n}\n"):
                    text += await reader.stdout.readline()
            assert json.loads(text)["lines"] == ["Subject: lunch", "hola"]

    asyncio.run(main())


def test_what_a_reader_cannot_show_is_in_the_mailbox(office: Operator) -> None:
    office.set(ON)
    command = [sys.executable, "-m", "estafeta.cli.main", "watch", "ana@example.org", "--config", str(office.config)]

    async def main() -> None:
        async with PostOffice(read(office.config)) as post_office:
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
                assert reader.stdout is not None and reader.stderr is not None
                try:
                    await asyncio.to_thread(reader.stdout.readline)
                    reader.stdout.close()  # as with `estafeta watch ... | head -1`
                    assert (await say(post_office, *sending("SOML", b"hola"))).startswith(b"250 ")
                    assert await asyncio.to_thread(reader.wait, 30) == 1
                finally:
                    reader.kill()
                assert reader.stderr.read() == b""

    asyncio.run(main())
    assert "1 messages" in office.done("mailbox", "list", "ana@example.org")


def test_what_cannot_be_watched_is_told(office: Operator) -> None:
    office.set(LISTEN)
    assert "enabled = true" in office.refused("watch", "ana@example.org")
    office.set(ON.removeprefix(LISTEN))
    assert office.refused("watch", "nobody@example.org") == "there is no account nobody@example.org"
    assert "is not an address" in office.refused("watch", "nobody")
