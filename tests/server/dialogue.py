"""A client that says lines and reads replies, against a server of the library on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from estafeta.server import Server

T = TypeVar("T")

ENVELOPE = ("EHLO client.example", "MAIL FROM:<ana@example.org>", "RCPT TO:<luis@example.net>")
TEXT = "Subject: x\r\n\r\nHello.\r\n"


class Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def reply(self) -> str:
        """The next reply, its lines parted by a newline; empty at the end of the connection."""
        lines = []
        while True:
            line = (await asyncio.wait_for(self._reader.readline(), 10)).decode()
            if not line:
                return ""
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    async def say(self, *lines: str) -> str:
        """Each line, waiting for each reply; gives the last one."""
        reply = ""
        for line in lines:
            self._writer.write(line.encode() + b"\r\n")
            reply = await self.reply()
        return reply

    async def deliver(self, content: str = TEXT) -> str:
        """DATA and the content; gives the last reply."""
        assert (await self.say("DATA")).startswith("354")
        self._writer.write(content.encode() + b".\r\n")
        return await self.reply()

    async def send(self, octets: bytes) -> None:
        self._writer.write(octets)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def called(server: Server) -> Line:
    """A connection whose greeting was not read."""
    return Line(*await asyncio.open_connection(server.host, server.port))


def talk(server: Server, scene: Callable[[Line], Awaitable[T]]) -> T:
    """Runs a scene with a connection that was greeted."""

    async def run() -> T:
        async with asyncio.timeout(30), server:
            line = await called(server)
            try:
                assert (await line.reply()).startswith("220 ")
                return await scene(line)
            finally:
                await line.close()

    return asyncio.run(run())
