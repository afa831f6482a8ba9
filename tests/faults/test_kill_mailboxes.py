"""kill -9 at random while everything happens at once, on one and on two workers: nothing is lost, nothing doubles."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.faults.conftest import Serve
from tests.faults.figures import Figures
from tests.faults.mailboxes import Everything, tokens
from tests.faults.nexthost import NextHost
from tests.peers.running import RunningServer, wait_for

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

ADDRESSES = ("ana", "luis", "eva")


def workers_of(pid: int) -> list[int]:
    """The further processes that serve."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"--behind" in Path(f"/proc/{child}/cmdline").read_bytes()]


def settings(port: int, workers: int) -> str:
    return f"""
[smtp]
trusted_networks = ["127.0.0.0/8"]
check_author = false
[relay]
port = {port}
allow_loopback = true
poll_after = 0.2
retry_after = [1.0]
[store]
large_content = 4096
[processes]
workers = {workers}
indexer = false
[log]
level = "warning"
"""


def all_in(server: RunningServer, address: str) -> list[bytes]:
    """The messages of all mailboxes of an account."""
    return [*server.messages(address), *server.messages(address, mailbox="Archive")]


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_is_lost_whatever_kill_9_does(
    serve: Serve,
    next_host: NextHost,
    figures: Figures,
    workers: int,
) -> None:
    rounds = figures.choose(short=5, full=200)
    server = serve(settings(next_host.port, workers))
    addresses = [server.account(name) for name in ADDRESSES]
    seed = random.randrange(10**9)
    chance = random.Random(seed)
    ports = server.ports
    everything = Everything(ports[ListenerKind.SMTP], ports[ListenerKind.IMAP], addresses, chance)
    crashes = [0, 0]

    async def one_round() -> None:
        going = asyncio.create_task(everything.go())
        await asyncio.sleep(chance.uniform(0.8, 2.5))
        assert server._process is not None
        others = workers_of(server._process.pid)
        if others and chance.random() < 0.3:
            os.kill(chance.choice(others), signal.SIGKILL)  # the others go on, and it is started again
            crashes[1] += 1
            await asyncio.sleep(1.0)
        await asyncio.to_thread(server.kill)
        crashes[0] += 1
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)

    begin = time.monotonic()
    for number in range(rounds):
        if number:
            server.start()
        asyncio.run(one_round())
    server.start()
    wait_for(lambda: not server.waiting(), "the queue to become empty", seconds=180)
    account = everything.account
    mailboxes = {address: tokens(all_in(server, address)) for address in addresses}
    relayed: Counter[str] = tokens(next_host.taken)
    audit = subprocess.run(
        [sys.executable, "-m", "estafeta.cli.main", "audit", "--config", str(server.folder / "estafeta.toml")],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    assert server.stop() == 0
    faults = account.faults(mailboxes, relayed)
    doubles = sum(times - 1 for times in relayed.values())
    steps = sum(len(owner.messages) for owner in account.owners)
    figures.add(
        f"kill -9, {workers} worker{'s' if workers > 1 else ''}",
        f"{crashes[0]} kills of all, {crashes[1]} of a worker; {account.begun:,} messages begun,"
        f" {len(account.answered):,} answered 250, {steps:,} UIDs seen by IMAP,"
        f" {sum(len(owner.appended) for owner in account.owners):,} appended;"
        f" {doubles} came twice to the next host; {time.monotonic() - begin:.0f} s",
        lost=len(faults),
    )
    assert not faults, (seed, faults[:20])
    assert audit.returncode == 0, (seed, audit.stdout[-3000:], audit.stderr[-1000:])
    assert len(account.answered) > 20 * rounds
    assert doubles <= rounds * 40
