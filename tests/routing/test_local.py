"""What becomes of each forward-path, by what is in the store."""

from __future__ import annotations

from typing import Any

import pytest

from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.mail.lists import Listed
from estafeta.routing import local
from estafeta.routing.local import LocalRules, destination_of, find_loop, resolve
from estafeta.routing.routes import (
    End,
    Expansion,
    Refused,
    Route,
    RouteAction,
    RouteRule,
    ToHost,
    ToMailbox,
    ToNowhere,
)
from estafeta.routing.srs import Srs
from estafeta.store import accounts, aliases, lists, mailboxes

ANA, BEN, EVA = "ana@example.org", "ben@example.org", "eva@example.org"
NOW = 1_700_000_000.0
DAY = 86_400


def route(
    village: Any, text: str, rules: LocalRules | None = None, account: str | None = None, now: float = NOW
) -> Route:
    address = Address.parse(text) if "@" in text else Address(text, "")
    by = Address.parse(account) if account else None
    found: Route = village.ask(lambda tx: resolve(tx, ForwardPath(address), rules or LocalRules(), account=by, now=now))
    return found


def reached(village: Any, text: str, rules: LocalRules | None = None, account: str | None = None) -> tuple[End, ...]:
    """The ends, of one that is not refused."""
    found = route(village, text, rules, account)
    assert not isinstance(found, Refused)
    return found.ends if isinstance(found, Expansion) else (found,)


def ends(village: Any, text: str, rules: LocalRules | None = None, account: str | None = None) -> list[str]:
    """Where mail ends, in its order: accounts, `-> address` for other hosts, `nowhere`; or the refusal's codes."""
    found = route(village, text, rules, account)
    if isinstance(found, Refused):
        return [f"{found.reply.code} {found.reply.status}"]
    return [told(end) for end in reached(village, text, rules, account)]


def told(end: End) -> str:
    if isinstance(end, ToMailbox):
        return str(end.account)
    return f"-> {end.address}" if isinstance(end, ToHost) else end.text


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


@pytest.mark.rfc("5321 §2.4", "Local-parts of our domains do not depend on case.")
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


@pytest.mark.rfc("5233", "`user+tag` is `user`.")
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


@pytest.mark.rfc("5233", "An account or alias of the whole name wins.")
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


@pytest.mark.rfc("5321 §3.9", "Ends of an alias that are nobody are left out.")
def test_members_that_are_nobody_are_left_out(village: Any) -> None:
    village.alias("some@example.org", "gone@example.org", ANA)
    village.alias("none@example.org", "gone@example.org")
    assert ends(village, "some@example.org") == [ANA]
    assert ends(village, "none@example.org") == ["550 5.1.1"]


def test_an_alias_that_leads_to_itself_is_a_loop(village: Any) -> None:
    village.alias("self@example.org", "self@example.org")
    assert ends(village, "self@example.org") == ["550 5.4.6"]


@pytest.mark.rfc("3463 §3.5", "An alias of which nothing is left but a loop is refused with X.4.6.")
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


@pytest.mark.rfc("5321 §4.5.1", "Mail for postmaster reaches the oldest account where nothing else is said.")
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


@pytest.mark.rfc("5321 §4.5.1", "An account or alias named postmaster comes first.")
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
    rules = LocalRules((RouteRule("*", mailbox=BEN),), postmaster=Address.parse("far@example.net"))
    found = route(village, "postmaster@example.org", rules)
    assert isinstance(found, ToMailbox) and found.account == Address.parse(BEN) and not found.is_relaying


def test_a_catch_all_does_not_take_postmasters_mail(village: Any) -> None:
    village.domain("example.org", catch_all=EVA)
    assert ends(village, "postmaster@example.org") == [ANA]


@pytest.mark.rfc("2142", "Aliases of role names may lead to a postmaster that has no account.")
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


@pytest.mark.rfc("5321 §2.4", "Local-parts of others stay as they were written.")
def test_mail_for_elsewhere_goes_to_its_domain_as_it_was_written(village: Any) -> None:
    found = route(village, "Some.One+x@Example.NET")
    assert isinstance(found, ToHost)
    assert (found.destination, str(found.address)) == ("example.net", "Some.One+x@example.net")


@pytest.mark.rfc("5321 §4.1.3", "A literal is none of our domains.")
@pytest.mark.parametrize("text", ["x@sub.example.org", "x@[192.0.2.1]", "x@notexample.org", "x@org"])
def test_names_near_ours_are_not_ours(village: Any, text: str) -> None:
    assert isinstance(route(village, text), ToHost)


