"""What SEARCH, SORT and THREAD ask of rows: one statement for a whole mailbox each. All give UIDs, ascending."""

from __future__ import annotations

from functools import lru_cache

from estafeta.store.engine import Row, Transaction
from estafeta.store.records import MailboxId
from estafeta.store.statements import Statement, Statements

_sql = Statements("searching")

EVER = float(2**53)
"""Later than any instant."""

_ORDERS = {
    "ARRIVAL": "m.internal_at",
    "CC": "d.sort_cc",
    # RFC 5256 §2.2: a message without a date counts as sent when it came.
    "DATE": "coalesce(d.sent_at, m.internal_at)",
    "FROM": "d.sort_from",
    "SIZE": "m.size",
    "SUBJECT": "d.subject",
    "TO": "d.sort_to",
    "DISPLAYFROM": "d.display_from",
    "DISPLAYTO": "d.display_to",
}


def came(tx: Transaction, mailbox_id: MailboxId, low: float, high: float) -> list[int]:
    """Messages with an INTERNALDATE from `low` on and before `high`."""
    return _uids(tx.run(_sql.came_between, mailbox_id=mailbox_id, low=low, high=high))


def saved(tx: Transaction, mailbox_id: MailboxId, low: float, high: float) -> list[int]:
    """Messages that were put into the mailbox from `low` on and before `high`."""
    return _uids(tx.run(_sql.saved_between, mailbox_id=mailbox_id, low=low, high=high))


def sent(tx: Transaction, mailbox_id: MailboxId, low: str, high: str) -> list[int]:
    """Messages whose Date names a day from `low` on and before `high` (2030-01-31)."""
    return _uids(tx.run(_sql.sent_between, mailbox_id=mailbox_id, low=low, high=high))


def sized(tx: Transaction, mailbox_id: MailboxId, above: int, below: int) -> list[int]:
    """Messages of more than `above` and less than `below` octets."""
    return _uids(tx.run(_sql.sized_between, mailbox_id=mailbox_id, above=above, below=below))


def prefixes(tx: Transaction, mailbox_id: MailboxId) -> list[tuple[int, bytes]]:
    """UIDs, and what was put before the content, where there is any."""
    return tx.run(_sql.prefixes, mailbox_id=mailbox_id)


def identities(tx: Transaction, mailbox_id: MailboxId, first: int, last: int) -> list[Row]:
    """UID, content id, prefix, and ids as descriptions keep them, of the messages in a range of UIDs."""
    return tx.run(_sql.identities, mailbox_id=mailbox_id, first=first, last=last)


def conversations(tx: Transaction, mailbox_id: MailboxId) -> list[Row]:
    """UID, instant, base subject, whether it is a reply, and ids, of all messages."""
    return tx.run(_sql.conversations, mailbox_id=mailbox_id)


def ordered(tx: Transaction, mailbox_id: MailboxId, criteria: tuple[tuple[str, bool], ...]) -> list[int]:
    """All messages by the keys of SORT, each with whether it is reversed; what is equal stays in the order of UIDs."""
    return _uids(tx.run(_ordering(criteria), mailbox_id=mailbox_id))


@lru_cache(maxsize=64)
def _ordering(criteria: tuple[tuple[str, bool], ...]) -> Statement:
    keys = [_ORDERS[name] + (" DESC" if is_reverse else "") for name, is_reverse in criteria]
    needs_description = any(_ORDERS[name].find("d.") >= 0 for name, _ in criteria)
    join = "JOIN descriptions AS d ON d.content_id = m.content_id " if needs_description else ""
    order = ", ".join([*keys, "m.uid"])
    text = f"SELECT m.uid FROM messages AS m {join}WHERE m.mailbox_id = :mailbox_id ORDER BY {order}"  # noqa: S608 - of the table above
    return Statement("ordered", "All messages of a mailbox in an order.", text)


def _uids(rows: list[Row]) -> list[int]:
    return [uid for (uid,) in rows]
