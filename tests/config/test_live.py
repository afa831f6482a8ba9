"""What is wrong with the settings of messages to screens is told with its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from estafeta.agents.live.settings import Senders
from estafeta.config.faults import SettingsError
from estafeta.config.reading import read


def written(folder: Path, text: str) -> Path:
    file = folder / "estafeta.toml"
    file.write_text(f'hostname = "mx.example.org"\n[live]\n{text}\n', "utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ('terminal_domain = "no name"', "live.terminal_domain", "is not a domain name (bad domain name)"),
        ('terminal_domain = "Example.org"', "live.terminal_domain", 'is not a domain name (write it as "example.org")'),
        ("lines = 0", "live.lines", "is too small: 0"),
        ("columns = 19", "live.columns", "is too small: 19"),
        ("sender_hourly = -1", "live.sender_hourly", "is too small: -1"),
    ],
)
def test_a_fault_is_told_with_its_key(tmp_path: Path, text: str, key: str, problem: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(written(tmp_path, text))
    assert [(fault.key, fault.problem) for fault in raised.value.faults] == [(key, problem)]


def test_messages_to_screens_are_off_and_for_users_unless_it_is_said(tmp_path: Path) -> None:
    live = read(written(tmp_path, "")).live
    assert (live.enabled, live.senders, live.terminal_domain) == (False, Senders.AUTHENTICATED, "")
    text = """enabled = true
senders = "anyone"
terminal_domain = "example.org"
sender_hourly = 0
recipient_hourly = 0"""
    live = read(written(tmp_path, text)).live
    assert (live.enabled, live.senders, live.terminal_domain) == (True, Senders.ANYONE, "example.org")
