"""Mail that users submit: messages over connections that are logged in already, and logins by themselves.

A login proves a password, which is slow on purpose in some servers and not in others; what a message costs must not be
mixed with that.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO

from bench.loads.source import LoadFailed
from bench.measuring import Usage
from bench.peers.peer import PASSWORD, USER, Purpose, Running
from bench.scenarios.mail import Accept
from bench.scenarios.scenario import KIB, Case, Figures, Matrix

LOGINS = "logins, 10 at once"
_LONGEST = 120.0
"""Seconds of a load."""


class Submit(Accept):
    """By a user."""

    name = "submit"
    title = "Submit"
    purpose = Purpose.SUBMIT
    explanation = (
        "STARTTLS and AUTH PLAIN before the clock starts, then as in Accept; with a connection each, and in the row of "
        "logins (which send no message), they are measured. The load is a client in Python, which is a good part of it."
    )
    peers = ("Estafeta", "Postfix", "Exim", "OpenSMTPD", "Haraka", "aiosmtpd")
    needs_tls = True
    short = ((KIB, 10), (KIB, 50), (100 * KIB, 50))
    telling = ((KIB, 1), (10 * KIB, 50), (KIB, 200), (5 * KIB * KIB, 10))
    modes = ("kept",)

    def cases(self, matrix: Matrix) -> Sequence[Case]:
        """The logins too, where nothing else is asked for."""
        logins = [] if matrix.sizes or matrix.sessions else [Case(LOGINS, size=0, sessions=10, mode="each")]
        return [*super().cases(matrix), *logins]

    def figures(self, case: Case, running: Running, messages: int) -> Figures:
        """Log in, then start the clock and submit so many."""
        figures = [running.port, min(case.sessions, messages), messages, case.size, case.mode]
        command = [sys.executable, "-m", "bench.loads.submitter", *map(str, figures), USER, PASSWORD, running.recipient]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        limit = threading.Timer(_LONGEST, process.kill)
        limit.start()
        try:
            _expect(b"ready\n", process.stdout, process.stderr)
            with Usage(running.group) as usage:
                begin = time.perf_counter()
                process.stdin.write(b"go\n")
                process.stdin.flush()
                _expect(b"done\n", process.stdout, process.stderr)
                seconds = time.perf_counter() - begin
        finally:
            limit.cancel()
            process.kill()
            process.communicate()
        return {
            "rate": messages / seconds,
            "cpu_us": usage.cpu / messages * 1e6,
            "peak_mib": usage.peak / KIB / KIB,
            "messages": float(messages),
        }


def _expect(wanted: bytes, output: IO[bytes], errors: IO[bytes]) -> None:
    if output.readline() != wanted:
        said = errors.read().decode(errors="replace").strip()[-200:]
        raise LoadFailed(said or f"no end within {_LONGEST:.0f} seconds")
