"""Health is what a client would find: 200 while mail can be taken, and 503 with the reason when it cannot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.app.monitoring.watched import Answer, ask, watched, watched_settings

from estafeta.app import PostOffice, new_event_loop
from estafeta.app.monitoring import health
from estafeta.app.surroundings import Surroundings
from estafeta.config.settings import ListenerKind
from estafeta.net.authority import Issued
from estafeta.net.stream import connect
from estafeta.store.locks import WriteLock
from estafeta.store.machinery import Machinery
from estafeta.store.store import open_store


def play(main: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60):
            await main()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run())


class Outage(apsw.VFS):
    """A disk whose syncs of the write-ahead log can be made to fail."""

    def __init__(self) -> None:
        super().__init__("health-outage", "")
        self.fails_with: Exception | None = None

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        return OutageFile(self, name, flags)


class OutageFile(apsw.VFSFile):
    def __init__(self, outage: Outage, name: Any, flags: list[int]) -> None:
        self.outage = outage
        self.is_wal = bool(flags[0] & apsw.SQLITE_OPEN_WAL)
        super().__init__("", name, flags)

    def xSync(self, flags: int) -> None:
        if self.is_wal and self.outage.fails_with is not None:
            raise self.outage.fails_with
        super().xSync(flags)


class Clock:
    """The real one, and ahead of it as the test wants."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@asynccontextmanager
async def held_lock(data: Path) -> AsyncIterator[None]:
    """Another process writes, and does not come to an end."""
    lock = WriteLock(data / "lock")
    await asyncio.to_thread(lock.acquire)
    try:
        yield
    finally:
        lock.release()
        lock.close()


async def health_of(office: PostOffice, path: str = "/health") -> Answer:
    answer = await ask(office.monitor.port, path)
    assert answer.media_type == "application/json"
    return answer


