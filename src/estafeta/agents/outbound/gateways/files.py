"""What Maildirs and mboxes share: acting as the user who owns them, folders made and synced, and errors as replies.

A server that runs as root writes into folders of users only with the rights of that user: the kernel keeps for each
thread as whom it touches files (setfsuid(2)), so one thread can be another user while the rest stays what it is.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from estafeta.agents.outbound.gateways.placeholders import UnfitAddress, names_in
from estafeta.agents.outbound.gateways.settings import GatewaySettings, LineEnds
from estafeta.agents.outbound.outcome import Outcome
from estafeta.mail.reply import Reply
from estafeta.mail.trace import return_path
from estafeta.store.files import sync_folder
from estafeta.store.records import Fate, QueuedRecipient

_log = structlog.get_logger("estafeta.agents.outbound.gateways")


class MisconfiguredGateway(Exception):
    """The gateway cannot be used as it is set; mail waits until the operator has seen to it."""


class NoSuchMailbox(Exception):
    """Nothing is where the recipient's address leads."""


def delivered(recipient: QueuedRecipient, text: str) -> Outcome:
    """The recipient has it."""
    return Outcome(recipient, Fate.DELIVERED, Reply.of(250, text, "2.0.0"))


def decided(recipient: QueuedRecipient, reply: Reply) -> Outcome:
    """Deferred or failed, as the reply says."""
    return Outcome(recipient, Fate.DEFERRED if reply.is_transient else Fate.FAILED, reply)


Trouble = (OSError, MisconfiguredGateway, NoSuchMailbox, UnfitAddress)
"""What may go wrong at a delivery; `reply_to` has words for it."""


def reply_to(error: Exception, gateway: str) -> Reply:
    """What went wrong, in words that name no file and no setting; these are for the log."""
    if isinstance(error, UnfitAddress):
        return Reply.of(550, str(error), "5.1.1")
    if isinstance(error, NoSuchMailbox):
        return Reply.of(550, "no such mailbox here", "5.1.1")
    _log.warning("a gateway cannot deliver", gateway=gateway, error=str(error))
    if isinstance(error, MisconfiguredGateway):
        return Reply.of(451, "mail cannot be delivered here until the operator has seen to it", "4.3.5")
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.EDQUOT:
        return Reply.of(452, "the mailbox is full", "4.2.2")
    if code in (errno.ENOSPC, errno.EFBIG):
        return Reply.of(452, "no space is left on the disk", "4.3.1")
    told = os.strerror(code).lower() if code is not None else "it is not known why"
    return Reply.of(451, f"the gateway cannot deliver now ({told})", "4.3.0")


def with_delivery_fields(content: bytes, recipient: QueuedRecipient, line_ends: LineEnds) -> bytes:
    """The content with Return-Path (RFC 5321 §4.4) and Delivered-To before it, and line ends as they are wanted."""
    fields = return_path(recipient.message.reverse_path) + f"Delivered-To: {recipient.forward_path}\r\n".encode()
    return ended(fields + content, line_ends)


def ended(octets: bytes, line_ends: LineEnds) -> bytes:
    """A content that came with CRLF, with the line ends that are wanted."""
    return octets if line_ends is LineEnds.CRLF else octets.replace(b"\r\n", b"\n")


def makes_mailboxes(settings: GatewaySettings) -> bool:
    """Whether what is not there is made: a stranger must not fill the disk with mailboxes of invented names."""
    return settings.create or not names_in(settings.path) & {"local", "user", "address"}


def make_folders(path: Path) -> None:
    """Make a folder with mode 0700, those above it that are missing too, and their names durable."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)


@contextmanager
def acting_as(user: str) -> Iterator[None]:
    """Touch files with the rights of the user, in this thread, for the time of the block.

    Root must name a user; others can be themselves only. The groups of the server's process stay beside the user's
    own group. Raises MisconfiguredGateway.
    """
    owner = _entry(user) if user else None
    if os.geteuid() != 0:
        if owner is not None and owner.pw_uid != os.geteuid():
            raise MisconfiguredGateway(f"only root can write files of {user}")
        yield
        return
    if owner is None:
        raise MisconfiguredGateway("a server that runs as root needs the gateway's user")
    if owner.pw_uid == 0:
        yield
        return
    try:
        _become(owner.pw_uid, owner.pw_gid)
        yield
    finally:
        _become(0, os.getegid())


def _entry(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError as error:
        raise MisconfiguredGateway(f"there is no user {user}") from error


def _become(uid: int, gid: int) -> None:
    """The two calls give no error, but tell the id before; -1 is no id, so asking with it changes nothing."""
    libc = ctypes.CDLL(None)
    # The group first: the right to change it may go with the user.
    for name, wanted in (("setfsgid", gid), ("setfsuid", uid)):
        change = getattr(libc, name, None)
        if change is None:
            raise MisconfiguredGateway("this system cannot write files of another user")
        change.argtypes, change.restype = [ctypes.c_uint], ctypes.c_uint
        change(wanted)
        if change(0xFFFF_FFFF) != wanted:
            raise MisconfiguredGateway(f"the rights of user {uid} cannot be taken on")
