"""Servers of a test's own, to be killed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.figures import Figures
from tests.faults.nexthost import NextHost
from tests.peers.running import RunningServer

Serve = Callable[[str], RunningServer]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Makes a server with further settings; whatever the test did to it, its process ends with the test."""
    made: list[RunningServer] = []

    def serve_it(settings: str = "") -> RunningServer:
        made.append(RunningServer(tmp_path / f"server{len(made)}", settings=settings))
        made[-1].start()
        return made[-1]

    yield serve_it
    for server in made:
        server.stop()


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    """What was seen; written to docs/faults.md with ESTAFETA_WRITE_DOCS."""
    seen = Figures()
    yield seen
    if os.environ.get("ESTAFETA_WRITE_DOCS") and seen.lines:
        seen.write()


@pytest.fixture
def next_host() -> Iterator[NextHost]:
    """A host that takes all mail."""
    host = NextHost()
    yield host
    host.close()
