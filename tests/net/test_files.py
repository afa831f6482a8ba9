"""The limit of open files: raised once, and some kept back."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from estafeta.net.files import connections_within

_PROGRAM = """
import resource, sys
from estafeta.net.files import connections_within, raise_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
print(connections_within(), raise_file_limit(), connections_within())
"""


@pytest.mark.parametrize(
    ("soft", "hard", "told"),
    [(300, 1256, "44 1256 1000"), (1256, 1256, "1000 1256 1000"), (64, 64, "1 64 1")],
)
def test_the_soft_limit_becomes_the_hard_one(soft: int, hard: int, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(soft), str(hard)],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == told, done.stderr


def test_a_limit_that_is_none_is_enough_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert connections_within() > 100_000_000
