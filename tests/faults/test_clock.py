"""The clock jumps by hours, in both directions, while mail comes in, waits and goes out."""

from __future__ import annotations

import smtplib
import time
from pathlib import Path

import pytest
from tests.faults.figures import Figures
from tests.faults.jumping import LIBRARY, JumpingServer
from tests.faults.load import content, found_numbers
from tests.faults.nexthost import NextHost
from tests.peers.running import wait_for

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

JUMPS = (0, 5 * 3600, -3 * 3600, 26 * 3600, -20 * 3600, 0)
"""Seconds that the server's clock is ahead, one after the other."""


def test_jumps_of_hours_lose_nothing_and_hold_nothing_up(
    tmp_path: Path,
    next_host: NextHost,
    figures: Figures,
) -> None:
    if not LIBRARY.exists():
        pytest.fail("Debian's package libfaketime is missing")
    server = JumpingServer(
        tmp_path / "server",
        settings=f"""
[smtp]
trusted_networks = ["127.0.0.0/8"]
[relay]
port = {next_host.port}
allow_loopback = true
poll_after = 0.2
retry_after = [1.0]
[processes]
indexer = false
""",
    )
    server.start()
    try:
        ana = server.account("ana")
        numbers: set[int] = set()
        far: set[int] = set()
        number = 0
        longest = 0.0
        for ahead in JUMPS:
            server.set_clock(ahead)
            time.sleep(1.2)
            began_at = time.monotonic()
            with smtplib.SMTP("127.0.0.1", server.ports[ListenerKind.SMTP], timeout=30) as client:
                for _ in range(10):
                    number += 1
                    assert client.sendmail("load@example.net", [ana], content(number)) == {}
                    numbers.add(number)
                    number += 1
                    assert client.sendmail("load@example.net", ["far@[127.0.0.1]"], content(number)) == {}
                    far.add(number)
            wait_for(lambda: len(next_host.taken) >= len(far), "the mail to go out", seconds=60)
            longest = max(longest, time.monotonic() - began_at)
        found = found_numbers(server.messages(ana))
        relayed = found_numbers(next_host.taken)
        lost = (numbers - found.keys()) | (far - relayed.keys())
        doubles = found.total() - len(found) + relayed.total() - len(relayed)
        server.set_clock(0)
        time.sleep(1.2)
        assert server.stop() == 0
        figures.add(
            "clock jumps",
            f"by {', '.join(f'{ahead // 3600:+d} h' for ahead in JUMPS[1:])} against the true time, {len(numbers)}"
            f" messages in and {len(far)} out, the slowest 20 after {longest:.1f} s, {doubles} twice",
            lost=len(lost),
        )
        assert not lost
        assert not doubles
        assert longest < 30, "what was to go out at once waited for the clock"
    finally:
        server.stop()
