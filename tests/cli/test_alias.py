"""Lists at the command line; aliases as such are among the directory's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Operator

TOWN = {
    "address": "town@example.org",
    "members": ["ana@example.org", "far@example.net"],
    "owner": "Boss@example.com",
    "moved": None,
}
ADD = ("alias", "add", "town@example.org", "ana@example.org", "far@example.net")


def test_a_list_is_added_listed_and_shown_with_its_owner(office: Operator) -> None:
    added = office.done(*ADD, "--list", "--owner", "Boss@example.com")
    assert added == (
        "town@example.org added: it stands for ana@example.org, far@example.net, as a list of Boss@example.com\n"
    )
    office.done("alias", "add", "all@example.org", "ana@example.org")
    others = {"address": "all@example.org", "members": ["ana@example.org"], "owner": None, "moved": None}
    assert office.json("alias", "list") == [others, TOWN]
    assert office.json("alias", "show", "town@example.org") == TOWN
    assert office.done("alias", "show", "town@example.org") == (
        "list of Boss@example.com\nana@example.org\nfar@example.net\n"
    )
    lines = [line.split() for line in office.done("alias", "list").splitlines()]
    assert lines[1:] == [
        ["all@example.org", "ana@example.org"],
        ["town@example.org", "Boss@example.com", "ana@example.org,", "far@example.net"],
    ]


def test_an_alias_becomes_a_list_gets_another_owner_and_is_an_alias_again(office: Operator) -> None:
    office.done(*ADD)
    assert office.done("alias", "owner", "town@example.org", "Boss@example.com") == (
        "town@example.org is a list of Boss@example.com\n"
    )
    assert office.json("alias", "show", "town@example.org") == TOWN
    owned = office.json("alias", "owner", "town@example.org", "luis@example.org")
    assert owned == {"address": "town@example.org", "owner": "luis@example.org"}
    assert office.done("alias", "owner", "town@example.org", "--none") == "town@example.org is no list any more\n"
    assert office.json("alias", "show", "town@example.org") == TOWN | {"owner": None}
    assert office.refused("alias", "owner", "town@example.org", "--none") == "there is no list town@example.org"


def test_only_an_alias_becomes_a_list(office: Operator) -> None:
    for name in ("ana", "nobody"):
        told = office.refused("alias", "owner", f"{name}@example.org", "luis@example.org")
        assert told == f"there is no alias {name}@example.org"


def test_an_owner_that_leads_back_to_the_list_is_refused(office: Operator) -> None:
    assert office.refused(*ADD, "--list", "--owner", "Town@example.org").endswith("cannot be its own owner")
    office.done("alias", "add", "boss@example.org", "luis@example.org", "town@example.org")
    for told in (
        office.refused(*ADD, "--list", "--owner", "boss@example.org"),
        office.refused(*ADD, "--list", "--owner", "boss+x@example.org"),
    ):
        assert told == (
            "town@example.org would lead back to itself by one of its members or its owner; nothing was added"
        )
    assert [each["address"] for each in office.json("alias", "list")] == ["boss@example.org"]
    office.done(*ADD, "--list", "--owner", "luis@example.org")
    assert "nothing was changed" in office.refused("alias", "owner", "town@example.org", "boss@example.org")
    assert office.json("alias", "show", "town@example.org")["owner"] == "luis@example.org"


@pytest.mark.parametrize(
    "arguments",
    [
        (*ADD, "--list"),
        (*ADD, "--owner", "luis@example.org"),
        ("alias", "owner", "town@example.org"),
        ("alias", "owner", "town@example.org", "luis@example.org", "--none"),
        (*ADD, "--list", "--owner", "luis"),
    ],
)
def test_a_list_and_its_owner_go_together(office: Operator, arguments: tuple[str, ...]) -> None:
    result = office.run(*arguments)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert office.json("alias", "list") == []


@pytest.mark.rfc("5321 §3.4", "An operator says where a user has moved, and whether mail goes on to there.")
@pytest.mark.parametrize(
    ("option", "word", "told"),
    [("--forward", "forwarded", "goes on to there"), ("--refuse", "refused", "is refused")],
)
def test_a_user_who_has_moved_is_told_of_listed_and_removed(
    office: Operator, option: str, word: str, told: str
) -> None:
    said = office.done("alias", "moved", "old@example.org", "New@example.net", option)
    assert said == f"old@example.org has moved to New@example.net: mail {told}, and clients are told\n"
    record = {"address": "old@example.org", "members": ["New@example.net"], "owner": None, "moved": word}
    assert office.json("alias", "list") == [record]
    assert office.json("alias", "show", "old@example.org") == record
    assert office.done("alias", "show", "old@example.org") == f"moved, mail is {word}\nNew@example.net\n"
    assert office.done("alias", "list").splitlines()[1].split() == [
        "old@example.org", "New@example.net", "(moved,", f"{word})",
    ]  # fmt: skip
    taken = office.refused("alias", "moved", "old@example.org", "new@example.net", option)
    assert taken == "old@example.org is an alias already"
    office.done("alias", "remove", "old@example.org", "--yes")
    assert office.json("alias", "list") == []


def test_moving_needs_one_of_both_ways_and_leads_nowhere_back(office: Operator) -> None:
    result = office.run("alias", "moved", "old@example.org", "new@example.net")
    assert result.exit_code == 2 and "--forward or --refuse" in result.stderr
    assert office.refused("alias", "moved", "ana@example.org", "new@example.net", "--refuse").endswith(
        "an account already"
    )
    office.done("alias", "add", "team@example.org", "old@example.org")
    told = office.refused("alias", "moved", "old@example.org", "team@example.org", "--forward")
    assert "would lead back to itself" in told and office.json("alias", "list")[0]["address"] == "team@example.org"
