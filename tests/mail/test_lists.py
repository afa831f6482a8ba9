"""The fields of a list say how to reach it, and cannot be made to say anything else."""

from __future__ import annotations

from email import message_from_bytes, policy
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.address import Address
from estafeta.mail.header import fields
from estafeta.mail.lists import Listed, is_from_list, list_fields, list_id

TEAM = Listed(Address("team", "example.org"), Address("boss", "example.com"))

addresses = st.builds(
    Address,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.sampled_from(["example.org", "a_b.example", "xn--bcher-kva.example", "[IPv6:2001:db8::1]"]),
)


@pytest.mark.rfc("3834 §2", "Precedence says that the mail is a list's.")
@pytest.mark.rfc("2369 §3.4", "List-Post names the list's address.")
@pytest.mark.rfc("2369 §3.5", "List-Owner names its owner.")
@pytest.mark.rfc("2369 §3.2", "List-Unsubscribe says how to leave.")
def test_the_fields_of_a_list_are_those_that_mail_programs_know() -> None:
    assert list_fields(TEAM).decode() == (
        "List-Id: <team.example.org>\r\n"
        "List-Post: <mailto:team@example.org>\r\n"
        "List-Owner: <mailto:boss@example.com>\r\n"
        "List-Unsubscribe: <mailto:boss@example.com?subject=unsubscribe%20team%40example.org>\r\n"
        "Precedence: list\r\n"
    )


@pytest.mark.rfc("6068 §2", "Addresses in List fields are percent-encoded.")
@given(addresses, addresses)
def test_no_address_leaves_its_place_in_the_fields(address: Address, owner: Address) -> None:
    found = list_fields(Listed(address, owner))
    assert found.isascii() and found.count(b"\r\n") == 5 and found.replace(b"\r\n", b"").decode().isprintable()
    parsed = message_from_bytes(found + b"\r\n", policy=policy.SMTP)
    assert parsed.keys() == ["List-Id", "List-Post", "List-Owner", "List-Unsubscribe", "Precedence"]
    assert not parsed.defects
    for name, wanted in (("List-Post", address), ("List-Owner", owner), ("List-Unsubscribe", owner)):
        (field,) = (each.body.decode().strip() for each in fields(found) if each.name == name)
        assert field.startswith("<") and field.endswith(">") and not set(field[1:-1]) & set("<> \t")
        url = urlsplit(field[1:-1])
        assert url.scheme == "mailto" and unquote(url.path) == str(wanted)


@pytest.mark.rfc("2919 §3", "A List-Id is a dot-atom.")
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (Address("team", "example.org"), "team.example.org"),
        (Address("a.b+c", "example.org"), "a.b+c.example.org"),
        (Address("50%", "example.org"), "50%25.example.org"),
        (Address("josé", "xn--bcher-kva.example"), "jos%C3%A9.xn--bcher-kva.example"),
        (Address("a b", "example.org"), "a%20b.example.org"),
        (Address(".a", "example.org"), "%2Ea.example.org"),
        (Address("x>\r\nBcc: <y", "example.org"), "x%3E%0D%0ABcc%3A%20%3Cy.example.org"),
    ],
)
def test_the_id_of_a_list_is_a_dot_atom(address: Address, expected: str) -> None:
    assert list_id(address) == expected


@given(addresses, addresses)
def test_lists_with_different_addresses_have_different_ids(one: Address, other: Address) -> None:
    assert (list_id(one) == list_id(other)) is (one == other)


@pytest.mark.rfc("2919 §6", "A post that comes back to its list is known by its List-Id.")
@given(addresses)
def test_a_post_that_went_through_the_list_is_known_again(address: Address) -> None:
    listed = Listed(address, TEAM.owner)
    head = b"Received: from x\r\n" + list_fields(listed) + b"Subject: x\r\n\r\n"
    assert is_from_list(head, listed)
    assert not is_from_list(head, Listed(Address("other", "example.net"), TEAM.owner))


@pytest.mark.rfc("2919 §6", "Ids are compared without regard to case.")
@pytest.mark.parametrize(
    "field",
    [
        b"List-Id: <team.example.org>",
        b"LIST-ID:<TEAM.Example.Org>",
        b"List-ID : The <team> of us\r\n\t<team.\r\n example.org> (comment)",
        b"list-id: team.example.org",
        b'List-Id: <other.example.net>\r\nSubject: x\r\nList-Id: "Jos\xc3\xa9" <team.example.org>',
    ],
)
def test_the_id_is_found_however_it_is_written(field: bytes) -> None:
    assert is_from_list(b"Subject: x\r\n" + field + b"\r\n\r\n", TEAM)


@pytest.mark.rfc("2919 §6", "What only looks like the id is another list.")
@pytest.mark.parametrize(
    "head",
    [
        b"Subject: <team.example.org>\r\n\r\n",
        b"List-Id: <steam.example.org>\r\n\r\n",
        b"List-Id: <team.example.org.net>\r\n\r\n",
        b"List-Id: the team.example.org\r\n\r\n",
        b"X-List-Id: <team.example.org>\r\n\r\n",
        b"List-Id-X: <team.example.org>\r\n\r\n",
        b"Subject: x\r\n\r\nList-Id: <team.example.org>\r\n",
        b"List-Id: \xff\xfe<\r\n\r\n",
        b"",
    ],
)
def test_what_only_looks_like_it_is_a_new_post(head: bytes) -> None:
    assert not is_from_list(head, TEAM)
