"""The DNS is silent for an hour: mail is accepted, waits, and goes out when it answers again; nothing is returned."""

from __future__ import annotations

import asyncio
import smtplib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dns.rcode
import pytest
from tests.faults.figures import Figures
from tests.faults.jumping import LIBRARY, JumpingServer
from tests.faults.load import content, found_numbers
from tests.faults.nexthost import NextHost
from tests.net.dnsserver import DnsServer, dns_server, failing, records, silent
from tests.peers.running import wait_for

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

ANSWERS = records("next.test. 1 MX 10 mx.next.test.", "mx.next.test. 1 A 127.0.0.1")
HOUR = 3600


class Nameserver:
    """A DNS server in a thread of its own."""

    def __init__(self) -> None:
        self.port = 0
        self.server: DnsServer | None = None
        self._is_up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._is_up.wait(10)

    def _run(self) -> None:
        async def main() -> None:
            self._end = asyncio.Event()
            async with dns_server(ANSWERS) as server:
                self.server, self.port = server, server.port
                self._is_up.set()
                await self._end.wait()

        self._loop.run_until_complete(main())
        self._loop.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)


@pytest.fixture
def nameserver() -> Iterator[Nameserver]:
    one = Nameserver()
    yield one
    one.close()


@pytest.mark.parametrize("how", ["silent", "failing"])
def test_an_hour_without_dns_returns_nothing(
    tmp_path: Path, next_host: NextHost, nameserver: Nameserver, figures: Figures, how: str
) -> None:
    if not LIBRARY.exists():
        pytest.fail("Debian's package libfaketime is missing")
    server = JumpingServer(
        tmp_path / "server",
        settings=f"""
[smtp]
trusted_networks = ["127.0.0.0/8"]
[dns]
servers = ["127.0.0.1"]
port = {nameserver.port}
timeout = 0.3
tries = 1
[relay]
port = {next_host.port}
allow_loopback = true
poll_after = 0.2
retry_after = [2.0]
ipv6 = false
[processes]
indexer = false
""",
    )
    server.start()
    try:
        ana = server.account("ana")
        seconds: list[float] = []

        def send(first: int, count: int) -> None:
            with smtplib.SMTP("127.0.0.1", server.ports[ListenerKind.SMTP], timeout=30) as client:
                for number in range(first, first + count):
                    began_at = time.monotonic()
                    assert client.sendmail(ana, ["far@next.test"], content(number)) == {}
                    seconds.append(time.monotonic() - began_at)

        send(1, 5)
        wait_for(lambda: len(next_host.taken) == 5, "mail to go out", seconds=30)
        assert nameserver.server is not None
        nameserver.server.say = silent if how == "silent" else failing(dns.rcode.SERVFAIL)
        time.sleep(1.5)  # what was remembered of the DNS is over
        for step in range(1, 5):
            send(100 * step, 5)
            server.set_clock(HOUR * step // 4)
            time.sleep(1.5)
        assert len(next_host.taken) == 5
        assert server.waiting() == 20
        nameserver.server.say = ANSWERS
        wait_for(lambda: not server.waiting(), "the queue to become empty", seconds=90)
        relayed = found_numbers(next_host.taken)
        returned = server.count(ana)
        assert server.stop() == 0
        figures.add(
            f"DNS {how} for an hour",
            f"20 messages accepted meanwhile, the slowest after {max(seconds):.2f} s; all went out after it,"
            f" {returned} were returned",
            lost=25 - len(relayed),
        )
        assert len(relayed) == 25
        assert relayed.total() == 25
        assert not returned
        assert max(seconds) < 3
    finally:
        server.stop()
