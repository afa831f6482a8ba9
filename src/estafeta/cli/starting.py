"""How commands that stay running are read in: without what they never use, and without searching for garbage."""

from __future__ import annotations

import gc
import sys
from types import ModuleType


def begin() -> None:
    """Call this before `estafeta.app` is imported, and switch the search for garbage on again afterwards.

    What is made meanwhile stays, and looking through it again and again is a tenth of the start.
    """
    gc.disable()
    _import_structlog()


def _import_structlog() -> None:
    """Without what it would draw faults with on a terminal: Rich, attrs and Pygments are a tenth of the start, 4 MiB.

    Our log lines are rendered by ourselves. That None in `sys.modules` hides a module is documented by Python.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    if "rich" in modules:
        return
    modules["rich"] = None
    try:
        import structlog  # noqa: F401
    finally:
        del modules["rich"]
