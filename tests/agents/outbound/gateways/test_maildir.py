"""Maildirs: whole messages, once, in the right place, with the right owner."""

from __future__ import annotations

import asyncio
import mailbox
import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.agents.outbound.gateways.conftest import CONTENT, Place, message, recipient, said

from estafeta.agents.outbound.gateways.maildir import MaildirGateway
from estafeta.agents.outbound.gateways.settings import GatewayKind, GatewaySettings, LineEnds
from estafeta.agents.outbound.outcome import Outcome
from estafeta.store.records import QueuedRecipient

DELIVERED = ("delivered", "250 2.0.0 delivered to the Maildir of gateway archive")
DELIVERED_BEFORE = ("delivered", "250 2.0.0 delivered to the Maildir of gateway archive by an attempt before")
UNKNOWN = ("failed", "550 5.1.1 no such mailbox here")


def settings(place: Place, path: str = "box", **further: object) -> GatewaySettings:
    return GatewaySettings(
        "archive",
        GatewayKind.MAILDIR,
        path=f"{place.folder}/{path}",
        **{"user": place.user, **further},  # type: ignore[arg-type]
    )


def deliver(gateway: GatewaySettings, *recipients: QueuedRecipient, content: bytes = CONTENT) -> list[tuple[str, str]]:
    """Each time by a gateway that knows of nothing before, as after a start."""
    outcomes: Sequence[Outcome] = asyncio.run(
        MaildirGateway(gateway, hostname="mx.example.org").deliver(recipients[0].message, recipients, content)
    )
    assert [outcome.recipient for outcome in outcomes] == list(recipients)
    return [said(outcome) for outcome in outcomes]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@contextmanager
