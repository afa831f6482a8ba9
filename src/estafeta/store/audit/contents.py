"""Contents: each is needed by somebody, has the size that it says, and its file is there."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.store.audit.gap import Cursor, Gap, Ledger, Step
from estafeta.store.engine import Transaction
from estafeta.store.ids import IdSource
from estafeta.store.statements import Statements

_sql = Statements("audit")

_ROWS = 1000


@value
class _At:
    """Behind a content; and contents whose files were not as they should be, for a second look.

    A file goes after the commit in which its content goes: who has read the row before finds no file.
    """

    after: int
    doubtful: tuple[int, ...]


def look(tx: Transaction, ledger: Ledger, cursor: Cursor) -> Step:
    """Look at some contents, and once more at the doubtful files of the last step."""
    at: _At = cursor or _At(-1, ())
    gaps = [gap for content_id in at.doubtful if (gap := _file_gap(tx, ledger, content_id)) is not None]
    rows = tx.run(_sql.contents, after=at.after, limit=_ROWS)
    doubtful = []
    for content_id, size, real_size, file, is_needed in rows:
        name = f"content {IdSource.text(content_id)}"
        if not is_needed:
            gaps.append(
                Gap(
                    "content-unused", name, "no mailbox and no queued message needs it: it takes room, and does no harm"
                )
            )
        if file is None:
            if real_size != size:
                says = f"it has {real_size} octets in place of {size}; look in a backup for it"
                gaps.append(Gap("content-size", name, says))
        elif ledger.measure is not None and ledger.measure(file) != size:
            doubtful.append(content_id)
    if not doubtful and len(rows) < _ROWS:
        return Step(gaps, None)
    return Step(gaps, _At(rows[-1][0] if rows else at.after, tuple(doubtful)))


def _file_gap(tx: Transaction, ledger: Ledger, content_id: int) -> Gap | None:
    row = tx.one(_sql.content_file, content_id=content_id)
    if row is None or ledger.measure is None:
        return None
    file, size = row
    found = ledger.measure(file)
    if found == size:
        return None
    told = "is not there" if found is None else f"has {found} octets in place of {size}"
    return Gap(
        "content-file", f"content {IdSource.text(content_id)}", f"its file {file} {told}; look in a backup for it"
    )
