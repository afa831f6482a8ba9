"""The journal: what happened and why, one compact row a session, transaction or attempt.

Entries are found by ids, and by texts (addresses, Message-IDs) through an index of hashes; the text is
checked in the entry. They change only for retention: `redact` blanks personal data, `prune` removes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b

from estafeta.mail.value import value
from estafeta.store.engine import Row, Transaction
from estafeta.store.ids import IdSource
from estafeta.store.records import EntryKind, Instant, JournalEntry, MailboxId, MessageId, RecipientId
from estafeta.store.statements import Statements

_sql = Statements("journal")

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_DAY_SECONDS = 86_400
_HASH_BITS = 47
"""Beside 16 bits of days since 1970 (until 2149) in a signed 64-bit integer."""
_HASH_MASK = (1 << _HASH_BITS) - 1
_REDACTED = "redacted"


@value
class Ends:
    """Where a message went: `estafeta audit` finds it there again. Facts `delivered` and `queued` of the entry."""

    delivered: Sequence[tuple[MailboxId, int]] = ()
    """Mailboxes, and the UIDs there."""
    queued: Sequence[RecipientId] = ()

    @property
    def text(self) -> str:
        """As it stands in the entry; made by hand, for it is made for every message."""
        places = ",".join([f'["{_name_of(mailbox_id)}",{uid}]' for mailbox_id, uid in self.delivered])
        if not self.queued:
            return f'"delivered":[{places}]'
        ids = '","'.join(map(IdSource.text, self.queued))
        return f'"delivered":[{places}],"queued":["{ids}"]'


_name_of = lru_cache(maxsize=4096)(IdSource.text)
"""Of mailboxes, which come again and again."""


def record(tx: Transaction, entry: JournalEntry, ends: Ends | None = None) -> None:
    """Add an entry."""
    _insert(tx, tx.ids.next_id(), entry, entry.message_id, ends)


def record_once(tx: Transaction, message_id: MessageId, entry: JournalEntry, ends: Ends | None = None) -> bool:
    """Add the entry of an accepted mail object; False when that mail object was accepted before."""
    return _insert(tx, message_id, entry, message_id, ends)


def by_message(tx: Transaction, message_id: int) -> list[JournalEntry]:
    """All entries about a message, oldest first."""
    return [_entry(row) for row in tx.run(_sql.entries_of_message, message_id=message_id)]


def by_session(tx: Transaction, session_id: int) -> list[JournalEntry]:
    """All entries of a session, oldest first."""
    return [_entry(row) for row in tx.run(_sql.entries_of_session, session_id=session_id)]


def by_key(tx: Transaction, text: str, *, limit: int) -> list[JournalEntry]:
    """The newest entries that have this key (an address or Message-ID in any case), newest first."""
    text = text.lower()
    hashed = _hash(text)
    found: list[JournalEntry] = []
    before = 1 << 63
    while len(found) < limit:
        # The newest day that is left and has any keys.
        row = tx.one(_sql.newest_key, before=before - 1)
        if row is None or row[0] is None:
            break
        day = row[0] >> _HASH_BITS
        rows = tx.run(_sql.entries_with_key, key=day << _HASH_BITS | hashed)
        found += [entry for entry in map(_entry, rows) if text in entry.keys]
        before = day << _HASH_BITS
    return found[:limit]


def index_again(tx: Transaction, after: int, limit: int) -> int | None:
    """Make the keys of entries above an id anew, of which there are none; gives the last one's id, None at the end."""
    rows = tx.run(_sql.keys_of_entries, after=after, limit=limit)
    for entry_id, at, keys in rows:
        for key in _index_keys(at, keys.split("\n") if keys else ()):
            tx.do(_sql.add_key, key=key, entry_id=entry_id)
    return rows[-1][0] if rows else None


def prune(tx: Transaction, before: Instant, limit: int) -> int:
    """Remove up to `limit` entries whose ids are older than `before`, the oldest first; gives how many.

    Repeat until 0.
    """
    rows = tx.run(_sql.prunable_entries, before=tx.ids.smallest_at(before), limit=limit)
    for entry_id, at, keys in rows:
        _drop_keys(tx, entry_id, at, keys.split("\n") if keys else ())
        tx.do(_sql.remove_entry, entry_id=entry_id)
    return len(rows)


def redact(tx: Transaction, before: Instant, limit: int, facts: Collection[str]) -> int:
    """Blank the named facts, at any depth, of up to `limit` entries whose ids are older than `before`.

    Gives how many. Their keys go too, so that nobody finds them by an address. Repeat until 0. What was redacted is not
    looked at again, also not for other names of facts.
    """
    rows = tx.run(_sql.redactable_entries, before=tx.ids.smallest_at(before), limit=limit)
    for entry_id, at, text, keys in rows:
        _drop_keys(tx, entry_id, at, keys.split("\n") if keys else ())
        blanked = _encode(_blank(json.loads(text), frozenset(facts)))
        tx.do(_sql.redact_entry, entry_id=entry_id, facts=blanked)
    if rows:
        tx.do(_sql.note_redacted, reached=rows[-1][0])
    return len(rows)


def _insert(
    tx: Transaction, entry_id: int, entry: JournalEntry, message_id: int | None, ends: Ends | None = None
) -> bool:
    keys = entry.keys
    facts = _encode(entry.facts)
    if ends is not None:
        facts = f"{facts[:-1]}{',' if entry.facts else ''}{ends.text}}}"
    values = {
        "entry_id": entry_id,
        "kind": entry.kind,
        "at": entry.at,
        "session_id": entry.session_id,
        "message_id": message_id,
        "facts": facts,
        "keys": "\n".join(keys),
    }
    if not tx.later(_sql.add_entry, values):
        return False
    for key in _index_keys(entry.at, keys):
        tx.later(_sql.add_key, {"key": key, "entry_id": entry_id})
    return True


def _drop_keys(tx: Transaction, entry_id: int, at: float, keys: Iterable[str]) -> None:
    for key in _index_keys(at, keys):
        tx.do(_sql.remove_key, key=key, entry_id=entry_id)


def _index_keys(at: float, keys: Iterable[str]) -> set[int]:
    day = int(at) // _DAY_SECONDS << _HASH_BITS
    return {day | _hash(key) for key in keys}


@lru_cache(maxsize=4096)
def _hash(text: str) -> int:
    """Of a key; most addresses come again and again."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()) & _HASH_MASK


def _blank(fact: object, names: frozenset[str]) -> object:
    if isinstance(fact, dict):
        return {
            name: _REDACTED if name in names and inner is not None else _blank(inner, names)
            for name, inner in fact.items()
        }
    if isinstance(fact, list):
        return [_blank(inner, names) for inner in fact]
    return fact


def _entry(row: Row) -> JournalEntry:
    kind, at, session_id, message_id, facts, keys = row
    return JournalEntry(
        EntryKind(kind),
        at,
        session_id,
        message_id,
        json.loads(facts),
        tuple(keys.split("\n")) if keys else (),
    )
