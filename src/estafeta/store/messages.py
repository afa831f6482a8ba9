"""Messages in mailboxes: what a session knows of them, and every change (RFC 9051 §2.3, RFC 7162).

Each change gives the messages it touches one new MODSEQ, keeps the counters of the mailbox in the same transaction,
and touches the mailbox, so that whoever has it open learns of it.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from zlib import crc32

from estafeta.mail.value import value
from estafeta.store import contents, mailboxes
from estafeta.store.content import ContentStore
from estafeta.store.engine import Transaction
from estafeta.store.errors import NotFound, OverQuota, StoreError
from estafeta.store.flags import ALL_FLAGS, DELETED, FIRST_KEYWORD, LAST_KEYWORD, SEEN, Keywords, system_bit
from estafeta.store.ids import IdSource
from estafeta.store.records import AccountId, Content, ContentId, Instant, Mailbox, MailboxId, Message, ModSeq, Uid
from estafeta.store.statements import Statements

_sql = Statements("messages")

ALL = 2**62
"""More messages, UIDs and changes than there are: no limit."""
KEPT_NOTES = 20_000
"""Ranges of expunged UIDs that a mailbox remembers; a client that was away for longer is told all that is missing."""
_NOTES_OVER = 5_000

_LOOK_EACH = 500
"""Changes of flags between two looks at how many are noted: a look reads all of the notes."""

Ranges = Sequence[tuple[int, int]]
"""Ranges of UIDs, both ends in them."""


class TooManyKeywords(StoreError):
    """A mailbox has no room for another keyword."""


@value
class Loaded:
    """All messages of a mailbox, by UID."""

    mailbox: Mailbox
    keywords: Keywords
    uids: array[int]
    flags: array[int]
    modseqs: array[int]
    contents: array[int]


@value
class Changes:
    """What has happened to a mailbox since it was loaded."""

    mailbox: Mailbox
    keywords: Keywords
    expunged: list[tuple[int, int]]
    """Ranges of UIDs; what was never seen may be among them."""
    changed: list[tuple[int, int, int]]
    """UID, flags, MODSEQ."""
    added: Loaded


@value
class FlagChange:
    """What a change of flags did."""

    modseq: ModSeq | None
    """None when it changed nothing."""
    changed: int
    failed: list[int]
    """UIDs that others had changed meanwhile (RFC 7162 §3.1.3)."""


@value
class Copied:
    """Messages that are in another mailbox now (RFC 4315 §3)."""

    uid_validity: int
    uids: list[tuple[int, int]]
    """Old and new UIDs."""


@value
class Draft:
    """One message to be appended. `content` is the caller's until the change is done."""

    content: Content
    flags: tuple[str, ...]
    internal_at: Instant


@value
class Appended:
    """Messages that were appended."""

    uid_validity: int
    uids: list[int]


# Asking.


def load(tx: Transaction, mailbox_id: MailboxId, *, first: int = 1) -> Loaded:
    """All messages from a UID on. Raises NotFound when the mailbox is gone."""
    mailbox = mailboxes.get(tx, mailbox_id)
    rows = tx.run(_sql.state_of_mailbox, mailbox_id=mailbox_id, first=first)
    # Loops of Python's own, in which other threads get their turn.
    return Loaded(
        mailbox,
        keywords(tx, mailbox_id),
        array("I", [row[0] for row in rows]),
        array("Q", [row[1] for row in rows]),
        array("Q", [row[2] for row in rows]),
        array("Q", [row[3] for row in rows]),
    )


def changes(tx: Transaction, mailbox_id: MailboxId, modseq: int, uid_next: int) -> Changes:
    """What has happened since MODSEQ and UIDNEXT were these. Raises NotFound when the mailbox is gone."""
    added = load(tx, mailbox_id, first=uid_next)
    changed = _changed_since(tx, added.mailbox, modseq, uid_next)
    return Changes(added.mailbox, added.keywords, expunged_since(tx, mailbox_id, modseq), changed, added)


