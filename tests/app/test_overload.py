"""Overload: who is put off and who is not, how it begins and ends, and what of the machine is looked at."""

from __future__ import annotations

import asyncio
import os
import resource
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from estafeta.app import PostOffice, new_event_loop
from estafeta.app.machine import files_left, memory_share
from estafeta.app.overload import LOOK_AFTER, Figures, Level, Overload
from estafeta.app.surroundings import Surroundings
from estafeta.config.settings import Listen, ListenerKind, OverloadSettings, Settings, ShutdownSettings
from estafeta.mail.address import Address
from estafeta.net.stream import SocketStream, connect
from estafeta.store import accounts, domains
from estafeta.store.machinery import Machinery
from estafeta.store.passwords import hash_password
from estafeta.store.records import Instant
from estafeta.store.store import Transaction

KINDS = (ListenerKind.SMTP, ListenerKind.POP3, ListenerKind.IMAP)
SETTINGS = OverloadSettings(loop_lag=2.0, store_age=10.0, store_waiting=50, calm_after=5.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Busy:
    """A post office whose load the test decides."""

    def __init__(self, office: PostOffice, clock: Clock) -> None:
        self.office = office
        self.clock = clock
        self.overload = Overload(
            SETTINGS,
            office.store,
            office.room,
            office.pressure,
            data=office.settings.data,
            least_free=1,
            monotonic=clock,
        )
        self._release = threading.Event()

    async def hold_writer(self) -> None:
        """Nothing is committed until `release_writer`: what was under way before has ended, and the group stands."""
        held = threading.Event()

        def hold(tx: Transaction) -> None:
            held.set()
            self._release.wait(30)

        self.office.store.write_later(hold)
        while not held.is_set():
            await asyncio.sleep(0.001)

    def release_writer(self) -> None:
        self._release.set()

    def look(self, *, after: float = LOOK_AFTER, lag: float = 0.0, times: int = 1) -> Level:
        for _ in range(times):
            self.clock.now += after
            self.overload.look(lag)
        return self.overload.level

    async def look_on(self, *, times: int) -> Level:
        """The same, each time when nothing is under way in the store: the clock leaps, and it would seem to be late."""
        for _ in range(times):
            while self.office.store.waiting or self.office.store.commits.began_at is not None:
                await asyncio.sleep(0.001)
            self.look()
        return self.overload.level

    async def client(self, kind: ListenerKind = ListenerKind.SMTP) -> Client:
        stream = await connect("127.0.0.1", self.office.port(kind))
        stream.set_deadline(20)
        return Client(stream)


class Client:
    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream

    async def says(self, *lines: str) -> str:
        reply = ""
        for line in lines:
            self.stream.send(line.encode() + b"\r\n")
            reply = await self.hears()
        return reply

    async def hears(self) -> str:
        return (await self.stream.receive()).decode()


def busy(tmp_path: Path, main: Callable[[Busy], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = Clock()
        listen = tuple(Listen(kind=kind, address="127.0.0.1", port=0) for kind in KINDS)
        around = Surroundings(machinery=Machinery(monotonic=clock))
        ending = ShutdownSettings(drain_seconds=1.0)
        settings = Settings(hostname="mx.test", data=tmp_path / "data", listen=listen, shutdown=ending)
        async with asyncio.timeout(30), PostOffice(settings, surroundings=around) as office:

            def change(tx: Transaction) -> None:
                domains.add(tx, "example.org", now=Instant(0.0))
                accounts.add(tx, Address("ana", "example.org"), password=hash_password("secret"), now=Instant(0.0))

            await office.store.write(change)
            made = Busy(office, clock)
            try:
                await main(made)
            finally:
                made.release_writer()
                made.overload.stop()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run())


OPEN = ("HELO c", "MAIL FROM:<>", "RCPT TO:<ana@example.org>", "DATA")


@pytest.mark.rfc("5321 §3.8", "A server that is too busy says 421 in place of the greeting.")
def test_new_connections_go_first_then_new_mail_and_what_was_begun_is_finished(tmp_path: Path) -> None:
    async def main(busy: Busy) -> None:
        sending, idle = await busy.client(), await busy.client()
        for client in (sending, idle):
            assert (await client.hears()).startswith("220")
        assert (await sending.says(*OPEN)).startswith("354")
        assert (await idle.says("HELO c")).startswith("250")
        sending.stream.send(b"Subject: begun before\r\n\r\n")

        await busy.hold_writer()
        with capture_logs() as logs:
            assert busy.look(after=8.0) is Level.NONE
            assert busy.look(after=1.5, times=3) is Level.CONNECTIONS
            for kind, told in zip(
                KINDS, ("421 too busy", "-ERR [SYS/TEMP] too busy", "* BYE [UNAVAILABLE]"), strict=True
            ):
                refused = await busy.client(kind)
                assert (await refused.hears()).startswith(told)
                assert await refused.hears() == ""
                await refused.stream.close()
            assert (await idle.says("MAIL FROM:<>")).startswith("250")
            assert (await idle.says("RSET")).startswith("250")

            assert busy.look(after=5.0, times=3) is Level.MAIL
            assert (await idle.says("MAIL FROM:<>")).startswith("451 4.3.2 too busy")
            sending.stream.send(b"and finished\r\n.\r\n")
            while not busy.office.store.waiting:
                await asyncio.sleep(0.001)
            busy.release_writer()
            assert (await sending.hears()).startswith("250 2.0.0 accepted")

            # It is over by steps, when all has been well for a while.
            assert await busy.look_on(times=4) is Level.MAIL
            assert await busy.look_on(times=20) is Level.CONNECTIONS
            assert (await idle.says("MAIL FROM:<>")).startswith("250")
            assert await busy.look_on(times=21) is Level.NONE
            again = await busy.client()
            assert (await again.hears()).startswith("220")
        lines = [entry for entry in logs if "overload" in entry["event"]]
        assert [entry["event"] for entry in lines] == [
            "overload: new connections are refused",
            "overload: new mail is put off too",
            "overload is over",
        ]
        assert lines[0]["because_of"] == "store_age" and lines[0]["store_age"] == 12.5
        assert (lines[2]["refused_connections"], lines[2]["deferred_mail"]) == (3, 1)
        assert (busy.overload.times, busy.office.room.turned_away, busy.office.pressure.deferred) == (1, 3, 1)
        for client in (sending, idle, again):
            await client.stream.close()

    busy(tmp_path, main)


def test_many_changes_that_wait_are_overload_too(tmp_path: Path) -> None:
    async def main(busy: Busy) -> None:
        await busy.hold_writer()
        for _ in range(60):
            busy.office.store.write_later(lambda tx: None)
        await asyncio.sleep(0.01)
        assert busy.look(times=2) is Level.CONNECTIONS
        assert busy.overload.figures.store_waiting == 61  # with that which is under way

    busy(tmp_path, main)


def test_a_store_that_is_slow_but_goes_on_is_no_overload(tmp_path: Path) -> None:
    """There is always a change that waits, and never the same."""

    async def main(busy: Busy) -> None:
        for _ in range(40):
            await busy.office.store.write(lambda tx: None)
            assert busy.look(after=1.0) is Level.NONE

    busy(tmp_path, main)


def test_one_pause_is_no_overload_but_a_loop_that_is_always_late_is(tmp_path: Path) -> None:
    async def main(busy: Busy) -> None:
        assert busy.look(lag=5.0) is Level.NONE  # the machine stood still
        assert busy.look(times=3) is Level.NONE
        assert busy.look(lag=2.5, times=10) is Level.CONNECTIONS
        assert busy.overload.figures.loop_lag > 2.0

    busy(tmp_path, main)


def test_it_does_not_flap(tmp_path: Path) -> None:
    async def main(busy: Busy) -> None:
        with capture_logs() as logs:
            busy.look(lag=2.2, times=20)
            for _ in range(50):  # now above the figure and now below it
                assert busy.look(lag=1.4, times=4) is Level.CONNECTIONS
                assert busy.look(lag=2.4, times=4) is Level.CONNECTIONS
        assert len(logs) == 1 and busy.overload.times == 1

    busy(tmp_path, main)


def test_switched_off_it_ends_at_once(tmp_path: Path) -> None:
    async def main(busy: Busy) -> None:
        assert busy.look(lag=9.0, times=10) is Level.MAIL
        busy.overload.replace(OverloadSettings(enabled=False), 1)
        assert busy.look(times=4) is Level.NONE
        assert not busy.office.room.is_shut and not busy.office.pressure.is_overloaded

    busy(tmp_path, main)


def test_it_looks_by_itself_in_its_loop(tmp_path: Path) -> None:
    async def main(busy: Busy) -> None:
        busy.overload.start()
        while busy.overload.figures == Figures():
            await asyncio.sleep(0.01)
        assert busy.overload.level is Level.NONE

    busy(tmp_path, main)


@pytest.mark.rfc("1870 §6.1", "MAIL with a SIZE for which there is no room now is 452.")
def test_a_disk_that_is_nearly_full_stops_mail_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 1000

    def statvfs(path: object) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=free, f_frsize=1024, f_blocks=10_000)

    async def main(busy: Busy) -> None:
        nonlocal free
        monkeypatch.setattr(os, "statvfs", statvfs)
        busy.overload.replace(SETTINGS, 300 * 1024)
        client = await busy.client()
        assert (await client.hears()).startswith("220")
        assert (await client.says("EHLO c")).startswith("250")
        busy.look(times=4)
        assert (await client.says(f"MAIL FROM:<> SIZE={701 * 1024}")).startswith("452 4.3.1")
        assert (await client.says(f"MAIL FROM:<> SIZE={700 * 1024}")).startswith("250")
        free = 299
        with capture_logs() as logs:
            busy.look(times=4)
            # What was begun goes on; new mail does not, and readers come in.
            assert (await client.says("RCPT TO:<ana@example.org>", "DATA")).startswith("354")
            assert (await client.says("Subject: x\r\n\r\ny\r\n.")).startswith("250")
            assert (await client.says("MAIL FROM:<>")).startswith("452 4.3.1")
            reader = await busy.client(ListenerKind.POP3)
            assert (await reader.hears()).startswith("+OK")
            free = 320  # not enough to be sure
            busy.look(times=4)
            assert (await client.says("MAIL FROM:<>")).startswith("452 4.3.1")
            free = 340
            busy.look(times=4)
            assert (await client.says("MAIL FROM:<>")).startswith("250")
        assert [entry["free"] for entry in logs if "disk" in entry["event"]] == [299 * 1024, 340 * 1024]
        assert busy.overload.level is Level.NONE
        for each in (client, reader):
            await each.stream.close()

    busy(tmp_path, main)


def test_of_a_small_disk_a_twentieth_is_left_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def statvfs(path: object) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=51, f_frsize=1024, f_blocks=1000)

    async def main(busy: Busy) -> None:
        monkeypatch.setattr(os, "statvfs", statvfs)
        busy.overload.replace(SETTINGS, 64 * 1024 * 1024)
        busy.look()
        assert busy.office.pressure.room == 1024 and not busy.overload.is_disk_short

    busy(tmp_path, main)


