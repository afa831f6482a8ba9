"""Mail by SMTP: accepted, delivered, relayed; and the ceiling of the load itself.

Each figure is taken over about the same time from all servers. Before it comes a short load of the same kind, which
warms the server up and tells how many messages the time has room for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from bench.loads.source import Mode, Stalled, send
from bench.measuring import Usage
from bench.peers.peer import Purpose, Running, wait_for
from bench.peers.sink import NextHost
from bench.scenarios.scenario import (
    KIB,
    SESSIONS,
    SIZES,
    Case,
    Figures,
    Matrix,
    Scenario,
    size_title,
)

PATIENCE = 30.0
"""Seconds without a message that comes out, after the last was accepted."""
FEW, LONG_ENOUGH, TRIES = 20, 0.3, 4
"""Messages of the first try of a load; seconds from which it tells how fast a server is; tries at most."""
MOST_OCTETS = 1 << 30
"""Of what is sent for a figure, and of what all sessions send at once."""
WARM_UP, WARM_UP_FOR = 300, 2.0
"""Messages before the first case, and the seconds after which there are no more of them."""
_MODES: tuple[Mode, ...] = ("kept", "each")
_SAID = {"kept": "kept connections", "each": "a connection each"}


class Accept(Scenario):
    """Also the frame of the others."""

    name = "accept"
    title = "Accept"
    purpose = Purpose.ACCEPT
    explanation = "Until the last 250. Estafeta delivers into the mailbox with it; the others only queue."
    peers = (*Scenario.peers, "smtp-sink")
    recipients = 1
    short: tuple[tuple[int, int], ...] = (
        (KIB, 1), (KIB, 10), (KIB, 50), (KIB, 200), (10 * KIB, 50), (100 * KIB, 50), (5 * KIB * KIB, 10)
    )  # fmt: skip
    """Sizes and sessions of a short run."""
    telling: tuple[tuple[int, int], ...] = ((KIB, 1000), (5 * KIB * KIB, 50))
    """Of a full run those that come first."""
    modes: tuple[Mode, ...] = _MODES

    def cases(self, matrix: Matrix) -> Sequence[Case]:
        """Sizes by sessions by modes."""
        is_chosen = bool(matrix.sizes or matrix.sessions)
        sizes = matrix.sizes or (SIZES if not is_chosen or matrix.is_full else (KIB,))
        cases = [
            self._case(size, sessions, mode, is_chosen=is_chosen)
            for mode in matrix.modes or (_MODES if matrix.is_full else self.modes)
            for size in sizes
            for sessions in matrix.sessions or SESSIONS
            if size * sessions <= MOST_OCTETS
        ]
        return [case for case in cases if matrix.is_full or case.rank == 1]

    def _case(self, size: int, sessions: int, mode: Mode, *, is_chosen: bool) -> Case:
        rank, load = 3, (size, sessions)
        if is_chosen or (mode in self.modes and load in self.short):
            rank = 1
        elif mode in self.modes and load in self.telling:
            rank = 2
        return Case(_title(size, sessions, mode), size, sessions, mode, rank=rank)

    def begin(self, running: Running, matrix: Matrix) -> None:
        """The first messages after a start are slow everywhere."""
        until = time.monotonic() + WARM_UP_FOR
        for _ in range(WARM_UP // 50):
            self.figures(Case("", sessions=10), running, 50)
            if time.monotonic() > until:
                break

    def measure(self, case: Case, running: Running, matrix: Matrix) -> Figures:
        """As many messages as were asked for, or as the time has room for."""
        messages, tried = matrix.messages, 0
        if not messages:
            messages, tried = self._room(case, running, matrix.seconds)
        figures = self.figures(case, running, max(messages, case.sessions))
        return {**figures, "messages": figures["messages"] + tried}

    def _room(self, case: Case, running: Running, seconds: float) -> tuple[int, int]:
        """How many messages the time has room for, and how many were sent to find out."""
        messages, tried = max(FEW, case.sessions), 0
        most = MOST_OCTETS // max(KIB, case.size)
        for _ in range(TRIES):
            rate = self.figures(case, running, messages)["rate"]
            tried += messages
            if messages / rate >= LONG_ENOUGH:
                break
            messages = min(most, max(2 * messages, int(rate * LONG_ENOUGH * 1.2)))
        return min(most, int(rate * seconds)), tried

    def figures(self, case: Case, running: Running, messages: int) -> Figures:
        """Send so many, and wait until they are where they belong."""
        wanted = self.arrived(running) + messages
        with Usage(running.group) as usage:
            begin = time.perf_counter()
            self.load(case, running, messages)
            self._wait(running, wanted)
            seconds = time.perf_counter() - begin
        return {
            "rate": messages / seconds,
            "cpu_us": usage.cpu / messages * 1e6,
            "peak_mib": usage.peak / KIB / KIB,
            "messages": float(messages),
        }

    def _wait(self, running: Running, wanted: int) -> None:
        most, changed_at = 0, time.perf_counter()
        while self.waits(running):
            begin = time.perf_counter()
            arrived = self.arrived(running)
            now = time.perf_counter()
            if arrived >= wanted:
                return
            if arrived > most:
                most, changed_at = arrived, now
            elif now - changed_at > PATIENCE:
                raise Stalled(f"{wanted - arrived} messages did not come out, none of them in {PATIENCE:.0f} seconds")
            # Looking must not become a load of its own.
            time.sleep(max(0.01, 5 * (now - begin)))

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
    short: tuple[tuple[int, int], ...] = ((KIB, 10), (KIB, 50), (10 * KIB, 50), (100 * KIB, 50))
    telling = ((KIB, 1), (KIB, 200), (KIB, 1000), (5 * KIB * KIB, 10))


class DeliverToMany(Deliver):
    """Into a hundred."""

    name = "deliver-100"
    title = "Deliver into 100 mailboxes"
    explanation = "The same, each message to one of 100 mailboxes, by an alias."
    is_numbered = True
    peers = ("Estafeta", "Postfix", "Exim")
    short = ((KIB, 10), (KIB, 50))
    telling = ((10 * KIB, 50), (100 * KIB, 50), (KIB, 200), (5 * KIB * KIB, 10))
    modes = ("kept",)


class Relay(Accept):
    """On to the next host."""

    name = "relay"
    title = "Relay"
    purpose = Purpose.RELAY
    explanation = "Accepted durably, queued, sent on; until `smtp-sink` has taken the last message."
    peers = Scenario.peers
    needs_next_host = True
    short = ((KIB, 10), (KIB, 50), (10 * KIB, 50), (100 * KIB, 50))
    telling = ((KIB, 1), (KIB, 200), (KIB, 1000), (5 * KIB * KIB, 10))
    modes = ("kept",)
    addresses: tuple[str, ...] = ("127.0.0.1",)
    """Of the next hosts."""

    def __init__(self) -> None:
        self._next_hosts: dict[int, list[NextHost]] = {}

    def waits(self, running: Running) -> bool:
        """Yes."""
        return True

    def arrived(self, running: Running) -> int:
        """What its next hosts have."""
        return sum(host.taken() for host in self._next_hosts[running.ground.sink])

    def begin(self, running: Running, matrix: Matrix) -> None:
        """Start its next hosts."""
        port = running.ground.sink
        hosts = self._next_hosts[port] = [NextHost(port, running.ground.folder, each) for each in self.addresses]
        running.closing += [host.end for host in hosts]
        for address in self.addresses:
            wait_for(port, b"220", "smtp-sink", address=address)
        super().begin(running, matrix)


class RelayToMany(Relay):
    """On to a hundred hosts, which are addresses of loopback."""

    name = "relay-100"
    title = "Relay to 100 hosts"
    purpose = Purpose.SPREAD
    explanation = "The same, one session for each of 100 next hosts."
    peers = ("Estafeta", "Postfix")
    addresses = tuple(f"127.0.1.{number}" for number in range(1, 101))

    def cases(self, matrix: Matrix) -> Sequence[Case]:
        """By sizes."""
        number = len(self.addresses)
        sizes = matrix.sizes or (KIB, 100 * KIB)
        return [Case(_title(size, number, "kept"), size, number, rank=1 if size == KIB else 2) for size in sizes]

    def measure(self, case: Case, running: Running, matrix: Matrix) -> Figures:
        """For twice as long: a hundred loads are not started in no time."""
        return super().measure(case, running, replace(matrix, seconds=2 * matrix.seconds))

    def figures(self, case: Case, running: Running, messages: int) -> Figures:
        """The same number for each host."""
        number = len(self.addresses)
        return super().figures(case, running, -(-messages // number) * number)

    def load(self, case: Case, running: Running, messages: int) -> None:
        """A load for each, all at once."""
        share = messages // len(self.addresses)

        def send_to(address: str) -> None:
            send(running.port, f"foo@[{address}]", messages=share, sessions=1, size=case.size, mode="kept")

        with ThreadPoolExecutor(len(self.addresses)) as pool:
            list(pool.map(send_to, self.addresses))


def _title(size: int, sessions: int, mode: Mode) -> str:
    return f"{size_title(size)}, {sessions} session{'s' if sessions > 1 else ''}, {_SAID[mode]}"
