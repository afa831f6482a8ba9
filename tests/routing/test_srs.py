"""Reverse-paths are rewritten and led back; what was tampered with, or is too old, is not."""

from __future__ import annotations

import base64
import hmac

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from estafeta.mail.address import NULL_REVERSE_PATH, Address, ReversePath, quote_local_part
from estafeta.routing.srs import Srs, SrsFault, is_rewritten

NOW = 1_700_000_000.0
DAY = 86_400
SRS = Srs(b"secret")
OTHER = Srs(b"another secret")


def forward(text: str, domain: str = "forward.example", now: float = NOW, srs: Srs = SRS) -> Address:
    address = srs.forward(ReversePath(Address.parse(text)), domain, now).address
    assert address is not None
    return address


# Local-parts of every kind, and domains of every kind; a local-part of over 150 octets may become too long.
local_parts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=35) | st.sampled_from(
    ["", "a=b", "=", "SRS0", "SRS0=x", "srs0=abcd=te=example.com=x", "SRS1=", "SRS1+x", "SRS0=a=b", "a b", 'a"b\\c']
)
domains = st.sampled_from(
    ["example.net", "a-b.example", "xn--bcher-kva.example", "[192.0.2.1]", "[IPv6:2001:db8::1]", "[x400:a=b]"]
)
addresses = st.builds(Address, local_parts, domains)
instants = st.floats(0, 2**33)


@pytest.mark.rfc("5321 §3.9.1", "A reverse-path that was rewritten for an alias to elsewhere leads back to the sender.")
@given(addresses, instants, st.floats(0, 20.9 * DAY))
def test_every_address_comes_back_as_it_was(address: Address, at: float, age: float) -> None:
    rewritten = SRS.forward(ReversePath(address), "forward.example", at).address
    assert rewritten is not None and rewritten.domain == "forward.example" and is_rewritten(rewritten)
    assert Address.parse(str(rewritten)) == rewritten  # it passes the wire
    assert SRS.back(rewritten, at + age) == address


@given(addresses, st.data())
def test_what_was_tampered_with_is_refused(address: Address, data: st.DataObject) -> None:
    rewritten = SRS.forward(ReversePath(address), "forward.example", NOW).address
    assert rewritten is not None
    at = data.draw(st.integers(5, len(rewritten.local_part) - 1))
    letter = data.draw(st.characters(exclude_categories=["Cs", "Cc"]))
    changed = rewritten.local_part[:at] + letter + rewritten.local_part[at + 1 :]
    # Case alone does not count.
    assume(changed.encode().lower() != rewritten.local_part.encode().lower())
    assert isinstance(SRS.back(Address(changed, "forward.example"), NOW), SrsFault)


@given(addresses)
def test_only_who_has_the_secret_makes_addresses_that_come_back(address: Address) -> None:
    rewritten = OTHER.forward(ReversePath(address), "forward.example", NOW).address
    assert rewritten is not None
    assert SRS.back(rewritten, NOW) is SrsFault.BAD_HASH


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40), st.sampled_from(["SRS0", "srs1", ""]))
def test_whatever_a_stranger_asks_for_is_answered(text: str, tag: str) -> None:
    assert isinstance(SRS.back(Address(tag + text, "forward.example"), NOW), SrsFault)


def test_the_form_is_the_one_of_the_paper() -> None:
    # 19675 days since 1970 are 219 modulo 1024, and 219 is 6 * 32 + 27: G, 3.
    rewritten = forward("sender@example.net")
    digest = hmac.digest(b"secret", b"srs0=g3=example.net=sender", "sha256")
    letters = base64.urlsafe_b64encode(digest)[:6].decode()
    assert str(rewritten) == f"SRS0={letters}=G3=example.net=sender@forward.example"


def test_the_case_of_a_local_part_may_change_on_the_way() -> None:
    rewritten = forward("Sender@example.net")
    for changed, expected in ((str.lower, "sender"), (str.upper, "SENDER"), (str.swapcase, "sENDER")):
        back = SRS.back(Address(changed(rewritten.local_part), "forward.example"), NOW)
        assert back == Address(expected, "example.net")


