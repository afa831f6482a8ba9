"""Rows for reading many messages at once: one statement for a range of UIDs, as wide as the question needs.

A row is a plain tuple, and its `Shape` says which column is where: messages are read by the hundred thousand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from estafeta.store.engine import Row, Transaction
from estafeta.store.records import MailboxId
from estafeta.store.statements import Statement, Statements

_sql = Statements("fetching")

_ROW = ("uid", "internal_at", "size")
_FULL = (*_ROW, "content_id", "saved_at", "prefix")
_OCTETS = ("octets", "file", "content_size")
_DESCRIBED = ("envelope", "body", "body_structure", "preview", "message_ids", "parts")


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """How wide rows are."""

    statement: Statement
    columns: tuple[str, ...]
    described: tuple[str, ...] = ()
    """Those at the end that are NULL while the content was not described."""

    @property
    def has_octets(self) -> bool:
        """Content, or the first of it, is in the rows."""
        return "octets" in self.columns


ROWS = Shape(_sql.rows, _ROW)
FULL_ROWS = Shape(_sql.full_rows, _FULL)
ENVELOPED = Shape(_sql.enveloped, (*_ROW, "content_id", "envelope"), ("envelope",))
DESCRIBED = Shape(_sql.described, (*_FULL, *_DESCRIBED), _DESCRIBED)
HEADED = Shape(_sql.with_octets, (*_ROW, "content_id", "prefix", *_OCTETS))
"""With the first octets of the content, whose size is `content_size`; NULL where it is in `file`."""
DESCRIBED_HEADED = Shape(_sql.described_with_octets, (*_FULL, *_OCTETS, *_DESCRIBED), _DESCRIBED)
WHOLE = Shape(_sql.whole, (*_ROW, "prefix", *_OCTETS))
DESCRIBED_WHOLE = Shape(_sql.described_whole, (*_FULL, *_OCTETS, *_DESCRIBED), _DESCRIBED)

SHAPES = (ROWS, FULL_ROWS, ENVELOPED, DESCRIBED, HEADED, DESCRIBED_HEADED, WHOLE, DESCRIBED_WHOLE)
"""From the cheapest to the dearest."""


def rows(
    tx: Transaction, shape: Shape, mailbox_id: MailboxId, ranges: Iterable[tuple[int, int]], *, most: int = 0
) -> list[Row]:
    """The messages in ranges of UIDs, ascending; of their content at most so many octets where the shape is HEADED."""
    found: list[Row] = []
    values: dict[str, object] = {"mailbox_id": mailbox_id}
    if shape is HEADED or shape is DESCRIBED_HEADED:
        values["most"] = most
    for first, last in ranges:
        found += tx.run(shape.statement, first=first, last=last, **values)
    return found
