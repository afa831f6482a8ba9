"""A store whose database is damaged while it is served: clients are told to come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.agents.intruder import behind

from estafeta.config.settings import ListenerKind


def damage(data: Path, table: str) -> None:
    """The root of a table is not where it should be."""
    with behind(data) as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_schema SET rootpage = 99999 WHERE name = ?", (table,))
        # So that connections that are open look at the schema again.
        version = database.pragma("schema_version")
        database.execute(f"PRAGMA schema_version = {version + 1}")


def test_senders_are_told_to_try_again(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        assert (await client.send("x@example.net", "ana@example.org", b"Subject: one\r\n\r\n")).startswith("250")
        damage(tmp_path / "data", "contents")
        assert (await client.send("x@example.net", "ana@example.org", b"Subject: two\r\n\r\n")).startswith("451 4.3.0")
        damage(tmp_path / "data", "accounts")
        await client.say("MAIL FROM:<>")
        reply = await client.say("RCPT TO:<luis@example.org>")
        assert reply.startswith("451 4.3.0")
        # Nobody outside learns what it is.
        assert "sqlite" not in reply and "repair" not in reply
        assert (await client.say("NOOP")).startswith("250")

    run(test)
    assert "Traceback" not in "".join(capsys.readouterr())


def test_users_are_told_to_try_again(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(office: Any) -> None:
        damage(tmp_path / "data", "credentials")
        user = await office.client(ListenerKind.SUBMISSION, tls=True)
        assert (await user.login("ana@example.org")).startswith("454")

    run(test)
    assert "Traceback" not in "".join(capsys.readouterr())
