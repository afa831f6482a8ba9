"""An alarm clock: rings at the earliest of the times that it was set to (for what senders were promised, RFC 2852)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

AHEAD = 90.0
"""Seconds ahead of which it keeps times; those further on are found when they are nearer."""


class Alarm:
    """For one waiter. `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        self._clock = clock
        self._sleep = sleep
        self._times: set[int] = set()
        """In whole seconds, rounded up: so many it can be."""
        self._is_sooner = asyncio.Event()

    def set(self, at: float) -> None:
        """Ring at that time, or at once when it is over."""
        if at > self._clock() + AHEAD:
            return
        second = -int(-at // 1)
        if second not in self._times:
            if not self._times or second < min(self._times):
                self._is_sooner.set()
            self._times.add(second)

    async def wait(self, longest: float) -> None:
        """Until it rings, or for so many seconds."""
        until = self._clock() + longest
        while True:
            self._is_sooner.clear()
            at = min(min(self._times, default=until), until)
            left = at - self._clock()
            if left <= 0:
                break
            sleeping = asyncio.ensure_future(self._sleep(left))
            waking = asyncio.ensure_future(self._is_sooner.wait())
            try:
                await asyncio.wait((sleeping, waking), return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleeping.cancel()
                waking.cancel()
                await asyncio.gather(sleeping, waking, return_exceptions=True)
        now = self._clock()
        self._times = {each for each in self._times if each > now}
