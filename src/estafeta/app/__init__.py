"""The composition root: settings become wired objects that run, re-read, drain and stop."""

from __future__ import annotations

from estafeta.app.crew import Commands, end_with_parent
from estafeta.app.office import ListenFailed, PostOffice, environment, new_event_loop, run, tidy_journal

__all__ = [
    "Commands",
    "ListenFailed",
    "PostOffice",
    "end_with_parent",
    "environment",
    "new_event_loop",
    "run",
    "tidy_journal",
]
