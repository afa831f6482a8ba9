"""An hour at half of the highest rate: memory is flat, nothing fails, all is accounted for."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.faults.conftest import Serve
from tests.faults.figures import Figures
from tests.faults.load import content
from tests.faults.nexthost import NextHost
from tests.faults.test_crowd import memory
from tests.peers.running import wait_for

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

SESSIONS = 10


class Sender:
    """Kept sessions that send at a rate; `rate` None: as fast as they can."""

    def __init__(self, port: int, recipients: list[str]) -> None:
        self._port = port
        self._recipients = recipients
        self.sent = 0
        self.failed: list[bytes] = []

    async def run(self, seconds: float, rate: float | None) -> float:
        """How many a second there were."""
        before, ends_at = self.sent, time.monotonic() + seconds
        await asyncio.gather(*(self._session(ends_at, rate, number) for number in range(SESSIONS)))
        return (self.sent - before) / seconds

    async def _session(self, ends_at: float, rate: float | None, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        await reader.readline()
        writer.write(b"HELO load.example.net\r\n")
        await reader.readline()
        due = time.monotonic()
        sent = 0
        while time.monotonic() < ends_at:
            recipient = self._recipients[(number + sent) % len(self._recipients)]
            writer.write(b"MAIL FROM:<>\r\n")
            await self._expect(reader, b"250")
            writer.write(b"RCPT TO:<%s>\r\n" % recipient.encode())
            await self._expect(reader, b"250")
            writer.write(b"DATA\r\n")
            await self._expect(reader, b"354")
            writer.write(content(number * 1_000_000 + sent) + b".\r\n")
            await self._expect(reader, b"250")
            sent += 1
            self.sent += 1
            if rate is not None:
                due += SESSIONS / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            elif sent % 50 == 0:
                await asyncio.sleep(0)
        writer.write(b"QUIT\r\n")
        writer.close()

    async def _expect(self, reader: asyncio.StreamReader, code: bytes) -> None:
        reply = await reader.readline()
        if not reply.startswith(code):
            self.failed.append(reply)


def test_an_hour_at_half_of_the_highest_rate(serve: Serve, next_host: NextHost, figures: Figures) -> None:
    seconds = figures.choose(short=10, full=int(os.environ.get("ESTAFETA_SOAK", "3600")))
    server = serve(
        f"""
[smtp]
trusted_networks = ["127.0.0.0/8"]
[smtp.limits]
transactions = 10000000
[relay]
port = {next_host.port}
allow_loopback = true
[journal]
keep_days = 1
[log]
level = "warning"
[processes]
indexer = false
"""
    )
    ana = server.account("ana")
    assert server._process is not None
    pid = server._process.pid
    sender = Sender(server.ports[ListenerKind.SMTP], [ana, "far@[127.0.0.1]"])
    samples: list[int] = []

    async def scenario() -> tuple[float, float]:
        highest = await sender.run(min(5.0, seconds / 3), None)
        watching = asyncio.create_task(watch())
        rate = await sender.run(seconds, highest / 2)
        watching.cancel()
        return highest, rate

    async def watch() -> None:
        while True:
            samples.append(memory(pid))
            next_host.taken[:-1000] = [b""] * max(0, len(next_host.taken) - 1000)
            await asyncio.sleep(max(0.5, seconds / 120))

    highest, rate = asyncio.run(scenario())
    wait_for(lambda: not server.waiting(), "the queue to become empty", seconds=120)
    there, relayed = server.count(ana), len(next_host.taken)
    audit = subprocess.run(
        [sys.executable, "-m", "estafeta.cli.main", "audit", "--config", str(server.folder / "estafeta.toml")],
        capture_output=True,
        text=True,
        timeout=1800,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    assert server.stop() == 0
    said = audit.stdout.strip().splitlines()[-1] if audit.stdout else audit.stderr
    third = max(1, len(samples) // 3)
    first, last = statistics.median(samples[:third]), statistics.median(samples[-third:])
    figures.add(
        f"soak of {seconds} s",
        f"{rate:.0f} messages a second, half of {highest:.0f}; {sender.sent:,} sent, {there:,} in the mailbox,"
        f" {relayed:,} relayed, {len(sender.failed)} not taken; memory {first / 2**20:.0f} MiB in the first third,"
        f" {last / 2**20:.0f} in the last; audit: {said}",
        lost=sender.sent - there - relayed,
    )
    assert not sender.failed
    assert there + relayed == sender.sent
    assert audit.returncode == 0, audit.stdout[-2000:] + audit.stderr[-2000:]
    assert last < first * 1.25 + (16 << 20), samples
    assert "error" not in server.log.read_text().lower()
