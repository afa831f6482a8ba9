"""Mail by SMTP: accepted, delivered, relayed, submitted; and the ceiling of the load itself."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

from bench.loads.source import LoadFailed, Mode, send
from bench.measuring import Usage
from bench.peers.peer import PASSWORD, USER, Purpose, Running
from bench.peers.sink import NextHost
from bench.scenarios.scenario import (
    KIB,
    SESSIONS,
    SIZES,
    Case,
    Figures,
    Matrix,
    Scenario,
    messages_for,
    size_title,
)

PATIENCE = 120.0
"""Seconds that messages may take to come out after the last was accepted."""
_MODES: tuple[Mode, ...] = ("kept", "each")
_SAID = {"kept": "kept connections", "each": "a connection each"}


class Accept(Scenario):
    """Also the frame of the others."""

    name = "accept"
    title = "Accept"
    purpose = Purpose.ACCEPT
    explanation = "Until the last 250. Estafeta delivers into the mailbox with it; the others only queue."
    peers = (*Scenario.peers, "smtp-sink")
    is_numbered = False
    short: tuple[tuple[int, int], ...] = (
        (KIB, 1), (KIB, 10), (KIB, 50), (KIB, 200), (10 * KIB, 50), (100 * KIB, 50), (5 * KIB * KIB, 10)
    )  # fmt: skip
    """Sizes and sessions of a short run."""
    modes: tuple[Mode, ...] = _MODES

    def cases(self, matrix: Matrix) -> Sequence[Case]:
        """Sizes by sessions by modes."""
        pairs = self.short
        if matrix.is_full or matrix.sizes or matrix.sessions:
            sizes = matrix.sizes or (SIZES if matrix.is_full else (KIB,))
            pairs = tuple((size, each) for size in sizes for each in matrix.sessions or SESSIONS)
        modes = matrix.modes or (_MODES if matrix.is_full else self.modes)
        return [
            Case(f"{size_title(size)}, {each} session{'s' if each > 1 else ''}, {_SAID[mode]}", size, each, mode)
            for mode in modes
            for size, each in pairs
        ]

    def measure(self, case: Case, running: Running, matrix: Matrix) -> Figures:
        """Send, and wait until the messages are where they belong."""
        messages = messages_for(case, matrix)
        if running.peer.name == "Exim" and case.mode == "each":
            # At QUIT it waits up to 200 ms for the client's end: five connections a second in each session.
            messages = min(messages, 20 * case.sessions)
        before = self.arrived(running)
        with Usage(running.group) as usage:
            begin = time.perf_counter()
            self.load(case, running, messages)
            while (missing := messages - (self.arrived(running) - before)) > 0 and self.waits(running):
                if time.perf_counter() - begin > PATIENCE:
                    raise LoadFailed(f"{missing} of {messages} messages did not come out in {PATIENCE:.0f} seconds")
                time.sleep(0.02)
            seconds = time.perf_counter() - begin
        return {
            "rate": messages / seconds,
            "cpu_us": usage.cpu / messages * 1e6,
            "peak_mib": usage.peak / KIB / KIB,
        }

    def load(self, case: Case, running: Running, messages: int) -> None:
        """Send that many."""
        send(
            running.port, running.recipient, messages=messages, sessions=case.sessions, size=case.size, mode=case.mode,
            is_numbered=self.is_numbered,
        )  # fmt: skip

    def waits(self, running: Running) -> bool:
        """Whether the end is later than the last 250."""
        return running.delivered is not None

    def arrived(self, running: Running) -> int:
        """Messages where they belong."""
        return running.delivered() if running.delivered is not None else 0


class Deliver(Accept):
    """Into one mailbox."""

    name = "deliver"
    title = "Deliver into one mailbox"
    purpose = Purpose.DELIVER
    explanation = "Until the last message is in the mailbox: a Maildir, where the others have one."
    peers = Scenario.peers
    short = ((KIB, 10), (KIB, 50), (100 * KIB, 50))
    modes = ("kept",)


class DeliverToMany(Deliver):
    """Into a hundred."""

    name = "deliver-100"
    title = "Deliver into 100 mailboxes"
    explanation = "The same, each message to one of 100 mailboxes, by an alias."
    is_numbered = True
    peers = ("Estafeta", "Postfix", "Exim")


class Relay(Accept):
    """On to the next host."""

    name = "relay"
    title = "Relay"
    purpose = Purpose.RELAY
    explanation = "Accepted durably, queued, sent on; until `smtp-sink` has taken the last message."
    peers = Scenario.peers
    needs_next_host = True
    short = ((KIB, 10), (KIB, 50), (10 * KIB, 50), (100 * KIB, 50))
    modes = ("kept",)
    next_hosts: dict[int, NextHost]

    def __init__(self) -> None:
        self.next_hosts = {}

    def waits(self, running: Running) -> bool:
        """Yes."""
        return True

    def arrived(self, running: Running) -> int:
        """What its next host has."""
        return self.next_hosts[running.ground.sink].taken()

    def begin(self, running: Running, matrix: Matrix) -> None:
        """Start its next host."""
        port = running.ground.sink
        host = self.next_hosts[port] = NextHost(port, running.ground.folder)
        running.closing.append(host.end)


class Submit(Accept):
    """By a user."""

    name = "submit"
    title = "Submit"
    purpose = Purpose.SUBMIT
    explanation = (
        "STARTTLS and AUTH PLAIN, then as in Accept; the load is a client in Python, which is a good part of it."
    )
    peers = ("Estafeta", "Postfix", "Exim", "OpenSMTPD", "Haraka", "aiosmtpd")
    needs_tls = True
    short = ((KIB, 10), (KIB, 50))

    def begin(self, running: Running, matrix: Matrix) -> None:
        """The first login proves the password, which takes long on purpose."""
        self.load(Case("", sessions=1), running, 1)

    def load(self, case: Case, running: Running, messages: int) -> None:
        """By the submitter."""
        figures = [running.port, min(case.sessions, messages), messages, case.size, case.mode]
        command = [sys.executable, "-m", "bench.loads.submitter", *map(str, figures), USER, PASSWORD, running.recipient]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise LoadFailed(done.stderr.strip()[-200:])
