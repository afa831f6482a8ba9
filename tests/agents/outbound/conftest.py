"""A yard whose store is closed at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from tests.agents.outbound.yard import Yard

Play: TypeAlias = Callable[[Callable[[Yard], Awaitable[None]]], None]


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    """Run a test's coroutine with a yard."""
    yard = Yard(tmp_path)

    def play_it(test: Callable[[Yard], Awaitable[None]]) -> None:
        async def main() -> None:
            await yard.populate()
            await test(yard)

        asyncio.run(main())

    yield play_it
    yard.store.close()
