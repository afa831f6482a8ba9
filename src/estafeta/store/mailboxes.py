"""Mailboxes after IMAP's model: names, UIDVALIDITY, special uses (RFC 9051 §2.3.1, RFC 6154)."""

from __future__ import annotations

from estafeta.store import messages
from estafeta.store.engine import Transaction
from estafeta.store.errors import AlreadyExists, NotFound
from estafeta.store.ids import IdSource
from estafeta.store.records import AccountId, Instant, Mailbox, MailboxId
from estafeta.store.statements import Statements

_sql = Statements("mailboxes")

SEPARATOR = "/"
"""Between the levels of a name."""
INBOX = "INBOX"

_STEP = 500
"""Messages removed in one change: at some 30 µs each well below the time that a group may take."""


def add(tx: Transaction, account_id: AccountId, name: str, *, special_use: str | None = None, now: Instant) -> Mailbox:
    """Make a mailbox, and those above it that are not there yet. Raises AlreadyExists."""
    name = proper(name)
    if find(tx, account_id, name) is not None:
        raise AlreadyExists(f"the mailbox {name} is there already")
    above = name.rpartition(SEPARATOR)[0]
    if above and find(tx, account_id, above) is None:
        add(tx, account_id, above, now=now)
    # RFC 9051 §2.3.1.1: a mailbox made again under its old name needs a greater UIDVALIDITY; it has 32 bits.
    row = tx.one(_sql.next_uid_validity, seconds=int(now))
    assert row is not None
    tx.do(
        _sql.add_mailbox,
        mailbox_id=tx.ids.next_id(),
        account_id=account_id,
        name=name,
        special_use=special_use,
        uid_validity=row[0],
    )
    tx.touch(account_id)
    mailbox = find(tx, account_id, name)
    assert mailbox is not None
    return mailbox


def list_of(tx: Transaction, account_id: AccountId) -> list[Mailbox]:
    """All mailboxes of an account, by name."""
    return [Mailbox(*row) for row in tx.run(_sql.mailboxes_of_account, account_id=account_id)]


def count(tx: Transaction, account_id: AccountId) -> int:
    """How many mailboxes an account has."""
    row = tx.one(_sql.count_mailboxes, account_id=account_id)
    return 0 if row is None else int(row[0])


def find(tx: Transaction, account_id: AccountId, name: str) -> Mailbox | None:
    """One mailbox by its name."""
    row = tx.one(_sql.find_mailbox, account_id=account_id, name=proper(name))
    return Mailbox(*row) if row else None


def get(tx: Transaction, mailbox_id: MailboxId) -> Mailbox:
    """One mailbox by its id. Raises NotFound when it is gone."""
    row = tx.one(_sql.mailbox_by_id, mailbox_id=mailbox_id)
    if row is None:
        raise NotFound("the mailbox is gone")
    return Mailbox(*row)


def inbox(tx: Transaction, account_id: AccountId) -> Mailbox:
    """Where mail is delivered; every account has it. Raises NotFound when there is no such account."""
    mailbox = find(tx, account_id, INBOX)
    if mailbox is None:
        raise NotFound("the account is gone")
    return mailbox


def rename(tx: Transaction, mailbox: Mailbox, name: str, *, now: Instant) -> None:
    """Give a mailbox and those below it another name; INBOX stays, and its messages go to a new mailbox.

    Of many messages of INBOX the first go with this change; call `move_some` for the others. Raises AlreadyExists.
    """
    name = proper(name)
    if find(tx, mailbox.account_id, name) is not None:
        raise AlreadyExists(f"the mailbox {name} is there already")
    if mailbox.name == INBOX:
        # RFC 9051 §6.3.6: those below INBOX stay.
        target = add(tx, mailbox.account_id, name, now=now)
        move_some(tx, mailbox, target, now=now)
        return
    above = name.rpartition(SEPARATOR)[0]
    if above and find(tx, mailbox.account_id, above) is None:
        add(tx, mailbox.account_id, above, now=now)
    for each in below(tx, mailbox):
        new = name + each.name[len(mailbox.name) :]
        if find(tx, mailbox.account_id, new) is not None:
            raise AlreadyExists(f"the mailbox {new} is there already")
        tx.do(_sql.rename_mailbox, mailbox_id=each.mailbox_id, name=new)
        tx.touch(each.mailbox_id)
    tx.do(_sql.rename_mailbox, mailbox_id=mailbox.mailbox_id, name=name)
    tx.touch(mailbox.mailbox_id)
    tx.touch(mailbox.account_id)


