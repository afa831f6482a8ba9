"""`estafeta route`: where a message to an address would go and why, without sending one.

Everything is found as the server finds it: the routes of the store and the settings, the DNS, the policies of other
domains, what is known of a destination. No mail host is connected to.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from estafeta.cli import options
from estafeta.cli.faults import CommandFault
from estafeta.cli.options import config_option, json_option
from estafeta.cli.output import document, say
from estafeta.config.location import Document, find_config, parse
from estafeta.mail.address import Address, ForwardPath

if TYPE_CHECKING:
    from estafeta.agents.outbound.gateways.settings import GatewaySettings
    from estafeta.app.outbound import Way
    from estafeta.cli.route_view import Explanation, Rule, ToldDestination, ToldEnd
    from estafeta.config.settings import Settings
    from estafeta.mail.reply import Reply
    from estafeta.routing.directory import Directory
    from estafeta.routing.routes import End, Route, ToHost
    from estafeta.store.records import DestinationState
    from estafeta.store.store import Store, Transaction

MOST_ENDS = 50
"""Ends of an alias that are told."""
MOST_DESTINATIONS = 20
"""Destinations that are looked up for one alias."""
MOST_COUNTED = 10_000
"""Waiting recipients that are counted."""


def _path(text: str) -> ForwardPath:
    if text.lower() == "postmaster":  # RFC 5321 §4.5.1
        return ForwardPath(Address("postmaster", ""))
    return ForwardPath(options.address(text))


@click.command("route")
@click.argument("path", metavar="ADDRESS", type=_path)
@click.option(
    "--from",
    "account",
    metavar="ACCOUNT",
    type=options.address,
    help="As for mail that this account hands in; rules for certain senders count then.",
)
@click.option("--requiretls", "requires_tls", is_flag=True, help="As for a message with REQUIRETLS (RFC 8689).")
@config_option
@json_option
def command(path: ForwardPath, account: Address | None, requires_tls: bool, config: Path | None, as_json: bool) -> int:
    """Explain where a message to ADDRESS would go and why, without sending one.

    Told are the route, the answers of the DNS, each host and address in the order to try, the TLS that is asked of
    it and why, the limits that apply, and whether the destination answers at present. No mail host is connected to;
    a policy of MTA-STS is fetched as for a message.

    Exits with 0 when the message would go, with 1 when it would be refused for good or there is no way, with 75 when
    it would have to wait; where an alias has several ends the worst of them counts.
    """
    from estafeta.cli import logs
    from estafeta.cli.opening import has_store
    from estafeta.cli.route_view import lines, record
    from estafeta.config.reading import read
    from estafeta.config.settings import LogSettings
    from estafeta.store.store import open_store

    file = find_config(config)
    settings = read(file)
    if not has_store(settings.data):
        raise CommandFault(f"there is no store in {settings.data} yet: `estafeta domain add NAME` makes it")
    logs.set_up(LogSettings(level="error"))
    store = open_store(settings.data, clock=time.time, large_content=settings.store.large_content)
    try:
        told = asyncio.run(_explain(settings, parse(file), store, path, account, requires_tls=requires_tls))
    finally:
        store.close()
    if as_json:
        document(record(told))
    else:
        for line in lines(told):
            say(line)
    return told.verdict.exit_code


async def _explain(
    settings: Settings, file: Document, store: Store, path: ForwardPath, account: Address | None, *, requires_tls: bool
) -> Explanation:
    from estafeta.app.outbound import local_rules, make_way
    from estafeta.app.secret import house_secret
    from estafeta.app.surroundings import Surroundings
    from estafeta.cli.route_view import Explanation, Verdict
    from estafeta.routing.directory import Directory
    from estafeta.routing.routes import Expansion, Refused, ToHost
    from estafeta.store import accounts

    if account is not None and await store.read(lambda tx: accounts.find(tx, account)) is None:
        raise CommandFault(f"there is no account {account}")
    directory = Directory(store, local_rules(settings, house_secret(settings.data)), time.time)
    route = await directory.resolve(path, account)
    notes = _notes(settings, path, account, route)
    rule = await _rule(settings, file, directory, path.address.domain, account)
    if isinstance(route, Refused):
        verdict = Verdict.of(route.reply)
        return Explanation(path, account, requires_tls, verdict, route.reason, rule, route.reply, notes)
    ends: Sequence[End] = route.ends if isinstance(route, Expansion) else (route,)
    names = list(dict.fromkeys(end.destination for end in ends if isinstance(end, ToHost)))
    destinations: list[ToldDestination] = []
    if names:
        way = make_way(settings, store, Surroundings())
        try:
            looked_up = [
                _destination(settings, store, way, name, account, requires_tls=requires_tls)
                for name in names[:MOST_DESTINATIONS]
            ]
            destinations = await asyncio.gather(*looked_up)
        finally:
            await way.close()
    told = [await _end(settings, file, directory, end, account) for end in ends[:MOST_ENDS]]
    judged = [(each.verdict, each.reply) for each in told] + [(each.verdict, each.reply) for each in destinations]
    verdict, reply = max(judged, key=lambda each: each[0].badness)
    return Explanation(
        path,
        account,
        requires_tls,
        verdict,
        route.reason,
        rule,
        reply,
        notes,
        tuple(told),
        len(ends) - len(told),
        tuple(destinations),
        len(names) - len(destinations),
    )


def _notes(settings: Settings, path: ForwardPath, account: Address | None, route: Route) -> tuple[str, ...]:
    """What depends on who hands the message in."""
    from estafeta.routing.routes import ToHost, ToMailbox, ToNowhere

    if account is not None:
        return ()
    notes = []
    if (isinstance(route, ToHost | ToNowhere) and not route.for_anyone) or (
        isinstance(route, ToMailbox) and route.is_relaying
    ):
        notes.append("taken from accounts and trusted networks only: for everyone else this would be relaying")
    if any(rule.senders and rule.fits(path.address.domain, _sender_of(rule.senders[0])) for rule in settings.route):
        notes.append("rules for certain senders are passed over: --from says whose message it is")
    return tuple(notes)


def _sender_of(sender: str) -> Address:
    """An account that a rule's sender stands for."""
    return Address.parse(f"any{sender}" if sender.startswith("@") else sender)


