"""What becomes of each forward-path, by what is in the store."""

from __future__ import annotations

from typing import Any

import pytest

from estafeta.mail.address import Address, ForwardPath
from estafeta.routing import local
from estafeta.routing.local import LocalRules, find_loop, resolve
from estafeta.routing.routes import Expansion, Refused, Route, RouteRule, ToHost, ToMailbox
from estafeta.store import accounts, aliases, mailboxes

ANA, BEN, EVA = "ana@example.org", "ben@example.org", "eva@example.org"


def route(village: Any, text: str, rules: LocalRules | None = None) -> Route:
    address = Address.parse(text) if "@" in text else Address(text, "")
    found: Route = village.ask(lambda tx: resolve(tx, ForwardPath(address), rules or LocalRules()))
    return found


def ends(village: Any, text: str, rules: LocalRules | None = None) -> list[str]:
    """Where mail ends, in its order: accounts, and `-> address` for other hosts; or the refusal's codes."""
    found = route(village, text, rules)
    if isinstance(found, Refused):
        return [f"{found.reply.code} {found.reply.status}"]
    each = found.ends if isinstance(found, Expansion) else (found,)
    return [str(end.account) if isinstance(end, ToMailbox) else f"-> {end.address}" for end in each]


@pytest.fixture(autouse=True)
def people(village: Any) -> None:
    for text in (ANA, BEN, EVA):
        village.account(text)


# Accounts


def test_an_account_gets_its_mail_into_its_inbox(village: Any) -> None:
    found = route(village, ANA)

    def inbox(tx: Any) -> Any:
        account = accounts.find(tx, Address.parse(ANA))
        assert account is not None
        return mailboxes.inbox(tx, account.account_id).mailbox_id

    assert found == ToMailbox(village.ask(inbox), Address.parse(ANA), "account")


@pytest.mark.parametrize("text", ["Ana@example.org", "ANA@EXAMPLE.ORG", '"ana"@example.org', "ana@example.org."])
def test_the_same_address_written_otherwise_is_the_same(village: Any, text: str) -> None:
    assert ends(village, text) == [ANA]


def test_nobody_takes_mail_for_an_unknown_name(village: Any) -> None:
    assert ends(village, "nobody@example.org") == ["550 5.1.1"]


def test_a_disabled_account_takes_no_mail_by_any_way(village: Any) -> None:
    village.alias("pair@example.org", ANA, BEN)
    village.alias("only@example.org", ANA)
    village.disable(ANA)
    assert ends(village, ANA) == ends(village, "ana+x@example.org") == ["550 5.2.1"]
    assert ends(village, "pair@example.org") == [BEN]
    assert ends(village, "only@example.org") == ["550 5.1.1"]


@pytest.mark.parametrize(("quota", "has_quota"), [({}, False), ({"octets": 1}, True), ({"messages": 1}, True)])
def test_a_quota_is_told_so_that_it_is_asked_for(village: Any, quota: dict[str, int], has_quota: bool) -> None:
    village.account("new@example.org", **quota)
    found = route(village, "new@example.org")
    assert isinstance(found, ToMailbox) and found.has_quota is has_quota


# Subaddresses


@pytest.mark.parametrize("text", ["ana+lists@example.org", "Ana+A+B@example.org", "ana+@example.org"])
def test_a_subaddress_is_its_owners(village: Any, text: str) -> None:
    assert ends(village, text) == [ANA]


def test_a_subaddress_of_an_alias_is_the_aliases(village: Any) -> None:
    village.alias("team@example.org", ANA, BEN)
    assert ends(village, "team+x@example.org") == [ANA, BEN]


def test_a_name_that_begins_with_the_separator_has_no_tag_there(village: Any) -> None:
    village.account("+plus@example.org")
    assert ends(village, "+plus@example.org") == ends(village, "+plus+x@example.org") == ["+plus@example.org"]
    assert ends(village, "+ana@example.org") == ["550 5.1.1"]


def test_an_account_or_alias_of_the_whole_name_wins(village: Any) -> None:
    village.account("ana+work@example.org")
    village.alias("ana+team@example.org", BEN)
    assert ends(village, "ana+work@example.org") == ["ana+work@example.org"]
    assert ends(village, "ana+team@example.org") == [BEN]
    assert ends(village, "ana+other@example.org") == [ANA]


def test_the_separator_is_as_set_and_none_means_none(village: Any) -> None:
    assert ends(village, "ana-x@example.org", LocalRules(subaddress_separator="-")) == [ANA]
    assert ends(village, "ana+x@example.org", LocalRules(subaddress_separator="-")) == ["550 5.1.1"]
    assert ends(village, "ana+x@example.org", LocalRules(subaddress_separator="")) == ["550 5.1.1"]


