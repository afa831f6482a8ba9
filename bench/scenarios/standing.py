"""A server that has nothing to do: its start, its memory, its CPU, and connections that say nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.loads.idle import Crowd, TooMany
from bench.loads.source import send
from bench.peers.peer import Purpose, Running, restart
from bench.scenarios.scenario import KIB, Case, Figures, Matrix, Scenario

LOOK_FOR = 6.0
"""Seconds over which idle CPU is measured."""
SETTLE_FOR = 1.5
SETTLED_AFTER = 25.0
"""Seconds after its start in which a server has done what it does then, and ended the processes that did that."""
_RANKS = {10: 2, 100: 2}
"""Of a full run alone."""


class Start(Scenario):
    """From the start of the process to the first 250 for a message."""

    name = "start"
    title = "Start"
    purpose = Purpose.ACCEPT
    explanation = "Milliseconds from the start of the server's process to its first 250 for a message."
    figure = "ms"
    has_ratio = False

    def cases(self, matrix: Matrix) -> Sequence[Case]:
        """One."""
        return [Case("first 250 after the start")]

    def measure(self, case: Case, running: Running, matrix: Matrix) -> Figures:
        """Stop it and start it again."""
        restart(running)
        send(running.port, running.recipient, messages=1, sessions=1, size=KIB, mode="kept")
        seconds = time.perf_counter() - running.started_at
        return {"ms": seconds * 1000, "peak_mib": running.group.memory() / KIB / KIB}


class Idle(Scenario):
    """What connections cost that say nothing."""

    name = "idle"
    title = "Idle"
    purpose = Purpose.ACCEPT
    explanation = (
        "Memory of the server with so many SMTP connections that have said EHLO, and its CPU meanwhile. What a server "
        "has no room for is found by trying."
    )
    figure = "mib"
    has_ratio = False
    peers = ("Estafeta", "Postfix", "Exim", "OpenSMTPD", "Haraka", "aiosmtpd")

    def __init__(self) -> None:
        self._most: dict[str, TooMany] = {}

    def cases(self, matrix: Matrix) -> Sequence[Case]:
        """By connections."""
        numbers = matrix.sessions or (0, 10, 100, 1000, 10_000)
        cases = [Case(f"{each:,} connections", number=each, rank=_RANKS.get(each, 1)) for each in numbers]
        return [case for case in cases if matrix.is_full or matrix.sessions or case.rank == 1]

    def seconds(self, case: Case, matrix: Matrix) -> float:
        """A crowd comes slowly."""
        return SETTLE_FOR + LOOK_FOR + case.number / 1000

    def measure(self, case: Case, running: Running, matrix: Matrix) -> Figures:
        """Open them, let it rest, look."""
        name = running.peer.name
        if name in self._most and case.number > self._most[name].reached:
            raise self._most[name]
        try:
            with Crowd(running.port, case.number):
                time.sleep(max(SETTLE_FOR, running.started_at + SETTLED_AFTER - time.perf_counter()))
                before = running.group.seconds()
                begin = time.perf_counter()
                time.sleep(LOOK_FOR)
                cpu = (running.group.seconds() - before) / (time.perf_counter() - begin)
                return {"mib": running.group.memory() / KIB / KIB, "cpu_percent": cpu * 100}
        except TooMany as error:
            self._most[name] = error
            raise
