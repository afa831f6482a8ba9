"""What is known of a content once it was read, kept beside it; it goes with the content."""

from __future__ import annotations

from collections.abc import Iterable

from estafeta.mail.mime.description import Description
from estafeta.store.engine import Transaction
from estafeta.store.records import MailboxId
from estafeta.store.statements import Statements

_sql = Statements("descriptions")


def keep(tx: Transaction, content_id: int, made: Description) -> None:
    """Keep a description, unless there is one, or the content is gone."""
    tx.do(
        _sql.keep_description,
        content_id=content_id,
        envelope=made.envelope,
        body=made.body,
        body_structure=made.body_structure,
        parts=made.parts,
        preview=made.preview,
        sent_at=made.sent_at,
        sent_day=made.sent_day,
        subject=made.subject,
        is_reply=int(made.is_reply),
        sort_from=made.sort_from,
        sort_to=made.sort_to,
        sort_cc=made.sort_cc,
        display_from=made.display_from,
        display_to=made.display_to,
        message_ids="\n".join((made.message_id or "", *made.references)),
    )


def of(tx: Transaction, content_ids: Iterable[int]) -> dict[int, Description]:
    """Those that are there."""
    found: dict[int, Description] = {}
    for content_id in content_ids:
        row = tx.one(_sql.description, content_id=content_id)
        if row is not None:
            before, is_reply, after, message_ids = row[:8], bool(row[8]), row[9:14], row[14]
            own, *references = message_ids.split("\n")
            found[content_id] = Description(*(*before, is_reply, *after, own or None, tuple(references)))
    return found


def missing(tx: Transaction, mailbox_id: MailboxId, *, first: int = 1, limit: int) -> list[int]:
    """Contents of a mailbox that are not described, of messages from a UID on."""
    rows = tx.run(_sql.not_described, mailbox_id=mailbox_id, first=first, limit=limit)
    return [content_id for (content_id,) in rows]


def known(tx: Transaction, content_ids: Iterable[int]) -> set[int]:
    """Those of the contents that are described."""
    return {content_id for content_id in content_ids if tx.one(_sql.is_described, content_id=content_id) is not None}
