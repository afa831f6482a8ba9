"""Runs messages through the post office and counts what they cost; a child process of `bench.guard`.

    python -m bench.guard.driver FOLDER [MARKS]

`MARKS` is the library that tells valgrind where the counting begins and ends. Without it the CPU time of the process
is taken, the least of several batches. Each scenario is warmed up first: what is counted is messages alone.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from bench.correspondence import letters
from bench.guard.office import PASSWORD, USER, MemoryLoop, Office, open_office, run_in_memory

from estafeta.config.settings import ListenerKind

SESSIONS = 10
MESSAGES = 200
"""Of a batch, in all sessions together."""
MAILBOX = 200
COUNTED = 4
"""Batches of which the fewest instructions count: how a relayed message falls together with others is not the same
each time."""
BATCHES = 15
"""Of which the least CPU time counts."""
TEXT = b"".join(b"%02d %s\r\n" % (number, b"X" * 74) for number in range(13))
CONTENT = b"From: <bench@sender.test>\r\nTo: <foo@bench.test>\r\nSubject: bench\r\n\r\n" + TEXT + b".\r\n"
"""A kibibyte, as `smtp-source` makes it."""

_LONGEST = 4000
"""Octets of a tagged line, and more."""

Batch = Callable[[], Awaitable[int]]


class Talker(asyncio.Protocol):
    """A client that says one thing for each reply, until it has said all."""

    def __init__(self, script: Iterable[bytes]) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._script = iter(script)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The server speaks first."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """A reply; the server sends each as a whole."""
        assert self._transport is not None
        if data[0] not in b"23":
            self.ended.set_exception(RuntimeError(f"refused: {data!r}"))
            return
        said = next(self._script, None)
        if said is not None:
            self._transport.write(said)
        else:
            self._transport.close()
            self.ended.set_result(None)


class Reader(asyncio.Protocol):
    """A client that sends a command and waits for its tagged line."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._tag = b"* "
        self._tail = b""
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The server speaks first."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Look for the tagged line at the end."""
        tail = self._tail = (self._tail + data[-_LONGEST:])[-_LONGEST:]
        before = tail.rfind(b"\r\n", 0, -2)
        line = tail[before + 2 :] if before >= 0 else tail
        if tail.endswith(b"\r\n") and line.startswith(self._tag) and not self._done.done():
            if line[len(self._tag) :].startswith(b"OK"):
                self._done.set_result(None)
            else:
                self._done.set_exception(RuntimeError(f"refused: {line!r}"))

    async def greeted(self) -> None:
        """Wait for the greeting."""
        await self._done

    async def ask(self, command: str) -> None:
        """A command and its whole answer."""
        assert self.transport is not None
        self._tag, self._tail = b"tag ", b""
        self._done = asyncio.get_running_loop().create_future()
        self.transport.write(f"tag {command}\r\n".encode())
        await self._done