def test_the_first_rule_that_fits_is_taken(village: Any) -> None:
    rules = LocalRules(
        (
            RouteRule("a.example.net", mailbox=ANA),
            RouteRule(".example.net", mailbox=BEN),
            RouteRule("*", mailbox="Eva@example.org"),
        )
    )
    assert ends(village, "x@a.example.net", rules) == [ANA]
    assert ends(village, "x@b.example.net", rules) == ends(village, "x@c.b.example.net", rules) == [BEN]
    assert ends(village, "x@example.net", rules) == ends(village, "x@[192.0.2.1]", rules) == [EVA]
    assert ends(village, "nobody@example.org", rules) == ["550 5.1.1"]
    found = route(village, "x@a.example.net", rules)
    assert isinstance(found, ToMailbox) and found.is_relaying


def test_a_rule_does_not_fit_names_that_only_end_alike(village: Any) -> None:
    rules = LocalRules((RouteRule(".example.net", mailbox=ANA), RouteRule("example.com", mailbox=BEN)))
    for text in ("x@example.net", "x@badexample.net", "x@sub.example.com"):
        assert isinstance(route(village, text, rules), ToHost)


def test_a_rule_without_its_account_is_a_fault_that_time_may_mend(village: Any) -> None:
    rules = LocalRules((RouteRule("*", mailbox="gone@example.org"),))
    assert ends(village, "x@example.net", rules) == ["451 4.3.5"]


def test_a_rule_to_a_disabled_account_takes_no_mail(village: Any) -> None:
    village.disable(ANA)
    assert ends(village, "x@example.net", LocalRules((RouteRule("*", mailbox=ANA),))) == ["550 5.2.1"]


def test_rules_hold_for_the_members_of_aliases_too(village: Any) -> None:
    village.alias("team@example.org", "x@example.net", "y@example.com")
    assert ends(village, "team@example.org", LocalRules((RouteRule("example.net", mailbox=BEN),))) == [
        BEN,
        "-> y@example.com",
    ]


@pytest.mark.parametrize(
    ("rule", "destination"),
    [
        (RouteRule("example.net", action=RouteAction.MX), "example.net"),
        (RouteRule(".net", gateway="office"), "gateway:office"),
        (RouteRule("*", action=RouteAction.ON_DEMAND), "on-demand:example.net"),
        (RouteRule("example.com", gateway="office"), "example.net"),
    ],
)
def test_a_rule_says_where_mail_goes_on(village: Any, rule: RouteRule, destination: str) -> None:
    rules = LocalRules((rule,))
    found = route(village, "Far.Away@example.net", rules)
    assert isinstance(found, ToHost)
    assert (found.destination, str(found.address)) == (destination, "Far.Away@example.net")
    assert not found.for_anyone
    assert destination_of(found.address, rules) == destination


def test_a_domain_of_ours_that_is_kept_elsewhere_is_taken_from_everyone(village: Any) -> None:
    rules = LocalRules(
        (
            RouteRule("backup.example", action=RouteAction.MX, for_anyone=True),
            RouteRule("inner.example", gateway="inner", for_anyone=True),
            RouteRule("customer.example", action=RouteAction.ON_DEMAND, for_anyone=True),
            RouteRule("kept.example", mailbox=ANA, for_anyone=True),
            RouteRule("gone.example", action=RouteAction.DISCARD, for_anyone=True),
            RouteRule("*", gateway="smarthost"),
        )
    )
    for name in ("backup", "inner", "customer"):
        found = route(village, f"x@{name}.example", rules)
        assert isinstance(found, ToHost) and found.for_anyone
    kept = route(village, "x@kept.example", rules)
    assert isinstance(kept, ToMailbox) and not kept.is_relaying
    gone = route(village, "x@gone.example", rules)
    assert isinstance(gone, ToNowhere) and gone.for_anyone
    others = route(village, "x@else.example", rules)
    assert isinstance(others, ToHost) and not others.for_anyone


def test_what_a_rule_discards_is_taken_and_goes_nowhere(village: Any) -> None:
    rules = LocalRules((RouteRule("example.net", action=RouteAction.DISCARD),))
    assert route(village, "x@example.net", rules) == ToNowhere("route for example.net")
    village.alias("some@example.org", "x@example.net", ANA, "y@example.net")
    village.alias("none@example.org", "x@example.net")
    assert ends(village, "some@example.org", rules) == ["nowhere", ANA]
    assert ends(village, "none@example.org", rules) == ["nowhere"]


