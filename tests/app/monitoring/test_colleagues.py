"""Several processes are told of as one server, whatever becomes of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.app.monitoring.watched import Scrape, ask
from tests.app.servicemanager import LOOPBACK, ServiceManager, free_port

from estafeta.app import new_event_loop
from estafeta.app.monitoring import catalogue
from estafeta.app.monitoring.colleagues import FOLDER, SILENT_AFTER, Hearing, Telling
from estafeta.app.monitoring.readings import Readings, ReadingsFault
from estafeta.app.monitoring.tallies import ProcessFacts
from estafeta.mail.address import Address
from estafeta.store import accounts, domains
from estafeta.store.passwords import hash_password
from estafeta.store.records import Instant
from estafeta.store.store import Transaction, open_store
from estafeta.store.tally import Histogram


def play(main: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60):
            await main()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run())


def counted(number: int, seconds: float = 0.5) -> Readings:
    """What a process has counted that took so many messages, and has three connections."""
    readings, histogram = Readings(), Histogram((0.1, 1.0))
    histogram.add(seconds)
    readings.put(catalogue.MESSAGES_ACCEPTED, number, "smtp")
    readings.put(catalogue.CONNECTIONS, 3, "smtp 127.0.0.1:25")
    readings.put_histogram(catalogue.ACCEPTANCE_SECONDS, histogram)
    return readings


class Teller:
    """Another process, as far as the first one knows."""

    def __init__(self, data: Path, process: int, started_at: float = 1.0) -> None:
        self.number = 0
        self.process = process
        self.telling = Telling(
            data, lambda: counted(self.number), lambda: ProcessFacts(self.number / 10, 1000, 10, started_at)
        )

    def tell(self, number: int, monkeypatch: pytest.MonkeyPatch, *, is_last: bool = False) -> None:
        self.number = number
        with monkeypatch.context() as patched:
            patched.setattr(os, "getpid", lambda: self.process)
            assert self.telling.tell(is_last=is_last)


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that live as long as the test wants."""
    made = [subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(2)]
    yield made
    for each in made:
        each.kill()
        each.communicate()


async def total(hearing: Hearing) -> Readings:
    await asyncio.sleep(0)
    hearing._read()
    readings = Readings()
    hearing.put(readings)
    return readings


def test_sums_do_not_fall_when_a_process_dies_and_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: list[subprocess.Popen[bytes]]
) -> None:
    async def main() -> None:
        hearing = Hearing(tmp_path, lambda: 0.0)
        hearing.open()
        one, two = (Teller(tmp_path, each.pid) for each in processes)
        one.tell(5, monkeypatch)
        one.tell(6, monkeypatch)
        two.tell(10, monkeypatch)
        both = await total(hearing)
        assert both.value(catalogue.MESSAGES_ACCEPTED, "smtp") == 16
        assert both.value(catalogue.CONNECTIONS, "smtp 127.0.0.1:25") == 6
        assert both.spreads["estafeta_acceptance_seconds"][()].counts == [0, 2, 0]
        assert set(both.values["estafeta_resident_memory_bytes"]) == {("2",), ("3",)}
        processes[0].kill()
        processes[0].wait()
        left = await total(hearing)
        assert left.value(catalogue.MESSAGES_ACCEPTED, "smtp") == 16
        assert left.value(catalogue.CONNECTIONS, "smtp 127.0.0.1:25") == 3
        assert hearing.living == 1
        again = Teller(tmp_path, os.getpid(), started_at=2.0)
        again.tell(1, monkeypatch)
        told = await total(hearing)
        assert told.value(catalogue.MESSAGES_ACCEPTED, "smtp") == 17
        assert told.value(catalogue.CPU_SECONDS, "2") == pytest.approx(0.6 + 0.1)
        assert set(told.values["estafeta_resident_memory_bytes"]) == {("2",), ("3",)}
        two.tell(12, monkeypatch, is_last=True)
        assert (await total(hearing)).value(catalogue.MESSAGES_ACCEPTED, "smtp") == 19
        hearing.close()

    play(main)


