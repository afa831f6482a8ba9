"""What one process counts: the tallies of the rooms below, and how they become readings."""

from __future__ import annotations

import os
import platform
import resource
from collections import Counter
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Protocol

from estafeta.access.tally import AccessTally
from estafeta.agents.chronicle import Reason, Verdict
from estafeta.agents.pressure import Pressure
from estafeta.agents.tally import ReceptionTally, RelayTally
from estafeta.app.monitoring import catalogue
from estafeta.app.monitoring.readings import Readings
from estafeta.mail.value import value
from estafeta.net.counting import DnsTally, ListenerTally
from estafeta.net.listener import Listener, Room
from estafeta.store.tally import CommitTally, Histogram

LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PAGE = resource.getpagesize()


class LoopTally:
    """How punctual the event loop is."""

    __slots__ = ("held", "lag")

    def __init__(self) -> None:
        self.lag = Histogram(LAG_SECONDS)
        """How late it came to what was due."""
        self.held = 0
        """How often it was held up for too long."""


@value
class Tallies:
    """All of one process; rooms are given theirs when they are wired."""

    reception: ReceptionTally = field(default_factory=ReceptionTally)
    relay: RelayTally = field(default_factory=RelayTally)
    access: AccessTally = field(default_factory=AccessTally)
    logins: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By mechanism and result."""
    dns: DnsTally = field(default_factory=Counter)
    loop: LoopTally = field(default_factory=LoopTally)
    listeners: dict[str, ListenerTally] = field(default_factory=dict)
    """By the names of listeners, those of earlier settings included."""

    def listener(self, name: str) -> ListenerTally:
        """The tally of a listener, old or new."""
        return self.listeners.setdefault(name, ListenerTally())


class Served(Protocol):
    """A listener as it is told of."""

    @property
    def name(self) -> str:
        """As the journal names it."""

    @property
    def listener(self) -> Listener:
        """It."""


@value
class ProcessFacts:
    """What a process uses of the machine."""

    cpu_seconds: float
    memory: int
    """Octets."""
    files: int
    started_at: float
    """Seconds since 1970."""


def process_facts(started_at: float) -> ProcessFacts:
    """Of this process; what the system does not tell is 0."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    try:
        memory = int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE
        files = len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208 - and not the one that reads
    except (OSError, IndexError, ValueError):
        memory = files = 0
    return ProcessFacts(used.ru_utime + used.ru_stime, memory, files, started_at)


def put_process(readings: Readings, name: str, facts: ProcessFacts) -> None:
    """Add what a process uses."""
    readings.put(catalogue.CPU_SECONDS, facts.cpu_seconds, name)
    readings.put(catalogue.MEMORY_OCTETS, facts.memory, name)
    readings.put(catalogue.OPEN_FILES, facts.files, name)
    readings.put(catalogue.STARTED_AT, facts.started_at, name)


def put_build(readings: Readings) -> None:
    """Add the versions."""
    import apsw

    from estafeta import __version__

    readings.put(catalogue.BUILD, 1, __version__, platform.python_version(), apsw.sqlite_lib_version())


def put_overload(readings: Readings, room: Room, pressure: Pressure) -> None:
    """Add what is refused and put off because there is too much."""
    readings.put(catalogue.CONNECTIONS_SHED, room.turned_away)
    readings.put(catalogue.MAIL_PUT_OFF, pressure.deferred)
    readings.put(catalogue.OVERLOADED, room.is_shut, "connections")
    readings.put(catalogue.OVERLOADED, pressure.is_overloaded, "mail")


def gathered(
    tallies: Tallies, listeners: Sequence[Served], commits: CommitTally | None, *, waiting: int, in_memory: int
) -> Readings:
    """What this process has counted, and stands at. `waiting` are changes, `in_memory` recipients."""
    readings = Readings()
    _put_listeners(readings, listeners, tallies)
    reception, access, relay = tallies.reception, tallies.access, tallies.relay
    readings.put_all(catalogue.SESSIONS, reception.sessions)
    readings.put_all(catalogue.SESSIONS, access.sessions)
    for code, number in tuple(reception.replies.items()):
        readings.put(catalogue.SMTP_REPLIES, number, str(code))
    for (verdict, reason), number in tuple(reception.decisions.items()):
        readings.put(catalogue.DECISIONS, number, verdict.value, reason.value)
    accepted = sum(reception.accepted.values())
    readings.put(catalogue.DECISIONS, accepted, Verdict.ACCEPT.value, Reason.ROUTED.value)
    readings.put_all(catalogue.MESSAGES_ACCEPTED, reception.accepted)
    readings.put(catalogue.MESSAGE_OCTETS_ACCEPTED, reception.octets)
    readings.put_all(catalogue.RECIPIENTS_ACCEPTED, reception.recipients)
    readings.put_histogram(catalogue.ACCEPTANCE_SECONDS, reception.commit_seconds)
    for reply, number in tuple(access.pop3_replies.items()):
        readings.put(catalogue.ACCESS_REPLIES, number, "pop3", reply)
    for reply, number in tuple(access.imap_replies.items()):
        readings.put(catalogue.ACCESS_REPLIES, number, "imap", reply)
    for command, number in tuple(access.commands.items()):
        readings.put(catalogue.IMAP_COMMANDS, number, command.upper())
    readings.put_all(catalogue.LOGINS, tallies.logins)
    readings.put_all(catalogue.ATTEMPTS, relay.attempts)
    for fate, ends in tuple(relay.ends.items()):
        readings.put_histogram(catalogue.QUEUE_SECONDS, ends, fate)
    readings.put_all(catalogue.DNS_QUESTIONS, tallies.dns)
    readings.put(catalogue.QUEUE_IN_MEMORY, in_memory)
    if commits is not None:
        readings.put(catalogue.COMMITS, commits.sizes.number, "ok")
        readings.put(catalogue.COMMITS, commits.failures, "failed")
        readings.put_histogram(catalogue.COMMIT_CHANGES, commits.sizes)
        readings.put_histogram(catalogue.COMMIT_SECONDS, commits.seconds)
        readings.put(catalogue.STORE_WAITING, waiting)
    readings.put_histogram(catalogue.LOOP_LAG_SECONDS, tallies.loop.lag)
    readings.put(catalogue.LOOP_HELD, tallies.loop.held)
    return readings


def _put_listeners(readings: Readings, listeners: Sequence[Served], tallies: Tallies) -> None:
    for each in listeners:
        readings.put(catalogue.CONNECTIONS, each.listener.connections, each.name)
    for name, tally in tuple(tallies.listeners.items()):
        readings.put(catalogue.CONNECTIONS_TAKEN, tally.taken, name)
        readings.put(catalogue.CONNECTIONS_REFUSED, tally.refused, name)
        readings.put(catalogue.OCTETS, tally.received, name, "received")
        readings.put(catalogue.OCTETS, tally.sent, name, "sent")