def move_some(tx: Transaction, source: Mailbox, target: Mailbox, *, now: Instant) -> bool:
    """Move some of the messages that `source` had then; gives whether there are more: then call it again."""
    found = messages.list_of(tx, source.mailbox_id, last_uid=source.uid_next - 1, limit=_STEP)
    messages.move(tx, source.mailbox_id, [message.uid for message in found], target.mailbox_id, now=now)
    return len(found) == _STEP


def below(tx: Transaction, mailbox: Mailbox) -> list[Mailbox]:
    """Those whose names begin with the mailbox's and the separator."""
    start = mailbox.name + SEPARATOR
    return [each for each in list_of(tx, mailbox.account_id) if each.name.startswith(start)]


def set_special_use(tx: Transaction, mailbox: Mailbox, special_use: str | None) -> None:
    """Give a mailbox a use, or take it. Raises AlreadyExists when another of the account has it."""
    for each in list_of(tx, mailbox.account_id):
        if special_use is not None and each.special_use == special_use and each.mailbox_id != mailbox.mailbox_id:
            raise AlreadyExists(f"the mailbox {each.name} is for {special_use} already")
    tx.do(_sql.set_special_use, mailbox_id=mailbox.mailbox_id, special_use=special_use)
    tx.touch(mailbox.account_id)


def remove(tx: Transaction, mailbox: Mailbox) -> None:
    """Remove a mailbox: it is gone at once; of a large one messages stay behind unseen, for `clear_removed`."""
    tx.do(_sql.remove_annotations, mailbox_id=mailbox.mailbox_id)
    tx.do(_sql.hide_mailbox, mailbox_id=mailbox.mailbox_id)
    clear(tx, mailbox.mailbox_id, _STEP)
    tx.touch(mailbox.mailbox_id)
    tx.touch(mailbox.account_id)


def clear_removed(tx: Transaction) -> bool:
    """Remove some messages of removed mailboxes; gives whether there are more: then call it again."""
    row = tx.one(_sql.find_hidden)
    if row is None:
        return False
    clear(tx, row[0], _STEP)
    return True


def clear(tx: Transaction, mailbox_id: MailboxId, limit: int) -> int | None:
    """Remove up to `limit` messages, and the mailbox when none are left: then it gives what is left of the limit."""
    found = messages.list_of(tx, mailbox_id, limit=limit + 1)
    messages.expunge(tx, mailbox_id, [message.uid for message in found[:limit]])
    if len(found) > limit:
        return None
    tx.do(_sql.remove_annotations, mailbox_id=mailbox_id)
    tx.do(_sql.remove_mailbox, mailbox_id=mailbox_id)
    return limit - len(found)


def clear_account(tx: Transaction, account_id: AccountId, limit: int) -> bool:
    """Remove up to `limit` messages of an account, and each mailbox that is empty then; gives whether all are gone."""
    for row in tx.run(_sql.all_mailboxes_of_account, account_id=account_id):
        left = clear(tx, row[0], limit)
        if left is None:
            return False
        limit = left
    return True


def object_id(mailbox_id: MailboxId) -> str:
    """MAILBOXID (RFC 8474 §4): stays when the mailbox gets another name."""
    return f"F{IdSource.text(mailbox_id)}"


def proper(name: str) -> str:
    """The name as it is kept: INBOX in capitals, whatever the case (RFC 9051 §5.1)."""
    first, slash, rest = name.partition(SEPARATOR)
    return INBOX + slash + rest if first.upper() == INBOX else name
