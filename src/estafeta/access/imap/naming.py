"""Names of mailboxes as a session says them: whose they are, what the user may do there, and which can be made.

Names are levels with `/` between them, in Unicode's form NFC whatever form they were said in (RFC 9051 §5.1).
Below `Other Users/` come the addresses of other accounts, and below these their mailboxes (RFC 2342). What a
user may neither see nor use is answered as what is not there (RFC 4314 §6).
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from estafeta.mail.value import value
from estafeta.store import acl, mailboxes
from estafeta.store.addresses import key_of
from estafeta.store.engine import Transaction
from estafeta.store.records import Account, AccountId, Mailbox
from estafeta.wire.imap.completion import Refused
from estafeta.wire.imap.writing import mailbox_name

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session

SEPARATOR = "/"
OTHER_USERS = "Other Users"
"""The first level of other users' mailboxes; no mailbox of one's own can have the name."""
INBOX = "INBOX"

MOST_LEVELS = 32
"""Deeper trees are no help to anybody, and parents are made along with their children."""
MOST_OCTETS_OF_LEVEL = 255
"""As file systems have it, so that programs which mirror mailboxes into folders can."""
MOST_OCTETS = 1000
"""Of a whole name in UTF-8: it fits a line of a command in any encoding."""

MOST_MAILBOXES = 20_000
"""Of one account: twice what the largest archives have; all of them are read for a LIST."""

_ANY = frozenset("lrikxa")
"""One of these lets a user know that there is a mailbox (RFC 4314 §4, MYRIGHTS)."""


@value
class Place:
    """Where a name belongs: an account, and the name there. No account where there is none of that address."""

    account_id: AccountId | None
    owner: str | None
    """The address of the other user, in lower case; None for the user's own."""
    name: str

    @property
    def said(self) -> str:
        """The whole name as this user says it."""
        return self.name if self.owner is None else f"{OTHER_USERS}/{self.owner}/{self.name}"


@value
class Found:
    """A mailbox that is there, and what the user may do in it."""

    mailbox: Mailbox
    rights: str
    """Letters of RFC 4314 §2.1."""
    owner: str | None = None
    """The address of the owner, in lower case; None for the user's own mailbox."""

    @property
    def name(self) -> str:
        """The whole name as this user says it."""
        return self.mailbox.name if self.owner is None else f"{OTHER_USERS}/{self.owner}/{self.mailbox.name}"

    @property
    def is_own(self) -> bool:
        """It is the user's."""
        return self.owner is None


def missing() -> Refused:
    """The answer for a mailbox that is not there, and for one that the user may know nothing of."""
    return Refused("There is no such mailbox", "NONEXISTENT")


def normal(name: str) -> str:
    """The form in which names are kept: NFC, and INBOX in capitals where it is the first level (RFC 9051 §5.1)."""
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    if name[:5].upper() == INBOX and (len(name) == 5 or name[5] == SEPARATOR):
        return INBOX + name[5:]
    return name


def place(tx: Transaction, account: Account, name: str) -> Place:
    """Whose mailbox a name is. Raises Refused for a name that is only a level of the other users' namespace."""
    name = normal(name)
    first, _, rest = name.partition(SEPARATOR)
    if first != OTHER_USERS:
        return Place(account.account_id, None, name)
    address, _, below = rest.partition(SEPARATOR)
    address = address.lower()
    if not below or address == key_of(account.address):
        raise missing()
    return Place(acl.account_of(tx, address), address, normal(below))


def find(tx: Transaction, account: Account, name: str) -> Found | None:
    """The mailbox of a name with the user's rights, which may be none; None where nothing is."""
    try:
        there = place(tx, account, name)
    except Refused:
        return None
    if there.account_id is None or there.name.startswith(SEPARATOR):  # what is being removed has such a name
        return None
    mailbox = mailboxes.find(tx, there.account_id, there.name)
    if mailbox is None:
        return None
    return Found(mailbox, acl.rights_of(tx, mailbox, account.account_id, key_of(account.address)), there.owner)


def resolve_in(tx: Transaction, account: Account, name: str, needs: str = "") -> Found:
    """The mailbox of a name, inside a change or query.

    Raises Refused: NONEXISTENT where nothing is or the user may not know, NOPERM where one of the rights `needs`
    is missing. Without `needs` any right will do.
    """
    found = find(tx, account, name)
    if found is None:
        raise missing()
    require(found.rights, needs)
    return found


