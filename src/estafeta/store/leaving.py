"""Recipients leave the queue, each message with its last recipient, each content with its last use.

This is done for every message that goes on, so it costs one question, and rows that are removed together with those
of other changes at the end of the group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from estafeta.store.engine import Row, Transaction
from estafeta.store.records import HolderId, RecipientId
from estafeta.store.several import listing, parts
from estafeta.store.statements import Statements

_sql = Statements("leaving")


class _Ending(NamedTuple):
    """What may leave with a recipient."""

    recipient_id: RecipientId
    message_id: int
    content_id: int
    size: int
    recipients: int
    """Of the message; 65 for any number that is greater than one part of ids."""
    envelopes: int
    """Of the content; likewise."""
    copies: int
    """In mailboxes; 1 for any number."""
    file: str


def leave(tx: Transaction, recipient_ids: Sequence[RecipientId], holder: HolderId | None) -> list[RecipientId]:
    """Let recipients leave that a process, or for None anybody, has claimed, with all that only they needed.

    Gives those that left.
    """
    left: list[RecipientId] = []
    for ids in parts(recipient_ids):
        endings = _endings(tx, ids, holder)
        parting = Counter(one.message_id for one in endings)
        finished = {one.message_id: one for one in endings if one.recipients == parting[one.message_id]}
        folding = Counter(one.content_id for one in finished.values())
        waiting = changing(tx)
        for one in endings:
            left.append(one.recipient_id)
            waiting.update((one.recipient_id, one.message_id, one.content_id))
            tx.later(_sql.end_recipient, {"recipient_id": one.recipient_id})
        for one in finished.values():
            tx.later(_sql.end_message, {"message_id": one.message_id})
        for one in {one.content_id: one for one in finished.values()}.values():
            if one.envelopes == folding[one.content_id] and not one.copies:
                tx.later(_sql.end_content, {"content_id": one.content_id})
                if one.file:
                    tx.remove_file(one.file)
    return left


def changing(tx: Transaction) -> set[int]:
    """The recipients, messages and contents whose rows wait to be changed or removed (`Transaction.later`)."""
    waiting: set[int] = tx.memory.setdefault("queue", set())
    return waiting


def _endings(tx: Transaction, ids: Sequence[RecipientId], holder: HolderId | None) -> list[_Ending]:
    statement, named = listing(_sql.endings, ids)

    def ask(look: Callable[..., Row | None]) -> list[_Ending]:
        row = look(statement, holder=holder or 0, is_for_all=int(holder is None), **named)
        texts = row[0].split(",") if row is not None and row[0] is not None else ()
        return [_Ending._make([*map(int, text.split(" ")[:-1]), text.split(" ")[-1]]) for text in texts]

    # Rows that wait to be written are mostly those of messages just accepted: no matter, unless these are concerned.
    found = ask(tx.peek)
    if len(found) < len(ids) or not changing(tx).isdisjoint(number for one in found for number in one[:3]):
        found = ask(tx.one)
    return found
