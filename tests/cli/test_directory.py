from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from estafeta.mail.address import Address
from estafeta.store import accounts
from estafeta.store.passwords import verify_password

if TYPE_CHECKING:
    from .conftest import Operator

ANA = Address("ana", "example.org")


def test_the_first_domain_makes_the_store(operator: Operator) -> None:
    assert operator.done("domain", "add", "EXAMPLE.org").startswith("example.org added")
    assert [each["name"] for each in operator.json("domain", "list")] == ["example.org"]
    assert operator.refused("domain", "add", "example.org") == "the domain example.org is there already"


def test_a_domain_goes_only_when_it_is_empty(office: Operator) -> None:
    assert "has 2 account" in office.refused("domain", "remove", "example.org", "--yes")
    office.done("account", "remove", "ana@example.org", "--yes")
    office.done("account", "remove", "luis@example.org", "--yes")
    assert office.json("domain", "remove", "example.org", "--yes") == {"name": "example.org", "removed": True}
    assert office.json("domain", "list") == []


def test_a_catch_all_is_set_and_taken_away(office: Operator) -> None:
    office.done("domain", "catch-all", "example.org", "ana@example.org")
    shown = office.json("domain", "show", "example.org")
    assert shown["catch_all"] == "ana@example.org"
    assert shown["accounts"] == ["ana@example.org", "luis@example.org"]
    office.done("domain", "catch-all", "example.org", "--none")
    assert "catch-all  none" in office.done("domain", "show", "example.org")


def test_a_made_up_password_is_printed_once_and_is_the_one_that_counts(office: Operator) -> None:
    password = office.json("account", "password", "ana@example.org", "--generate")["password"]
    credentials = office.write(lambda tx: accounts.credentials(tx, ANA))
    assert credentials is not None and verify_password(credentials.hashed.argon2, password)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "", "\nmore lines\n"])
def test_a_password_is_the_first_line_of_its_file(office: Operator, ending: str) -> None:
    file = office.folder / "password"
    file.write_bytes(f"correct hörse{ending}".encode())
    office.done("account", "password", "ana@example.org", "--password-file", str(file))
    credentials = office.write(lambda tx: accounts.credentials(tx, ANA))
    assert credentials is not None and verify_password(credentials.hashed.argon2, "correct hörse")


def test_a_password_is_read_from_standard_input(operator: Operator) -> None:
    operator.done("domain", "add", "example.org")
    operator.done("account", "add", "ana@example.org", "--password-file", "-", input="battery staple\n")
    credentials = operator.write(lambda tx: accounts.credentials(tx, ANA))
    assert credentials is not None and verify_password(credentials.hashed.argon2, "battery staple")


def test_a_password_is_asked_for_twice_on_a_terminal(office: Operator) -> None:
    primary, secondary = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    environment["ESTAFETA_CONFIG"] = str(office.config)
    code = "from estafeta.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "account", "password", "ana@example.org"],
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        env=environment,
        start_new_session=True,
    ) as process:
        os.close(secondary)
        seen = b""
        for prompt in (b"Password: ", b"The same again: "):
            while prompt not in seen:
                seen += os.read(primary, 1000)
            os.write(primary, b"tractor beam\n")
        assert process.wait(30) == 0
    os.close(primary)
    assert b"tractor" not in seen
    credentials = office.write(lambda tx: accounts.credentials(tx, ANA))
    assert credentials is not None and verify_password(credentials.hashed.argon2, "tractor beam")


