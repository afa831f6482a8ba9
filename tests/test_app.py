"""The post office as a whole: signals, new settings while it serves, and nothing left open."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from estafeta.app import ListenFailed, PostOffice, new_event_loop, tidy_journal
from estafeta.config.settings import JournalSettings, Listen, ListenerKind, Settings, SmtpSettings, TlsSettings
from estafeta.net.authority import issue
from estafeta.store import journal
from estafeta.store.records import EntryKind, Instant, JournalEntry
from estafeta.store.store import Transaction, open_store

ANY_PORT = Listen(kind=ListenerKind.SMTP, address="127.0.0.1", port=0)


def run(main: object) -> None:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)  # type: ignore[arg-type]


def test_a_port_in_use_is_named_and_nothing_stays_open(tmp_path: Path) -> None:
    async def main() -> None:
        async with PostOffice(Settings(hostname="mx.test", data=tmp_path / "one", listen=(ANY_PORT,))) as first:
            taken = Listen(kind=ListenerKind.SMTP, address="127.0.0.1", port=first.port(ListenerKind.SMTP))
            second = PostOffice(Settings(hostname="mx.test", data=tmp_path / "two", listen=(ANY_PORT, taken)))
            with pytest.raises(ListenFailed, match=str(taken.port)):
                await second.start()
            with pytest.raises(RuntimeError):
                _ = second.store

    run(main())


async def greeting_of_ehlo(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readuntil(b"\r\n")
    writer.write(b"EHLO c\r\n")
    return reader, writer, (await reader.readuntil(b"250 HELP\r\n")).decode()


def test_new_settings_are_taken_without_dropping_sessions(tmp_path: Path) -> None:
    async def main() -> None:
        issued = issue(tmp_path / "tls", ["localhost"])
        settings = Settings(hostname="old.test", data=tmp_path / "data", listen=(ANY_PORT,))
        async with PostOffice(settings) as office:
            reader, writer, text = await greeting_of_ehlo(office.port(ListenerKind.SMTP))
            assert "old.test" in text and "STARTTLS" not in text
            submission = Listen(kind=ListenerKind.SUBMISSION, address="127.0.0.1", port=0)
            tls = TlsSettings(certificate=issued.certificate, key=issued.key)
            await office.reload(Settings(hostname="new.test", data=tmp_path, listen=(ANY_PORT, submission), tls=tls))
            writer.write(b"NOOP\r\n")
            assert (await reader.readuntil(b"\r\n")).startswith(b"250")
            writer.close()
            for kind in (ListenerKind.SMTP, ListenerKind.SUBMISSION):
                _, writer, text = await greeting_of_ehlo(office.port(kind))
                assert "new.test" in text and "STARTTLS" in text
                writer.close()
            only_smtp = Settings(hostname="new.test", data=tmp_path, listen=(ANY_PORT,), tls=tls)
            await office.reload(only_smtp)
            with pytest.raises(StopIteration):
                office.port(ListenerKind.SUBMISSION)

    run(main())


def test_upkeep_removes_and_redacts_what_is_old_enough(tmp_path: Path) -> None:
    async def main() -> None:
        now, day = time.time(), 86_400.0
        at = Instant(now - 101 * day)
        store = open_store(tmp_path / "data", clock=lambda: at)

        def record(tx: Transaction) -> None:
            nonlocal at
            for age in (100, 40, 1):
                facts: dict[str, object] = {"peer": "192.0.2.1", "age": age}
                at = Instant(now - age * day)
                journal.record(tx, JournalEntry(EntryKind.SESSION, at, None, None, facts, ("ana@example.org",)))

        await store.write(record)
        await tidy_journal(store, JournalSettings(keep_days=90, redact_after_days=30), now)
        found = await store.read(lambda tx: journal.by_key(tx, "ana@example.org", limit=10))
        assert [entry.facts for entry in found] == [{"peer": "192.0.2.1", "age": 1}]
        store.close()

    run(main())


def test_settings_of_limits_reach_the_engine(tmp_path: Path) -> None:
    async def main() -> None:
        from estafeta.agents.settings import SmtpLimits

        smtp = SmtpSettings(limits=SmtpLimits(message_size=12345))
        async with PostOffice(Settings(hostname="x.test", data=tmp_path, listen=(ANY_PORT,), smtp=smtp)) as office:
            _, writer, text = await greeting_of_ehlo(office.port(ListenerKind.SMTP))
            assert "SIZE 12345" in text
            writer.close()

    run(main())