async def _rule(
    settings: Settings, file: Document, directory: Directory, domain: str, account: Address | None
) -> Rule | None:
    """The rule of the settings that says where mail for a domain goes."""
    from estafeta.cli.route_view import Rule

    for index, rule in enumerate(settings.route):
        if rule.fits(domain, account):
            # A domain of ours is left only by a rule that names it.
            if rule.domain != domain and await directory.is_ours(domain):
                return None
            return Rule(index + 1, file.line_of(("route", index)), rule)
    return None


# The ends.


async def _end(settings: Settings, file: Document, directory: Directory, end: End, account: Address | None) -> ToldEnd:
    from estafeta.cli.route_view import ToldEnd, Verdict
    from estafeta.mail.reply import Reply
    from estafeta.routing.routes import ToHost, ToMailbox

    if isinstance(end, ToHost):
        rule = await _rule(settings, file, directory, end.address.address.domain, account)
        place, fault = _place(settings, end)
        verdict = Verdict.GOES if fault is None else Verdict.of(fault)
        return ToldEnd(end, verdict, fault, rule, place, await _reverse_path(settings, directory, end, account))
    if isinstance(end, ToMailbox) and end.has_quota and not await directory.has_room(end.account, 1):
        return ToldEnd(end, Verdict.WAITS, Reply.of(452, "mailbox full", "4.2.2"))
    return ToldEnd(end, Verdict.GOES)


def _place(settings: Settings, end: ToHost) -> tuple[str, Reply | None]:
    """What a gateway of this machine does for the recipient, or why it does nothing; empty for all others."""
    from estafeta.agents.outbound.gateways.placeholders import UnfitAddress, expand_path
    from estafeta.agents.outbound.gateways.settings import GatewayKind
    from estafeta.mail.reply import Reply

    gateway = _gateway(settings, end.destination)
    if gateway is None or gateway.kind.is_host:
        return "", None
    if gateway.kind is GatewayKind.COMMAND:
        return f"handed to {gateway.command[0]}", None
    try:
        return f"written to {expand_path(gateway.path, end.address.address, gateway.delimiter)}", None
    except UnfitAddress as error:
        return "", Reply.of(550, str(error), "5.1.1")


async def _reverse_path(settings: Settings, directory: Directory, end: ToHost, account: Address | None) -> str:
    """Under which reverse-path an end elsewhere is reached, where it is not the message's own."""
    if end.listed is not None:
        return f"that of the list's owner, {end.listed.owner}"
    if end.alias is None or not settings.srs.enabled:
        return ""
    if account is not None and await directory.is_ours(account.domain):
        return ""  # SPF holds for our own domains from here
    return f"rewritten under {end.alias.domain} (SRS), unless it is of one of our domains"


# The destinations.


async def _destination(
    settings: Settings, store: Store, way: Way, name: str, account: Address | None, *, requires_tls: bool
) -> ToldDestination:
    from estafeta.agents.outbound.plan import Plan
    from estafeta.cli.route_view import Limits, ToldDestination, Verdict
    from estafeta.mail.reply import Reply
    from estafeta.routing.destinations import Destination, DestinationKind
    from estafeta.store import destinations, queue
    from estafeta.store.records import Instant

    destination, gateway = Destination.parse(name), _gateway(settings, name)
    plan = Plan((), None)  # of what is no host
    if gateway is None or gateway.kind.is_host:
        plan = await way.planner.plan(destination, requires_tls=requires_tls)

    def look(tx: Transaction) -> tuple[DestinationState | None, tuple[int, int]]:
        return destinations.find(tx, name), queue.backlog(tx, name, now=now, most=MOST_COUNTED)

    now = Instant(time.time())
    state, (waiting, in_hand) = await store.read(look)
    refusal = plan.refusal if destination.kind is not DestinationKind.ON_DEMAND else None
    if refusal is None and state is not None and state.blocked_until > now:
        refusal = Reply.of(451, f"{name} does not answer and is left alone for a while", "4.4.1")
    limit = next((each for each in settings.destination_limit if each.fits(name)), None)
    return ToldDestination(
        destination=destination,
        verdict=Verdict.GOES if refusal is None else Verdict.of(refusal),
        reply=refusal,
        gateway=gateway,
        plan=plan,
        limits=Limits(
            concurrency=settings.relay.concurrency if limit is None else limit.concurrency,
            recipients_per_minute=0 if limit is None else limit.recipients_per_minute,
            account_per_hour=settings.relay.account_messages_per_hour if account is not None else 0,
            first_concurrency=settings.relay.first_concurrency,
            by=None if limit is None else limit.domain,
        ),
        state=state,
        now=now,
        waiting=waiting,
        is_counted=waiting < MOST_COUNTED,
        in_hand=in_hand,
    )


def _gateway(settings: Settings, destination: str) -> GatewaySettings | None:
    """The gateway of the settings that a destination names."""
    from estafeta.routing.destinations import Destination, DestinationKind

    found = Destination.parse(destination)
    if found.kind is not DestinationKind.GATEWAY:
        return None
    return next((each for each in settings.gateway if each.name == found.name), None)
