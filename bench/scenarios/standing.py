"""A server that has nothing to do: its start, its memory, its CPU, and connections that say nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from bench.loads.idle import Crowd
from bench.loads.source import send
from bench.peers.peer import Purpose, Running
from bench.scenarios.scenario import KIB, Case, Figures, Matrix, Scenario

LOOK_FOR = 10.0
"""Seconds over which idle CPU is measured."""
SETTLE_FOR = 2.0


class Start(Scenario):
    """From the start of the process to the first 250 for a message."""

    name = "start"
    title = "Start"
    purpose = Purpose.ACCEPT
    explanation = "Milliseconds from the start of the server's process to its first 250 for a message."
    figure = "ms"

    def cases(self, matrix: Matrix) -> Sequence[Case]:
        """One."""
        return [Case("first 250 after the start")]

    def measure(self, case: Case, running: Running, matrix: Matrix) -> Figures:
        """Stop it and start it again."""
        running.group.end()
        ground = running.ground
        begin = time.perf_counter()
        again = running.peer.start(ground)
        send(again.port, again.recipient, messages=1, sessions=1, size=KIB, mode="kept")
        seconds = time.perf_counter() - begin
        running.group = again.group
        running.closing = [*again.closing, *running.closing]
        return {"ms": seconds * 1000, "peak_mib": again.group.memory() / KIB / KIB}


class Idle(Scenario):
    """What connections cost that say nothing."""

    name = "idle"
    title = "Idle"
    purpose = Purpose.ACCEPT
    explanation = "Memory of the server with so many SMTP connections that have said EHLO, and its CPU meanwhile."
    figure = "mib"
    peers = ("Estafeta", "Postfix", "Exim", "OpenSMTPD", "Haraka", "aiosmtpd")
    most: ClassVar[dict[str, int]] = {
        "Postfix": 1000,
        "Exim": 1000,
        "OpenSMTPD": 100,
        "Haraka": 10_000,
        "aiosmtpd": 10_000,
    }
    """Beyond these a process for each connection, or a limit that is built in, ends it."""

    def cases(self, matrix: Matrix) -> Sequence[Case]:
        """By connections."""
        numbers = matrix.sessions or ((0, 10, 100, 1000, 10_000) if matrix.is_full else (0, 1000, 10_000))
        return [Case(f"{number:,} connections", number=number) for number in numbers or (0,)]

    def measure(self, case: Case, running: Running, matrix: Matrix) -> Figures:
        """Open them, let it rest, look."""
        if case.number > self.most.get(running.peer.name, case.number):
            raise OSError(f"no more than {self.most[running.peer.name]:,} connections")
        with Crowd(running.port, case.number):
            time.sleep(SETTLE_FOR)
            before = running.group.seconds()
            begin = time.perf_counter()
            time.sleep(LOOK_FOR)
            cpu = (running.group.seconds() - before) / (time.perf_counter() - begin)
            return {"mib": running.group.memory() / KIB / KIB, "cpu_percent": cpu * 100}
