"""Becomes a gateway's command: takes on its user and limits, then runs it in its own place.

Started as a script of its own by the `command` module, in a session of its own, with `python -I -S`: between a fork
and an exec no Python may run in a server with threads, and no program of the system sets all of this without a shell.
Arguments: user id, group id, the other groups with commas (or `-` for all three: stay who we are), umask, four
limits in the order of `LIMITS`, then program and arguments.
"""

from __future__ import annotations

import os
import resource
import signal
import sys

LIMITS = (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
EX_TEMPFAIL = 75


def _launch(uid: str, gid: str, groups: str, umask: str, *rest: str) -> None:
    limits, command = rest[: len(LIMITS)], rest[len(LIMITS) :]
    # Python ignores these, and what is ignored stays ignored through an exec.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.umask(int(umask))
    os.chdir("/")
    if uid != "-":
        os.setgroups([int(group) for group in groups.split(",")])
        os.setgid(int(gid))
        os.setuid(int(uid))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for limit, text in zip(LIMITS, limits, strict=True):
        if value := int(text):
            _, hard = resource.getrlimit(limit)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(limit, (value, value))
    os.execv(command[0], command)  # noqa: S606 - this is the purpose


if __name__ == "__main__":
    try:
        _launch(*sys.argv[1:])
    except OSError as error:
        print(f"4.3.5 the gateway's command cannot be run ({(error.strerror or str(error)).lower()})", flush=True)
    os._exit(EX_TEMPFAIL)
