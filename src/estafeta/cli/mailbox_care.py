"""`estafeta mailbox create`, `rename`, `remove` and `empty`."""

from __future__ import annotations

from pathlib import Path

import click

from estafeta.cli.faults import CommandFault
from estafeta.cli.mailbox_lookup import account_of, mailbox_of
from estafeta.cli.opening import OpenedStore, opened
from estafeta.cli.options import config_option, json_option, yes_option
from estafeta.cli.output import answer
from estafeta.store.records import Account, Mailbox, MailboxId

_STEP = 500
"""Messages removed in one change, so that a server that runs meanwhile is not held up."""
_USES = ("archive", "drafts", "junk", "sent", "trash")


def new_mailbox(store: OpenedStore, account: Account, name: str, use: str | None = None) -> Mailbox:
    """Make a mailbox, and those above it, as IMAP's CREATE does. Raises CommandFault, StoreError."""
    from estafeta.access.imap import naming
    from estafeta.access.imap.commands.create import make
    from estafeta.store import mailboxes, subscriptions
    from estafeta.store.engine import Transaction
    from estafeta.store.errors import AlreadyExists
    from estafeta.wire.imap.completion import Refused

    proper = fit_name(name)

    def change(tx: Transaction) -> Mailbox:
        if mailboxes.find(tx, account.account_id, proper) is not None:
            raise AlreadyExists(f"the mailbox {proper} is there already")
        made = make(tx, account.account_id, proper, now=store.now())
        if use is not None:
            mailboxes.set_special_use(tx, made, use)
        for each in (*naming.superiors(proper), proper):
            subscriptions.set_(tx, account.account_id, each, is_subscribed=True)
        return mailboxes.get(tx, made.mailbox_id)

    try:
        return store.write(change)
    except Refused as refused:
        raise CommandFault(str(refused)) from refused


def fit_name(name: str) -> str:
    """A name that a mailbox can have, as it is kept. Raises CommandFault."""
    from estafeta.access.imap import naming
    from estafeta.wire.imap.completion import Refused

    try:
        naming.refuse_unfit(naming.normal(name))
    except Refused as refused:
        raise CommandFault(f"{name}: {refused}") from refused
    return naming.normal(name)


@click.command("create")
@click.argument("address")
@click.argument("name")
@click.option("--use", type=click.Choice(_USES), help="What mail programs use it for (RFC 6154).")
@config_option
@json_option
def create(address: str, name: str, use: str | None, config: Path | None, as_json: bool) -> None:
    """Make the mailbox NAME of ADDRESS, and those above it; levels are parted by slashes."""
    with opened(config) as store:
        account = account_of(store, address)
        made = new_mailbox(store, account, name, None if use is None else f"\\{use.capitalize()}")
    answer(as_json, {"address": account.address, "name": made.name}, f"{made.name} created")


@click.command("rename")
@click.argument("address")
@click.argument("old")
@click.argument("new")
@config_option
@json_option
def rename(address: str, old: str, new: str, config: Path | None, as_json: bool) -> None:
    """Give the mailbox OLD of ADDRESS, and those below it, the name NEW."""
    from estafeta.store import mailboxes

    with opened(config) as store:
        account = account_of(store, address)
        box, proper = mailbox_of(store, account, old), fit_name(new)
        if box.name == mailboxes.INBOX:
            raise CommandFault("INBOX keeps its name, because mail is delivered there")
        if proper.startswith(box.name + mailboxes.SEPARATOR):
            raise CommandFault(f"{box.name} cannot be below itself")
        store.write(lambda tx: mailboxes.rename(tx, box, proper, now=store.now()))
    answer(as_json, {"address": account.address, "name": proper}, f"{box.name} is {proper} now")


@click.command("remove")
@click.argument("address")
@click.argument("name")
@yes_option
@config_option
@json_option
def remove(address: str, name: str, yes: bool, config: Path | None, as_json: bool) -> None:
    """Remove the mailbox NAME of ADDRESS with its messages; those below it stay."""
    from estafeta.store import mailboxes

    with opened(config) as store:
        account = account_of(store, address)
        box = mailbox_of(store, account, name)
        if box.name == mailboxes.INBOX:
            raise CommandFault("INBOX cannot be removed, because mail is delivered there")
        if not yes:
            click.confirm(f"Remove {box.name} and its {box.messages} messages?", abort=True, err=True)
        store.write(lambda tx: mailboxes.remove(tx, box))
        while store.write(mailboxes.clear_removed):
            pass
    answer(as_json, {"address": account.address, "name": box.name, "removed": True}, f"{box.name} removed")


@click.command("empty")
@click.argument("address")
@click.argument("name")
@yes_option
@config_option
@json_option
def empty(address: str, name: str, yes: bool, config: Path | None, as_json: bool) -> None:
    """Remove all messages of the mailbox NAME of ADDRESS; the mailbox stays."""
    with opened(config) as store:
        account = account_of(store, address)
        box = mailbox_of(store, account, name)
        if not yes:
            click.confirm(f"Remove the {box.messages} messages of {box.name}?", abort=True, err=True)
        # What arrives meanwhile stays.
        count, last = 0, box.uid_next - 1
        while step := _expunge_some(store, box.mailbox_id, last):
            count += step
    answer(as_json, {"address": account.address, "name": box.name, "removed": count}, f"{count} messages removed")


def _expunge_some(store: OpenedStore, mailbox_id: MailboxId, last_uid: int) -> int:
    from estafeta.store import messages
    from estafeta.store.engine import Transaction

    def change(tx: Transaction) -> int:
        found = messages.list_of(tx, mailbox_id, last_uid=last_uid, limit=_STEP)
        return len(messages.expunge(tx, mailbox_id, [message.uid for message in found]))

    return store.write(change)


COMMANDS = (create, rename, remove, empty)