def test_a_process_that_runs_and_says_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        now = [0.0]
        hearing = Hearing(tmp_path, lambda: now[0])
        hearing.open()
        Teller(tmp_path, os.getpid()).tell(1, monkeypatch)
        await total(hearing)
        assert hearing.silent() == []
        now[0] = SILENT_AFTER + 1
        assert hearing.silent() == ["2"]
        assert (await total(hearing)).value(catalogue.MESSAGES_ACCEPTED, "smtp") == 1
        hearing.close()

    play(main)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{}\n{}",
        b"\xff\xfe",
        b'{"process":1,"is_last":false,"facts":[1,2]}\n{"values":{},"spreads":{}}',
        b'{"process":1,"is_last":false,"facts":[1,2,3,4]}\n{"values":{"no_such_metric":[[[],1]]},"spreads":{}}',
        b'{"process":1,"is_last":false,"facts":[1,2,3,4]}\n[]',
    ],
)
def test_what_cannot_be_read_changes_nothing(tmp_path: Path, octets: bytes) -> None:
    async def main() -> None:
        hearing = Hearing(tmp_path, lambda: 0.0)
        hearing.open()
        with capture_logs() as logs:
            import socket

            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
                teller.sendto(octets, str(tmp_path / FOLDER / "first.sock"))
            assert (await total(hearing)).values == {}
        assert [each["event"] for each in logs] == ["what another process tells of itself cannot be read"]
        assert hearing.living == 0
        hearing.close()

    play(main)


def test_readings_travel_whole() -> None:
    readings = counted(7)
    again = Readings.decode(readings.encode())
    assert again.values == readings.values
    assert again.spreads == readings.spreads
    with pytest.raises(ReadingsFault):
        Readings.decode(
            json.dumps({"values": {}, "spreads": {"estafeta_commit_seconds": [[[], [1], [1], 1]]}}).encode()
        )


def prepare(folder: Path, smtp: int, pages: int) -> None:
    """Settings of a server with two processes, and a store with an account."""
    (folder / "estafeta.toml").write_text(
        f'hostname = "mx.example.org"\ndata = "data"\n[processes]\nworkers = 2\nindexer = false\n'
        f'[monitoring]\nport = {pages}\n[[listen]]\nkind = "smtp"\naddress = "{LOOPBACK}"\nport = {smtp}\n'
    )
    now = Instant(time.time())

    def change(tx: Transaction) -> None:
        domains.add(tx, "example.org", now=now)
        accounts.add(tx, Address.parse("ana@example.org"), password=hash_password("correct horse"), now=now)

    async def main() -> None:
        store = open_store(folder / "data", clock=time.time)
        await store.write(change)
        store.close()

    asyncio.run(main())


def send(port: int, number: int) -> None:
    """Hand in a message, each over a connection of its own: so the processes share them."""
    for _ in range(number):
        with smtplib.SMTP(LOOPBACK, port, timeout=20) as client:
            client.sendmail("bo@example.net", ["ana@example.org"], b"From: bo@example.net\r\n\r\nhello\r\n")


def test_one_page_tells_of_all_processes_also_when_one_is_killed(tmp_path: Path) -> None:
    smtp, pages = free_port(), free_port()
    prepare(tmp_path, smtp, pages)
    manager = ServiceManager(tmp_path)

    async def scrape(is_so: Callable[[Scrape], bool]) -> Scrape:
        while not is_so(found := await Scrape.of(pages)):
            await asyncio.sleep(0.05)
        return found

    async def main() -> None:
        def both_run(found: Scrape) -> bool:
            return len(found.by("estafeta_start_timestamp_seconds", "process")) == 2

        began = await scrape(both_run)
        await asyncio.to_thread(send, smtp, 30)
        taken = await scrape(lambda found: found.value("estafeta_messages_accepted_total", role="smtp") >= 30)
        assert taken.value("estafeta_messages_accepted_total", role="smtp") == 30
        assert taken.value("estafeta_recipients_accepted_total", route="mailbox") == 30
        assert taken.value("estafeta_sessions_total", protocol="smtp", outcome="quit") == 30
        assert (await ask(pages, "/health")).document["checks"]["processes"] == {"ok": True, "all": 2, "silent": 0}
        assert manager.process is not None
        children = Path(f"/proc/{manager.process.pid}/task/{manager.process.pid}/children").read_text().split()
        (worker,) = map(int, children)
        os.kill(worker, signal.SIGKILL)
        second = began.by("estafeta_start_timestamp_seconds", "process")["2"]

        def began_again(found: Scrape) -> bool:
            assert found.value("estafeta_messages_accepted_total", role="smtp") == 30
            return found.by("estafeta_start_timestamp_seconds", "process").get("2", second) != second

        await scrape(began_again)
        await asyncio.to_thread(send, smtp, 20)
        await scrape(lambda found: found.value("estafeta_messages_accepted_total", role="smtp") == 50)

    try:
        manager.start()
        play(main)
        assert manager.stop() == 0
    finally:
        manager.close()
    log = (tmp_path / "server.log").read_text()
    assert log.count("] message accepted ") == 50
