"""`estafeta domain`: domains whose mail ends here."""

from __future__ import annotations

from pathlib import Path

import click

from estafeta.cli import options
from estafeta.cli.faults import CommandFault
from estafeta.cli.opening import opened
from estafeta.cli.options import config_option, json_option, yes_option
from estafeta.cli.output import answer, document, instant, moment, say, table
from estafeta.mail.address import Address
from estafeta.store.records import Domain


@click.group("domain")
def command() -> None:
    """Domains whose mail ends here."""


@command.command("add")
@click.argument("name", type=options.domain)
@config_option
@json_option
def add(name: str, config: Path | None, as_json: bool) -> None:
    """Take mail for the domain NAME. Makes the store when there is none yet."""
    from estafeta.store import domains

    with opened(config, make=True) as store:
        now = store.now()
        domain = store.write(lambda tx: domains.add(tx, name, now=now))
    if as_json:
        document(_record(domain))
    else:
        say(f"{name} added: mail for its accounts and aliases is taken from now on")


@command.command("list")
@config_option
@json_option
def list_(config: Path | None, as_json: bool) -> None:
    """List the domains."""
    from estafeta.store import domains

    with opened(config) as store:
        found = store.read(domains.list_all)
    if as_json:
        document([_record(domain) for domain in found])
        return
    table(
        ("DOMAIN", "CATCH-ALL", "SINCE"),
        ((domain.name, domain.catch_all or "", moment(domain.created_at)) for domain in found),
    )


@command.command("show")
@click.argument("name", type=options.domain)
@config_option
@json_option
def show(name: str, config: Path | None, as_json: bool) -> None:
    """Show the domain NAME with its accounts and aliases."""
    from estafeta.store import accounts, aliases, domains

    with opened(config) as store:
        domain, members, others = store.read(
            lambda tx: (domains.find(tx, name), accounts.list_all(tx), aliases.list_all(tx))
        )
    if domain is None:
        raise CommandFault(f"there is no domain {name}")
    its_accounts = [str(account.address) for account in members if account.address.domain == name]
    its_aliases = [str(alias.address) for alias in others if alias.address.domain == name]
    if as_json:
        document({**_record(domain), "accounts": its_accounts, "aliases": its_aliases})
        return
    say(f"domain     {domain.name}")
    say(f"since      {moment(domain.created_at)}")
    say(f"catch-all  {domain.catch_all or 'none'}")
    say(f"accounts   {', '.join(its_accounts) or 'none'}")
    say(f"aliases    {', '.join(its_aliases) or 'none'}")


@command.command("remove")
@click.argument("name", type=options.domain)
@yes_option
@config_option
@json_option
def remove(name: str, yes: bool, config: Path | None, as_json: bool) -> None:
    """Stop taking mail for the domain NAME; it must have no accounts and aliases left."""
    from estafeta.store import domains

    with opened(config) as store:
        if not yes:
            click.confirm(f"Stop taking mail for {name}?", abort=True, err=True)
        store.write(lambda tx: domains.remove(tx, name))
    answer(as_json, {"name": name, "removed": True}, f"{name} removed")


@command.command("catch-all")
@click.argument("name", type=options.domain)
@click.argument("address", type=options.address, required=False)
@click.option("--none", "no_one", is_flag=True, help="Refuse mail for unknown addresses again.")
@config_option
@json_option
def catch_all(name: str, address: Address | None, no_one: bool, config: Path | None, as_json: bool) -> None:
    """Give mail for unknown addresses of the domain NAME to ADDRESS."""
    from estafeta.store import domains

    if (address is None) != no_one:
        raise click.UsageError("give either an ADDRESS or --none")
    with opened(config) as store:
        store.write(lambda tx: domains.set_catch_all(tx, name, address))
    what = f"goes to {address}" if address is not None else "is refused"
    answer(as_json, {"name": name, "catch_all": address}, f"{name}: mail for unknown addresses {what}")


def _record(domain: Domain) -> dict[str, object]:
    return {"name": domain.name, "catch_all": domain.catch_all, "created_at": instant(domain.created_at)}