def _changed_since(tx: Transaction, mailbox: Mailbox, modseq: int, uid_next: int) -> list[tuple[int, int, int]]:
    """Messages below a UID whose flags were changed after a MODSEQ: UID, flags, MODSEQ."""
    mailbox_id, last = mailbox.mailbox_id, uid_next - 1
    ranges = [(1, last)]
    if modseq >= mailbox.flagged_after:
        ranges = merged(tx.run(_sql.flagged_since, mailbox_id=mailbox_id, modseq=modseq, below=uid_next))
    found: list[tuple[int, int, int]] = []
    for first, end in ranges:
        found += tx.run(_sql.changed_within, mailbox_id=mailbox_id, first=first, last=min(end, last), modseq=modseq)
    return found


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order, those that overlap or touch as one."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def expunged_since(tx: Transaction, mailbox_id: MailboxId, modseq: int) -> list[tuple[int, int]]:
    """Ranges of UIDs that were expunged after a MODSEQ; all of them only where that is at least `expunged_after`."""
    return tx.run(_sql.expunged_since, mailbox_id=mailbox_id, modseq=modseq)


def list_of(
    tx: Transaction, mailbox_id: MailboxId, *, after_uid: int = 0, last_uid: int = ALL, limit: int = ALL
) -> list[Message]:
    """The messages of a mailbox in the order of their UIDs."""
    rows = tx.run(_sql.messages_of_mailbox, mailbox_id=mailbox_id, first=after_uid + 1, last=last_uid, limit=limit)
    return [Message(*row) for row in rows]


def read_content(tx: Transaction, content_store: ContentStore, mailbox_id: MailboxId, uid: int) -> bytes:
    """A message's octets as a reader gets them: prefix and content. Raises NotFound."""
    row = tx.one(_sql.content_of_message, mailbox_id=mailbox_id, uid=uid)
    if row is None:
        raise NotFound(f"there is no message {uid} in the mailbox")
    prefix, *content = row
    return bytes(prefix + contents.whole(content_store, *content))


def read_contents(
    tx: Transaction, content_store: ContentStore, mailbox_id: MailboxId, first: int, last: int
) -> list[tuple[int, bytes]]:
    """UIDs and octets of the messages in a range of UIDs."""
    rows = tx.run(_sql.contents_of_messages, mailbox_id=mailbox_id, first=first, last=last)
    return [(uid, prefix + contents.whole(content_store, *content)) for uid, prefix, *content in rows]


def content_alone(tx: Transaction, content_store: ContentStore, content_id: int) -> bytes:
    """The octets of a content, without what is put before it. Raises NotFound."""
    row = tx.one(_sql.content_by_id, content_id=content_id)
    if row is None:
        raise NotFound("the content is gone")
    return contents.whole(content_store, *row)


def sizes(tx: Transaction, mailbox_id: MailboxId, first: int, last: int) -> list[tuple[int, int]]:
    """UIDs and sizes of the messages in a range of UIDs."""
    return tx.run(_sql.sizes_of_messages, mailbox_id=mailbox_id, first=first, last=last)


def contents_of(tx: Transaction, account_id: AccountId) -> frozenset[int]:
    """The contents of all messages of an account."""
    return frozenset(content_id for (content_id,) in tx.run(_sql.contents_of_account, account_id=account_id))


def email_id(content_id: int, prefix: bytes) -> str:
    """What names these very octets (RFC 8474 §5.1): copies in other mailboxes have the same."""
    return f"M{IdSource.text(content_id)}{crc32(prefix):08x}"


# Flags.


def keywords(tx: Transaction, mailbox_id: MailboxId) -> Keywords:
    """The keywords of a mailbox."""
    return Keywords(tuple(tx.run(_sql.keywords_of_mailbox, mailbox_id=mailbox_id)))


def flag_mask(tx: Transaction, mailbox_id: MailboxId, names: Iterable[str]) -> int:
    """The bits of flags and keywords; keywords that are new here are made. Raises TooManyKeywords."""
    mask = 0
    known = None
    for name in names:
        bit = system_bit(name)
        if bit is None:
            known = known or keywords(tx, mailbox_id)
            bit = known.bit(name)
            if not bit:
                number = _free_bit(tx, mailbox_id, known)
                tx.do(_sql.add_keyword, mailbox_id=mailbox_id, bit=number, name=name, lowered=name.lower())
                known = None
                bit = 1 << number
        mask |= bit
    return mask


