"""Maildir: one file for each message, whole or not there, by a name that a repeated delivery finds again.

As maildir(5) has it: written and synced in `tmp`, then linked into `new`, from where readers move it to `cur`. The
name is made of what stays the same (when the message was accepted, the id of its recipient, this server's name), so
after a crash between the delivery and its record the second attempt sees that the message is there.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Sequence
from pathlib import Path

from estafeta.agents.outbound.gateways.files import (
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
from estafeta.agents.outbound.gateways.settings import GatewaySettings
from estafeta.agents.outbound.outcome import Outcome
from estafeta.store.files import sync_folder
from estafeta.store.ids import IdSource
from estafeta.store.records import QueuedMessage, QueuedRecipient

_FOLDERS = ("tmp", "new", "cur")
# File systems without hard links say one of these.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


class MaildirGateway:
    """Writes each recipient's message into the Maildir that the address leads to."""

    def __init__(self, settings: GatewaySettings, *, hostname: str) -> None:
        """`hostname` becomes part of file names; it must stay the same for repeats to be known."""
        self._settings = settings
        self._host = hostname.replace("/", "\\057").replace(":", "\\072")  # as maildir(5) says
        self._places = asyncio.Semaphore(settings.concurrency)

    async def deliver(
        self, message: QueuedMessage, recipients: Sequence[QueuedRecipient], content: bytes
    ) -> list[Outcome]:
        """One outcome for each recipient; `content` is what a host would be sent."""
        async with self._places:
            return await asyncio.to_thread(self._deliver_all, recipients, content)

    def _deliver_all(self, recipients: Sequence[QueuedRecipient], content: bytes) -> list[Outcome]:
        return [self._deliver(recipient, content) for recipient in recipients]

    def _deliver(self, recipient: QueuedRecipient, content: bytes) -> Outcome:
        settings = self._settings
        try:
            path = Path(expand_path(settings.path, recipient.forward_path.address, settings.delimiter))
            octets = with_delivery_fields(content, recipient, settings.line_ends)
            with acting_as(settings.user):
                self._open(path)
                is_new = self._put(path, octets, recipient)
        except Trouble as error:
            return decided(recipient, reply_to(error, settings.name))
        text = f"delivered to the Maildir of gateway {settings.name}"
        return delivered(recipient, text if is_new else f"{text} by an attempt before")

    def _open(self, path: Path) -> None:
        if not (path / "new").is_dir() and not makes_mailboxes(self._settings):
            raise NoSuchMailbox
        for name in _FOLDERS:
            make_folders(path / name)

    def _name(self, recipient: QueuedRecipient) -> str:
        accepted_at = int(recipient.message.accepted_at)
        return f"{accepted_at}.R{IdSource.text(recipient.recipient_id)}.{self._host}"

    def _put(self, path: Path, octets: bytes, recipient: QueuedRecipient) -> bool:
        """Whether the message was not there before."""
        name = self._name(recipient)
        new = path / "new" / name
        is_new = False
        if not _is_there(path, name, was_tried=recipient.review_at is not None):
            temporary = path / "tmp" / f"{name}.{os.getpid()}"
            temporary.unlink(missing_ok=True)  # a process of this number began it, and is dead
            try:
                _write(temporary, octets)
                is_new = _publish(temporary, new)
            finally:
                temporary.unlink(missing_ok=True)
        sync_folder(new.parent)
        return is_new


def _is_there(path: Path, name: str, *, was_tried: bool) -> bool:
    """A reader may have moved it to `cur` and put flags behind its name; looking for that means reading the folder."""
    if (path / "new" / name).exists():
        return True
    if not was_tried:
        return False
    with os.scandir(path / "cur") as entries:
        return any(entry.name.partition(":")[0] == name for entry in entries)


def _write(path: Path, octets: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())


def _publish(temporary: Path, path: Path) -> bool:
    """Give a finished file its name; False where another had it first. The temporary name may stay."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        temporary.rename(path)
    return True