# Aliases


def test_an_alias_reaches_its_members_in_their_order(village: Any) -> None:
    village.alias("team@example.org", EVA, ANA, "Far.Away@example.net")
    found = route(village, "Team@Example.Org")
    assert isinstance(found, Expansion) and found.alias == Address("team", "example.org")
    assert found.reason == "alias team@example.org"
    assert ends(village, "team@example.org") == [EVA, ANA, "-> Far.Away@example.net"]
    last = found.ends[-1]
    assert isinstance(last, ToHost) and last.destination == "example.net"


def test_each_end_is_reached_once_however_many_ways_lead_there(village: Any) -> None:
    village.alias("west@example.org", ANA, BEN, "far@example.net")
    village.alias("east@example.org", "Ben+x@example.org", EVA, "far@example.net")
    village.alias("all@example.org", "west@example.org", ANA, "east@example.org", "west+again@example.org")
    assert ends(village, "all@example.org") == [ANA, BEN, "-> far@example.net", EVA]


def test_members_that_are_nobody_are_left_out(village: Any) -> None:
    village.alias("some@example.org", "gone@example.org", ANA)
    village.alias("none@example.org", "gone@example.org")
    assert ends(village, "some@example.org") == [ANA]
    assert ends(village, "none@example.org") == ["550 5.1.1"]


def test_an_alias_that_leads_to_itself_is_a_loop(village: Any) -> None:
    village.alias("self@example.org", "self@example.org")
    assert ends(village, "self@example.org") == ["550 5.4.6"]


def test_an_alias_that_leads_to_itself_over_others_is_a_loop(village: Any) -> None:
    village.alias("a@example.org", "b@example.org")
    village.alias("b@example.org", "C@example.org")
    village.alias("c@example.org", "a+tag@example.org")
    assert ends(village, "a@example.org") == ends(village, "c@example.org") == ["550 5.4.6"]


def test_what_else_an_alias_with_a_loop_leads_to_is_reached(village: Any) -> None:
    village.alias("a@example.org", "b@example.org", ANA)
    village.alias("b@example.org", "a@example.org", BEN)
    found = route(village, "a@example.org")
    assert isinstance(found, Expansion) and "loop" in found.reason
    assert ends(village, "a@example.org") == [BEN, ANA]


def test_a_ring_is_found_and_a_tree_is_none(village: Any) -> None:
    village.alias("tree@example.org", ANA, "leaf@example.org", "far@example.net")
    village.alias("leaf@example.org", BEN)
    village.alias("ring@example.org", "tree@example.org", "back@example.org")
    village.alias("back@example.org", "ring@example.org")
    for name, is_ring in (("tree", False), ("ring", True), ("back", True), ("ana", False), ("nobody", False)):
        assert village.ask(lambda tx, name=name: find_loop(tx, Address(name, "example.org"))) is is_ring


def test_aliases_behind_aliases_end_somewhere(village: Any) -> None:
    depth = local.MAX_ALIAS_DEPTH

    def make(tx: Any) -> None:
        for number in range(depth + 2):
            member = f"n{number - 1}@example.org" if number else ANA
            aliases.add(tx, Address(f"n{number}", "example.org"), [Address.parse(member)])

    village.do(make)
    assert ends(village, f"n{depth}@example.org") == [ANA]
    assert ends(village, f"n{depth + 1}@example.org") == ["550 5.4.6"]


