"""LIST with its extensions, and LSUB (RFC 9051 §6.3.9; RFC 3501 §6.3.9; RFC 5258, 5819, 6154, 8440, 9590).

All names are read at once with the counters of their mailboxes, so that STATUS of all of them costs no more. What
is told is made in steps, and other sessions run between these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from estafeta.access.imap import listing
from estafeta.access.imap.commands.metadata import chosen, values_line
from estafeta.access.imap.commands.status import note_condstore, recent, status_line
from estafeta.access.imap.listing import Names, Pattern, Visible
from estafeta.access.imap.naming import written
from estafeta.store import metadata
from estafeta.store.engine import Transaction
from estafeta.store.records import MailboxId
from estafeta.wire.imap.commands.list_ import List, ListReturn, LSub
from estafeta.wire.imap.commands.status import StatusItem
from estafeta.wire.imap.completion import Completion, ok

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session

_STEP = 64
"""Names told between two looks at the other sessions: a few milliseconds."""


async def list_(session: Session, request: List) -> Completion:
    """The names that match."""
    account = session.account
    assert account is not None
    if not request.is_extended and request.patterns == ("",):
        # RFC 9051 §6.3.9: the delimiter and the root of the reference
        session.send(listing.line(session, listing.root_of(request.reference), (r"\Noselect",)))
        return ok("List completed")
    returning = request.returning or ListReturn()
    patterns = listing.canonical(request.reference, request.patterns)
    wants_recent = StatusItem.RECENT in returning.status

    def query(tx: Transaction) -> tuple[Names, dict[MailboxId, int], dict[MailboxId, dict[str, bytes]]]:
        names = listing.see(tx, account)
        counts: dict[MailboxId, int] = {}
        annotations: dict[MailboxId, dict[str, bytes]] = {}
        if wants_recent:
            counts = {each.mailbox.mailbox_id: recent(tx, each.mailbox) for each in names.mailboxes.values()}
        if returning.metadata:
            for owner in {each.mailbox.account_id for each in names.mailboxes.values()}:
                annotations |= metadata.of_mailboxes(tx, owner, account.account_id)
        return names, counts, annotations

    names, counts, annotations = await session.environment.store.read(query)
    if returning.status:
        note_condstore(session, returning.status)
    is_extended = request.is_extended or "IMAP4REV2" in session.enabled
    tells_subscribed = returning.subscribed or request.subscribed
    for number, (name, is_selected, has_selected) in enumerate(_selected(names, patterns, request)):
        attributes = names.attributes(name, is_extended=is_extended)
        if tells_subscribed and name in names.subscribed:
            attributes.insert(0, r"\Subscribed")
        # RFC 9051 §6.3.9.6: CHILDINFO for who asked for RECURSIVEMATCH alone
        session.send(listing.line(session, name, attributes, _child_info(request) if has_selected else b""))
        visible = names.mailboxes.get(name)
        if visible is not None and is_selected | has_selected:
            _tell_more(session, returning, name, visible, counts, annotations)
        if number % _STEP == _STEP - 1:
            await session.flush()
    return ok("List completed")


def _tell_more(
    session: Session,
    returning: ListReturn,
    name: str,
    visible: Visible,
    counts: dict[MailboxId, int],
    annotations: dict[MailboxId, dict[str, bytes]],
) -> None:
    """What RETURN asks for of one mailbox, after its LIST."""
    mailbox = visible.mailbox
    if returning.my_rights:  # RFC 8440 §3
        session.send(rights_line(session, name, visible.rights))
    if returning.status and "r" in visible.rights:  # RFC 5819 §2: no STATUS where STATUS would fail
        session.send(status_line(session, name, mailbox, returning.status, counts.get(mailbox.mailbox_id, 0)))
    if returning.metadata and set("rswip") & set(visible.rights):  # RFC 9590 §3
        found = chosen(annotations.get(mailbox.mailbox_id, {}), mailbox, visible.owner is None, returning.metadata)
        asked = {entry.lower(): found.get(entry.lower()) for entry in returning.metadata}
        session.send(values_line(session, name, asked))


def rights_line(session: Session, name: str, rights: str) -> bytes:
    """One untagged MYRIGHTS (RFC 4314 §3.8)."""
    return b"* MYRIGHTS %s %s\r\n" % (written(session, name), with_obsolete(rights).encode("ascii") or b'""')


def with_obsolete(rights: str) -> str:
    """Rights with those of RFC 2086 that they amount to (RFC 4314 §2.1.1): c is k and x, d is e and t."""
    return rights + ("c" if set("kx") & set(rights) else "") + ("d" if set("et") & set(rights) else "")


def _selected(names: Names, patterns: list[Pattern], request: List) -> Iterator[tuple[str, bool, bool]]:
    """The names that are told: each, whether it is selected itself, and whether CHILDINFO is due."""
    if not patterns:
        return
    if request.subscribed:
        # RFC 5258 §3.1: the subscribed names, whether their mailboxes are there or not
        selected = {name: name in names.mailboxes or name in names.levels for name in names.subscribed}
    else:
        selected = dict.fromkeys(names.mailboxes, True)
    if request.special_use:
        selected = {name: True for name in selected if _has_use(names, name)}
    options = request.subscribed or request.special_use
    if not options:
        yield from ((name, True, False) for name in _with_levels(names, patterns))
        return
    above = listing.levels_of(selected) if request.recursive_match else set()
    unseen_above = set()
    if request.recursive_match:
        unseen_above = listing.levels_of(name for name in selected if not listing.matching(patterns, name))
    for name in _in_order(names, [*selected, *(above - selected.keys())]):
        if not listing.matching(patterns, name):
            continue
        if name in selected:
            yield name, True, name in above
        elif name in unseen_above:
            # RFC 9051 §6.3.9.6: not where all that is selected below is told itself
            yield name, False, True


def _has_use(names: Names, name: str) -> bool:
    visible = names.mailboxes.get(name)
    return visible is not None and visible.owner is None and visible.mailbox.special_use is not None


def _with_levels(names: Names, patterns: list[Pattern]) -> Iterator[str]:
    """The mailboxes that match, and levels that are no mailboxes where the patterns ask for these."""
    empty = names.levels - names.mailboxes.keys()
    if not empty:
        yield from (name for name in names.mailboxes if listing.matching(patterns, name))
        return
    for name in _in_order(names, [*names.mailboxes, *empty]):
        if name in empty:
            if listing.listing_levels(patterns, name):
                yield name
        elif listing.matching(patterns, name):
            yield name


def _in_order(names: Names, chosen_names: list[str]) -> list[str]:
    places = {name: number for number, name in enumerate(names.mailboxes)}
    if all(name in places for name in chosen_names):
        return sorted(chosen_names, key=places.__getitem__)
    return sorted(chosen_names, key=lambda name: (name != "INBOX", name))


def _child_info(request: List) -> bytes:
    options = [
        option
        for option, is_said in ((b'"SUBSCRIBED"', request.subscribed), (b'"SPECIAL-USE"', request.special_use))
        if is_said
    ]
    return b' ("CHILDINFO" (%s))' % b" ".join(options)


async def lsub(session: Session, request: LSub) -> Completion:
    """Subscribed names, with the oddity of `%` (RFC 3501 §6.3.9)."""
    account = session.account
    assert account is not None
    if not request.pattern:
        session.send(listing.line(session, listing.root_of(request.reference), (r"\Noselect",), verb=b"LSUB"))
        return ok("Lsub completed")
    patterns = listing.canonical(request.reference, (request.pattern,))
    names = await session.environment.store.read(lambda tx: listing.see(tx, account))
    told: dict[str, tuple[str, ...]] = {}
    # RFC 3501 §6.3.9: `%` tells of the level when only what is below is subscribed, and flags it \Noselect
    levels = listing.levels_of(names.subscribed) - names.subscribed if patterns[0].lists_levels else set()
    for name in names.subscribed:
        if listing.matching(patterns, name):
            told[name] = ()
    if request.pattern.endswith("%"):
        told |= {name: (r"\Noselect",) for name in levels if listing.matching(patterns, name)}
    for number, name in enumerate(sorted(told, key=lambda name: (name != "INBOX", name))):
        session.send(listing.line(session, name, told[name], verb=b"LSUB"))
        if number % _STEP == _STEP - 1:
            await session.flush()
    return ok("Lsub completed")
