"""SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3), with CONDSTORE and QRESYNC (RFC 7162)."""

from __future__ import annotations

from collections.abc import Sequence

from estafeta.access.imap import listing, naming, news, resync
from estafeta.access.imap.naming import Found
from estafeta.access.imap.rendering import compiled
from estafeta.access.imap.selected import Selected
from estafeta.access.imap.session import Session
from estafeta.access.imap.telling import tell
from estafeta.store import mailboxes
from estafeta.store.engine import Transaction
from estafeta.wire.imap.commands.select import QResync, Select
from estafeta.wire.imap.completion import Completion, ok
from estafeta.wire.imap.fetching import Item
from estafeta.wire.imap.writing import range_set

_MODIFYING = frozenset("ieswt")
"""With one of these rights a mailbox is not open for reading only (RFC 4314 §5.2)."""


async def select(session: Session, request: Select) -> Completion:
    """Open a mailbox, in place of the one that is open."""
    # RFC 9051 §6.3.2: when the new one cannot be opened none is open.
    if session.selected is not None:
        session.leave()
        if "QRESYNC" in session.enabled or session.engine.session.is_rev2:
            session.send(b"* OK [CLOSED] The mailbox before is closed\r\n")  # RFC 7162 §3.2.11
    account = session.account
    assert account is not None
    is_rev2 = session.engine.session.is_rev2

    def query(tx: Transaction) -> tuple[Found, list[str]]:
        found = naming.resolve_in(tx, account, request.mailbox, "r")
        # RFC 9051 §6.3.2: the attributes are right.
        return found, listing.see(tx, account).attributes(found.name, is_extended=True) if is_rev2 else []

    found, attributes = await session.environment.store.read(query)
    if request.condstore:
        session.enable_condstore()
    snapshot = await session.environment.snapshots.current(found.mailbox.mailbox_id, is_fresh=True)
    is_read_only = request.is_read_only or not _MODIFYING & set(found.rights)
    selected = Selected(snapshot.mailbox, found.name, found.rights, snapshot, is_read_only=is_read_only)
    session.select(selected)
    await _introduce(session, selected)
    if is_rev2:
        old_name = b' ("OLDNAME" (%b))' % naming.written(session, request.mailbox)
        extended = old_name if request.mailbox != found.name else b""
        session.send(listing.line(session, found.name, attributes, extended))
    if request.qresync is not None and request.qresync.uid_validity == snapshot.uid_validity:
        await _resynchronize(session, selected, request.qresync)
    verb = "Examine" if request.is_read_only else "Select"
    return ok(f"{verb} completed", "READ-ONLY" if is_read_only else "READ-WRITE")


async def _introduce(session: Session, selected: Selected) -> None:
    view = selected.view
    lines = [news.flags(selected, view), b"* %d EXISTS\r\n" % len(view)]
    if session.shows_recent:
        await session.claim_recent(selected)
        lines.append(b"* %d RECENT\r\n" % selected.recent)
        unseen = None if session.engine.session.is_uid_only else view.first_unseen()
        if unseen is not None:
            lines.append(b"* OK [UNSEEN %d] First that is not seen\r\n" % (unseen + 1))
    lines += (
        b"* OK [UIDVALIDITY %d] UIDs are valid\r\n" % view.uid_validity,
        b"* OK [UIDNEXT %d] The next UID\r\n" % view.uid_next,
        b"* OK [HIGHESTMODSEQ %d] Highest\r\n" % view.modseq,  # RFC 7162 §3.1.2.1
        b"* OK [MAILBOXID (%b)] Id\r\n" % mailboxes.object_id(view.mailbox_id).encode(),  # RFC 8474 §4.2
    )
    session.send(b"".join(lines))


async def _resynchronize(session: Session, selected: Selected, qresync: QResync) -> None:
    """What the client has missed since it was here (RFC 7162 §3.2.5)."""
    view = selected.view
    known = resync.known_uids(view, qresync)
    matched = resync.matched_until(view, qresync)
    asked = [(max(low, matched + 1), high) for low, high in known if high > matched]
    if qresync.modseq < view.modseq and asked:
        gone = await session.environment.store.read(lambda tx: resync.vanished(tx, view, qresync.modseq, asked))
        if gone:
            session.send(b"* VANISHED (EARLIER) %b\r\n" % range_set(gone))
    positions = _within(view.changed_since(qresync.modseq), [view.within(low, high) for low, high in known])
    if positions:
        plan = compiled((Item.UID, Item.FLAGS, Item.MODSEQ), is_uid_only=session.engine.session.is_uid_only)
        await tell(session, plan, positions)


def _within(positions: Sequence[int], ranges: Sequence[range]) -> list[int]:
    """Those positions that are in one of the ranges; both ascending."""
    found: list[int] = []
    at = 0
    for each in ranges:
        while at < len(positions) and positions[at] < each.start:
            at += 1
        while at < len(positions) and positions[at] < each.stop:
            found.append(positions[at])
            at += 1
    return found