def test_bad_passwords_are_refused_before_anything_is_done(operator: Operator) -> None:
    operator.done("domain", "add", "example.org")
    add = ("account", "add", "ana@example.org")
    assert "too short" in operator.refused(*add, "--password-file", "-", input="short\n")
    assert "no password" in operator.refused(*add, "--password-file", "-", input="")
    assert "no terminal" in operator.refused(*add, input="")
    assert "not UTF-8" in operator.refused(*add, "--password-file", "-", input=b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe\n")
    assert "no such file" in operator.refused(*add, "--password-file", str(operator.folder / "none"))
    assert operator.json("account", "list") == []


def test_an_account_shows_its_state_its_mailboxes_and_its_aliases(office: Operator) -> None:
    office.done("alias", "add", "all@example.org", "ana@example.org", "elsewhere@example.net")
    office.done("account", "quota", "ana@example.org", "--octets", "2G", "--messages", "1000")
    office.done("account", "disable", "ana@example.org")
    shown = office.json("account", "show", "ana@example.org")
    assert shown["aliases"] == ["all@example.org"]
    assert (shown["quota_octets"], shown["quota_messages"]) == (2 * 2**30, 1000)
    assert not shown["is_enabled"] and not shown["has_password"]
    assert "INBOX" in [each["name"] for each in shown["mailboxes"]]
    assert "disabled" in office.done("account", "list")
    assert office.json("account", "enable", "ana@example.org")["is_enabled"]


def test_one_quota_is_changed_without_the_other(office: Operator) -> None:
    office.done("account", "quota", "ana@example.org", "--octets", "1G", "--messages", "10")
    office.done("account", "quota", "ana@example.org", "--messages", "20")
    shown = office.json("account", "show", "ana@example.org")
    assert (shown["quota_octets"], shown["quota_messages"]) == (2**30, 20)
    shown = office.json("account", "quota", "ana@example.org", "--none")
    assert (shown["quota_octets"], shown["quota_messages"]) == (None, None)


def test_an_address_is_given_away_once(office: Operator) -> None:
    assert "already" in office.refused("account", "add", "ana@example.org", "--no-password")
    assert "already" in office.refused("alias", "add", "ana@example.org", "luis@example.org")
    assert "not one of ours" in office.refused("account", "add", "ana@example.net", "--no-password")


def test_an_alias_that_leads_back_to_itself_is_not_added(office: Operator) -> None:
    office.done("alias", "add", "one@example.org", "two@example.org")
    assert "would lead back to itself" in office.refused("alias", "add", "two@example.org", "one@example.org")
    assert [each["address"] for each in office.json("alias", "list")] == ["one@example.org"]


def test_aliases_are_listed_shown_and_removed(office: Operator) -> None:
    office.done("alias", "add", "all@example.org", "ana@example.org", "luis@example.org")
    assert office.json("alias", "list") == [
        {
            "address": "all@example.org",
            "members": ["ana@example.org", "luis@example.org"],
            "owner": None,
            "moved": None,
        }
    ]
    assert office.done("alias", "show", "all@example.org") == "ana@example.org\nluis@example.org\n"
    office.done("alias", "remove", "all@example.org", "--yes")
    assert office.refused("alias", "show", "all@example.org") == "there is no alias all@example.org"


@pytest.mark.parametrize(
    "arguments",
    [("show",), ("remove", "--yes"), ("enable",), ("disable",), ("quota", "--none"), ("password", "--generate")],
)
def test_what_is_not_there_cannot_be_changed(office: Operator, arguments: tuple[str, ...]) -> None:
    command, *options = arguments
    assert (
        office.refused("account", command, "nobody@example.org", *options) == "there is no account nobody@example.org"
    )


def test_check_tells_what_the_store_lacks_for_the_settings(office: Operator) -> None:
    office.config.write_text(
        'data = "data"\n[[listen]]\nkind = "smtp"\n[[route]]\ndomain = "*"\nmailbox = "captured@example.org"\n'
    )
    result = office.run("check")
    assert result.exit_code == 1
    assert result.stdout == (
        f"{office.config}:6: route[0].mailbox: there is no account captured@example.org. "
        "Make it with `estafeta account add captured@example.org`.\n"
    )
    office.done("account", "add", "captured@example.org", "--no-password")
    assert office.done("check") == f"{office.config}: no faults\n"
    office.done("account", "disable", "captured@example.org")
    assert "is disabled" in office.run("check").stdout


def test_check_tells_faults_to_machines_too(operator: Operator) -> None:
    operator.config.write_text("hostnme = 1\n")
    result = operator.run("check", "--json")
    assert result.exit_code == 1
    assert '"key": "hostnme"' in result.stdout and '"line": 1' in result.stdout
