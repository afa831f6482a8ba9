"""What a message costs when there is much of something: it must stay flat, or grow as a logarithm."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from bench.loads.idle import Crowd
from bench.loads.source import send
from bench.peers.estafeta import add_mailboxes
from bench.peers.peer import RECIPIENT, Purpose, Running, restart
from bench.scenarios.mail import WARM_UP, Accept
from bench.scenarios.scenario import KIB, Case, Figures, Matrix, Scenario

QUEUE, MAILBOX, ACCOUNTS, IDLE, WORKERS = (
    "in the queue", "in the mailbox", "accounts", "idle connections", "worker processes"
)  # fmt: skip
_NUMBERS = {
    QUEUE: (0, 10_000, 1_000_000),
    MAILBOX: (100, 10_000, 1_000_000),
    ACCOUNTS: (10, 1000, 10_000, 100_000),
    IDLE: (10, 1000, 10_000),
    WORKERS: (1, 2),
}
_RANKS = {1_000_000: 3, 100_000: 2, 1000: 2}
"""Of a full run alone; the greatest take longest."""
_A_SECOND = {QUEUE: 20_000, MAILBOX: 2500, ACCOUNTS: 1500, IDLE: 1000, WORKERS: 1}
"""How fast it grows, about."""
AT_ONCE = 50_000
"""Messages of a load: sessions have a limit."""
NOWHERE = "foo@[127.9.9.9]"
"""A host that refuses connections: mail for it waits."""


class Growth(Scenario):
    """Messages into one mailbox, 50 kept sessions, beside so many of something."""

    name = "growth"
    title = "Growth"
    purpose = Purpose.ACCEPT
    explanation = "1 KiB into a mailbox with 50 kept sessions, in a server of its own that has so much of something."
    has_ratio = False
    peers = ("Estafeta",)
    flat = (QUEUE, MAILBOX, ACCOUNTS, IDLE)
    """What a message's cost must not grow with."""

    def cases(self, matrix: Matrix) -> Sequence[Case]:
        """Each number of each thing."""
        cases = [
            Case(f"{number:,} {what}", number=number, rank=_RANKS.get(number, 1))
            for what, numbers in _NUMBERS.items()
            for number in numbers
        ]
        return [case for case in cases if matrix.is_full or case.rank == 1]

    def seconds(self, case: Case, matrix: Matrix) -> float:
        """Growing takes time."""
        return 10 + case.number / _A_SECOND[_what(case)]

    def measure(self, case: Case, running: Running, matrix: Matrix) -> Figures:
        """In a server of its own."""
        what = _what(case)
        with tempfile.TemporaryDirectory(prefix="growth-", dir=running.ground.folder) as name:
            ground = replace(running.ground, folder=Path(name), port=running.port + 1, sink=1)
            if what == WORKERS:
                ground = replace(ground, settings=f"[processes]\nworkers = {case.number}\n")
            grown = running.peer.start(ground)
            try:
                self._grow(what, case.number, grown)
                grown.group.rest(30)
                with Crowd(grown.port, case.number) if what == IDLE else nullcontext():
                    return Accept().measure(Case("growth"), grown, matrix)
            finally:
                grown.end()

    def _grow(self, what: str, number: int, server: Running) -> None:
        if what == QUEUE and number:
            send(
                server.port, NOWHERE, messages=number // 100, sessions=10, size=KIB, mode="kept", recipients=100,
                seconds=3600,
            )  # fmt: skip
        elif what == MAILBOX:
            for begun in range(0, number, AT_ONCE):
                some = min(AT_ONCE, number - begun)
                send(server.port, RECIPIENT, messages=some, sessions=50, size=KIB, mode="kept", seconds=3600)
        elif what == ACCOUNTS:
            data = server.ground.folder / "data"
            restart(server, lambda: add_mailboxes(data, number, first=1000, is_numbered=False))
        send(server.port, RECIPIENT, messages=WARM_UP, sessions=10, size=KIB, mode="kept")


def _what(case: Case) -> str:
    return case.title.partition(" ")[2]
