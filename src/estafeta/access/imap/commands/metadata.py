"""GETMETADATA and SETMETADATA: annotations of mailboxes and of the server (RFC 5464), special uses (RFC 6154 §4).

`/shared/admin` of the server and `/private/specialuse` of a mailbox are not kept but found: one names the
postmaster, the other is the mailbox's own attribute.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from estafeta.access.imap.commands.create import SPECIAL_USES
from estafeta.access.imap.naming import INBOX, Found, require, resolve_in, written
from estafeta.store import mailboxes, metadata
from estafeta.store.engine import Transaction
from estafeta.store.errors import AlreadyExists
from estafeta.store.records import Account, Mailbox
from estafeta.wire.imap.commands.metadata import GetMetadata, SetMetadata
from estafeta.wire.imap.completion import Completion, Refused, bad, ok
from estafeta.wire.imap.writing import astring, nstring

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session

SPECIAL_USE = "/private/specialuse"
_ADMIN = "/shared/admin"
_LONGEST_NAME = 255
"""Octets of an entry's name; those that are registered have some thirty."""

# RFC 5464 §3.2: components that are not empty, of two kinds, without wildcards, controls, and what is not ASCII
_ENTRY = re.compile(r"/(?:private|shared)(?:/[ -$&-)+-.0-~]+)+")
_VENDOR = re.compile(r"/[^/]+/vendor(?:/[^/]+)?")


def is_entry(name: str) -> bool:
    """Whether an annotation can have this name, in any case."""
    name = name.lower()
    # RFC 5464 §3.2: a vendor's names have four components at least
    return len(name) <= _LONGEST_NAME and _ENTRY.fullmatch(name) is not None and _VENDOR.fullmatch(name) is None


async def get_metadata(session: Session, request: GetMetadata) -> Completion:
    """The values of entries, and of those below them as DEPTH says."""
    account = session.account
    assert account is not None
    entries = list(dict.fromkeys(entry.lower() for entry in request.entries))
    # What is asked for with DEPTH may be a level that has no value, such as `/private`.
    if not all(is_entry(entry) or (request.depth != 0 and is_entry(f"{entry}/x/x")) for entry in entries):
        return bad("That is no name of an annotation")

    def query(tx: Transaction) -> tuple[str, dict[str, bytes]]:
        if not request.mailbox:
            return "", _of_server(tx, account)
        found = _annotated(tx, account, request.mailbox)
        known = metadata.of(tx, found.mailbox.mailbox_id, account.account_id)
        return found.name, known | _found(found.mailbox, found.is_own)

    name, known = await session.environment.store.read(query)
    told: dict[str, bytes | None] = {}
    for entry in entries:
        told |= {each: known[each] for each in sorted(known) if _is_within(each, entry, request.depth)}
        if request.depth == 0:
            told.setdefault(entry, None)
    longest = 0
    if request.max_size is not None:  # RFC 5464 §4.2.1
        longest = max((len(value) for value in told.values() if value is not None), default=0)
        told = {each: value for each, value in told.items() if value is None or len(value) <= request.max_size}
    if told or not longest:
        session.send(values_line(session, name, told or dict.fromkeys(entries)))
    if request.max_size is not None and longest > request.max_size:
        return ok("Getmetadata completed", f"METADATA LONGENTRIES {longest}")
    return ok("Getmetadata completed")


async def set_metadata(session: Session, request: SetMetadata) -> Completion:
    """Set or remove entries, all or none of them."""
    account = session.account
    assert account is not None
    if not all(is_entry(entry) for entry, _ in request.entries):
        return bad("That is no name of an annotation")
    if any(len(value) > metadata.MOST_OCTETS for _, value in request.entries if value is not None):
        raise Refused("The value is too large", f"METADATA MAXSIZE {metadata.MOST_OCTETS}")

    def change(tx: Transaction) -> str:
        found = _annotated(tx, account, request.mailbox) if request.mailbox else None
        try:
            for entry, value in request.entries:
                _set(tx, account, found, entry.lower(), value)
        except metadata.TooManyEntries:
            raise Refused("There are too many annotations", "METADATA TOOMANY") from None
        # Private ones concern the user's sessions, shared ones those of all who watch the owner's mailboxes.
        tx.touch(account.account_id)
        if found is not None and not found.is_own:
            tx.touch(found.mailbox.account_id)
        return found.name if found is not None else ""

    name = await session.environment.store.write(change)
    if session.watching is not None or session.annotating is not None:
        session.own_entries.update((name, entry.lower()) for entry, _ in request.entries)
    return ok("Setmetadata completed")


