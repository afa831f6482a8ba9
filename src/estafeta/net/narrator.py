"""Whom a line of the log is about: the session, or the attempt, whose task writes it.

A task says once who it speaks of; only when a line is written is it asked for the facts. Tasks inherit that from the
task that starts them, so a task of the house says that it speaks of nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Protocol


class Narrator(Protocol):
    """Whatever lines can be about."""

    def log_facts(self) -> Mapping[str, object]:
        """What identifies it: `session`, `account`, `peer`, `listener`, `message`... No secrets; may not fail."""


_spoken_of: ContextVar[Narrator | None] = ContextVar("estafeta_narrator", default=None)


def speak_of(narrator: Narrator | None) -> None:
    """Lines that this task, and those that it starts, write from now on are about it; None for nobody."""
    _spoken_of.set(narrator)


def facts() -> Mapping[str, object]:
    """What the lines of this task are about."""
    narrator = _spoken_of.get()
    return {} if narrator is None else narrator.log_facts()
