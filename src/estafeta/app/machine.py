"""What this machine has left for this process: memory, open files, by what the kernel says of it."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def memory_share(limit: int, *, groups: Path = _CONTROL_GROUPS, process: Path = Path("/proc/self")) -> float:
    """Which part of the memory that may be had is in use; 0.0 where nothing limits it.

    With a `limit` in octets this process counts alone; with 0 the control groups (version 2) that it is in decide, of
    which what the kernel can give back at once (memory.stat: inactive_file) is not counted.
    """
    if limit:
        with suppress(OSError, ValueError, IndexError):
            return int((process / "statm").read_text().split()[1]) * _PAGE / limit
        return 0.0
    return max((_group_share(group) for group in _groups(groups, process)), default=0.0)


def _groups(root: Path, process: Path) -> list[Path]:
    """The control group of the process, and those above it."""
    try:
        lines = (process / "cgroup").read_text().splitlines()
    except OSError:
        return []
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if own is None:
        return []
    parts = [part for part in own.split("/") if part not in ("", "..")]
    return [root.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]


def _group_share(group: Path) -> float:
    try:
        most = int((group / "memory.max").read_text())  # "max" where there is none
        current = int((group / "memory.current").read_text())
        facts = dict(line.split(" ", 1) for line in (group / "memory.stat").read_text().splitlines())
        return max(0, current - int(facts.get("inactive_file", "0"))) / most if most else 0.0
    except (OSError, ValueError):
        return 0.0


def files_left() -> int:
    """How many more files can be opened: the lowest number that is free says it, as the kernel gives that first."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        descriptor = os.open("/", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    os.close(descriptor)
    return soft - descriptor if soft != resource.RLIM_INFINITY else 2**31
