"""What tests with foreign mail software share: one running server, and the programs it meets."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from tests.peers.running import RunningServer, running

_names = count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The server that all peers meet."""
    yield from running(RunningServer(tmp_path_factory.mktemp("server")))


@pytest.fixture
def account(server: RunningServer) -> str:
    """An account of the test's own."""
    return server.account(f"peer{next(_names)}")


@pytest.fixture
def other_account(server: RunningServer) -> str:
    """A second one."""
    return server.account(f"peer{next(_names)}")


def program(name: str, package: str) -> str:
    """The path of a foreign program; without it the test is skipped, in CI it fails."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib/postfix/sbin")
    if path is None:
        told = f"{name} is missing: install Debian's package {package}"
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
    return path


Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a foreign program in a home of its own; nobody's settings are read."""

    def run_it(*command: str | Path, stdin: bytes = b"", seconds: float = 30) -> subprocess.CompletedProcess[bytes]:
        environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "dumb"}
        return subprocess.run(
            [str(part) for part in command],
            input=stdin,
            capture_output=True,
            timeout=seconds,
            cwd=tmp_path,
            env=environment,
        )

    return run_it