def _annotated(tx: Transaction, account: Account, name: str) -> Found:
    """The mailbox, for who may have annotations there (RFC 5464 §3.3). Raises Refused."""
    found = resolve_in(tx, account, name, "l")
    if not set("rswip") & set(found.rights):
        raise Refused("You have no right to do that in this mailbox", "NOPERM")
    return found


def _set(tx: Transaction, account: Account, found: Found | None, entry: str, value: bytes | None) -> None:
    if found is None:
        if not entry.startswith("/private/"):  # RFC 5464 §3.3, and §3.2.1.1 of /shared/admin
            raise Refused("The server's shared annotations are the operator's", "NOPERM")
        metadata.set_(tx, metadata.SERVER, account.account_id, entry, value)
        return
    if entry == SPECIAL_USE:
        _set_use(tx, found, value)
        return
    if entry.startswith("/shared/"):
        # Who may only read does not write what all see.
        require(found.rights, "w")
    metadata.set_(tx, found.mailbox.mailbox_id, account.account_id, entry, value)


def _set_use(tx: Transaction, found: Found, value: bytes | None) -> None:
    """RFC 6154 §4. Raises Refused with USEATTR."""
    words = (value or b"").decode("ascii", "replace").split()
    uses = [use for use in SPECIAL_USES for word in words if word.lower() == use.lower()]
    if len(uses) != len(words) or len(uses) > 1 or not found.is_own or (uses and found.mailbox.name == INBOX):
        raise Refused("The mailbox cannot have this use", "USEATTR")
    try:
        mailboxes.set_special_use(tx, found.mailbox, uses[0] if uses else None)
    except AlreadyExists:
        raise Refused("Another mailbox has this use", "USEATTR") from None


def _found(mailbox: Mailbox, is_own: bool) -> dict[str, bytes]:
    """Entries that are not kept."""
    use = mailbox.special_use if is_own else None
    return {} if use is None else {SPECIAL_USE: use.encode("ascii")}


def _of_server(tx: Transaction, account: Account) -> dict[str, bytes]:
    known = metadata.of(tx, metadata.SERVER, account.account_id)
    # RFC 5464 §3.2.1.1: a URI by which the administrator is reached; RFC 5321 §4.5.1: every domain has a postmaster.
    known[_ADMIN] = f"mailto:postmaster@{account.address.domain}".encode()
    return known


def chosen(known: Mapping[str, bytes], mailbox: Mailbox, is_own: bool, entries: Iterable[str]) -> dict[str, bytes]:
    """Of the entries of a mailbox, those that are asked for by their very names."""
    every = {**known, **_found(mailbox, is_own)}
    return {entry.lower(): every[entry.lower()] for entry in entries if entry.lower() in every}


def _is_within(each: str, entry: str, depth: int | None) -> bool:
    """Whether an entry is meant by another one and DEPTH (RFC 5464 §4.2.2)."""
    if each == entry:
        return True
    if not each.startswith(f"{entry}/"):
        return False
    return depth is None or each[len(entry) :].count("/") <= depth


def values_line(session: Session, name: str, values: Mapping[str, bytes | None]) -> bytes:
    """One untagged METADATA with values; NIL for entries that are not there."""
    pairs = b" ".join(b"%s %s" % (astring(entry), _value(value)) for entry, value in values.items())
    return b"* METADATA %s (%s)\r\n" % (_name(session, name), pairs)


def names_line(session: Session, name: str, entries: Iterable[str]) -> bytes:
    """One untagged METADATA of entries that changed (RFC 5464 §4.4.2)."""
    return b"* METADATA %s %s\r\n" % (_name(session, name), b" ".join(astring(entry) for entry in entries))


def _name(session: Session, name: str) -> bytes:
    return written(session, name) if name else b'""'


def _value(value: bytes | None) -> bytes:
    if value is not None and b"\0" in value:
        return b"~{%d}\r\n%s" % (len(value), value)  # RFC 5464 §5: value = nstring / literal8
    return nstring(value)
