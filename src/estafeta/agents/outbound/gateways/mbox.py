"""mbox: all messages in one file, each behind a line `From ` (RFC 4155), quoted as `mboxrd` does.

The file is locked as section 11.6 of Debian's policy asks: by fcntl(2), then by a file beside it that ends in `.lock`.
What was written when the disk is full is cut off again. A crash between writing and its record cannot be told from
one before: such a message is in the file twice, or partly and then whole. A Maildir has no such gap.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import stat
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakValueDictionary

from estafeta.agents.outbound.gateways.files import (
    MisconfiguredGateway,
    NoSuchMailbox,
    Trouble,
    acting_as,
    decided,
    delivered,
    make_folders,
    makes_mailboxes,
    reply_to,
    with_delivery_fields,
)
from estafeta.agents.outbound.gateways.placeholders import expand_path
from estafeta.agents.outbound.gateways.settings import GatewaySettings, LineEnds
from estafeta.agents.outbound.outcome import Outcome
from estafeta.mail.address import ReversePath
from estafeta.mail.reply import Reply
from estafeta.store.files import sync_folder
from estafeta.store.records import QueuedMessage, QueuedRecipient

# mboxrd: a line `From `, with any number of `>` before it, gets one more.
_FROM_LINE = re.compile(rb"^(>*From )", re.MULTILINE)
_LOCK_TRIES = 30
_LOCK_AFTER = 1.0
"""Seconds between two tries; programs hold these locks for as long as they read the file."""
_STALE_AFTER = 500.0
"""Seconds after which a lock file's maker is taken for dead, as Postfix's stale_lock_time."""


class _Locked(Exception):
    """Another program has the mailbox."""


class MboxGateway:
    """Appends each recipient's message to the file that the address leads to."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`clock` gives seconds since 1970, `sleep` waits for seconds."""
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._places = asyncio.Semaphore(settings.concurrency)
        # Locks of fcntl(2) hold between processes only, so the deliveries of this one take turns at each file.
        self._turns: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()

    async def deliver(
        self, message: QueuedMessage, recipients: Sequence[QueuedRecipient], content: bytes
    ) -> list[Outcome]:
        """One outcome for each recipient; `content` is what a host would be sent."""
        async with self._places:
            return [await self._deliver(recipient, content) for recipient in recipients]

    async def _deliver(self, recipient: QueuedRecipient, content: bytes) -> Outcome:
        settings = self._settings
        octets = with_delivery_fields(content, recipient, LineEnds.LF)
        try:
            path = Path(expand_path(settings.path, recipient.forward_path.address, settings.delimiter))
            entry = mbox_entry(octets, recipient.message.reverse_path, self._clock())
            if await self._append_in_turn(path, entry):
                return delivered(recipient, f"delivered to the mbox of gateway {settings.name}")
        except Trouble as error:
            return decided(recipient, reply_to(error, settings.name))
        return decided(recipient, Reply.of(451, "the mailbox is in use by another program", "4.2.0"))

    async def _append_in_turn(self, path: Path, entry: bytes) -> bool:
        """False when another program does not let go of the file."""
        turn = self._turns.setdefault(path, asyncio.Lock())
        async with turn:
            for number in range(_LOCK_TRIES):
                if number:
                    await self._sleep(_LOCK_AFTER)
                with suppress(_Locked):
                    await asyncio.to_thread(self._append, path, entry)
                    return True
        return False

    def _append(self, path: Path, entry: bytes) -> None:
        with acting_as(self._settings.user):
            if not path.exists():
                if not makes_mailboxes(self._settings):
                    raise NoSuchMailbox
                make_folders(path.parent)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                _check(descriptor)
                try:
                    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise _Locked from error
                with _lock_file(Path(f"{path}.lock"), self._clock):
                    _append(file.fileno(), entry)
                    sync_folder(path.parent)


def mbox_entry(octets: bytes, reverse_path: ReversePath, at: float) -> bytes:
    """A message with LF as an entry of an mbox: `From ` line, quoted text, an empty line."""
    sender = "MAILER-DAEMON" if reverse_path.is_null else str(reverse_path).replace(" ", "_")
    line = f"From {sender} {time.asctime(time.gmtime(at))}\n".encode()  # RFC 4155 §3: UTC, without a zone
    quoted = _FROM_LINE.sub(rb">\1", octets)
    return line + quoted + (b"\n" if quoted.endswith(b"\n") else b"\n\n")


def _check(descriptor: int) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise MisconfiguredGateway("the mbox is no regular file")
    if status.st_nlink != 1:  # someone may have linked a file of the user's to where mail is written
        raise MisconfiguredGateway("the mbox has several names")


@contextmanager
def _lock_file(path: Path, clock: Callable[[], float]) -> Iterator[None]:
    try:
        if clock() - path.lstat().st_mtime > _STALE_AFTER:
            path.unlink()
    except FileNotFoundError:
        pass
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise _Locked from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(f"{os.getpid()}\n".encode())
        yield
    finally:
        path.unlink(missing_ok=True)


def _append(descriptor: int, entry: bytes) -> None:
    """Write all of it, or leave the file as it was."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    if end and os.pread(descriptor, 1, end - 1) != b"\n":
        entry = b"\n\n" + entry  # whoever wrote last did not get to its end
    view = memoryview(entry)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)
        os.fsync(descriptor)
        raise