@pytest.mark.parametrize(
    ("figures", "level"),
    [
        (Figures(), 0),
        (Figures(memory_share=0.89), 0),
        (Figures(memory_share=0.91), 1),
        (Figures(memory_share=0.96), 2),
        (Figures(files_left=65), 0),
        (Figures(files_left=63), 1),
        (Figures(files_left=0), 1),
        (Figures(store_waiting=50), 1),
        (Figures(loop_lag=4.0), 2),
    ],
)
def test_each_figure_has_its_limit(figures: Figures, level: int) -> None:
    assert max(0, min(2, int(figures.strain(SETTINGS)[0]))) == level


def test_the_memory_is_that_of_the_narrowest_group_without_what_can_be_given_back(tmp_path: Path) -> None:
    def group(folder: Path, most: str, current: int, inactive: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{current}\n")
        (folder / "memory.stat").write_text(f"anon 1\ninactive_file {inactive}\nactive_file 7\n")

    root, process = tmp_path / "cgroup", tmp_path / "process"
    process.mkdir()
    (process / "cgroup").write_text("12:cpu:/old\n0::/system.slice/estafeta.service\n")
    assert memory_share(0, groups=root, process=process) == 0.0
    group(root / "system.slice" / "estafeta.service", "max", 900, 0)
    assert memory_share(0, groups=root, process=process) == 0.0
    group(root / "system.slice" / "estafeta.service", "1000", 900, 400)
    assert memory_share(0, groups=root, process=process) == 0.5
    group(root / "system.slice", "2000", 1900, 0)
    assert memory_share(0, groups=root, process=process) == 0.95
    assert memory_share(0, groups=root, process=tmp_path) == 0.0


def test_the_memory_of_this_process_alone_against_a_limit_of_its_own() -> None:
    share = memory_share(2**40)
    assert 0 < share < 1 and memory_share(2**39) == pytest.approx(2 * share, rel=0.2)


def test_files_that_are_left() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = files_left()
    opened = [os.open("/", os.O_RDONLY) for _ in range(10)]
    try:
        assert files_left() <= before - 5
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(opened) + 1, hard))
        assert files_left() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in opened:
            os.close(descriptor)
