"""What LIST, LSUB and NOTIFY see: the names of a user's mailboxes at one moment, and patterns for names.

A pattern is matched by a set of states that is one number (how many of its letters are passed), so that each
letter of a name costs the same whatever wildcards the pattern has.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from estafeta.access.imap.naming import INBOX, OTHER_USERS, SEPARATOR, normal, written
from estafeta.mail.value import value
from estafeta.store import acl, mailboxes, subscriptions
from estafeta.store.addresses import key_of
from estafeta.store.engine import Transaction
from estafeta.store.records import Account, Mailbox

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session

_WILDCARDS = frozenset("*%")


class Pattern:
    """One pattern of LIST: `*` for anything, `%` for anything within a level (RFC 9051 §6.3.9)."""

    def __init__(self, text: str) -> None:
        if not text.isascii():
            text = unicodedata.normalize("NFC", text)
        first, separator, rest = text.partition(SEPARATOR)
        if first.upper() == INBOX:
            text = INBOX + separator + rest
        self.text = text
        self.matches: Callable[[str], bool] = _matcher(text)
        """Whether a name matches."""
        # RFC 9051 §6.3.9: INBOX is listed when that word in capitals matches, and its case means nothing (§5.1).
        self.matches_inbox = len(text) <= 1000 and _matcher(text.upper())(INBOX)
        self.lists_levels = text.endswith("%") or not _WILDCARDS & set(text)
        """Levels that are no mailboxes are listed too: for `%` at the end, and for who asks for one by its name."""


def _matcher(text: str) -> Callable[[str], bool]:
    """The simplest test for a pattern."""
    plain = text[:-1] if text else ""
    if not _WILDCARDS & set(text):
        return lambda name: name == text
    if _WILDCARDS & set(plain):
        return _stepping(text)
    if text[-1] == "*":
        return lambda name: name.startswith(plain)
    start = len(plain)
    return lambda name: name.startswith(plain) and name.find(SEPARATOR, start) < 0


def _stepping(text: str) -> Callable[[str], bool]:
    """The test for any pattern: bit n of the state says that the first n letters can be passed."""
    letters: dict[str, int] = {}
    anything = within = 0
    bit = 1
    for letter in text:
        if letter == "*":
            anything |= bit
        elif letter == "%":
            within |= bit
        else:
            letters[letter] = letters.get(letter, 0) | bit
            bit <<= 1
    loops = anything | within
    last = bit

    def matches(name: str) -> bool:
        state = 1
        for letter in name:
            state = (state & letters.get(letter, 0)) << 1 | state & (anything if letter == SEPARATOR else loops)
            if not state:
                return False
        return bool(state & last)

    return matches


@value
class Visible:
    """A mailbox that the user may list."""

    mailbox: Mailbox
    rights: str
    owner: str | None = None
    """The address of the owner; None for the user's own."""


@dataclass(slots=True)
class Names:
    """All that a user sees, by the names as he says them."""

    mailboxes: dict[str, Visible]
    """In order: INBOX first, then by name, other users' last."""
    subscribed: set[str]
    levels: set[str] = field(default_factory=set)
    """Names that have a mailbox below them."""

    def attributes(self, name: str, *, is_extended: bool) -> list[str]:
        """\\NonExistent (or \\Noselect), children, special use, of a name as it is now."""
        visible = self.mailboxes.get(name)
        found = []
        if visible is None:
            # RFC 9051 §7.3.1: \NonExistent implies \Noselect; clients of IMAP4rev1 know only the latter.
            found.append(r"\NonExistent" if is_extended else r"\Noselect")
        found.append(r"\HasChildren" if name in self.levels else r"\HasNoChildren")
        # RFC 9051 §7.3.1: special uses are one user's: another's \Sent is not \Sent for this one.
        if visible is not None and visible.owner is None and visible.mailbox.special_use is not None:
            found.append(visible.mailbox.special_use)
        return found


def see(tx: Transaction, account: Account) -> Names:
    """Read all of it: a few statements, however many mailboxes there are."""
    found: dict[str, Visible] = {}
    own = mailboxes.list_of(tx, account.account_id)
    own.sort(key=lambda mailbox: (mailbox.name != INBOX, mailbox.name))
    for mailbox in own:
        found[mailbox.name] = Visible(mailbox, acl.RIGHTS)
    address = key_of(account.address)
    for owner, rights in acl.shared_with(tx, account.account_id, address).items():
        owner_id = acl.account_of(tx, owner)
        if owner_id is None or SEPARATOR in owner or not any("l" in given for given in rights.values()):
            continue
        theirs = mailboxes.list_of(tx, owner_id)
        for mailbox in theirs:
            given = rights.get(mailbox.mailbox_id, "")
            if "l" in given:  # RFC 4314 §4: LIST needs "l"
                found[f"{OTHER_USERS}/{owner}/{mailbox.name}"] = Visible(mailbox, given, owner)
    return Names(found, subscriptions.of(tx, account.account_id), levels_of(found))


def levels_of(names: Iterable[str]) -> set[str]:
    """All names above these."""
    levels: set[str] = set()
    for name in names:
        end = name.rfind(SEPARATOR)
        while end > 0:
            above = name[:end]
            if above in levels:
                break
            levels.add(above)
            end = above.rfind(SEPARATOR)
    return levels


def canonical(reference: str, patterns: Iterable[str]) -> list[Pattern]:
    """The patterns of a command: the reference goes before each (RFC 9051 §6.3.9); empty ones mean nothing."""
    return [Pattern(reference + pattern) for pattern in patterns if pattern]


def root_of(reference: str) -> str:
    """The root of a reference, for `LIST reference ""`."""
    return f"{OTHER_USERS}/" if normal(reference).split(SEPARATOR)[0] == OTHER_USERS else ""


def matching(patterns: list[Pattern], name: str) -> bool:
    """Whether one of the patterns matches."""
    if name == INBOX:
        return any(pattern.matches_inbox for pattern in patterns)
    return any(pattern.matches(name) for pattern in patterns)


def listing_levels(patterns: list[Pattern], name: str) -> bool:
    """Whether one of the patterns that list levels matches."""
    return any(pattern.lists_levels and pattern.matches(name) for pattern in patterns)


def line(
    session: Session, name: str, attributes: Iterable[str], extended: bytes = b"", *, verb: bytes = b"LIST"
) -> bytes:
    """One untagged LIST or LSUB (RFC 9051 §7.3.1)."""
    return b'* %s (%s) "/" %s%s\r\n' % (verb, " ".join(attributes).encode("ascii"), written(session, name), extended)


def listed_as(session: Session, name: str, said: str, *, is_there: bool = True) -> bytes:
    """The untagged LIST that tells under which name a mailbox is known (RFC 9051 §6.3.9.7)."""
    attributes = () if is_there else (r"\NonExistent",)
    return line(session, name, attributes, b' ("OLDNAME" (%s))' % written(session, said))