def _free_bit(tx: Transaction, mailbox_id: MailboxId, known: Keywords) -> int:
    taken = {bit for bit, _ in known.names}
    for number in range(FIRST_KEYWORD, LAST_KEYWORD + 1):
        if number not in taken:
            return number
    in_use = 0
    for (flags,) in tx.run(_sql.all_flags, mailbox_id=mailbox_id):
        in_use |= flags
    unused = [bit for bit in taken if not in_use >> bit & 1]
    if not unused:
        raise TooManyKeywords(f"a mailbox has at most {LAST_KEYWORD - FIRST_KEYWORD + 1} keywords")
    tx.do(_sql.remove_keyword, mailbox_id=mailbox_id, bit=unused[0])
    return unused[0]


def change_flags(
    tx: Transaction,
    mailbox_id: MailboxId,
    ranges: Ranges,
    *,
    add: int = 0,
    keep: int = ALL_FLAGS,
    unchanged_since: int = ALL,
) -> FlagChange:
    """Give the messages in ranges of UIDs the flags of theirs that are in `keep`, and those in `add`.

    Messages that were changed after MODSEQ `unchanged_since` stay as they are. Cut long ranges into several changes.
    """
    modseq: int | None = None
    changed = 0
    failed: list[int] = []
    for first, last in ranges:
        where = {"mailbox_id": mailbox_id, "first": first, "last": last, "unchanged_since": unchanged_since}
        if unchanged_since < ALL:
            failed += [uid for (uid,) in tx.run(_sql.changed_after, **where)]
        seen_each = _seen_each(add, keep)
        row = tx.one(_sql.changing if seen_each is None else _sql.is_changing, add=add, keep=keep, **where)
        if row is None or not row[0]:
            continue
        if modseq is None:
            modseq = _next_modseq(tx, mailbox_id)
        count = tx.do(_sql.change_flags, add=add, keep=keep, modseq=modseq, **where)
        seen, deleted, deleted_octets = row[1:] if seen_each is None else (count * seen_each, 0, 0)
        tx.do(_sql.note_flagged, mailbox_id=mailbox_id, modseq=modseq, first=first, last=last)
        if seen or deleted:
            tx.do(_sql.count_flags, mailbox_id=mailbox_id, seen=seen, deleted=deleted, deleted_octets=deleted_octets)
        changed += count
    if modseq is not None:
        _forget_flagged(tx, mailbox_id, modseq, len(ranges))
        tx.touch(mailbox_id)
    return FlagChange(None if modseq is None else ModSeq(modseq), changed, failed)


def _seen_each(add: int, keep: int) -> int | None:
    """How many messages more are \\Seen for each one that a change of flags changes, if that is the same for all.

    None where they must be counted, which takes two thirds as long as the change: those that are \\Deleted with their
    octets, and all where \\Seen is changed together with other flags.
    """
    touched = (add | ~keep) & ALL_FLAGS
    if not touched & (SEEN | DELETED):
        return 0
    if touched != SEEN:
        return None
    return 1 if add & SEEN else -1


def _forget_flagged(tx: Transaction, mailbox_id: MailboxId, modseq: int, added: int) -> None:
    """Drop old notes now and then."""
    many = KEPT_NOTES + _NOTES_OVER
    if added < _NOTES_OVER and modseq % _LOOK_EACH:
        return
    row = tx.one(_sql.count_flagged, mailbox_id=mailbox_id, limit=many)
    if row is not None and row[0] >= many:
        forgotten = tx.one(_sql.newest_flagged_forgotten, mailbox_id=mailbox_id, kept=KEPT_NOTES)
        assert forgotten is not None
        tx.do(_sql.forget_flagged, mailbox_id=mailbox_id, modseq=forgotten[0])
        tx.do(_sql.set_flagged_after, mailbox_id=mailbox_id, modseq=forgotten[0])


def _next_modseq(tx: Transaction, mailbox_id: MailboxId) -> int:
    row = tx.one(_sql.next_modseq, mailbox_id=mailbox_id)
    if row is None:
        raise NotFound("the mailbox is gone")
    return int(row[0])


# Expunging.


