"""What an audit finds, and what its checks share: a gap, a step, and the ledger that is filled on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

from estafeta.mail.value import value
from estafeta.store.audit.expunged import ExpungedUids
from estafeta.store.engine import Transaction
from estafeta.store.records import Instant


@value
class Gap:
    """One thing that is not as it must be."""

    check: str
    """Its name, as docs/care.md has it."""
    subject: str
    """A message id, `mailbox ID`, an address..., as other commands take it where they do."""
    says: str
    """What is wrong and what can be done, in one or two sentences for the operator."""

    def __str__(self) -> str:
        return f"{self.check}: {self.subject}: {self.says}"


@dataclass(slots=True)
class Ledger:
    """What one audit knows and counts."""

    now: Instant
    since: int = 0
    """The smallest id of mail that is looked at."""
    measure: Callable[[str], int | None] | None = None
    """The size of a content's file, None where there is none; the files are not looked at without this."""
    messages: int = 0
    """Accepted mail objects that were looked at."""
    recipients: int = 0
    """Their recipients, as RCPT named them."""
    expunged: ExpungedUids = field(default_factory=ExpungedUids)


Cursor: TypeAlias = Any
"""Where a check goes on; None at its beginning, and after its end."""


@value
class Step:
    """What one short read has found."""

    gaps: list[Gap]
    cursor: Cursor


Look: TypeAlias = Callable[[Transaction, Ledger, Cursor], Step]
"""One step of a check. What it says holds on the snapshot that it read, whatever was read before."""


def at_instant(seconds: float) -> str:
    """An instant for the operator, whatever a damaged row says."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "the end of time"
