"""Fifty kept sessions that send numbered messages and write down, as they read it, what was answered 250."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count

SESSIONS = 50
_NUMBER = re.compile(rb"^Subject: (\d+)\r$", re.MULTILINE)


class Load:
    """Messages to one recipient; the numbers go on from round to round."""

    def __init__(self, port: int, recipient: str) -> None:
        self.port = port
        self.recipient = recipient
        self.sent = 0
        """Messages of which at least a part was sent."""
        self.answered: set[int] = set()
        """The numbers of those that were answered 250."""
        self.last_replies: list[bytes] = []
        """The last reply that each session read in the last round."""
        self._numbers = count(1)

    async def run_until(self, interruption: Callable[[], Awaitable[None]]) -> None:
        """Send with all sessions until the server cuts them, which the interruption brings about."""
        self.last_replies.clear()
        sessions = [asyncio.create_task(self._session()) for _ in range(SESSIONS)]
        await interruption()
        async with asyncio.timeout(60):
            await asyncio.gather(*sessions)

    async def until_answered(self) -> None:
        """Wait for the next 250 to a message."""
        before = len(self.answered)
        async with asyncio.timeout(60):
            while len(self.answered) == before:
                await asyncio.sleep(0.01)

    async def _session(self) -> None:
        last = b""
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                last = await reader.readuntil(b"\r\n")
                writer.write(b"HELO load.example.net\r\n")
                last = await reader.readuntil(b"\r\n")
                while last.startswith(b"250"):
                    number = next(self._numbers)
                    last = await self._send(number, reader, writer)
                    if last.startswith(b"250"):
                        self.answered.add(number)
            except (OSError, asyncio.IncompleteReadError):
                last = b"cut after " + last
                raise
            finally:
                self.last_replies.append(last)
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    async def _send(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """One transaction; gives the reply to the final dot, or the one that ended it before."""
        self.sent += 1
        for command, wanted in (
            (b"MAIL FROM:<load@example.net>\r\n", b"250"),
            (b"RCPT TO:<%s>\r\n" % self.recipient.encode(), b"250"),
            (b"DATA\r\n", b"354"),
        ):
            writer.write(command)
            reply = await reader.readuntil(b"\r\n")
            if not reply.startswith(wanted):
                return reply
        writer.write(content(number) + b".\r\n")
        return await reader.readuntil(b"\r\n")


def content(number: int) -> bytes:
    """The message; every tenth is one that the store keeps as a file."""
    lines = 200 if number % 10 == 0 else 10
    return b"Subject: %d\r\n\r\n" % number + b"%08d numbered, so that half a message shows\r\n" % number * lines


def found_numbers(messages: list[bytes]) -> Counter[int]:
    """How often each number was found; each message must be whole."""
    found: Counter[int] = Counter()
    for message in messages:
        match = _NUMBER.search(message)
        assert match is not None, message[:300]
        number = int(match[1])
        assert message.endswith(content(number)), f"message {number} is not whole"
        found[number] += 1
    return found