def test_a_rule_refuses_in_the_words_of_the_operator(village: Any) -> None:
    plain = RouteRule("example.net", action=RouteAction.REFUSE)
    worded = RouteRule("example.com", action=RouteAction.REFUSE, text="moved to example.edu")
    for text, reply in (
        ("x@example.net", "550 5.7.1 mail for this domain is not taken"),
        ("x@example.com", "550 5.7.1 moved to example.edu"),
    ):
        found = route(village, text, LocalRules((plain, worded)))
        assert isinstance(found, Refused) and str(found.reply) == reply


def test_rules_of_senders_are_for_the_mail_that_these_hand_in(village: Any) -> None:
    rules = LocalRules(
        (
            RouteRule("*", senders=("Ana@example.org", "zoe@example.org"), gateway="ana"),
            RouteRule("*", senders=("@example.com",), gateway="com"),
            RouteRule("example.net", action=RouteAction.MX),
            RouteRule("*", senders=("@example.org",), action=RouteAction.REFUSE),
        )
    )
    for account, expected in (
        (ANA, "gateway:ana"),
        ("eva@example.com", "gateway:com"),
        ("ana@sub.example.com", "example.net"),
        (BEN, "example.net"),
        (None, "example.net"),
    ):
        found = route(village, "x@example.net", rules, account)
        assert isinstance(found, ToHost) and found.destination == expected
        by = Address.parse(account) if account else None
        assert destination_of(found.address, rules, by) == expected
    assert ends(village, "x@example.edu", rules, BEN) == ["550 5.7.1"]
    assert ends(village, "x@example.edu", rules) == ["-> x@example.edu"]


def test_rules_of_senders_hold_for_the_members_of_aliases_and_for_catch_alls(village: Any) -> None:
    rules = LocalRules((RouteRule("*", senders=(ANA,), gateway="ana"),), postmaster=Address.parse("far@example.net"))
    village.alias("team@example.org", BEN, "far@example.net")
    village.domain("example.com", catch_all="far@example.net")
    for text in ("team@example.org", "whoever@example.com", "postmaster@example.org", "postmaster"):
        for account, expected in ((ANA, "gateway:ana"), (BEN, "example.net"), (None, "example.net")):
            last = reached(village, text, rules, account)[-1]
            assert isinstance(last, ToHost) and last.destination == expected


def test_queued_mail_that_a_rule_no_longer_sends_on_has_no_destination() -> None:
    path = ForwardPath(Address("x", "example.net"))
    for rule in (
        RouteRule("*", mailbox=ANA),
        RouteRule("*", action=RouteAction.DISCARD),
        RouteRule("*", action=RouteAction.REFUSE),
    ):
        assert destination_of(path, LocalRules((rule,))) is None
    assert destination_of(path, LocalRules()) == "example.net"
    assert destination_of(ForwardPath(Address("x", "[192.0.2.1]")), LocalRules()) == "[192.0.2.1]"


# Lists, and what an end knows of its way


def test_an_end_elsewhere_names_the_nearest_address_of_ours_that_forwards_there(village: Any) -> None:
    village.alias("inner@example.com", "far@example.net")
    village.alias("outer@example.org", "inner@example.com", "near@example.net")
    village.domain("example.edu", catch_all="far@example.net")
    found = {str(end.address): end.alias for end in reached(village, "outer@example.org") if isinstance(end, ToHost)}
    assert found == {
        "far@example.net": Address("inner", "example.com"),
        "near@example.net": Address("outer", "example.org"),
    }
    (end,) = reached(village, "whoever@example.edu")
    assert isinstance(end, ToHost) and end.alias is not None and end.alias.domain == "example.edu"
    (end,) = reached(village, "far@example.net")
    assert isinstance(end, ToHost) and end.alias is None


@pytest.mark.parametrize("text", ["postmaster", "postmaster@example.org"])
def test_postmaster_elsewhere_is_forwarded_by_a_domain_of_ours(village: Any, text: str) -> None:
    (end,) = reached(village, text, LocalRules(postmaster=Address.parse("far@example.net")))
    assert isinstance(end, ToHost) and end.alias == Address("postmaster", "example.org")


