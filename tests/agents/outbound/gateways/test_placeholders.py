"""Addresses in paths and commands: whatever a stranger writes, it stays a name or an argument."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agents.outbound.gateways.conftest import message, recipient

from estafeta.agents.outbound.gateways.placeholders import (
    UnfitAddress,
    expand_command,
    expand_path,
    message_values,
    recipient_values,
    user_and_extension,
)
from estafeta.mail.address import Address


def path(address: str, template: str = "/srv/{domain}/{local}") -> str:
    return expand_path(template, Address.parse(address), "+")


def test_a_path_has_the_parts_of_the_address_in_lower_case() -> None:
    assert path("Ana+News@Example.ORG") == "/srv/example.org/ana+news"
    assert path("Ana+News@example.org", "/srv/{user}/{address}.mbox") == "/srv/ana/ana+news@example.org.mbox"


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ('"../../etc/passwd"@example.org', "/srv/example.org/%2E.%2F..%2Fetc%2Fpasswd"),
        ('".."@example.org', "/srv/example.org/%2E."),
        ('"."@example.org', "/srv/example.org/%2E"),
        ('".hidden"@example.org', "/srv/example.org/%2Ehidden"),
        ('""@example.org', "/srv/example.org/%"),
        ("100%@example.org", "/srv/example.org/100%25"),
        ("jürgen@example.org", "/srv/example.org/jürgen"),
        ("ana@[IPv6:2001:db8::1]", "/srv/%5BIPv6%3A2001%3Adb8%3A%3A1%5D/ana"),
    ],
)
def test_what_means_something_to_the_file_system_is_written_otherwise(address: str, wanted: str) -> None:
    assert path(address) == wanted


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_no_local_part_leaves_its_folder(local_part: str) -> None:
    expanded = expand_path("/srv/{local}", Address(local_part, "example.org"), "+")
    (_, srv, name) = PurePosixPath(expanded).parts
    assert srv == "srv" and name not in (".", "..") and not name.startswith(".") and "\0" not in name


@given(st.text(max_size=20).map(str.lower), st.text(max_size=20).map(str.lower))
def test_two_local_parts_never_have_one_name(one: str, other: str) -> None:
    if one.lower() != other.lower() and one.isascii() and other.isascii():
        paths = {expand_path("/srv/{local}", Address(local_part, "example.org"), "") for local_part in (one, other)}
        assert len(paths) == 2


def test_a_name_that_no_file_system_has_is_unfit() -> None:
    assert len(path("a" * 255 + "@example.org")) > 255
    with pytest.raises(UnfitAddress):
        path('"' + "/" * 100 + '"@example.org')


@pytest.mark.parametrize(
    ("local_part", "parts"),
    [("ana", ("ana", "")), ("ana+a+b", ("ana", "a+b")), ("+ana", ("+ana", "")), ("ana+", ("ana", ""))],
)
def test_the_extension_stands_behind_the_first_delimiter(local_part: str, parts: tuple[str, str]) -> None:
    assert user_and_extension(local_part, "+") == parts
    assert user_and_extension(local_part, "") == (local_part, "")


def arguments(
    *command: str, sender: str = "ana@example.net", recipients: tuple[str, ...] = ("luis@example.org",)
) -> list[str]:
    parts = [recipient_values(recipient(address), "+") for address in recipients]
    return expand_command(command, message_values(message(sender), 42, "MAILER-DAEMON"), parts)


def test_an_argument_that_names_the_recipient_is_there_for_each() -> None:
    assert arguments(
        "/bin/take",
        "-s",
        "{size}",
        "--to={user}/{extension}/{domain}",
        "{recipient}",
        recipients=("a+b@x.org", "c@y.org"),
    ) == ["/bin/take", "-s", "42", "--to=a/b/x.org", "--to=c//y.org", "a+b@x.org", "c@y.org"]


def test_the_null_sender_has_a_name() -> None:
    assert arguments("/bin/take", "{sender}", sender="") == ["/bin/take", "MAILER-DAEMON"]


def test_an_address_is_never_an_option() -> None:
    with pytest.raises(UnfitAddress):
        arguments("/bin/take", "{recipient}", recipients=("-oQ@example.org",))
    with pytest.raises(UnfitAddress):
        arguments("/bin/take", "{sender}", sender="-bp@example.org")
    with pytest.raises(UnfitAddress):
        arguments("/bin/take", "{extension}-{user}", "--")
    assert arguments("/bin/take", "-f{sender}", sender="-bp@x.org") == ["/bin/take", "-f-bp@x.org"]
    assert arguments("/bin/take", "--", "{recipient}", recipients=("-oQ@x.org",)) == ["/bin/take", "--", "-oQ@x.org"]


def test_what_was_decoded_brings_no_controls_into_an_argument() -> None:
    values = message_values(message(envid="a\0b\nc"), 42, "")
    hostile = recipient_values(recipient(original="x\r\n@y\0"), "+")
    assert expand_command(["/bin/take", "{envid}", "{original_recipient}"], values, [hostile]) == [
        "/bin/take",
        "a_b_c",
        "x__@y_",
    ]
