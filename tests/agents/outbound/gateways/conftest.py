"""Queued mail for gateways, and a folder that belongs to whoever its files are to belong to."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from estafeta.agents.outbound.outcome import Outcome
from estafeta.mail.address import NULL_REVERSE_PATH, Address, ForwardPath, ReversePath
from estafeta.mail.envelope import OriginalRecipient
from estafeta.store.records import (
    ContentId,
    Instant,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
)

CONTENT = b"Subject: x\r\n\r\nFrom here on\r\n>From there\r\n\r\n.\r\nlast\r\n"
ACCEPTED_AT = Instant(1_795_000_000.5)
MESSAGE_ID = MessageId(1234567890123)


def message(sender: str = "ana@example.net", *, account: str | None = None, envid: str | None = None) -> QueuedMessage:
    """A message that waits; the sender is an address, or empty."""
    reverse_path = ReversePath(Address.parse(sender)) if sender else NULL_REVERSE_PATH
    return QueuedMessage(
        MESSAGE_ID, ContentId(7), reverse_path, ACCEPTED_AT, len(CONTENT), account=account, envid=envid
    )


def recipient(
    address: str = "luis@example.org",
    *,
    number: int = 1,
    of: QueuedMessage | None = None,
    was_tried: bool = False,
    original: str | None = None,
) -> QueuedRecipient:
    """One of its recipients; one that was tried before has a time at which to look at it."""
    return QueuedRecipient(
        RecipientId(9_000_000_000 + number),
        of or message(),
        ForwardPath(Address.parse(address)),
        "gateway:test",
        QueueStatus.ACTIVE,
        ACCEPTED_AT,
        ACCEPTED_AT if was_tried else None,
        original=OriginalRecipient("rfc822", original) if original else None,
    )


def said(outcome: Outcome) -> tuple[str, str]:
    """What became of a recipient: the fate, and the reply."""
    return str(outcome.fate), str(outcome.reply)


@dataclass(frozen=True)
class Place:
    """A folder, and the user whom it belongs to: as the settings name him, and by number."""

    folder: Path
    user: str
    uid: int


@pytest.fixture
def place() -> Iterator[Place]:
    """A folder whose owner is not root: where the tests run as root, it is nobody's."""
    with tempfile.TemporaryDirectory(prefix="estafeta-gateway-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            yield Place(folder, "nobody", nobody.pw_uid)
        else:
            yield Place(folder, "", os.geteuid())


@pytest.fixture
def as_root() -> None:
    """The test is about what root does."""
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("the tests must run as root here")
        pytest.skip("only root can do this")