class Sink(asyncio.Protocol):
    """The next host: takes all, keeps nothing; it offers PIPELINING, as `smtp-sink` does."""

    taken = 0

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._is_content = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink.bench.test ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        """Commands, or content."""
        assert self._transport is not None
        octets, replies = self._rest + data, []
        while octets:
            if self._is_content:
                end = octets.find(b"\r\n.\r\n")
                if end < 0:
                    break
                octets, self._is_content = octets[end + 5 :], False
                Sink.taken += 1
                replies.append(b"250 2.0.0 Ok\r\n")
                continue
            line, found, rest = octets.partition(b"\r\n")
            if not found:
                break
            octets, verb = rest, line[:4].upper()
            if verb == b"EHLO":
                replies.append(b"250-sink.bench.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif verb == b"DATA":
                self._is_content = True
                replies.append(b"354 End data with <CR><LF>.<CR><LF>\r\n")
            else:
                replies.append(b"221 Bye\r\n" if verb == b"QUIT" else b"250 2.0.0 Ok\r\n")
        self._rest = octets
        if replies:
            self._transport.write(b"".join(replies))


def _transactions(count: int, recipient: str, content: bytes = CONTENT) -> list[bytes]:
    envelope = [b"MAIL FROM:<bench@sender.test>\r\n", f"RCPT TO:<{recipient}>\r\n".encode(), b"DATA\r\n", content]
    return envelope * count


async def _talk(office: Office, scripts: list[list[bytes]]) -> None:
    talkers = [Talker([b"HELO client.sender.test\r\n", *script, b"QUIT\r\n"]) for script in scripts]
    for talker in talkers:
        office.call(ListenerKind.SMTP, talker)
    await asyncio.gather(*(talker.ended for talker in talkers))


async def accept_kept(office: Office) -> int:
    """Into the mailbox, many messages on each connection."""
    await _talk(office, [_transactions(MESSAGES // SESSIONS, USER)] * SESSIONS)
    return MESSAGES


async def accept_each(office: Office) -> int:
    """Into the mailbox, a connection for each message."""

    async def one_by_one() -> None:
        for _ in range(MESSAGES // SESSIONS):
            await _talk(office, [_transactions(1, USER)])

    await asyncio.gather(*(one_by_one() for _ in range(SESSIONS)))
    return MESSAGES


async def relay(office: Office) -> int:
    """To the next host, and the queue empty again."""
    wanted = Sink.taken + MESSAGES
    await _talk(office, [_transactions(MESSAGES // SESSIONS, "foo@[127.0.0.2]")] * SESSIONS)
    while Sink.taken < wanted or office.office.in_memory:  # noqa: ASYNC110 - the dispatcher tells nobody
        await asyncio.sleep(0.01)
    return MESSAGES


async def measure(office: Office, loop: MemoryLoop, count: Callable[[str, Batch], Awaitable[None]]) -> None:
    """All scenarios, one after the other."""
    Sink.taken = 0
    loop.next_host = Sink
    reader = Reader()
    office.call(ListenerKind.IMAP, reader)
    await reader.greeted()
    await reader.ask(f'LOGIN {USER} "{PASSWORD}"')
    for _, octets in letters(MAILBOX):
        await _talk(office, [_transactions(1, USER, octets.replace(b"\r\n.", b"\r\n..") + b".\r\n")])
    await reader.ask("SELECT INBOX")

    async def fetch(items: str) -> int:
        await reader.ask(f"FETCH 1:{MAILBOX} {items}")
        return MAILBOX

    await count("IMAP fetch of descriptions", lambda: fetch("(FLAGS ENVELOPE INTERNALDATE RFC822.SIZE)"))
    await count("IMAP fetch of messages", lambda: fetch("BODY.PEEK[]"))
    assert reader.transport is not None
    reader.transport.close()
    await count("accept, kept connections", lambda: accept_kept(office))
    await count("accept, a connection each", lambda: accept_each(office))
    await count("relay", lambda: relay(office))


async def _instructions(marks: ctypes.CDLL, what: str, batch: Batch) -> None:
    await batch()
    for _ in range(COUNTED):
        gc.collect()
        marks.begin_counting()
        messages = await batch()
        marks.end_counting(f"{what}={messages}".encode())


async def _cpu(found: dict[str, float], what: str, batch: Batch) -> None:
    await batch()
    times = []
    for _ in range(BATCHES):
        begin = time.process_time()
        messages = await batch()
        times.append((time.process_time() - begin) / messages)
    found[what] = min(times) * 1e6


def main() -> None:
    """Count; without marks print CPU microseconds a message as JSON."""
    folder = Path(sys.argv[1])
    marks = ctypes.CDLL(sys.argv[2]) if len(sys.argv) > 2 else None
    found: dict[str, float] = {}

    async def run(loop: MemoryLoop) -> None:
        async with open_office(folder) as office:
            # As the server does after its start.
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 50)

            async def count(what: str, batch: Batch) -> None:
                if marks is not None:
                    await _instructions(marks, what, batch)
                else:
                    await _cpu(found, what, batch)

            await measure(office, loop, count)

    run_in_memory(run)
    if marks is None:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
