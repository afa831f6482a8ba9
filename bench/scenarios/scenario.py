"""What is measured: a scenario has cases, and gives figures for each case and server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.loads.source import Mode
from bench.peers.peer import Purpose, Running

KIB = 1024
SIZES = (1 * KIB, 10 * KIB, 100 * KIB, 5 * KIB * KIB)
SESSIONS = (1, 10, 50, 200, 1000)

Figures = Mapping[str, float]
"""By name: `rate` in messages a second or `ms`; `cpu_us` of a message, `later_us` what it costs after its answer;
`peak_mib`; `messages` that were sent for it, which is not kept."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """What the command line asks for; None and empty: as the scenario has it."""

    is_full: bool = False
    sizes: tuple[int, ...] = ()
    sessions: tuple[int, ...] = ()
    modes: tuple[Mode, ...] = ()
    messages: int | None = None
    seconds: float = 2.0
    """How long a load goes on, about, where it may be long or short."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of a table."""

    title: str
    size: int = KIB
    sessions: int = 50
    mode: Mode = "kept"
    number: int = 0
    """What grows, where something does."""
    rank: int = 1
    """1: of each run; more: of full runs only, and the more, the later."""


class Scenario(ABC):
    """See the module."""

    name: str
    title: str
    purpose: Purpose
    explanation: str
    figure = "rate"
    """The one that is compared."""
    has_ratio = True
    """Whether an aim is a ratio to the best of the others."""
    peers: tuple[str, ...] = ("Estafeta", "Postfix", "Exim", "OpenSMTPD", "Haraka", "aiosmtpd")
    once: tuple[str, ...] = ()
    """Servers that are measured in the first round only."""
    needs_next_host = False
    needs_tls = False
    is_numbered = False
    """Whether each message goes to another of a hundred mailboxes."""
    start_seconds = 12.0
    """How long the start of all servers takes, about."""

    @abstractmethod
    def cases(self, matrix: Matrix) -> Sequence[Case]:
        """The lines."""

    @abstractmethod
    def measure(self, case: Case, running: Running, matrix: Matrix) -> Figures:
        """Once. Raises LoadFailed, LeftOut, OSError."""

    def begin(self, running: Running, matrix: Matrix) -> None:  # noqa: B027 - most need nothing
        """After a server was started for a round."""

    def seconds(self, case: Case, matrix: Matrix) -> float:
        """How long a figure takes, about: one that would not end in time is not begun."""
        return 2 * matrix.seconds


def size_title(size: int) -> str:
    """As people say it."""
    return f"{size // KIB} KiB" if size < KIB * KIB else f"{size // KIB // KIB} MiB"
