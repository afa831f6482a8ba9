"""Routes of addresses whose user has moved, and of aliases that lead there."""

from __future__ import annotations

from typing import Any

import pytest

from estafeta.mail.address import Address, ForwardPath
from estafeta.routing.local import LocalRules, find_loop, resolve
from estafeta.routing.routes import Expansion, Refused, Route, ToHost, ToMailbox
from estafeta.store import aliases, moved

ANA, OLD, GONE = "ana@example.org", "old@example.org", "gone@example.org"


@pytest.fixture(autouse=True)
def people(village: Any) -> None:
    village.account(ANA)
    village.do(lambda tx: moved.add(tx, Address.parse(OLD), Address.parse("new@example.net"), is_forwarded=True))
    village.do(lambda tx: moved.add(tx, Address.parse(GONE), Address.parse("new@example.net"), is_forwarded=False))


def route(village: Any, text: str) -> Route:
    found: Route = village.ask(lambda tx: resolve(tx, ForwardPath(Address.parse(text)), LocalRules(), now=0.0))
    return found


@pytest.mark.rfc("5321 §3.4", "The mail of one who has moved goes on in his alias's name, or is refused with 551.")
def test_mail_goes_on_or_is_refused(village: Any) -> None:
    found = route(village, OLD)
    assert isinstance(found, Expansion) and str(found.moved_to) == "new@example.net"
    [end] = found.ends
    assert isinstance(end, ToHost) and str(end.address) == "new@example.net" and str(end.alias) == OLD
    refused = route(village, GONE)
    assert isinstance(refused, Refused) and refused.reply.code == 551
    assert refused.reason == "gone@example.org has moved to new@example.net"


def test_a_tag_is_moved_with_its_user(village: Any) -> None:
    found = route(village, "old+news@example.org")
    assert isinstance(found, Expansion) and str(found.moved_to) == "new@example.net"


def test_an_alias_leads_to_where_a_user_has_moved_and_passes_over_who_is_not_forwarded(village: Any) -> None:
    members = [Address.parse(each) for each in (OLD, GONE, ANA)]
    village.do(lambda tx: aliases.add(tx, Address.parse("team@example.org"), members))
    found = route(village, "team@example.org")
    assert isinstance(found, Expansion) and found.moved_to is None
    assert [type(end) for end in found.ends] == [ToHost, ToMailbox]
    assert "gone@example.org has moved to new@example.net" in found.reason


def test_within_our_domains_mail_ends_in_the_new_mailbox(village: Any) -> None:
    village.do(lambda tx: moved.add(tx, Address.parse("anna@example.org"), Address.parse(ANA), is_forwarded=True))
    found = route(village, "anna@example.org")
    assert isinstance(found, Expansion) and str(found.moved_to) == ANA
    assert [str(end.account) for end in found.ends if isinstance(end, ToMailbox)] == [ANA]


def test_a_move_in_a_circle_is_a_loop(village: Any) -> None:
    one, two = Address.parse("one@example.org"), Address.parse("two@example.org")
    village.do(lambda tx: moved.add(tx, one, two, is_forwarded=True))
    village.do(lambda tx: moved.add(tx, two, one, is_forwarded=True))
    assert village.ask(lambda tx: find_loop(tx, one))
    refused = route(village, "one@example.org")
    assert isinstance(refused, Refused) and str(refused.reply.status) == "5.4.6"
