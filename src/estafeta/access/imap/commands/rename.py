"""RENAME: another name for a mailbox and all below it; from INBOX it moves the messages (RFC 9051 §6.3.6).

Subscriptions are names and stay as they are (§6.3.6, last note); rights, annotations and special uses go along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.access.imap import naming
from estafeta.access.imap.commands.create import make
from estafeta.access.imap.listing import listed_as
from estafeta.store import acl, mailboxes, metadata
from estafeta.store.addresses import key_of
from estafeta.store.engine import Transaction
from estafeta.store.records import Account, Instant, Mailbox
from estafeta.wire.imap.commands.rename import Rename
from estafeta.wire.imap.completion import Completion, Refused, ok

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session


async def rename(session: Session, request: Rename) -> Completion:
    """Give a mailbox, or a level that has mailboxes below it, another name."""
    account = session.account
    assert account is not None
    now = Instant(session.environment.clock())
    said_old = request.mailbox.removesuffix(naming.SEPARATOR)
    said_new = request.new_name.removesuffix(naming.SEPARATOR)
    old, new = naming.normal(said_old), naming.normal(said_new)

    def change(tx: Transaction) -> tuple[Mailbox, Mailbox] | None:
        return _rename(tx, account, old, new, now)

    naming.note_own(session, old, new, *naming.superiors(old), *naming.superiors(new))
    left = await session.environment.store.write(change)
    if left is not None:
        inbox, target = left
        while await session.environment.store.write(lambda tx: mailboxes.move_some(tx, inbox, target, now=now)):
            pass
    if (old, new) != (said_old, said_new) and old != naming.INBOX:
        session.send(listed_as(session, new, said_old))
    return ok("Renamed")


def _rename(tx: Transaction, account: Account, old: str, new: str, now: Instant) -> tuple[Mailbox, Mailbox] | None:
    """Gives INBOX as it was and its new mailbox where messages are left to be moved, in further changes."""
    found = naming.find(tx, account, old)
    if found is None and not naming.has_inferiors(tx, account, old):
        raise naming.missing()
    if found is not None:
        naming.require(found.rights, "x")  # RFC 4314 §4
    there, _ = naming.for_new(tx, account, new)
    source = naming.place(tx, account, old)
    if there.account_id is None or there.account_id != source.account_id:
        raise Refused("A mailbox stays with its owner", "CANNOT")
    if new.startswith(old + naming.SEPARATOR) and old != naming.INBOX:
        raise Refused("A mailbox cannot be below itself", "CANNOT")
    if mailboxes.find(tx, there.account_id, there.name) is not None:
        raise Refused("There is a mailbox of this name already", "ALREADYEXISTS")
    every = mailboxes.list_of(tx, there.account_id)
    names = {mailbox.name for mailbox in every}
    if any(name.startswith(there.name + naming.SEPARATOR) for name in names) and source.name != naming.INBOX:
        # Two trees are not made one: a name could be in both.
        raise Refused("There are mailboxes below this name already", "ALREADYEXISTS")
    if found is not None and found.mailbox.name == naming.INBOX:
        return found.mailbox, _leave_inbox(tx, found.mailbox, there.name, now)
    inside = [mailbox for mailbox in every if mailbox.name.startswith(source.name + naming.SEPARATOR)]
    _refuse_without_rights(tx, account, source, inside)
    for mailbox in inside:
        naming.refuse_unfit(there.name + mailbox.name[len(source.name) :])
    above = there.name.rpartition(naming.SEPARATOR)[0]
    if above and mailboxes.find(tx, there.account_id, above) is None:
        make(tx, there.account_id, above, now=now)
    if found is not None:
        mailboxes.rename(tx, found.mailbox, there.name, now=now)
        return None
    # The level is no mailbox: those below it that have none of these above them, and the rest along with them.
    moving = {mailbox.name for mailbox in inside}
    for mailbox in inside:
        if moving.isdisjoint(naming.superiors(mailbox.name)):
            mailboxes.rename(tx, mailbox, there.name + mailbox.name[len(source.name) :], now=now)
    return None


def _leave_inbox(tx: Transaction, inbox: Mailbox, name: str, now: Instant) -> Mailbox:
    """The messages of INBOX go to a new mailbox; INBOX, and what is below it, stays."""
    make_above = name.rpartition(naming.SEPARATOR)[0]
    parent = mailboxes.find(tx, inbox.account_id, make_above) if make_above else None
    if make_above and parent is None:
        parent = make(tx, inbox.account_id, make_above, now=now)
    mailboxes.rename(tx, inbox, name, now=now)
    target = mailboxes.find(tx, inbox.account_id, name)
    assert target is not None
    if parent is not None:
        acl.inherit(tx, parent.mailbox_id, target.mailbox_id)
    metadata.copy(tx, inbox.mailbox_id, target.mailbox_id)  # RFC 5464 §4.1
    return target


def _refuse_without_rights(tx: Transaction, account: Account, source: naming.Place, inside: list[Mailbox]) -> None:
    """In another user's tree each mailbox that gets another name needs the right "x"."""
    if source.owner is None or source.account_id is None:
        return
    rights = acl.rights_in_account(tx, source.account_id, key_of(account.address))
    for mailbox in inside:
        naming.require(rights.get(mailbox.mailbox_id, ""), "x")