def test_an_alias_may_stand_for_many_and_not_for_more(village: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MAX_ALIAS_ENDS", 3)
    village.alias("three@example.org", ANA, BEN, EVA)
    village.alias("four@example.org", "three@example.org", "far@example.net")
    village.alias("more@example.org", "four@example.org", "two@example.net", "three@example.net")
    assert ends(village, "three@example.org") == [ANA, BEN, EVA]
    assert ends(village, "four@example.org") == ends(village, "more@example.org") == ["550 5.3.4"]


def test_the_limit_lets_a_large_alias_through(village: Any) -> None:
    village.do(
        lambda tx: aliases.add(
            tx,
            Address("town", "example.org"),
            [Address(f"n{number}", "example.net") for number in range(local.MAX_ALIAS_ENDS)],
        )
    )
    village.alias("world@example.org", "town@example.org", "one.more@example.com")
    assert len(ends(village, "town@example.org")) == local.MAX_ALIAS_ENDS
    assert ends(village, "world@example.org") == ["550 5.3.4"]


# Catch-alls


def test_a_catch_all_takes_what_nobody_else_takes(village: Any) -> None:
    village.alias("team@example.org", BEN)
    village.domain("example.org", catch_all=EVA)
    assert ends(village, "whoever@example.org") == ends(village, "whoever+x@example.org") == [EVA]
    assert ends(village, ANA) == ends(village, "ana+x@example.org") == [ANA]
    assert ends(village, "team@example.org") == [BEN]


def test_a_catch_all_may_be_an_alias_or_elsewhere(village: Any) -> None:
    village.alias("team@example.org", ANA, BEN)
    village.domain("example.com", catch_all="team@example.org")
    village.domain("example.edu", catch_all="Far@example.net")
    assert ends(village, "whoever@example.com") == [ANA, BEN]
    assert ends(village, "whoever@example.edu") == ["-> Far@example.net"]


def test_a_catch_all_that_leads_nowhere_takes_nothing(village: Any) -> None:
    village.domain("example.com", catch_all="gone@example.org")
    village.domain("example.edu", catch_all="nobody@example.edu")
    assert ends(village, "whoever@example.com") == ["550 5.1.1"]
    assert ends(village, "whoever@example.edu") == ["550 5.4.6"]


def test_a_member_that_nobody_takes_goes_to_the_catch_all(village: Any) -> None:
    village.alias("team@example.org", ANA, "gone@example.org", "lost@example.org")
    village.domain("example.org", catch_all=EVA)
    assert ends(village, "team@example.org") == [ANA, EVA]


# Postmaster (RFC 5321 §4.5.1)


@pytest.mark.parametrize("text", ["postmaster", "postmaster@example.org", "PostMaster@example.org"])
def test_postmaster_is_the_oldest_account_where_nothing_else_is_said(village: Any, text: str) -> None:
    assert ends(village, text) == [ANA]
    village.disable(ANA)
    assert ends(village, text) == [BEN]


def test_postmaster_of_a_domain_is_the_oldest_account_of_that_domain(village: Any) -> None:
    village.account("zoe@example.com")
    village.domain("example.edu")
    assert ends(village, "postmaster@example.com") == ["zoe@example.com"]
    assert ends(village, "postmaster@example.edu") == [ANA]


def test_postmaster_is_nobody_only_where_there_is_nobody(village: Any) -> None:
    for text in (ANA, BEN, EVA):
        village.disable(text)
    assert ends(village, "postmaster") == ends(village, "postmaster@example.org") == ["550 5.1.1"]


def test_an_account_or_alias_named_postmaster_comes_first(village: Any) -> None:
    rules = LocalRules(postmaster=Address.parse(EVA))
    village.alias("postmaster@example.org", BEN, "far@example.net")
    assert ends(village, "postmaster@example.org", rules) == [BEN, "-> far@example.net"]
    assert ends(village, "postmaster", rules) == [BEN, "-> far@example.net"]
    village.account("postmaster@example.com")
    assert ends(village, "postmaster@example.com", rules) == ["postmaster@example.com"]


def test_a_postmaster_that_takes_nothing_does_not_stand_in_the_way(village: Any) -> None:
    village.alias("postmaster@example.org", "gone@example.org")
    village.alias("postmaster@example.com", BEN)
    assert ends(village, "postmaster") == [BEN]


def test_the_setting_names_postmaster(village: Any) -> None:
    village.alias("team@example.org", BEN, EVA)
    for setting, expected in (
        ("Eva@example.org", [EVA]),
        ("eva+post@example.org", [EVA]),
        ("team@example.org", [BEN, EVA]),
        ("far@example.net", ["-> far@example.net"]),
    ):
        rules = LocalRules(postmaster=Address.parse(setting))
        assert ends(village, "postmaster@example.org", rules) == ends(village, "postmaster", rules) == expected


@pytest.mark.parametrize("setting", ["gone@example.org", "postmaster@example.org", "postmaster@example.com"])
def test_a_setting_that_leads_nowhere_leaves_the_oldest_account(village: Any, setting: str) -> None:
    village.domain("example.com")
    rules = LocalRules(postmaster=Address.parse(setting))
    assert ends(village, "postmaster@example.org", rules) == ends(village, "postmaster", rules) == [ANA]


def test_postmasters_mail_is_never_relaying(village: Any) -> None:
    rules = LocalRules((RouteRule("*", BEN),), postmaster=Address.parse("far@example.net"))
    found = route(village, "postmaster@example.org", rules)
    assert isinstance(found, ToMailbox) and found.account == Address.parse(BEN) and not found.is_relaying


def test_a_catch_all_does_not_take_postmasters_mail(village: Any) -> None:
    village.domain("example.org", catch_all=EVA)
    assert ends(village, "postmaster@example.org") == [ANA]


def test_aliases_may_lead_to_postmaster_though_no_account_has_the_name(village: Any) -> None:
    village.alias("abuse@example.org", "Postmaster@example.org", BEN)
    village.domain("example.com", catch_all="postmaster@example.org")
    assert ends(village, "abuse@example.org") == [ANA, BEN]
    assert ends(village, "whoever@example.com") == [ANA]
    rules = LocalRules(postmaster=Address.parse(EVA))
    assert ends(village, "abuse@example.org", rules) == [EVA, BEN]


def test_a_postmaster_that_leads_back_to_postmaster_ends(village: Any) -> None:
    village.alias("admin@example.org", "postmaster@example.org", BEN)
    rules = LocalRules(postmaster=Address.parse("admin@example.org"))
    assert ends(village, "postmaster@example.org", rules) == [BEN]
    assert ends(village, "admin@example.org", rules) == [BEN]
    assert ends(village, "postmaster@example.com", rules) == ["-> postmaster@example.com"]


# Beyond our domains


def test_mail_for_elsewhere_goes_to_its_domain_as_it_was_written(village: Any) -> None:
    found = route(village, "Some.One+x@Example.NET")
    assert isinstance(found, ToHost)
    assert (found.destination, str(found.address)) == ("example.net", "Some.One+x@example.net")


@pytest.mark.parametrize("text", ["x@sub.example.org", "x@[192.0.2.1]", "x@notexample.org", "x@org"])
def test_names_near_ours_are_not_ours(village: Any, text: str) -> None:
    assert isinstance(route(village, text), ToHost)


def test_the_first_rule_that_fits_is_taken(village: Any) -> None:
    rules = LocalRules(
        (RouteRule("a.example.net", ANA), RouteRule(".example.net", BEN), RouteRule("*", "Eva@example.org"))
    )
    assert ends(village, "x@a.example.net", rules) == [ANA]
    assert ends(village, "x@b.example.net", rules) == ends(village, "x@c.b.example.net", rules) == [BEN]
    assert ends(village, "x@example.net", rules) == ends(village, "x@[192.0.2.1]", rules) == [EVA]
    assert ends(village, "nobody@example.org", rules) == ["550 5.1.1"]
    found = route(village, "x@a.example.net", rules)
    assert isinstance(found, ToMailbox) and found.is_relaying


def test_a_rule_does_not_fit_names_that_only_end_alike(village: Any) -> None:
    rules = LocalRules((RouteRule(".example.net", ANA), RouteRule("example.com", BEN)))
    for text in ("x@example.net", "x@badexample.net", "x@sub.example.com"):
        assert isinstance(route(village, text, rules), ToHost)


def test_a_rule_without_its_account_is_a_fault_that_time_may_mend(village: Any) -> None:
    rules = LocalRules((RouteRule("*", "gone@example.org"),))
    assert ends(village, "x@example.net", rules) == ["451 4.3.5"]


def test_a_rule_to_a_disabled_account_takes_no_mail(village: Any) -> None:
    village.disable(ANA)
    assert ends(village, "x@example.net", LocalRules((RouteRule("*", ANA),))) == ["550 5.2.1"]


def test_rules_hold_for_the_members_of_aliases_too(village: Any) -> None:
    village.alias("team@example.org", "x@example.net", "y@example.com")
    assert ends(village, "team@example.org", LocalRules((RouteRule("example.net", BEN),))) == [
        BEN,
        "-> y@example.com",
    ]


# Internationalized addresses (RFC 6531 §3.3)


def test_a_domain_of_ours_is_found_by_its_unicode_name_and_by_its_a_label(village: Any) -> None:
    village.account("ana@bücher.example")
    expected = ["ana@xn--bcher-kva.example"]
    for text in ("ana@bücher.example", "ANA@BÜCHER.example", "ana@xn--bcher-kva.example", "ana@XN--BCHER-KVA.EXAMPLE"):
        assert ends(village, text) == expected


def test_a_local_part_in_utf8_is_an_account_in_any_case(village: Any) -> None:
    village.account("josé@example.org")
    assert ends(village, "josé@example.org") == ends(village, "JOSÉ+x@example.org") == ["josé@example.org"]


def test_a_rule_fits_a_unicode_name(village: Any) -> None:
    assert ends(village, "x@bücher.example", LocalRules((RouteRule("xn--bcher-kva.example", ANA),))) == [ANA]
