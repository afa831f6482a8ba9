"""Both event loops, and a certificate made once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from estafeta.net.authority import Issued, issue

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on uvloop, and again on asyncio's own loop."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run_it(main: Coroutine[Any, Any, None]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(20):
                await main

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(bounded())

    return run_it


@pytest.fixture(scope="session")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    """A certificate for localhost and the loopback addresses."""
    folder: Path = tmp_path_factory.mktemp("certificates")
    return issue(folder, ["localhost", "mail.example.org", "127.0.0.1", "::1"])
