"""What a message costs when there is much of something: it must stay flat, or grow as a logarithm."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.loads.source import send
from bench.peers.estafeta import add_mailboxes
from bench.peers.peer import RECIPIENT, Purpose, Running
from bench.scenarios.mail import Accept
from bench.scenarios.scenario import KIB, Case, Figures, Matrix, Scenario

QUEUE, MAILBOX, ACCOUNTS, WORKERS = "in the queue", "in the mailbox", "accounts", "worker processes"
_SHORT = {QUEUE: (0, 10_000), MAILBOX: (100, 10_000), ACCOUNTS: (10, 10_000), WORKERS: (1, 2)}
_FULL = {
    QUEUE: (0, 10_000, 1_000_000),
    MAILBOX: (100, 10_000, 1_000_000),
    ACCOUNTS: (10, 1000, 100_000),
    WORKERS: (1, 2),
}
NOWHERE = "foo@[127.9.9.9]"
"""A host that refuses connections: mail for it waits."""


class Growth(Scenario):
    """Messages into one mailbox, 50 kept sessions, beside so many of something."""

    name = "growth"
    title = "Growth"
    purpose = Purpose.ACCEPT
    explanation = "1 KiB into a mailbox with 50 kept sessions, in a server of its own that has so much of something."
    peers = ("Estafeta",)

    def cases(self, matrix: Matrix) -> Sequence[Case]:
        """Each number of each thing."""
        numbers = _FULL if matrix.is_full else _SHORT
        return [Case(f"{number:,} {what}", number=number) for what in numbers for number in numbers[what]]

    def measure(self, case: Case, running: Running, matrix: Matrix) -> Figures:
        """In a server of its own."""
        what = case.title.partition(" ")[2]
        with tempfile.TemporaryDirectory(prefix="growth-", dir=running.ground.folder) as name:
            ground = replace(running.ground, folder=Path(name), port=running.port + 1, sink=1)
            if what == WORKERS:
                ground = replace(ground, settings=f"[processes]\nworkers = {case.number}\n")
            grown = running.peer.start(ground)
            try:
                self._grow(what, case.number, grown)
                return Accept().measure(case, grown, matrix)
            finally:
                grown.end()

    def _grow(self, what: str, number: int, server: Running) -> None:
        if what == QUEUE and number:
            send(
                server.port, NOWHERE, messages=number // 100, sessions=10, size=KIB, mode="kept", recipients=100,
                seconds=3600,
            )  # fmt: skip
        elif what == MAILBOX:
            send(server.port, RECIPIENT, messages=number, sessions=50, size=KIB, mode="kept", seconds=3600)
        elif what == ACCOUNTS:
            add_mailboxes(server.ground.folder / "data", number, first=1000, is_numbered=False)
        send(server.port, RECIPIENT, messages=100, sessions=10, size=KIB, mode="kept")