def test_each_end_behind_a_list_knows_the_list_and_its_owner(village: Any) -> None:
    village.list("town@example.org", "Boss@example.com", ANA, "far@example.net")
    listed = Listed(Address("town", "example.org"), Address("Boss", "example.com"))
    found = reached(village, "Town+x@example.org")
    assert [end.listed for end in found if not isinstance(end, ToNowhere)] == [listed, listed]
    assert isinstance(found[1], ToHost) and found[1].alias == listed.address


def test_of_lists_one_within_the_other_the_nearest_to_the_end_counts(village: Any) -> None:
    village.list("inner@example.org", ANA, "far@example.net", BEN)
    village.alias("between@example.org", "inner@example.org", "near@example.net")
    village.list("outer@example.org", EVA, "between@example.org", EVA)
    found = {end.text: end.listed for end in reached(village, "outer@example.org") if not isinstance(end, ToNowhere)}
    assert {text: listed.address.local_part for text, listed in found.items() if listed} == {
        "<far@example.net> by way of example.net": "inner",
        "mailbox of ben@example.org": "inner",
        "<near@example.net> by way of example.net": "outer",
        "mailbox of eva@example.org": "outer",
    }


def test_the_first_way_to_an_end_says_whether_a_list_leads_there(village: Any) -> None:
    village.list("town@example.org", EVA, ANA, BEN, "far@example.net")
    village.alias("first@example.org", ANA, "town@example.org", "far@example.net")
    village.alias("last@example.org", "town@example.org", ANA)
    for text, expected in (("first", [False, True, True]), ("last", [True, True, True])):
        found = reached(village, f"{text}@example.org")
        assert [not isinstance(end, ToNowhere) and end.listed is not None for end in found] == expected


def test_a_list_whose_member_is_postmaster_reaches_who_that_is(village: Any) -> None:
    village.list("town@example.org", EVA, "postmaster@example.org")
    (end,) = reached(village, "town@example.org")
    assert isinstance(end, ToMailbox) and str(end.account) == ANA
    assert end.listed is not None and end.listed.address == Address("town", "example.org")


def test_a_list_that_is_one_no_longer_is_an_alias_as_others(village: Any) -> None:
    village.list("town@example.org", EVA, ANA)
    village.do(lambda tx: lists.remove(tx, Address("town", "example.org")))
    (end,) = reached(village, "town@example.org")
    assert isinstance(end, ToMailbox) and end.listed is None


def test_a_list_whose_owner_leads_back_to_it_is_a_ring(village: Any) -> None:
    village.list("town@example.org", "boss@example.org", ANA)
    village.alias("boss@example.org", BEN)
    address = Address("town", "example.org")
    assert not village.ask(lambda tx: find_loop(tx, address))
    village.do(lambda tx: aliases.remove(tx, Address("boss", "example.org")))
    village.alias("boss@example.org", BEN, "Town+x@example.org")
    assert village.ask(lambda tx: find_loop(tx, address))
    assert ends(village, "town@example.org") == [ANA]


# The way back of rewritten reverse-paths

SRS = Srs(b"secret of this house")


def rewritten(text: str, domain: str = "example.org", now: float = NOW) -> str:
    return str(SRS.forward(ReversePath(Address.parse(text)), domain, now))


@pytest.mark.parametrize("change", [str, str.lower, str.upper])
def test_a_notification_for_a_forwarded_message_finds_its_way_from_anyone(village: Any, change: Any) -> None:
    local_part = rewritten("sender@example.net").partition("@")[0]
    found = route(village, f"{change(local_part)}@example.org", LocalRules(srs=SRS))
    assert isinstance(found, ToHost) and found.for_anyone
    assert str(found.address).lower() == "sender@example.net"
    assert (found.destination, found.reason) == ("example.net", "SRS undone: domain is not ours")


def test_a_way_back_goes_by_the_rules_and_is_open_all_the_same(village: Any) -> None:
    text = rewritten("sender@example.net")
    for rule in (RouteRule("*", gateway="smarthost"), RouteRule("*", action=RouteAction.DISCARD)):
        found = route(village, text, LocalRules((rule,), srs=SRS))
        assert isinstance(found, ToHost | ToNowhere) and found.for_anyone
    kept = route(village, text, LocalRules((RouteRule("*", mailbox=ANA),), srs=SRS))
    assert isinstance(kept, ToMailbox) and not kept.is_relaying and str(kept.account) == ANA


