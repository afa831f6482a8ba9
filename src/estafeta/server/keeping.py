"""Handlers that keep what comes: in memory for tests, in a folder, a Maildir or an mbox.

Those that write have the message on the disk before the client hears 250.
"""

from __future__ import annotations

import asyncio
import mailbox
import os
import threading
import time
from pathlib import Path

from estafeta.server.handler import Handler
from estafeta.server.message import Message
from estafeta.server.session import Session


class Collector(Handler):
    """Keeps messages in memory; may be asked from any thread."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._arrived = threading.Condition()

    @property
    def messages(self) -> tuple[Message, ...]:
        """All that have come, in their order."""
        with self._arrived:
            return tuple(self._messages)

    async def on_message(self, session: Session, message: Message) -> None:
        """Keep it."""
        with self._arrived:
            self._messages.append(message)
            self._arrived.notify_all()

    def wait(self, count: int = 1, timeout: float = 10.0) -> tuple[Message, ...]:
        """All messages, as soon as there are `count`. Blocks its thread, which must not be the server's; raises
        TimeoutError after `timeout` seconds."""
        ends_at = time.monotonic() + timeout
        with self._arrived:
            while len(self._messages) < count:
                if not self._arrived.wait(max(ends_at - time.monotonic(), 0.0)) and time.monotonic() >= ends_at:
                    raise TimeoutError(f"{len(self._messages)} of {count} messages came within {timeout:g} s")
            return tuple(self._messages)

    async def arrived(self, count: int = 1, timeout: float = 10.0) -> tuple[Message, ...]:
        """As `wait`, for programs with an event loop."""
        return await asyncio.to_thread(self.wait, count, timeout)

    def clear(self) -> None:
        """Forget them."""
        with self._arrived:
            self._messages.clear()


class FolderKeeper(Handler):
    """One file for each message, `<id>.eml`: the content, octet for octet, behind its trace fields."""

    def __init__(self, folder: str | Path) -> None:
        """The folder is made where it is not there."""
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)

    async def on_message(self, session: Session, message: Message) -> None:
        """Write it."""
        await asyncio.to_thread(self._write, message)

    def _write(self, message: Message) -> None:
        target = self._folder / f"{message.id}.eml"
        unready = target.with_suffix(".new")
        with unready.open("xb") as file:
            file.write(message.trace() + message.content)
            file.flush()
            os.fsync(file.fileno())
        unready.rename(target)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class MaildirKeeper(Handler):
    """A Maildir, as mail readers and IMAP servers know it; lines end in LF there."""

    def __init__(self, folder: str | Path) -> None:
        """The Maildir is made where it is not there."""
        self._maildir = mailbox.Maildir(Path(folder), create=True)
        self._writing = asyncio.Lock()

    async def on_message(self, session: Session, message: Message) -> None:
        """Write it."""
        async with self._writing:
            await asyncio.to_thread(self._maildir.add, _in_local_form(message))


class MboxKeeper(Handler):
    """An mbox file, locked while it is written; lines end in LF there."""

    def __init__(self, file: str | Path) -> None:
        """The file is made where it is not there."""
        self._file = Path(file)
        self._writing = asyncio.Lock()

    async def on_message(self, session: Session, message: Message) -> None:
        """Append it."""
        async with self._writing:
            await asyncio.to_thread(self._append, message)

    def _append(self, message: Message) -> None:
        box = mailbox.mbox(self._file, create=True)
        try:
            box.lock()
            # RFC 4155: the line between messages names who sent them.
            from_line = (
                f"From {message.reverse_path or 'MAILER-DAEMON'} {time.asctime(time.gmtime(message.received_at))}"
            )
            box.add(from_line.encode() + b"\n" + _in_local_form(message))
            box.flush()
        finally:
            box.close()


def _in_local_form(message: Message) -> bytes:
    return (message.trace() + message.content).replace(b"\r\n", b"\n")
