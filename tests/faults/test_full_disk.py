"""A disk of 64 MiB fills up while mail arrives: senders are told to come again, readers read, nothing is lost."""

from __future__ import annotations

import asyncio
import imaplib
import os
import smtplib
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.faults.figures import Figures
from tests.faults.load import Load, content, found_numbers
from tests.faults.nexthost import NextHost
from tests.peers.running import PASSWORD, RunningServer, wait_for

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

MIB = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 64 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def free(folder: Path) -> int:
    """Octets that may still be written."""
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize


def send(server: RunningServer, recipient: str, number: int) -> int:
    """The reply code of one message."""
    with smtplib.SMTP("127.0.0.1", server.ports[ListenerKind.SMTP], timeout=60) as client:
        try:
            client.sendmail("load@example.net", [recipient], content(number))
        except smtplib.SMTPRecipientsRefused as refused:
            return next(iter(refused.recipients.values()))[0]
        except smtplib.SMTPResponseException as error:
            return error.smtp_code
        return 250


def test_a_full_disk_loses_nothing_and_ends_by_itself(
    small_disk: Path,
    next_host: NextHost,
    figures: Figures,
) -> None:
    settings = f"""
[smtp]
trusted_networks = ["127.0.0.0/8"]
[relay]
port = {next_host.port}
allow_loopback = true
poll_after = 0.2
retry_after = [1.0]
[store]
large_content = 20000
[processes]
indexer = false
"""
    server = RunningServer(small_disk / "server", settings=settings)
    ballast = small_disk / "ballast"
    # What the operator's other programs have left.
    ballast.write_bytes(bytes(30 * MIB))
    server.start()
    try:
        ana, luis = server.account("ana"), server.account("luis")
        load = Load(server.ports[ListenerKind.SMTP], ana)
        codes: list[int] = []

        async def fill() -> None:
            deadline = time.monotonic() + 90
            while free(small_disk) > 256 * 1024 and time.monotonic() < deadline:
                await asyncio.sleep(0.2)
                with suppress(OSError), (small_disk / "more").open("ab") as file:
                    file.write(bytes(MIB))
            await asyncio.sleep(3)

        asyncio.run(_load_through(load, fill))
        began_at = time.monotonic()
        for number in range(5):
            codes.append(send(server, ana, 900_000 + number))
        assert all(code in (250, 451, 452) for code in codes), codes
        refused = sum(code != 250 for code in codes)
        # Owners read while it is full, and make room.
        with imaplib.IMAP4("127.0.0.1", server.ports[ListenerKind.IMAP]) as mailbox:
            mailbox.login(ana, PASSWORD)
            _, (count,) = mailbox.select("INBOX")
            assert count is not None and int(count) > 0
            said, fetched = mailbox.fetch("1", "(BODY.PEEK[])")
            assert said == "OK" and fetched[0] is not None
        ballast.unlink()
        (small_disk / "more").unlink(missing_ok=True)
        wait_for(lambda: send(server, luis, 950_000) == 250, "mail to be taken again", seconds=60)
        seconds = time.monotonic() - began_at
        for number in range(20):
            assert send(server, "far@[127.0.0.1]", 960_000 + number) == 250
        wait_for(lambda: not server.waiting(), "the queue to become empty", seconds=60)
        found = found_numbers(server.messages(ana))
        lost = load.answered - found.keys()
        doubles = sum(times - 1 for times in found.values())
        assert server.stop() == 0
        lines = server.log.read_bytes().count(b"\n")
        figures.add(
            "disk of 64 MiB full",
            f"{load.sent:,} messages begun, {len(load.answered):,} answered 250; while it was full {refused} of 5 were"
            f" deferred ({sorted(set(codes))}), mailboxes were read; taken again {seconds:.0f} s after; {lines} lines"
            " of log",
            lost=len(lost),
        )
        assert load.answered
        assert refused
        assert not lost
        assert not doubles
        assert lines < len(load.answered) + 1000, "the log is flooded"
    finally:
        server.stop()


async def _load_through(load: Load, interruption: Callable[[], Awaitable[None]]) -> None:
    """Sessions that begin again when they were deferred, until the interruption is over."""
    going = [asyncio.create_task(_again(load)) for _ in range(8)]
    await interruption()
    for each in going:
        each.cancel()
    await asyncio.gather(*going, return_exceptions=True)


async def _again(load: Load) -> None:
    while True:
        await load._session()
        await asyncio.sleep(0.5)