@pytest.mark.parametrize("separator", "=+-")
def test_other_separators_are_read(separator: str) -> None:
    rewritten = forward("sender@example.net")
    changed = f"SRS0{separator}{rewritten.local_part[5:]}"
    assert SRS.back(Address(changed, "forward.example"), NOW) == Address("sender", "example.net")


@pytest.mark.parametrize(
    ("days", "is_good"), [(-2, False), (-1, True), (0, True), (21, True), (22, False), (500, False), (1002, False)]
)
def test_an_address_is_good_for_21_days(days: int, is_good: bool) -> None:
    back = SRS.back(forward("sender@example.net"), NOW + days * DAY)
    assert back == (Address("sender", "example.net") if is_good else SrsFault.EXPIRED)


def test_the_day_may_wrap_round() -> None:
    last = 1024 * 20 * DAY - 1  # the last second of a day 1023
    rewritten = forward("sender@example.net", now=last)
    assert rewritten.local_part.split("=")[2] == "77"
    assert SRS.back(rewritten, last + 20 * DAY) == Address("sender", "example.net")
    assert SRS.back(rewritten, last + 23 * DAY) is SrsFault.EXPIRED


def test_the_null_reverse_path_stays_null() -> None:
    assert SRS.forward(NULL_REVERSE_PATH, "forward.example", NOW) is NULL_REVERSE_PATH


def test_what_would_be_longer_than_a_local_part_stays_as_it_is() -> None:
    for octets, is_rewritten_ in ((200, True), (226, True), (227, False), (255, False)):
        path = ReversePath(Address("a" * octets, "example.net.x"))
        found = SRS.forward(path, "forward.example", NOW)
        assert (found != path) is is_rewritten_
        assert found.address is not None and len(found.address.local_part) <= 255


# A second forwarder


def test_a_second_forwarder_leads_back_to_the_first() -> None:
    first = forward("sender@example.net", "first.example", srs=OTHER)
    second = forward(str(first), "second.example")
    letters = second.local_part.split("=")[1]
    assert second.local_part == f"SRS1={letters}=first.example={first.local_part[4:]}"
    assert SRS.back(second, NOW) == first
    assert OTHER.back(first, NOW) == Address("sender", "example.net")


def test_a_third_forwarder_leads_back_to_the_first_too() -> None:
    first = forward("sender@example.net", "first.example", srs=OTHER)
    second = forward(str(first), "second.example", srs=OTHER)
    third = forward(str(second), "third.example")
    assert third.local_part.startswith("SRS1=") and "second.example" not in third.local_part
    assert len(third.local_part) == len(second.local_part)
    assert SRS.back(third, NOW) == first


@pytest.mark.parametrize("separator", "=+-")
def test_the_separator_of_the_first_forwarder_is_kept(separator: str) -> None:
    first = f"SRS0{separator}Wxyz=TT=example.net=sender@first.example"
    second = forward(first, "second.example")
    assert f"=first.example={separator}Wxyz=TT=" in second.local_part
    assert str(SRS.back(second, NOW)) == first


@pytest.mark.parametrize(
    "text",
    ["SRS0=cookie@first.example", "SRS1=hash=no domain==x@first.example", "SRS1=hash=first.example=x@b.example"],
)
def test_what_only_begins_like_the_scheme_is_wrapped_whole(text: str) -> None:
    local_part, _, domain = text.rpartition("@")
    address = Address(local_part, domain)
    rewritten = forward(f"{quote_local_part(local_part)}@{domain}")
    assert rewritten.local_part.startswith("SRS0=")
    assert SRS.back(rewritten, NOW) == address


@pytest.mark.parametrize(
    "text",
    ["sender", "SRS0", "SRS0=", "SRS0=a", "SRS0=a=b", "SRS0=a=22=example.net", "SRS0=a=18=example.net=x", "SRS1=a=b=c"],
)
def test_what_is_no_whole_address_of_the_scheme_is_said(text: str) -> None:
    assert SRS.back(Address(text, "forward.example"), NOW) is SrsFault.MALFORMED
