"""Who is there, and how much is shown to them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from estafeta.agents.live import screens as module
from estafeta.agents.live.screens import MAX_READERS, READERS, Screens, door_prefix, parcel, unpacked
from estafeta.agents.live.settings import LiveSettings
from estafeta.mail.address import Address
from estafeta.mail.screen import Screenful
from estafeta.net.doors import Door

ANA = Address("ana", "example.org")
MESSAGE = Screenful("Message from luis@example.org at 15:04", ("hola", "ñ 界"), True)


class Clock:
    """Time stands still unless it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_readers_of_an_account_are_shown_its_messages_alone(tmp_path: Path) -> None:
    async def main() -> None:
        screens = Screens(tmp_path, LiveSettings(), Clock())
        taken: list[Screenful] = []

        def take(octets: bytes) -> bool:
            taken.append(unpacked(octets))
            return True

        readers = [Door(tmp_path / READERS, f"{door_prefix(ANA)}{number}", take) for number in range(MAX_READERS + 1)]
        assert not await screens.is_there(ANA)
        await readers[0].open()
        assert await screens.is_there(Address("ANA", "example.org"))
        assert not await screens.is_there(Address("luis", "example.org"))
        assert await screens.show(ANA, MESSAGE) == ("1 reader",)
        assert await screens.show(Address("luis", "example.org"), MESSAGE) == ()
        assert taken == [MESSAGE]
        for reader in readers[1:]:
            await reader.open()
        assert await screens.show(ANA, MESSAGE) == (f"{MAX_READERS} readers",)
        for reader in readers:
            await reader.close()
        assert not await screens.is_there(ANA)

    asyncio.run(main())


@pytest.mark.parametrize("octets", [b"", b"{", b"[]", b'{"heading": 1, "lines": [], "is_whole": true}', b"\xff"])
def test_what_is_no_message_is_not_unpacked(octets: bytes) -> None:
    with pytest.raises(ValueError):
        unpacked(octets)


def test_what_is_packed_comes_out_the_same() -> None:
    assert unpacked(parcel(MESSAGE)) == MESSAGE


def test_time_gives_back_what_was_used() -> None:
    clock = Clock()
    screens = Screens(Path("/nonexistent"), LiveSettings(sender_hourly=10), clock)
    assert screens.may_send("a")
    screens.has_sent("a")
    assert not screens.may_send("a") and screens.may_send("b")
    clock.now = 361.0
    assert screens.may_send("a")
    screens.settings = LiveSettings(sender_hourly=0)
    screens.has_sent("a")
    assert screens.may_send("a")


def test_what_is_remembered_of_senders_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_METERS", 3)
    screens = Screens(Path("/nonexistent"), LiveSettings(sender_hourly=10), Clock())
    for name in "abcdef":
        screens.has_sent(name)
    assert [screens.may_send(name) for name in "abcdef"] == [True, True, True, False, False, False]