def test_a_way_back_may_end_here(village: Any) -> None:
    village.alias("team@example.org", ANA, BEN)
    assert ends(village, rewritten("team@example.org"), LocalRules(srs=SRS)) == [ANA, BEN]
    assert ends(village, rewritten("ana+x@example.org"), LocalRules(srs=SRS)) == [ANA]
    assert ends(village, rewritten("gone@example.org"), LocalRules(srs=SRS)) == ["550 5.1.1"]


def test_what_two_domains_of_ours_rewrote_comes_back_over_both(village: Any) -> None:
    village.domain("example.com")
    twice = rewritten(rewritten("sender@example.net", "example.com"), "example.org")
    assert twice.startswith("SRS1=")
    assert ends(village, twice, LocalRules(srs=SRS)) == ["-> sender@example.net"]


def test_a_forged_an_old_and_a_broken_way_back_are_unknown_mailboxes(village: Any) -> None:
    good = rewritten("sender@example.net")
    village.domain("example.org", catch_all=EVA)
    rules = LocalRules(srs=SRS)
    for text, now, reason in (
        (good.replace("sender", "victim"), NOW, "the hash is not one of ours"),
        (good, NOW + 30 * DAY, "older than 21 days"),
        ("SRS0=nonsense@example.org", NOW, "not a whole address of SRS"),
    ):
        found = route(village, text, rules, now=now)
        assert isinstance(found, Refused) and str(found.reply) == "550 5.1.1 no such mailbox here"
        assert found.reason == f"SRS: {reason}"
    assert isinstance(route(village, good, rules, now=NOW + 21 * DAY), ToHost)


def test_an_account_or_alias_that_looks_like_a_way_back_is_what_it_is(village: Any) -> None:
    village.account("srs0@example.org")
    village.alias("srs1-fans@example.org", BEN)
    village.account("srs0=club@example.org")
    rules = LocalRules(srs=SRS)
    assert ends(village, "SRS0=club@example.org", rules) == ["srs0=club@example.org"]
    assert ends(village, "srs1-fans@example.org", rules) == [BEN]
    assert ends(village, "srs0+tag@example.org", rules) == ["srs0@example.org"]
    assert ends(village, "srs0@example.org", rules) == ["srs0@example.org"]


def test_without_the_scheme_and_elsewhere_nothing_is_led_back(village: Any) -> None:
    assert ends(village, rewritten("sender@example.net")) == ["550 5.1.1"]
    foreign = rewritten("sender@example.net", "example.edu")
    found = route(village, foreign, LocalRules(srs=SRS))
    assert isinstance(found, ToHost) and found.destination == "example.edu" and not found.for_anyone


# Internationalized addresses (RFC 6531 §3.3)


def test_a_domain_of_ours_is_found_by_its_unicode_name_and_by_its_a_label(village: Any) -> None:
    village.account("ana@bücher.example")
    expected = ["ana@xn--bcher-kva.example"]
    for text in ("ana@bücher.example", "ANA@BÜCHER.example", "ana@xn--bcher-kva.example", "ana@XN--BCHER-KVA.EXAMPLE"):
        assert ends(village, text) == expected


@pytest.mark.rfc("6531 §3.3", "A local-part in UTF-8 may be an account's.")
def test_a_local_part_in_utf8_is_an_account_in_any_case(village: Any) -> None:
    village.account("josé@example.org")
    assert ends(village, "josé@example.org") == ends(village, "JOSÉ+x@example.org") == ["josé@example.org"]


def test_a_rule_fits_a_unicode_name(village: Any) -> None:
    assert ends(village, "x@bücher.example", LocalRules((RouteRule("xn--bcher-kva.example", mailbox=ANA),))) == [ANA]


@pytest.mark.rfc("5321 §3.6.2", "A rule of the operator relays a domain to the host with its mailboxes.")
def test_a_rule_that_names_a_domain_of_ours_sends_its_mail_to_the_host_with_the_mailboxes(village: Any) -> None:
    rules = LocalRules((RouteRule("example.org", gateway="mailboxes"), RouteRule("*", gateway="out")))
    (end,) = reached(village, ANA, rules)
    assert isinstance(end, ToHost)
    assert end.destination == "gateway:mailboxes"
    village.alias("team@example.net", ANA)
    (member,) = reached(village, "team@example.net", rules)
    assert isinstance(member, ToHost)
    assert member.destination == "gateway:mailboxes"
    assert ends(village, ANA, LocalRules((RouteRule("*", gateway="out"),))) == [ANA]
