"""The store of a story that was told once, a copy for each test."""

from __future__ import annotations

import socket
from pathlib import Path
from shutil import copytree

import pytest
from tests.store.audit.story import tell

from estafeta.net.authority import issue
from estafeta.store.audit import Gap

Told = tuple[Path, list[Gap]]


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The data directory, and what an audit found before the post office ended."""
    folder = tmp_path_factory.mktemp("story")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    gaps = tell(folder / "data", issue(folder, ["localhost", "127.0.0.1"]), port)
    return folder / "data", gaps


@pytest.fixture
def data(told: Told, tmp_path: Path) -> Path:
    """A data directory of one's own."""
    copytree(told[0], tmp_path / "data", ignore=_sockets)
    return tmp_path / "data"


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_socket()]
