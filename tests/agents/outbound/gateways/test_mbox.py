"""mboxes: entries that readers part again, locks that others hold, and a file that is never left half written."""

from __future__ import annotations

import asyncio
import mailbox
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.agents.outbound.gateways.conftest import ACCEPTED_AT, CONTENT, Place, message, recipient, said
from tests.agents.outbound.gateways.test_maildir import no_file_above

from estafeta.agents.outbound.gateways.mbox import MboxGateway
from estafeta.agents.outbound.gateways.settings import GatewayKind, GatewaySettings
from estafeta.store.records import QueuedRecipient

NOW = 1_795_000_123.0
DELIVERED = ("delivered", "250 2.0.0 delivered to the mbox of gateway box")
IN_USE = ("deferred", "451 4.2.0 the mailbox is in use by another program")
ENTRY = (
    b"From ana@example.net Wed Nov 18 11:08:43 2026\n"
    b"Return-Path: <ana@example.net>\nDelivered-To: luis@example.org\n"
    b"Subject: x\n\n>From here on\n>>From there\n\n.\nlast\n\n"
)
HOLD_LOCK = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"


async def never(seconds: float) -> None:
    raise AssertionError("nobody else has the file")


def settings(place: Place, path: str = "box", *, create: bool = False) -> GatewaySettings:
    return GatewaySettings("box", GatewayKind.MBOX, path=f"{place.folder}/{path}", user=place.user, create=create)


def deliver(
    gateway: GatewaySettings,
    *recipients: QueuedRecipient,
    content: bytes = CONTENT,
    now: float = NOW,
    sleep: Callable[[float], Awaitable[None]] = never,
) -> list[tuple[str, str]]:
    box = MboxGateway(gateway, clock=lambda: now, sleep=sleep)
    return [said(outcome) for outcome in asyncio.run(box.deliver(recipients[0].message, recipients, content))]


def own(path: Path, place: Place, octets: bytes = b"") -> Path:
    """A file of the user's."""
    path.write_bytes(octets)
    os.chown(path, place.uid, -1)
    return path


@pytest.mark.rfc("4155", "An entry begins with its From line, and lines like it are quoted.")
def test_an_entry_is_as_mboxrd_has_it(place: Place) -> None:
    assert deliver(settings(place), recipient()) == [DELIVERED]
    assert (place.folder / "box").read_bytes() == ENTRY
    assert (place.folder / "box").stat().st_mode & 0o777 == 0o600
    assert (place.folder / "box").stat().st_uid == place.uid
    assert [path.name for path in place.folder.iterdir()] == ["box"]


@pytest.mark.rfc("4155 §3", "A foreign reader parts the entries.")
def test_entries_follow_each_other_and_the_standard_library_parts_them(place: Place) -> None:
    deliver(settings(place), recipient())
    assert deliver(settings(place), recipient(of=message("")), content=b"Subject: y\r\n\r\nno end of line") == [
        DELIVERED
    ]
    assert (place.folder / "box").read_bytes().startswith(ENTRY + b"From MAILER-DAEMON ")
    box = mailbox.mbox(place.folder / "box", create=False)
    assert [found["Subject"] for found in box] == ["x", "y"]
    box.close()


def test_a_quoted_local_part_does_not_part_the_from_line(place: Place) -> None:
    deliver(settings(place), recipient(of=message('"From a b"@example.net')))
    line = (place.folder / "box").read_bytes().splitlines()[0]
    assert line == b'From "From_a_b"@example.net Wed Nov 18 11:08:43 2026'


def test_an_entry_that_someone_did_not_end_is_ended(place: Place) -> None:
    box = own(place.folder / "box", place, b"From x Wed Nov 18 10:02:03 2026\n\nhalf")
    assert deliver(settings(place), recipient()) == [DELIVERED]
    assert box.read_bytes().endswith(b"half\n\n" + ENTRY)


def test_deliveries_at_one_time_take_turns(place: Place) -> None:
    box = MboxGateway(settings(place), clock=lambda: NOW, sleep=never)

    async def all_at_once() -> None:
        recipients = [recipient(number=number) for number in range(20)]
        await asyncio.gather(*(box.deliver(one.message, [one], CONTENT) for one in recipients))

    asyncio.run(all_at_once())
    assert (place.folder / "box").read_bytes() == ENTRY * 20


def test_a_program_with_the_lock_is_waited_for(place: Place) -> None:
    path = own(place.folder / "box", place)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        waits = []

        async def until_it_has_read(seconds: float) -> None:
            waits.append(path.read_bytes())
            if len(waits) == 3:
                reader.communicate(b"\n")

        assert deliver(settings(place), recipient(), sleep=until_it_has_read) == [DELIVERED]
    assert waits == [b"", b"", b""]
    assert path.read_bytes() == ENTRY


def test_a_lock_file_that_stays_defers(place: Place) -> None:
    lock = own(place.folder / "box.lock", place)
    os.utime(lock, (ACCEPTED_AT, ACCEPTED_AT))
    waited = []

    async def in_vain(seconds: float) -> None:
        waited.append(seconds)

    assert deliver(settings(place), recipient(), now=ACCEPTED_AT + 400, sleep=in_vain) == [IN_USE]
    assert 10 <= sum(waited) <= 60
    assert lock.exists()
    assert (place.folder / "box").read_bytes() == b""


def test_a_lock_file_of_a_dead_program_is_removed(place: Place) -> None:
    lock = own(place.folder / "box.lock", place)
    os.utime(lock, (ACCEPTED_AT, ACCEPTED_AT))
    assert deliver(settings(place), recipient(), now=ACCEPTED_AT + 600) == [DELIVERED]
    assert not lock.exists()


def test_a_full_disk_leaves_the_file_as_it_was(place: Place) -> None:
    deliver(settings(place), recipient())
    with no_file_above(1000):
        outcomes = deliver(settings(place), recipient(number=2), content=CONTENT + b"x" * 5000)
    assert outcomes == [("deferred", "452 4.3.1 no space is left on the disk")]
    assert (place.folder / "box").read_bytes() == ENTRY
    assert not (place.folder / "box.lock").exists()


def test_a_file_that_is_not_simply_a_file_is_not_written_to(place: Place) -> None:
    victim = own(place.folder / "victim", place, b"precious")
    (place.folder / "link").symlink_to(victim)
    os.link(victim, place.folder / "second-name")
    os.mkfifo(place.folder / "fifo")
    os.chown(place.folder / "fifo", place.uid, -1)
    for name in ("link", "second-name", "fifo"):
        ((fate, reply),) = deliver(settings(place, name), recipient())
        assert (fate, reply[:6]) == ("deferred", "451 4.")
    assert victim.read_bytes() == b"precious"


def test_a_recipient_without_a_file_is_unknown_unless_files_are_made(place: Place) -> None:
    assert deliver(settings(place, "{local}"), recipient()) == [("failed", "550 5.1.1 no such mailbox here")]
    assert deliver(settings(place, "{domain}/{local}", create=True), recipient()) == [DELIVERED]
    assert (place.folder / "example.org" / "luis").read_bytes() == ENTRY
