"""The composition root: settings become wired objects that run, re-read, drain and stop."""

from __future__ import annotations

from estafeta.app.crew import Commands
from estafeta.app.indexing import index_behind, index_now
from estafeta.app.office import ListenFailed, PostOffice, environment, new_event_loop, tidy_journal
from estafeta.app.serving import run

__all__ = [
    "Commands",
    "ListenFailed",
    "PostOffice",
    "environment",
    "index_behind",
    "index_now",
    "new_event_loop",
    "run",
    "tidy_journal",
]