def no_file_above(octets: int) -> Iterator[None]:
    """Writing more to one file fails, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_message_arrives_whole_behind_its_delivery_fields(place: Place) -> None:
    assert deliver(settings(place), recipient("luis@example.org")) == [DELIVERED]
    (file,) = files(place.folder)
    assert file.parent == place.folder / "box" / "new"
    assert file.name.startswith("1795000000.R") and file.name.endswith(".mx.example.org") and ":" not in file.name
    fields = b"Return-Path: <ana@example.net>\nDelivered-To: luis@example.org\n"
    assert file.read_bytes() == fields + CONTENT.replace(b"\r\n", b"\n")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_uid == place.uid


def test_the_line_ends_of_the_wire_can_be_kept(place: Place) -> None:
    null = message("")
    assert deliver(settings(place, line_ends=LineEnds.CRLF), recipient(of=null)) == [DELIVERED]
    (file,) = files(place.folder)
    assert file.read_bytes() == b"Return-Path: <>\r\nDelivered-To: luis@example.org\r\n" + CONTENT


def test_the_standard_library_reads_it(place: Place) -> None:
    deliver(settings(place), recipient())
    box = mailbox.Maildir(str(place.folder / "box"), create=False)
    (found,) = box
    assert (found["Subject"], found["Return-Path"]) == ("x", "<ana@example.net>")


def test_a_repeated_delivery_adds_nothing(place: Place) -> None:
    assert deliver(settings(place), recipient()) == [DELIVERED]
    assert deliver(settings(place), recipient()) == [DELIVERED_BEFORE]
    assert deliver(settings(place), recipient(was_tried=True)) == [DELIVERED_BEFORE]
    assert len(files(place.folder)) == 1


def test_a_repeated_delivery_finds_what_a_reader_has_opened(place: Place) -> None:
    deliver(settings(place), recipient())
    (file,) = files(place.folder)
    file.rename(place.folder / "box" / "cur" / f"{file.name}:2,S")
    assert deliver(settings(place), recipient(was_tried=True)) == [DELIVERED_BEFORE]
    assert len(files(place.folder)) == 1


def test_what_a_dead_process_began_is_begun_again(place: Place) -> None:
    deliver(settings(place), recipient())
    (file,) = files(place.folder)
    temporary = place.folder / "box" / "tmp" / f"{file.name}.{os.getpid()}"
    file.rename(temporary)
    temporary.write_bytes(b"half a mess")
    assert deliver(settings(place), recipient(was_tried=True)) == [DELIVERED]
    assert files(place.folder) == [file]
    assert file.read_bytes().endswith(b"last\n")


def test_each_recipient_has_a_message_and_an_outcome(place: Place) -> None:
    made = settings(place, "{domain}/{local}", create=True)
    both = [recipient("ana@example.org", number=1), recipient("luis@example.com", number=2)]
    assert deliver(made, *both) == [DELIVERED, DELIVERED]
    assert [file.relative_to(place.folder).parts[:2] for file in files(place.folder)] == [
        ("example.com", "luis"),
        ("example.org", "ana"),
    ]
    same = [recipient("a@example.org", number=3), recipient("b@example.org", number=4)]
    assert deliver(settings(place, "all"), *same) == [DELIVERED, DELIVERED]
    assert len(files(place.folder / "all" / "new")) == 2


def test_a_recipient_without_a_mailbox_is_unknown_unless_mailboxes_are_made(place: Place) -> None:
    known = settings(place, "{local}")
    assert deliver(known, recipient("ana@example.org")) == [UNKNOWN]
    assert list(place.folder.iterdir()) == []
    assert deliver(settings(place, "{local}", create=True), recipient("ana@example.org")) == [DELIVERED]
    assert deliver(known, recipient("ana@example.org", number=2), recipient("luis@example.org", number=3)) == [
        DELIVERED,
        UNKNOWN,
    ]


def test_a_path_without_the_recipient_is_made(place: Place) -> None:
    assert deliver(settings(place, "by-domain/{domain}"), recipient()) == [DELIVERED]


@pytest.mark.parametrize(
    "address", ['"../../../x"@example.org', '"/x"@example.org', '".."@example.org', '""@example.org']
)
def test_no_recipient_leaves_the_folder(place: Place, address: str) -> None:
    assert deliver(settings(place, "in/{local}", create=True), recipient(address)) == [DELIVERED]
    assert [path.name for path in place.folder.iterdir()] == ["in"]
    (file,) = files(place.folder)
    assert len(file.relative_to(place.folder / "in").parts) == 3


def test_an_address_too_long_for_a_name_is_refused(place: Place) -> None:
    long = recipient('"' + "/" * 100 + '"@example.org')
    assert deliver(settings(place, "{local}", create=True), long) == [
        ("failed", "550 5.1.1 the address is too long for a mailbox here")
    ]


def test_a_full_disk_defers_and_leaves_nothing(place: Place) -> None:
    with no_file_above(1000):
        outcomes = deliver(settings(place), recipient(), content=CONTENT + b"x" * 2000)
    assert outcomes == [("deferred", "452 4.3.1 no space is left on the disk")]
    assert files(place.folder) == []
    assert deliver(settings(place), recipient(was_tried=True)) == [DELIVERED]


def test_a_folder_that_cannot_be_used_defers_without_telling_its_name(place: Place) -> None:
    (place.folder / "box").write_bytes(b"")
    ((fate, reply),) = deliver(settings(place), recipient())
    assert (fate, reply[:9]) == ("deferred", "451 4.3.0")
    assert "box" not in reply


def test_root_writes_with_the_rights_of_the_user_alone(place: Place, as_root: None) -> None:
    closed = place.folder / "closed"
    closed.mkdir(mode=0o700)  # root's
    ((fate, reply),) = deliver(settings(place, "closed/box"), recipient())
    assert (fate, reply) == ("deferred", "451 4.3.0 the gateway cannot deliver now (permission denied)")
    assert files(closed) == []
    (closed / "by-root").write_bytes(b"")
    assert (closed / "by-root").stat().st_uid == 0
    assert deliver(settings(place, "open"), recipient()) == [DELIVERED]
    assert {path.stat().st_uid for path in (place.folder / "open").rglob("*")} == {place.uid}


@pytest.mark.parametrize("user", ["", "no-such-user"])
def test_root_needs_to_know_whose_files_they_are(place: Place, as_root: None, user: str) -> None:
    assert deliver(settings(place, user=user), recipient()) == [
        ("deferred", "451 4.3.5 mail cannot be delivered here until the operator has seen to it")
    ]
    assert files(place.folder) == []
