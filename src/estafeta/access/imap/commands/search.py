"""SEARCH, SORT, THREAD in the open mailbox, and ESEARCH in several (RFC 9051 §6.4.4, RFC 5256, RFC 5267, RFC 7377)."""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from estafeta.access.imap.listing import Names, see
from estafeta.access.imap.naming import INBOX, OTHER_USERS, SEPARATOR, normal, written
from estafeta.access.imap.searching.contexts import MOST, Context
from estafeta.access.imap.searching.conversations import ordered_subject, references
from estafeta.access.imap.searching.evaluation import asks_modseq
from estafeta.access.imap.searching.finding import Finder, ordered, threaded
from estafeta.access.imap.searching.results import Results, correlator, esearch, untagged
from estafeta.access.imap.selected import Selected
from estafeta.access.imap.snapshot import Snapshot
from estafeta.store.errors import NotFound
from estafeta.wire.imap.commands.search import BAD_CHARSETS, CancelUpdate, MultiSearch, Search, Sort, Source, Thread
from estafeta.wire.imap.completion import Completion, Refused, bad, no, ok
from estafeta.wire.imap.searching import Return, Returning

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session

_ALL = Returning(frozenset((Return.ALL,)))


async def search(session: Session, request: Search) -> Completion:
    """Find messages in the open mailbox."""
    selected = _checked(session, request)
    if isinstance(selected, Completion):
        return selected
    has_modseq = asks_modseq(request.key)
    if has_modseq:
        session.enable_condstore()
    try:
        finder = await Finder.of(session, request.key)
        view = selected.view
        positions = await finder.positions(view, selected)
    except Refused:
        _forget_saved(session, request.returning)
        raise

    async def again() -> Sequence[int]:
        view = selected.view
        return [view.uids[place] for place in await finder.positions(view, selected)]

    results = _results(view, positions, request.is_uid, has_modseq=has_modseq)
    _answer(session, b"SEARCH", results, request.returning, again)
    return ok("Search completed")


async def sort(session: Session, request: Sort) -> Completion:
    """Find messages, in an order."""
    selected = _checked(session, request)
    if isinstance(selected, Completion):
        return selected
    finder = await Finder.of(session, request.key)

    async def in_order() -> tuple[Snapshot, list[int]]:
        view = selected.view
        found = await finder.positions(view, selected)
        places = {view.uids[place]: place for place in found}
        uids = await ordered(session, view, request.criteria)
        return view, [places[uid] for uid in uids if uid in places]

    async def again() -> Sequence[int]:
        view, positions = await in_order()
        return [view.uids[place] for place in positions]

    view, positions = await in_order()
    results = _results(view, positions, request.is_uid, has_modseq=asks_modseq(request.key))
    _answer(session, b"SORT", results, request.returning, again)
    return ok("Sort completed")


async def thread(session: Session, request: Thread) -> Completion:
    """Find messages, as conversations."""
    selected = _checked(session, request)
    if isinstance(selected, Completion):
        return selected
    finder = await Finder.of(session, request.key)
    view = selected.view
    positions = await finder.positions(view, selected)
    told = await _conversations(session, view, positions, request)
    session.send(b"* THREAD %b\r\n" % told if told else b"* THREAD\r\n")
    return ok("Thread completed")


async def _conversations(session: Session, view: Snapshot, positions: Sequence[int], request: Thread) -> bytes:
    """The conversations, as they are told; those of a whole mailbox are remembered."""
    if not positions:
        return b""
    remembered, what = session.environment.remembered, (request.algorithm, request.is_uid)
    is_whole = len(positions) == len(view)
    known = remembered.get(view, what) if is_whole else None
    if known is not None:
        return known
    found = await threaded(session, view, positions, is_uid=request.is_uid)
    make = references if request.algorithm == "REFERENCES" else ordered_subject
    # In a reader's thread: a hundred thousand messages take a second.
    told = await session.environment.store.read(lambda tx: make(found))
    if is_whole and len(found) == len(positions):
        remembered.keep(view, what, told)
    return told


async def cancel_update(session: Session, request: CancelUpdate) -> Completion:
    """No more updates of these searches."""
    wanted = set(request.tags)
    kept = [each for each in session.followers if not (isinstance(each, Context) and each.tag in wanted)]
    if len(session.followers) - len(kept) < len(wanted):
        return bad("There is no such search")
    session.followers[:] = kept
    return ok("Cancelupdate completed")