async def resolve(session: Session, name: str, needs: str = "") -> Found:
    """The same for a handler. Raises Refused."""
    account = session.account
    assert account is not None
    return await session.environment.store.read(lambda tx: resolve_in(tx, account, name, needs))


def require(rights: str, needs: str) -> None:
    """Refuse what needs rights that are not there. Raises Refused."""
    if needs and set(needs) <= set(rights):
        return
    if not (_ANY & set(rights) if not needs else "l" in rights):
        raise missing()  # RFC 4314 §6: as if it did not exist
    if needs:
        raise Refused("You have no right to do that in this mailbox", "NOPERM")  # RFC 5530 §3


def refuse_unfit(name: str) -> None:
    """Refuse a name that no mailbox can have. Raises Refused."""
    levels = name.split(SEPARATOR)
    if not name or not all(levels):
        raise Refused("A level of the name is empty", "CANNOT")
    if len(levels) > MOST_LEVELS or len(name.encode("utf-8", "replace")) > MOST_OCTETS:
        raise Refused("The name is too long", "CANNOT")
    if any(len(level.encode("utf-8", "replace")) > MOST_OCTETS_OF_LEVEL for level in levels):
        raise Refused("A level of the name is too long", "CANNOT")
    # RFC 9051 §5.1: controls are best avoided, and wildcards are difficult to use with LIST.
    if any(character in "*%" or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        raise Refused("The name has characters that no mailbox can have", "CANNOT")
    # RFC 5198 §2 (2): no unassigned code points; those that Unicode will never assign are left out.
    if any(ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF for character in name):
        raise Refused("The name has characters that no mailbox can have", "CANNOT")
    if name.isascii() is False and unicodedata.combining(name[0]):
        raise Refused("The name has characters that no mailbox can have", "CANNOT")


def has_inferiors(tx: Transaction, account: Account, name: str) -> bool:
    """Whether mailboxes that the user may list are below a name."""
    try:
        there = place(tx, account, name)
    except Refused:
        return False
    if there.account_id is None:
        return False
    inside = [each for each in mailboxes.list_of(tx, there.account_id) if each.name.startswith(there.name + SEPARATOR)]
    if there.owner is None or not inside:
        return bool(inside)
    rights = acl.rights_in_account(tx, there.account_id, key_of(account.address))
    return any("l" in rights.get(each.mailbox_id, "") for each in inside)


def note_own(session: Session, *names: str) -> None:
    """These names are changed by the session itself: NOTIFY does not tell it of them (RFC 5465 §5)."""
    if session.watching is not None:
        session.own_changes.update(names)


def written(session: Session, name: str) -> bytes:
    """A name as this session has it: UTF-8 once that is enabled, else modified UTF-7 (RFC 3501 §5.1.3)."""
    return mailbox_name(name, session.engine.session.is_utf8)


def superiors(name: str) -> list[str]:
    """The names above, the nearest first."""
    levels = name.split(SEPARATOR)
    return [SEPARATOR.join(levels[:depth]) for depth in range(len(levels) - 1, 0, -1)]


def for_new(tx: Transaction, account: Account, name: str, *, needs: str = "k") -> tuple[Place, Mailbox | None]:
    """Where a new mailbox is to be, and the nearest one above it that is there.

    Raises Refused for a name that cannot be given, and without the right to make mailboxes there.
    """
    name = normal(name)
    refuse_unfit(name)
    if name in (OTHER_USERS, INBOX):
        raise Refused("The name is reserved", "ALREADYEXISTS" if name == INBOX else "CANNOT")
    try:
        there = place(tx, account, name)
    except Refused:
        raise Refused("The name is reserved", "CANNOT") from None
    parent = None
    for above in superiors(there.name) if there.account_id is not None else ():
        assert there.account_id is not None
        parent = mailboxes.find(tx, there.account_id, above)
        if parent is not None:
            break
    if there.owner is not None:
        # RFC 4314 §4: the right "k" on the nearest mailbox above. Whether there is such an account is not told.
        rights = acl.rights_of(tx, parent, account.account_id, key_of(account.address)) if parent else ""
        if not set(needs) <= set(rights):
            raise Refused("You have no right to do that there", "NOPERM")
    return there, parent
