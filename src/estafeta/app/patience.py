"""When work on new mail is done that nobody waits for: after what others do with the store, not beside it."""

from __future__ import annotations

import asyncio

QUIET_AFTER = 2.0
"""Seconds without a change after which new mail is indexed: much is taken in together, and the server is not busy."""
WAIT_AT_MOST = 30.0
"""Seconds after which it is indexed though mail keeps coming."""
RESTS = 4.0
"""While mail keeps coming, so many times as long as it works the indexer rests: at the least priority it still takes
half of a core that two threads share, and its commits wait in one line with the server's."""
WORK_AT_LEAST = 0.1
"""Seconds of work before a rest."""


class Patience:
    """When the indexer has its turn; `hear` is called after each change."""

    def __init__(self) -> None:
        self._heard = self._taken = self._rested = 0
        self._resumed_at = 0.0
        self._bell = asyncio.Event()

    def hear(self, _changed: int) -> None:
        """Something has changed."""
        self._heard += 1
        self._bell.set()

    def forget(self) -> None:
        """What has changed until now needs no turn any more."""
        self._taken = self._heard

    async def turn(self, *, within: float | None = None) -> bool:
        """Wait until something has changed since the last turn, and then for a quiet moment, but not for ever.

        False where nothing has changed within so many seconds; with None there is no end of waiting.
        """
        loop = asyncio.get_running_loop()
        if self._heard == self._taken:
            self._bell.clear()
            try:
                async with asyncio.timeout(within):
                    await self._bell.wait()
            except TimeoutError:
                return False
        ends_at = loop.time() + WAIT_AT_MOST
        before = -1
        while before != self._heard and loop.time() < ends_at:
            before = self._heard
            await asyncio.sleep(QUIET_AFTER)
        self._taken = self._rested = self._heard
        self._resumed_at = loop.time()
        return True

    async def rest(self) -> None:
        """Between two steps: leave the machine to the server for a while, if anything has changed since the last."""
        loop = asyncio.get_running_loop()
        worked = loop.time() - self._resumed_at
        if worked < WORK_AT_LEAST:
            return
        if self._heard != self._rested:
            await asyncio.sleep(RESTS * worked)
        self._rested = self._heard
        self._resumed_at = loop.time()