async def multi_search(session: Session, request: MultiSearch) -> Completion:
    """Find messages in several mailboxes; one that has none is not told of (RFC 7377 §2.1)."""
    if not request.is_charset_known:
        return no("The charset is not known", BAD_CHARSETS)
    account, selected = session.account, session.selected
    assert account is not None
    returning = request.returning or _ALL
    if returning.options & {Return.SAVE, Return.UPDATE, Return.CONTEXT}:
        return bad("SAVE, UPDATE and CONTEXT are for the open mailbox")  # RFC 7377 §2.2
    if selected is None and any(source.filter == "selected" for source in request.sources):
        return bad("No mailbox is open")
    finder = await Finder.of(session, request.key)
    names = await session.environment.store.read(lambda tx: see(tx, account))
    for name in _names(request.sources, names, None if selected is None else selected.name):
        is_open = selected is not None and name == selected.name
        if not is_open and "r" not in names.mailboxes[name].rights:
            continue
        try:
            if is_open:
                assert selected is not None
                view = selected.view
            else:
                view = await session.environment.snapshots.current(names.mailboxes[name].mailbox.mailbox_id)
            positions = await finder.positions(view, selected if is_open else None)
        except NotFound:
            continue
        if positions:
            results = _results(view, positions, True, has_modseq=asks_modseq(request.key))
            head = b"%b MAILBOX %b UIDVALIDITY %d" % (
                correlator(session.engine.tag), written(session, name), view.uid_validity,
            )  # fmt: skip
            session.send(esearch(results, returning, head)[0])
            await session.flush()
    return ok("Search completed")


def _names(sources: Sequence[Source], names: Names, open_name: str | None) -> list[str]:
    """The mailboxes that sources mean, each once (RFC 7377 §2.2)."""
    found: dict[str, None] = {}
    for source in sources:
        match source.filter:
            case "selected":
                if open_name is not None:
                    found[open_name] = None
            case "personal":
                found |= dict.fromkeys(each for each in names.mailboxes if not each.startswith(OTHER_USERS + SEPARATOR))
            case "inboxes":
                found |= dict.fromkeys(each for each in names.mailboxes if each == INBOX)
            case "subscribed":
                found |= dict.fromkeys(each for each in names.mailboxes if each in names.subscribed)
            case _:
                for said in map(normal, source.mailboxes):
                    found |= dict.fromkeys(each for each in names.mailboxes if _is_below(each, said, source.filter))
    return list(found)


def _is_below(name: str, top: str, kind: str) -> bool:
    if name == top:
        return True
    below = name[len(top) + 1 :] if name.startswith(top + SEPARATOR) else None
    return below is not None and (kind == "subtree" or (kind == "subtree-one" and SEPARATOR not in below))


def _checked(session: Session, request: Search | Sort | Thread) -> Selected | Completion:
    """The open mailbox, or why nothing is searched."""
    selected = session.selected
    assert selected is not None
    if not request.is_charset_known:
        return no("The charset is not known", BAD_CHARSETS)
    return selected


def _forget_saved(session: Session, returning: Returning | None) -> None:
    """RFC 5182 §2.1: a search that fails leaves nothing saved."""
    if returning is not None and Return.SAVE in returning.options and session.selected is not None:
        session.selected.saved = array("I")


def _results(view: Snapshot, positions: Sequence[int], is_uid: bool, *, has_modseq: bool) -> Results:
    uids = [view.uids[place] for place in positions]
    numbers = uids if is_uid else [place + 1 for place in positions]
    return Results(uids, numbers, is_uid, [view.modseqs[place] for place in positions] if has_modseq else None)


def _answer(
    session: Session,
    name: bytes,
    results: Results,
    returning: Returning | None,
    again: Callable[[], Awaitable[Sequence[int]]],
) -> None:
    """Tell the results, keep them where that was asked for, and go on telling of them."""
    selected = session.selected
    assert selected is not None
    if returning is None:
        # RFC 9051 §6.4.4: IMAP4rev2 has no SEARCH response any more; SORT is as RFC 5256 has it.
        if name == b"SEARCH" and session.engine.session.is_rev2:
            returning = _ALL
        else:
            session.send(untagged(name, results))
            return
    tag = session.engine.tag
    line, kept = esearch(results, returning, correlator(tag))
    is_only_saved = returning.options == {Return.SAVE}
    if not is_only_saved:
        session.send(line)
    if Return.SAVE in returning.options:
        selected.saved = array("I", kept)
    if Return.UPDATE in returning.options:
        if sum(isinstance(each, Context) for each in session.followers) >= MOST:
            session.send(f'* NO [NOUPDATE "{tag}"] Too many searches are kept up to date\r\n'.encode())
            return
        session.followers.append(
            Context(session, tag, results.uids, again, is_uid=results.is_uid, is_sorted=name == b"SORT")
        )
