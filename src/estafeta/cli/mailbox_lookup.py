"""Which account and which mailbox a command means."""

from __future__ import annotations

from estafeta.cli.faults import CommandFault
from estafeta.cli.opening import OpenedStore
from estafeta.mail.address import Address, AddressError
from estafeta.store.records import Account, Mailbox


def account_of(store: OpenedStore, text: str) -> Account:
    """The account of an address, or of a bare name where there is one domain only. Raises CommandFault."""
    from estafeta.store import accounts, domains

    if "@" not in text:
        names = [domain.name for domain in store.read(domains.list_all)]
        if len(names) != 1:
            raise CommandFault(f"{text} has no domain, and there is not exactly one to complete it with")
        text = f"{text}@{names[0]}"
    try:
        address = Address.parse(text)
    except AddressError as error:
        raise CommandFault(f"{text} is not an address: {error}") from None
    account = store.read(lambda tx: accounts.find(tx, address))
    if account is None:
        raise CommandFault(f"there is no account {address}")
    return account


def mailbox_of(store: OpenedStore, account: Account, name: str) -> Mailbox:
    """A mailbox of an account by its name. Raises CommandFault."""
    from estafeta.store import mailboxes

    box = store.read(lambda tx: mailboxes.find(tx, account.account_id, name))
    if box is None:
        raise CommandFault(f"{account.address} has no mailbox {name}")
    return box
