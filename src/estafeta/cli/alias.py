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
from estafeta.store.records import Alias

if TYPE_CHECKING:
    from estafeta.store.store import Transaction


@click.group("alias")
def command() -> None:
    """Addresses that stand for others."""


@command.command("add")
@click.argument("address", type=options.address)
@click.argument("members", type=options.address, nargs=-1, required=True)
@config_option
@json_option
def add(address: Address, members: tuple[Address, ...], config: Path | None, as_json: bool) -> None:
    """Give mail for ADDRESS to each of MEMBERS, ours or not."""
    from estafeta.routing import local
    from estafeta.store import aliases

    def change(tx: Transaction) -> Alias:
        alias = aliases.add(tx, address, members)
        if local.find_loop(tx, alias.address):
            raise CommandFault(f"{address} would lead back to itself by one of its members; nothing was added")
        return alias

    with opened(config) as store:
        alias = store.write(change)
    if as_json:
        document(_record(alias))
    else:
        say(f"{address} added: it stands for {', '.join(str(member) for member in alias.members)}")


@command.command("list")
@config_option
@json_option
def list_(config: Path | None, as_json: bool) -> None:
    """List the aliases."""
    from estafeta.store import aliases

    with opened(config) as store:
        found = store.read(aliases.list_all)
    if as_json:
        document([_record(alias) for alias in found])
        return
    table(("ALIAS", "STANDS FOR"), ((alias.address, ", ".join(map(str, alias.members))) for alias in found))


@command.command("show")
@click.argument("address", type=options.address)
@config_option
@json_option
def show(address: Address, config: Path | None, as_json: bool) -> None:
    """Show what ADDRESS stands for."""
    from estafeta.store import aliases

    with opened(config) as store:
        alias = store.read(lambda tx: aliases.find(tx, address))
    if alias is None:
        raise CommandFault(f"there is no alias {address}")
    if as_json:
        document(_record(alias))
        return
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


def _record(alias: Alias) -> dict[str, object]:
    return {"address": alias.address, "members": list(alias.members)}
