"""Ten thousand idle and a thousand hostile connections while normal mail flows."""

from __future__ import annotations

import asyncio
import os
import random
import time
from contextlib import suppress

import pytest
from tests.faults.conftest import Serve
from tests.faults.figures import Figures
from tests.faults.load import Load, found_numbers
from tests.faults.test_crowd import memory

from estafeta.config.settings import ListenerKind
from estafeta.net.files import raise_file_limit

pytestmark = pytest.mark.peers

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _connected(port: int, number: int) -> Ends:
    source = f"127.{1 + number // 40_000}.{1 + number // 200 % 200}.{1 + number % 200}"
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))


async def _drip(ends: Ends, chance: random.Random) -> None:
    """A command, octet by octet, that never ends."""
    for octet in b"EHLO " + b"x" * 10_000:
        ends[1].write(bytes((octet,)))
        await ends[1].drain()
        await asyncio.sleep(chance.uniform(0.2, 1.0))


async def _garbage(ends: Ends, chance: random.Random) -> None:
    for _ in range(200):
        ends[1].write(chance.randbytes(500) + b"\r\n")
        await ends[1].drain()
        await asyncio.sleep(0.2)


async def _endless_line(ends: Ends, chance: random.Random) -> None:
    while True:
        ends[1].write(b"A" * 10_000)
        await ends[1].drain()
        await asyncio.sleep(0.5)


async def _never_reads(ends: Ends, chance: random.Random) -> None:
    """Commands whose replies are never read."""
    ends[0]._transport.pause_reading()  # type: ignore[attr-defined]
    while True:
        ends[1].write(b"HELP\r\nNOOP\r\nVRFY somebody\r\n" * 200)
        await ends[1].drain()
        await asyncio.sleep(0.5)


async def _slow_content(ends: Ends, chance: random.Random) -> None:
    ends[1].write(b"EHLO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<ana@example.org>\r\nDATA\r\n")
    while True:
        ends[1].write(b"x")
        await ends[1].drain()
        await asyncio.sleep(1)


async def _literal(ends: Ends, chance: random.Random) -> None:
    """An IMAP literal that never comes."""
    ends[1].write(b"a LOGIN {2000000000}\r\nb LOGIN {100+}\r\nxx")
    await ends[1].drain()
    await asyncio.sleep(60)


_SMTP = (_drip, _garbage, _endless_line, _never_reads, _slow_content)


def test_normal_mail_flows_beside_a_crowd_and_attackers(serve: Serve, figures: Figures) -> None:
    idle = figures.choose(short=2000, full=10_000)
    hostile = figures.choose(short=200, full=1000)
    if raise_file_limit() < idle + hostile + 1000:
        pytest.skip("too few open files")
    seconds = figures.choose(short=6, full=30)
    server = serve(f"[connections]\nconnections = {idle + hostile + 500}\n[processes]\nindexer = false\n")
    assert server._process is not None
    pid, chance = server._process.pid, random.Random(7)
    smtp, imap = server.ports[ListenerKind.SMTP], server.ports[ListenerKind.IMAP]
    ana = server.account("ana")

    async def rate(load: Load) -> float:
        before = len(load.answered)
        going = [asyncio.create_task(_again(load)) for _ in range(8)]
        await asyncio.sleep(seconds)
        for each in going:
            each.cancel()
        await asyncio.gather(*going, return_exceptions=True)
        return (len(load.answered) - before) / seconds

    async def attack(number: int) -> None:
        await asyncio.sleep(chance.random() * 2)
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                if number % 6 == 5:
                    how, ends = _literal, await _connected(imap, number)
                else:
                    how, ends = _SMTP[number % 6 % len(_SMTP)], await _connected(smtp, number)
                try:
                    await how(ends, chance)
                finally:
                    ends[1].close()
            await asyncio.sleep(0.5)

    async def scenario(load: Load) -> tuple[float, float, int, int]:
        alone = await rate(load)
        before = memory(pid)
        crowd: list[Ends] = []
        for number in range(idle):
            ends = await _connected(smtp, number)
            assert (await ends[0].readline()).startswith(b"220")
            crowd.append(ends)
        with_crowd = memory(pid)
        attackers = [asyncio.create_task(attack(idle + number)) for number in range(hostile)]
        await asyncio.sleep(3)
        beside = await rate(load)
        at_the_end = memory(pid)
        for each in attackers:
            each.cancel()
        await asyncio.gather(*attackers, return_exceptions=True)
        for _, writer in crowd:
            writer.close()
        return alone, beside, with_crowd - before, at_the_end - with_crowd

    load = Load(smtp, ana)
    began_at = time.monotonic()
    alone, beside, crowd, attack_memory = asyncio.run(scenario(load))
    found = found_numbers(server.messages(ana))
    lost = load.answered - found.keys()
    figures.add(
        f"{idle:,} idle, {hostile:,} hostile connections",
        f"{alone:.0f} messages a second before, {beside:.0f} beside them (attackers and clients share {os.cpu_count()}"
        f" processors with the server); memory +{crowd >> 20} MiB for the idle ones, +{attack_memory >> 20} MiB for the"
        f" others; {time.monotonic() - began_at:.0f} s",
        lost=len(lost),
    )
    assert not lost
    assert beside > alone / 10
    assert attack_memory < 300 << 20
    assert server.stop() == 0


async def _again(load: Load) -> None:
    while True:
        await load._session()
        await asyncio.sleep(0.05)