def expunge(tx: Transaction, mailbox_id: MailboxId, uids: Iterable[int]) -> list[Uid]:
    """Remove messages for good; gives the UIDs that were there. A content goes with its last use.

    Cut a long list into several changes.
    """
    gone: list[Uid] = []
    contents: Counter[int] = Counter()
    octets = unseen = deleted = deleted_octets = 0
    for uid in uids:
        row = tx.one(_sql.remove_message, mailbox_id=mailbox_id, uid=uid)
        if row is None:
            continue
        content_id, size, flags = row
        gone.append(Uid(uid))
        contents[content_id] += 1
        octets += size
        unseen += not flags & SEEN
        if flags & DELETED:
            deleted += 1
            deleted_octets += size
    if gone:
        # RFC 7162 §3.2.7: an expunge counts as a change of the mailbox.
        row = tx.one(
            _sql.count_expunged,
            mailbox_id=mailbox_id,
            messages=len(gone),
            octets=octets,
            unseen=unseen,
            deleted=deleted,
            deleted_octets=deleted_octets,
        )
        assert row is not None
        _note_expunged(tx, mailbox_id, row[0], gone)
        tx.touch(mailbox_id)
    for content_id in contents:
        release_content(tx, ContentId(content_id))
    return gone


def deleted_in(tx: Transaction, mailbox_id: MailboxId, ranges: Ranges, *, limit: int) -> list[int]:
    """UIDs in ranges that are \\Deleted, at most so many."""
    found: list[int] = []
    for first, last in ranges:
        left = limit - len(found)
        if left <= 0:
            break
        rows = tx.run(_sql.deleted_in_range, mailbox_id=mailbox_id, first=first, last=last, limit=left)
        found += [uid for (uid,) in rows]
    return found


