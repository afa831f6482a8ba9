"""Who is there to read at once, and showing it to them: terminals, readers in other processes, sessions of this one.

A message is shown where somebody took it: a terminal all of its octets, a reader's process by saying so. How often
one sender's messages and one account's screens are used is bounded.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from estafeta.agents.live.settings import LiveSettings
from estafeta.agents.live.terminals import Terminals
from estafeta.agents.outbound.rates import Meter
from estafeta.mail.address import Address
from estafeta.mail.screen import Screenful
from estafeta.net.doors import doors, hand_in, is_open

READERS = "live"
"""The folder of readers' doors in the data directory."""
MAX_READERS = 8
"""Readers of one account that are shown a message."""
SHOWN_WITHIN = 3.0
"""Seconds that a reader has to say that it has shown a message."""
MAX_METERS = 10_000
"""Senders and recipients whose use is remembered."""
HOUR = 3600.0

Show = Callable[[Screenful], bool]
"""Shows a message to the person behind a session; whether it did."""


def door_prefix(account: Address) -> str:
    """How the names of doors of an account's readers begin: short, whatever the address, for a socket's path is."""
    return blake2b(str(account).lower().encode(), digest_size=10).hexdigest() + "."


class Screens:
    """The door to people who are there; one for the whole process."""

    def __init__(
        self,
        data: Path,
        settings: LiveSettings,
        clock: Callable[[], float],
        terminals: Terminals | None = None,
    ) -> None:
        self.settings = settings
        """May be exchanged at any time."""
        self._folder = data / READERS
        self._clock = clock
        self._terminals = terminals if terminals is not None else Terminals()
        self._sessions: dict[Address, dict[object, tuple[str, Show]]] = {}
        self._meters: dict[str, Meter] = {}

    # Sessions of this process.

    def attach(self, account: Address, name: str, show: Show) -> Callable[[], None]:
        """A session of the account's is there from now on, until what is given back is called.

        `show` neither waits nor raises; `name` is how the journal tells of the session, such as `imap 192.0.2.1:40000`.
        """
        key = object()
        self._sessions.setdefault(account, {})[key] = (name, show)

        def detach() -> None:
            sessions = self._sessions.get(account)
            if sessions is not None and sessions.pop(key, None) is not None and not sessions:
                del self._sessions[account]

        return detach

    # Who is there.

    async def is_there(self, account: Address) -> bool:
        """Whether somebody would be shown a message for the account now."""
        if not self._has_room(f"to {account}", self.settings.recipient_hourly):
            return False
        if account in self._sessions or any(is_open(door) for door in self._doors(account)):
            return True
        user = self._user(account)
        return user is not None and bool(await asyncio.to_thread(self._terminals.of, user))

    async def show(self, account: Address, message: Screenful) -> tuple[str, ...]:
        """Show it wherever the account's owner is; gives the places that took it, none where nobody did."""
        key, hourly = f"to {account}", self.settings.recipient_hourly
        if not self._has_room(key, hourly):
            return ()
        places = [name for name, show in tuple(self._sessions.get(account, {}).values()) if show(message)]
        found = self._doors(account)
        if found:
            octets = parcel(message)
            taken = await asyncio.gather(*(hand_in(door, octets, within=SHOWN_WITHIN) for door in found))
            if count := sum(taken):
                places.append("1 reader" if count == 1 else f"{count} readers")
        user = self._user(account)
        if user is not None:
            places += await asyncio.to_thread(self._terminals.write, user, message.text())
        if places:
            self._take(key, hourly)
        return tuple(places)

    def _doors(self, account: Address) -> list[Path]:
        return doors(self._folder, door_prefix(account))[:MAX_READERS]

    def _user(self, account: Address) -> str | None:
        """The user of this machine whose account it is."""
        return account.local_part if account.domain == self.settings.terminal_domain else None

    # How much.

    def may_send(self, sender: str) -> bool:
        """Whether the sender has not sent too much."""
        return self._has_room(f"from {sender}", self.settings.sender_hourly)

    def has_sent(self, sender: str) -> None:
        """The sender's message was for somebody's screen."""
        self._take(f"from {sender}", self.settings.sender_hourly)

    def _has_room(self, key: str, hourly: int) -> bool:
        meter = self._meters.get(key)
        return hourly == 0 or meter is None or meter.wait(self._clock()) == 0

    def _take(self, key: str, hourly: int) -> None:
        if hourly == 0:
            return
        now = self._clock()
        if len(self._meters) >= MAX_METERS:
            self._meters = {name: meter for name, meter in self._meters.items() if not meter.is_full(now)}
        if key not in self._meters:
            if len(self._meters) >= MAX_METERS:
                del self._meters[next(iter(self._meters))]
            self._meters[key] = Meter(hourly, HOUR, now)
        self._meters[key].take(1)


def parcel(message: Screenful) -> bytes:
    """What a reader's door is handed."""
    return json.dumps(
        {"heading": message.heading, "lines": message.lines, "is_whole": message.is_whole}, ensure_ascii=False
    ).encode("utf-8", "replace")


def unpacked(octets: bytes) -> Screenful:
    """The message in a parcel. Raises ValueError where there is none."""
    read = json.loads(octets)
    match read:
        case {"heading": str(heading), "lines": list(lines), "is_whole": bool(is_whole)} if all(
            isinstance(line, str) for line in lines
        ):
            return Screenful(heading, tuple(lines), is_whole)
    raise ValueError("no message")
