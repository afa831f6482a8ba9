"""What `estafeta check` says of routes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from estafeta.config import routes
from estafeta.config.faults import SettingsError
from estafeta.config.reading import read
from estafeta.mail.address import Address
from estafeta.routing.routes import RouteAction, RouteRule
from estafeta.store import accounts, domains
from estafeta.store.records import Instant
from estafeta.store.store import Transaction, open_store

GATEWAY = "[[gateway]]\nname = 'inner'\nkind = 'smtp'\nhost = '192.0.2.1'\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "estafeta.toml"
    file.write_text(text, "utf-8")
    return file


def faults(folder: Path, text: str) -> list[str]:
    """The faults without the name of the file."""
    with pytest.raises(SettingsError) as caught:
        read(written(folder, text))
    return [str(fault).removeprefix(f"{folder / 'estafeta.toml'}:") for fault in caught.value.faults]


def test_routes_are_read_in_their_order(tmp_path: Path) -> None:
    settings = read(
        written(
            tmp_path,
            f"""
{GATEWAY}
[[route]]
senders = ["ana@example.org", "@example.com"]
gateway = "inner"
[[route]]
domain = "backup.example"
action = "mx"
for_anyone = true
[[route]]
domain = ".customer.example"
action = "on-demand"
for_anyone = true
[[route]]
domain = "gone.example"
action = "refuse"
text = "gone for good"
[[route]]
domain = "*"
mailbox = "captured@example.org"
""",
        )
    )
    assert settings.route == (
        RouteRule(senders=("ana@example.org", "@example.com"), gateway="inner"),
        RouteRule("backup.example", action=RouteAction.MX, for_anyone=True),
        RouteRule(".customer.example", action=RouteAction.ON_DEMAND, for_anyone=True),
        RouteRule("gone.example", action=RouteAction.REFUSE, text="gone for good"),
        RouteRule("*", mailbox="captured@example.org"),
    )


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (
            "domain='*'\nfor_anyone=true\naction='mx'",
            '3: route[0].for_anyone: mail for "*" from everyone would make this an open relay. '
            "Name the domains of yours that are kept elsewhere, each in a route of its own, or leave out for_anyone.",
        ),
        ("for_anyone=true\naction='mx'", '2: route[0].for_anyone: mail for "*" from everyone would make this an open'),
        ("domain='.org'\naction='on-demand'\nfor_anyone=true", '4: route[0].for_anyone: mail for ".org" from everyone'),
        ("mailbox='a@b.example'\nfor_anyone=true", '3: route[0].for_anyone: mail for "*" from everyone would'),
        (
            "domain='a.example'\naction='mx'\nfor_anyone=true\nsenders=['@b.example']",
            "4: route[0].for_anyone: mail of certain senders only cannot be taken from everyone. ",
        ),
        (
            "domain='a.example'",
            "1: route[0]: does not say where the mail goes. Add one of mailbox, gateway and action.",
        ),
        (
            "action='mx'\nmailbox='a@b.example'",
            "2: route[0].action: is said beside mailbox. Leave one of them: a route has one end.",
        ),
        ("action='bounce'", '2: route[0].action: is not a value of this setting. Write one of "mx", "on-demand", "di'),
        ("gateway='outer'", "2: route[0].gateway: there is no gateway outer. Add a table [[gateway]] of this name."),
        ("domain='*'\nmailbox='captured'", "3: route[0].mailbox: is not an address (address has no domain). "),
        ("domain='A.example'\naction='mx'", '2: route[0].domain: is not a domain name (write it as "a.example"). '),
        ("domain='a..b'\naction='mx'", "2: route[0].domain: is not a domain name (bad domain name). "),
        (
            "action='mx'\nsenders=['a@b.example', 'b.example']",
            "3: route[0].senders[1]: is not an account or a domain of accounts (address has no domain). "
            'Write "name@domain" for one account, or "@domain" for all accounts of a domain.',
        ),
        (
            "action='mx'\nsenders=['@B.example']",
            "3: route[0].senders[0]: is not an account or a domain of accounts (wr",
        ),
        ("action='mx'\nsenders=['@']", "3: route[0].senders[0]: is not an account or a domain of accounts (bad domain"),
        ("action='mx'\nsenders='a@b.example'", "3: route[0].senders: must be an array. "),
        ("action='on-demand'", "2: route[0].action: mail for all the world would wait for a customer who calls. "),
        ("action='mx'\ntext='x'", "3: route[0].text: is said to nobody. "),
        ("action='refuse'\ntext='ü'", "3: route[0].text: is nothing that a reply can say. "),
        ("action='refuse'\ntext=\"two\\nlines\"", "3: route[0].text: is nothing that a reply can say. "),
        (f"action='refuse'\ntext='{'x' * 401}'", "3: route[0].text: is nothing that a reply can say. Write one line"),
        ("action='mx'\nmailbx='a@b.example'", "3: route[0].mailbx: is not a setting. Did you mean mailbox?"),
    ],
)
def test_a_fault_of_a_route_is_told_with_line_key_and_remedy(route: str, expected: str, tmp_path: Path) -> None:
    told = faults(tmp_path, f"[[route]]\n{route}")
    assert len(told) == 1
    assert told[0].startswith(expected)


def test_the_gateways_that_there_are_are_named(tmp_path: Path) -> None:
    (told,) = faults(tmp_path, f"{GATEWAY}[[route]]\ngateway='iner'")
    assert told == "6: route[0].gateway: there is no gateway iner. Name one of inner."


@pytest.mark.parametrize(
    ("first", "second", "is_reached"),
    [
        ("domain='*'", "domain='a.example'", False),
        ("domain='.example'", "domain='.a.example'", False),
        ("domain='.example'", "domain='a.example'", False),
        ("domain='a.example'", "domain='.a.example'", True),
        ("domain='.a.example'", "domain='a.example'", True),
        ("senders=['@b.example']", "domain='a.example'", True),
        ("senders=['@b.example']", "senders=['a@b.example', 'c@b.example']", False),
        ("senders=['a@b.example']", "senders=['@b.example']", True),
        ("senders=['A@b.example']", "senders=['a@b.example']", False),
        ("domain='a.example'", "domain='a.example'\nsenders=['a@b.example']", False),
    ],
)
def test_a_route_that_is_never_reached_is_told(first: str, second: str, is_reached: bool, tmp_path: Path) -> None:
    text = f"[[route]]\naction='mx'\n{first}\n[[route]]\naction='mx'\n{second}\n"
    if is_reached:
        assert len(read(written(tmp_path, text)).route) == 2
    else:
        (told,) = faults(tmp_path, text)
        assert ": route[1].domain: is never reached, because a route before it takes this mail. " in told


def test_the_store_must_have_what_routes_name(tmp_path: Path) -> None:
    settings = read(
        written(
            tmp_path,
            """
[[route]]
domain = "ours.example"
action = "mx"
[[route]]
domain = "*"
senders = ["ana@ours.example", "off@ours.example", "nobody@ours.example", "@ours.example", "@theirs.example"]
mailbox = "ana@ours.example"
[[route]]
domain = "*"
mailbox = "captured@ours.example"
""",
        )
    )
    now = Instant(time.time())

    def fill(tx: Transaction) -> None:
        domains.add(tx, "ours.example", now=now)
        for name in ("ana", "off"):
            accounts.add(tx, Address(name, "ours.example"), password=None, now=now)
        accounts.set_enabled(tx, Address("off", "ours.example"), False)

    store = open_store(tmp_path / "data", clock=time.time)
    try:
        asyncio.run(store.write(fill))
        found = asyncio.run(store.read(lambda tx: list(routes.against_store(settings, tx))))
    finally:
        store.close()
    assert [(each.key[1:], each.problem) for each in found] == [
        ((1, "senders", 1), "the account off@ours.example is disabled"),
        ((1, "senders", 2), "there is no account nobody@ours.example"),
        ((1, "senders", 4), "theirs.example is no domain of this server, so that it has no accounts"),
        ((2, "mailbox"), "there is no account captured@ours.example"),
    ]