def ranges_of(uids: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as ranges, ascending; each number counts once."""
    found: list[tuple[int, int]] = []
    for uid in sorted(uids):
        if found and uid <= found[-1][1] + 1:
            found[-1] = (found[-1][0], uid)
        else:
            found.append((uid, uid))
    return found


def _note_expunged(tx: Transaction, mailbox_id: MailboxId, modseq: int, uids: Iterable[int]) -> None:
    for first, last in ranges_of(uids):
        tx.do(_sql.note_expunged, mailbox_id=mailbox_id, modseq=modseq, first=first, last=last)
    many = KEPT_NOTES + _NOTES_OVER
    row = tx.one(_sql.count_notes, mailbox_id=mailbox_id, limit=many)
    if row is not None and row[0] >= many:
        forgotten = tx.one(_sql.newest_forgotten, mailbox_id=mailbox_id, kept=KEPT_NOTES)
        assert forgotten is not None
        tx.do(_sql.forget_expunged, mailbox_id=mailbox_id, modseq=forgotten[0])
        tx.do(_sql.set_expunged_after, mailbox_id=mailbox_id, modseq=forgotten[0])


def release_content(tx: Transaction, content_id: ContentId) -> None:
    """Remove a content unless a mailbox or the queue still uses it."""
    row = tx.one(_sql.remove_unused_content, content_id=content_id)
    if row is not None and row[0] is not None:
        tx.remove_file(row[0])


# Adding.


def _take_room(tx: Transaction, mailbox: Mailbox, octets: int, messages: int) -> None:
    row = tx.one(_sql.room_of_account, account_id=mailbox.account_id)
    if row is None:
        raise NotFound("the account is gone")
    address, octets_left, messages_left = row
    if (octets_left is not None and octets > octets_left) or (messages_left is not None and messages > messages_left):
        raise OverQuota(address)


def _add(tx: Transaction, target: Mailbox, rows: list[dict[str, object]]) -> list[int]:
    """Put rows into a mailbox under new UIDs, which it gives; the rows lack those and the MODSEQ."""
    uid = int(target.uid_next)
    modseq = target.highest_modseq + 1
    octets = unseen = deleted = deleted_octets = 0
    for offset, row in enumerate(rows):
        row.update(mailbox_id=target.mailbox_id, uid=uid + offset, delivery_id=tx.ids.next_id(), modseq=modseq)
        size, flags = row["size"], row["flags"]
        assert isinstance(size, int) and isinstance(flags, int)
        octets += size
        unseen += not flags & SEEN
        if flags & DELETED:
            deleted += 1
            deleted_octets += size
    tx.execute_many(_sql.add_copy, rows)
    tx.do(
        _sql.count_added,
        mailbox_id=target.mailbox_id,
        messages=len(rows),
        modseq=modseq,
        octets=octets,
        unseen=unseen,
        deleted=deleted,
        deleted_octets=deleted_octets,
    )
    tx.touch(target.mailbox_id)
    return list(range(uid, uid + len(rows)))


def copy(tx: Transaction, source_id: MailboxId, uids: Iterable[int], target_id: MailboxId, *, now: Instant) -> Copied:
    """Put messages into a mailbox once more, with their flags and dates; those that are gone are passed over.

    Raises NotFound for a mailbox that is gone, OverQuota, TooManyKeywords.
    """
    return _copy(tx, source_id, uids, target_id, now, is_move=False)


def move(tx: Transaction, source_id: MailboxId, uids: Iterable[int], target_id: MailboxId, *, now: Instant) -> Copied:
    """As copy; and they are gone where they were (RFC 9051 §6.4.8)."""
    return _copy(tx, source_id, uids, target_id, now, is_move=True)


def _copy(
    tx: Transaction, source_id: MailboxId, uids: Iterable[int], target_id: MailboxId, now: Instant, *, is_move: bool
) -> Copied:
    source, target = mailboxes.get(tx, source_id), mailboxes.get(tx, target_id)
    found: list[Message] = []
    for first, last in ranges_of(uids):
        found += list_of(tx, source_id, after_uid=first - 1, last_uid=last)
    if not found:
        return Copied(target.uid_validity, [])
    if not is_move or source.account_id != target.account_id:
        _take_room(tx, target, sum(message.size for message in found), len(found))
    known = keywords(tx, source_id)
    masks: dict[int, int] = {}
    rows: list[dict[str, object]] = []
    for message in found:
        flags = masks.get(message.flags)
        if flags is None:
            flags = masks[message.flags] = flag_mask(tx, target_id, known.of(message.flags))
        rows.append(
            {
                "message_id": message.message_id,
                "content_id": message.content_id,
                "prefix": message.prefix,
                "flags": flags,
                "internal_at": message.internal_at,
                "saved_at": now,
                "size": message.size,
            }
        )
    added = _add(tx, target, rows)
    if is_move:
        expunge(tx, source_id, [message.uid for message in found])
    return Copied(target.uid_validity, [(message.uid, uid) for message, uid in zip(found, added, strict=True)])


def append(
    tx: Transaction,
    mailbox_id: MailboxId,
    drafts: Sequence[Draft],
    *,
    now: Instant,
    replaces: Uid | None = None,
) -> Appended:
    """Put new messages into a mailbox, all or none; the message that they replace goes in the same change.

    Raises NotFound, OverQuota, TooManyKeywords.
    """
    target = mailboxes.get(tx, mailbox_id)
    if replaces is not None:
        expunge(tx, mailbox_id, [replaces])
        target = mailboxes.get(tx, mailbox_id)
    _take_room(tx, target, sum(draft.content.size for draft in drafts), len(drafts))
    rows: list[dict[str, object]] = []
    for draft in drafts:
        content_id = tx.ids.next_id()
        tx.do(
            _sql.add_content,
            content_id=content_id,
            size=draft.content.size,
            octets=draft.content.octets,
            file=draft.content.file,
            digest=draft.content.found_digest(),
        )
        rows.append(
            {
                "message_id": content_id,
                "content_id": content_id,
                "prefix": b"",
                "flags": flag_mask(tx, mailbox_id, draft.flags),
                "internal_at": draft.internal_at,
                "saved_at": now,
                "size": draft.content.size,
            }
        )
    return Appended(target.uid_validity, _add(tx, target, rows))


def count_from(tx: Transaction, mailbox_id: MailboxId, uid: int) -> int:
    """How many messages have this UID or a greater one."""
    row = tx.one(_sql.count_from, mailbox_id=mailbox_id, uid=uid)
    return 0 if row is None else int(row[0])


def claim_recent(tx: Transaction, mailbox_id: MailboxId) -> Uid:
    """Be the session that is told of what is new as \\Recent (RFC 3501 §2.3.2); gives the first such UID."""
    first = mailboxes.get(tx, mailbox_id).recent_uid
    tx.do(_sql.claim_recent, mailbox_id=mailbox_id)
    return first
