"""`estafeta alias`: addresses that stand for others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from estafeta.cli import options
from estafeta.cli.faults import CommandFault
from estafeta.cli.opening import opened
from estafeta.cli.options import config_option, json_option, yes_option
from estafeta.cli.output import answer, document, say, table
from estafeta.mail.address import Address
from estafeta.mail.lists import Listed
from estafeta.store.records import Alias

if TYPE_CHECKING:
    from estafeta.store.store import Transaction


@click.group("alias")
def command() -> None:
    """Addresses that stand for others."""


@command.command("add")
@click.argument("address", type=options.address)
@click.argument("members", type=options.address, nargs=-1, required=True)
@click.option("--list", "is_list", is_flag=True, help="Make it a list: its mail goes on with the fields of a list.")
@click.option(
    "--owner",
    metavar="ADDRESS",
    type=options.address,
    help="Who is told of members of the list that cannot be reached, ours or not.",
)
@config_option
@json_option
def add(
    address: Address,
    members: tuple[Address, ...],
    is_list: bool,
    owner: Address | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Give mail for ADDRESS to each of MEMBERS, ours or not."""
    from estafeta.store import aliases, lists

    if is_list != (owner is not None):
        raise click.UsageError("a list has an owner, and only a list: give --list and --owner together")

    def change(tx: Transaction) -> tuple[Alias, Listed | None]:
        alias = aliases.add(tx, address, members)
        listed = None if owner is None else lists.set_owner(tx, address, owner)
        _refuse_loop(tx, address, "nothing was added")
        return alias, listed

    with opened(config) as store:
        alias, listed = store.write(change)
    if as_json:
        document(_record(alias, listed, None))
    else:
        told = f", as a list of {listed.owner}" if listed is not None else ""
        say(f"{address} added: it stands for {', '.join(str(member) for member in alias.members)}{told}")


@command.command("moved")
@click.argument("address", type=options.address)
@click.argument("new_address", type=options.address)
@click.option("--forward", "forward", is_flag=True, help="Mail goes on to there; clients are told (251).")
@click.option("--refuse", "refuse", is_flag=True, help="Mail is refused; clients are told (551).")
@config_option
@json_option
def moved_(
    address: Address, new_address: Address, forward: bool, refuse: bool, config: Path | None, as_json: bool
) -> None:
    """Say that the user of ADDRESS has moved to NEW_ADDRESS, ours or not; clients are told so by 251 or 551."""
    from estafeta.store import moved

    if forward == refuse:
        raise click.UsageError("say what becomes of the mail: give either --forward or --refuse")

    def change(tx: Transaction) -> None:
        moved.add(tx, address, new_address, is_forwarded=forward)
        _refuse_loop(tx, address, "nothing was added")

    with opened(config) as store:
        store.write(change)
    told = "goes on to there" if forward else "is refused"
    answer(
        as_json,
        {"address": address, "members": [new_address], "owner": None, "moved": _moved_word(forward)},
        f"{address} has moved to {new_address}: mail {told}, and clients are told",
    )


@command.command("list")
@config_option
@json_option
def list_(config: Path | None, as_json: bool) -> None:
    """List the aliases."""
    from estafeta.store import aliases, lists, moved

    with opened(config) as store:
        found, all_lists, all_moved = store.read(
            lambda tx: (aliases.list_all(tx), lists.list_all(tx), moved.list_all(tx))
        )
    by_address = {listed.address: listed for listed in all_lists}
    left = {each.address: each.is_forwarded for each in all_moved}
    if as_json:
        document([_record(alias, by_address.get(alias.address), left.get(alias.address)) for alias in found])
        return
    table(
        ("ALIAS", "LIST OF", "STANDS FOR"),
        (
            (
                alias.address,
                by_address[alias.address].owner if alias.address in by_address else "",
                ", ".join(map(str, alias.members))
                + (f" (moved, {_moved_word(left[alias.address])})" if alias.address in left else ""),
            )
            for alias in found
        ),
    )


@command.command("owner")
@click.argument("address", type=options.address)
@click.argument("owner", type=options.address, required=False)
@click.option("--none", "no_one", is_flag=True, help="Make the list an alias as others are.")
@config_option
@json_option
def owner_(address: Address, owner: Address | None, no_one: bool, config: Path | None, as_json: bool) -> None:
    """Make the alias ADDRESS a list of OWNER, or give the list another owner."""
    from estafeta.store import lists

    if (owner is None) != no_one:
        raise click.UsageError("give either an OWNER or --none")

    def change(tx: Transaction) -> None:
        if owner is None:
            lists.remove(tx, address)
        else:
            lists.set_owner(tx, address, owner)
            _refuse_loop(tx, address, "nothing was changed")

    with opened(config) as store:
        store.write(change)
    what = f"is a list of {owner}" if owner is not None else "is no list any more"
    answer(as_json, {"address": address, "owner": owner}, f"{address} {what}")


@command.command("show")
@click.argument("address", type=options.address)
@config_option
@json_option
def show(address: Address, config: Path | None, as_json: bool) -> None:
    """Show what ADDRESS stands for, and of a list first whose it is."""
    from estafeta.store import aliases, lists, moved

    with opened(config) as store:
        alias, listed, left = store.read(
            lambda tx: (aliases.find(tx, address), lists.find(tx, address), moved.find(tx, address))
        )
    if alias is None:
        raise CommandFault(f"there is no alias {address}")
    if as_json:
        document(_record(alias, listed, None if left is None else left.is_forwarded))
        return
    if left is not None:
        say(f"moved, mail is {_moved_word(left.is_forwarded)}")
    if listed is not None:
        say(f"list of {listed.owner}")
    for member in alias.members:
        say(str(member))


@command.command("remove")
@click.argument("address", type=options.address)
@yes_option
@config_option
@json_option
def remove(address: Address, yes: bool, config: Path | None, as_json: bool) -> None:
    """Remove the alias ADDRESS."""
    from estafeta.store import aliases

    with opened(config) as store:
        if not yes:
            click.confirm(f"Remove the alias {address}?", abort=True, err=True)
        store.write(lambda tx: aliases.remove(tx, address))
    answer(as_json, {"address": address, "removed": True}, f"{address} removed")


def _refuse_loop(tx: Transaction, address: Address, outcome: str) -> None:
    from estafeta.routing import local

    if local.find_loop(tx, address):
        raise CommandFault(f"{address} would lead back to itself by one of its members or its owner; {outcome}")


def _moved_word(is_forwarded: bool | None) -> str | None:
    """What becomes of the mail of one who has moved; None for an alias as others are."""
    return None if is_forwarded is None else ("forwarded" if is_forwarded else "refused")


def _record(alias: Alias, listed: Listed | None, is_forwarded: bool | None) -> dict[str, object]:
    owner = None if listed is None else listed.owner
    moved = _moved_word(is_forwarded)
    return {"address": alias.address, "members": list(alias.members), "owner": owner, "moved": moved}