def test_a_server_that_serves_is_well(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        async with watched(watched_settings(tmp_path, issued), issued) as office:
            answer = await health_of(office.office)
            assert answer.status == 200
            told = answer.document
            assert told["status"] == "ok" and told["reasons"] == []
            names = {"state", "store", "listeners", "disk", "certificate", "queue", "processes"}
            assert set(told["checks"]) == names
            assert all(each["ok"] for each in told["checks"].values())
            assert told["checks"]["listeners"] == {"ok": True, "open": 4, "all": 4}
            assert told["checks"]["certificate"]["days"] > 1
            ready = await health_of(office.office, "/health/ready")
            assert ready.status == 200 and ready.document["checks"]["state"]["state"] == "serving"
            head = await ask(office.office.monitor.port, "/health", method="HEAD")
            assert head.status == 200 and head.body == ""

    play(main)


def test_a_store_that_takes_no_changes_is_told_of_until_it_does(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        clock, outage = Clock(), Outage()
        around = Surroundings(monotonic=clock, machinery=Machinery(vfs="health-outage"))
        async with watched(watched_settings(tmp_path, issued), issued, surroundings=around) as office:
            assert (await health_of(office.office)).status == 200
            for error in (apsw.FullError(), apsw.IOError()):
                outage.fails_with = error
                clock.ahead += 2 * health.PROBE_AGAIN_AFTER
                answer = await health_of(office.office)
                assert answer.status == 503
                (reason,) = answer.document["reasons"]
                assert reason.startswith("the store takes no changes")
                assert not answer.document["checks"]["store"]["ok"]
                assert answer.document["checks"]["store"]["committed_seconds_ago"] >= 2
            outage.fails_with = None
            clock.ahead += 2 * health.PROBE_AGAIN_AFTER
            assert (await health_of(office.office)).status == 200

    play(main)


def test_a_commit_that_does_not_end_is_told_of_and_its_end_too(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        clock = Clock()
        around = Surroundings(monotonic=clock)
        settings = watched_settings(tmp_path, issued, monitoring={"commit_after": 0.1})
        async with watched(settings, issued, surroundings=around) as office:
            async with held_lock(settings.data):
                answer = await health_of(office.office)
                assert answer.status == 503
                assert answer.document["reasons"] == ["no commit within 0.1 seconds"]
            await office.office.store.write(lambda tx: None)
            clock.ahead += 2 * health.PROBE_AGAIN_AFTER
            assert (await health_of(office.office)).status == 200

    play(main)


def test_a_port_that_is_not_served_any_more_is_told_of(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        async with watched(watched_settings(tmp_path, issued), issued) as office:
            next(each for each in office.office.served if each.name.startswith("imap")).listener.close()
            answer = await health_of(office.office)
            assert answer.status == 503
            assert answer.document["reasons"] == ["not accepting: imap 127.0.0.1:0"]

    play(main)


def test_who_asks_while_it_starts_is_told_that_it_is_not_ready(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        settings = watched_settings(tmp_path, issued)
        async with watched(settings, issued):
            pass
        office = PostOffice(settings)
        async with held_lock(settings.data):
            starting = asyncio.ensure_future(office.start())
            while True:
                await asyncio.sleep(0.005)
                try:
                    answer = await health_of(office, "/health/ready")
                except AssertionError:  # the page is not there yet
                    continue
                break
            assert answer.status == 503
            assert answer.document["reasons"] == ["the server is starting"]
            whole = await health_of(office)
            assert whole.status == 503
            assert "the store is not open" in whole.document["reasons"]
        await starting
        assert (await health_of(office, "/health/ready")).status == 200
        await office.stop()

    play(main)


def test_who_asks_while_it_ends_is_told_so(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        async with watched(watched_settings(tmp_path, issued), issued) as office:
            client = await office.client()
            lines = ("MAIL FROM:<bo@example.net>", "RCPT TO:<ana@example.org>", "DATA")
            assert await client.say_all(*lines) == [250, 250, 354]
            ending = asyncio.ensure_future(office.office.stop())
            while True:
                answer = await health_of(office.office, "/health/ready")
                if answer.status == 503:
                    break
            assert answer.document["reasons"] == ["the server is stopping"]
            assert (await health_of(office.office)).status == 503
            assert (await client.say(b"Subject: x\r\n\r\nhello\r\n.")).startswith("250")
            await ending
            with pytest.raises(AssertionError):  # the page is gone with the server
                _ = office.office.monitor.port

    play(main)


def test_a_full_disk_an_old_queue_and_a_certificate_at_its_end_are_not_well() -> None:
    assert health.of_disk(100, 100).is_well
    assert health.of_disk(99, 100).reason == "99 octets are free, fewer than 100"
    assert not health.of_disk(None, 100).is_well
    day = 86_400.0
    assert health.of_certificate(None, 0.0, 30).is_well
    assert health.of_certificate(10 * day, 0.0, 0).is_well
    assert health.of_certificate(10 * day, 0.0, 30).reason == "the certificate ends in 10.0 days"
    assert health.of_certificate(10 * day, 11 * day, 0).reason == "the certificate ended on 1970-01-11"
    assert health.of_queue(0.0, 7200.0, None).is_well
    assert health.of_queue(None, 7200.0, 3600.0).is_well
    assert health.of_queue(0.0, 7200.0, 3600.0).reason == "the oldest message has waited for 7200 seconds"
    assert health.of_processes(1, []).is_well
    assert health.of_processes(2, ["3"]).reason == "standing still: process 3"
    assert health.report([health.Check("x")])[0] == 200
    assert health.report([health.Check("x"), health.Check("y", "no")])[0] == 503


def test_strangers_who_ask_often_do_not_load_the_disk(tmp_path: Path) -> None:
    async def main() -> None:
        store, now = open_store(tmp_path / "data", clock=time.time), [0.0]
        probe = health.Probe(lambda: now[0])
        checks = await asyncio.gather(*(probe.check(store) for _ in range(10)))
        checks += [await probe.check(store) for _ in range(10)]
        assert all(each.is_well for each in checks)
        assert store.commits.sizes.number == 1
        now[0] += health.PROBE_AGAIN_AFTER
        assert (await probe.check(store)).is_well
        assert store.commits.sizes.number == 2
        await probe.close()
        store.close()

    play(main)


def test_the_pages_are_refused_where_their_port_is_taken(tmp_path: Path, issued: Issued) -> None:
    from estafeta.app import ListenFailed
    from estafeta.cli.serve import words_of

    async def main() -> None:
        async with watched(watched_settings(tmp_path, issued), issued) as office:
            taken = office.office.port(ListenerKind.SMTP)
            stream = await connect("127.0.0.1", taken)
            settings = watched_settings(tmp_path / "other", issued, monitoring={"port": taken})
            with pytest.raises(ListenFailed) as failed:
                await PostOffice(settings).start()
            assert words_of(failed.value).startswith(f"port {taken} is in use (monitoring 127.0.0.1:{taken})")
            await stream.close()

    play(main)
