"""`estafeta account`: accounts, their passwords and quotas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from estafeta.cli import certificate, options
from estafeta.cli.faults import CommandFault
from estafeta.cli.opening import OpenedStore, opened
from estafeta.cli.options import config_option, json_option, yes_option
from estafeta.cli.output import answer, document, instant, moment, octets, say, table
from estafeta.cli.passwords import chosen_password, mechanisms_of
from estafeta.mail.address import Address
from estafeta.store.records import Account

_password_file = click.option(
    "--password-file", metavar="FILE", help="Take the password from the first line of FILE; - is standard input."
)
_generate = click.option("--generate", is_flag=True, help="Make a password up and print it.")


@click.group("account")
def command() -> None:
    """Accounts, their passwords and quotas."""


command.add_command(certificate.command)


@command.command("add")
@click.argument("address", type=options.address)
@_password_file
@_generate
@click.option("--no-password", is_flag=True, help="Make an account that takes mail but cannot log in.")
@click.option(
    "--quota", type=options.size, metavar="SIZE", help="The most octets it may keep, like 2G. Default: no limit."
)
@click.option("--quota-messages", type=click.IntRange(min=1), metavar="N", help="The most messages it may keep.")
@config_option
@json_option
def add(
    address: Address,
    password_file: str | None,
    generate: bool,
    no_password: bool,
    quota: int | None,
    quota_messages: int | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Make the account ADDRESS with its mailboxes. Asks for the password unless an option says where it is."""
    from estafeta.store import accounts
    from estafeta.store.passwords import hash_password

    if no_password and (password_file is not None or generate):
        raise click.UsageError("--no-password cannot be used with another option for the password")
    with opened(config) as store:
        password = None if no_password else chosen_password(password_file, generate=generate)
        hashed = hash_password(password, mechanisms_of(config)) if password is not None else None
        now = store.now()
        account = store.write(
            lambda tx: accounts.add(
                tx, address, password=hashed, quota_octets=quota, quota_messages=quota_messages, now=now
            )
        )
    if as_json:
        document(_record(account) | ({"password": password} if generate else {}))
        return
    say(f"{address} added")
    if generate:
        say(f"password: {password}")


@command.command("list")
@click.option("--domain", type=options.domain, help="Only those of this domain.")
@config_option
@json_option
def list_(domain: str | None, config: Path | None, as_json: bool) -> None:
    """List the accounts."""
    from estafeta.store import accounts

    with opened(config) as store:
        found = store.read(accounts.list_all)
    found = [account for account in found if domain is None or account.address.domain == domain]
    if as_json:
        document([_record(account) for account in found])
        return
    table(
        ("ADDRESS", "STATE", "MESSAGES", "SIZE", "QUOTA"),
        (
            (
                account.address,
                _state(account),
                account.used_messages,
                octets(account.used_octets),
                _quota(account),
            )
            for account in found
        ),
        right=("MESSAGES", "SIZE"),
    )


@command.command("show")
@click.argument("address", type=options.address)
@config_option
@json_option
def show(address: Address, config: Path | None, as_json: bool) -> None:
    """Show the account ADDRESS, its mailboxes and the aliases that reach it."""
    from estafeta.store import accounts, aliases, mailboxes

    with opened(config) as store:
        account = _found(store, address)
        boxes, reached = store.read(
            lambda tx: (mailboxes.list_of(tx, account.account_id), aliases.members_of(tx, address))
        )
        account = store.read(lambda tx: accounts.find(tx, address)) or account
    if as_json:
        document(
            _record(account)
            | {
                "mailboxes": [{"name": box.name, "messages": box.messages, "octets": box.octets} for box in boxes],
                "aliases": list(reached),
            }
        )
        return
    say(f"account    {account.address}")
    say(f"state      {_state(account)}")
    say(f"since      {moment(account.created_at)}")
    say(f"keeps      {account.used_messages} messages, {octets(account.used_octets)}")
    say(f"quota      {_quota(account) or 'none'}")
    say(f"mailboxes  {', '.join(f'{box.name} ({box.messages})' for box in boxes)}")
    say(f"aliases    {', '.join(str(alias) for alias in reached) or 'none'}")


@command.command("remove")
@click.argument("address", type=options.address)
@yes_option
@config_option
@json_option
def remove(address: Address, yes: bool, config: Path | None, as_json: bool) -> None:
    """Remove the account ADDRESS with all its mail."""
    from estafeta.store import accounts

    with opened(config) as store:
        account = _found(store, address)
        if not yes:
            click.confirm(f"Remove {address} and its {account.used_messages} messages?", abort=True, err=True)
        store.write(lambda tx: accounts.remove(tx, address))
        while store.write(accounts.clear_removed):
            pass
    answer(as_json, {"address": address, "removed": True}, f"{address} removed")


@command.command("password")
@click.argument("address", type=options.address)
@_password_file
@_generate
@config_option
@json_option
def password(address: Address, password_file: str | None, generate: bool, config: Path | None, as_json: bool) -> None:
    """Give the account ADDRESS a new password."""
    from estafeta.store import accounts
    from estafeta.store.passwords import hash_password

    with opened(config) as store:
        _found(store, address)
        chosen = chosen_password(password_file, generate=generate)
        hashed = hash_password(chosen, mechanisms_of(config))
        store.write(lambda tx: accounts.set_password(tx, address, hashed))
    if as_json:
        document({"address": address} | ({"password": chosen} if generate else {}))
        return
    say(f"{address} has a new password" + (f": {chosen}" if generate else ""))


@command.command("enable")
@click.argument("address", type=options.address)
@config_option
@json_option
def enable(address: Address, config: Path | None, as_json: bool) -> None:
    """Let the account ADDRESS log in and take mail again."""
    _set_enabled(address, config, as_json, enabled=True)


@command.command("disable")
@click.argument("address", type=options.address)
@config_option
@json_option
def disable(address: Address, config: Path | None, as_json: bool) -> None:
    """Stop the account ADDRESS from logging in and taking mail; its mail is kept."""
    _set_enabled(address, config, as_json, enabled=False)


@command.command("quota")
@click.argument("address", type=options.address)
@click.option("--octets", "size", type=options.size, metavar="SIZE", help="The most octets it may keep, like 2G.")
@click.option("--messages", type=click.IntRange(min=1), metavar="N", help="The most messages it may keep.")
@click.option("--none", "no_limit", is_flag=True, help="Take both limits away.")
@config_option
@json_option
def quota(
    address: Address, size: int | None, messages: int | None, no_limit: bool, config: Path | None, as_json: bool
) -> None:
    """Limit what the account ADDRESS may keep; a limit that is not named stays as it is."""
    from estafeta.store import accounts

    if no_limit == (size is not None or messages is not None):
        raise click.UsageError("give --octets, --messages or both, or --none alone")
    with opened(config) as store:
        account = _found(store, address)
        limits: dict[str, Any] = {
            "quota_octets": None if no_limit else size if size is not None else account.quota_octets,
            "quota_messages": None if no_limit else messages if messages is not None else account.quota_messages,
        }
        store.write(lambda tx: accounts.set_quota(tx, address, **limits))
        account = _found(store, address)
    answer(as_json, _record(account), f"{address}: quota {_quota(account) or 'none'}")


def _set_enabled(address: Address, config: Path | None, as_json: bool, *, enabled: bool) -> None:
    from estafeta.store import accounts

    with opened(config) as store:
        store.write(lambda tx: accounts.set_enabled(tx, address, enabled))
        account = _found(store, address)
    answer(as_json, _record(account), f"{address} is {'enabled' if enabled else 'disabled'}")


def _found(store: OpenedStore, address: Address) -> Account:
    from estafeta.store import accounts

    account = store.read(lambda tx: accounts.find(tx, address))
    if account is None:
        raise CommandFault(f"there is no account {address}")
    return account


def _state(account: Account) -> str:
    if not account.is_enabled:
        return "disabled"
    return "enabled" if account.has_password else "no login"


def _quota(account: Account) -> str:
    parts = []
    if account.quota_octets is not None:
        parts.append(octets(account.quota_octets))
    if account.quota_messages is not None:
        parts.append(f"{account.quota_messages} messages")
    return ", ".join(parts)


def _record(account: Account) -> dict[str, object]:
    return {
        "address": account.address,
        "is_enabled": account.is_enabled,
        "has_password": account.has_password,
        "quota_octets": account.quota_octets,
        "quota_messages": account.quota_messages,
        "used_octets": account.used_octets,
        "used_messages": account.used_messages,
        "created_at": instant(account.created_at),
    }
