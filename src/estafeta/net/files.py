"""The limit of open files, which is one of connections too: raised as far as the system lets us, and kept below."""

from __future__ import annotations

import contextlib
import resource
from typing import Final

# What a server opens beside the connections of its clients: the store's files and readers, connections that go out,
# contents on their way.
_RESERVED: Final = 256


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one; gives what it is then.

    Once at the start of a process: the soft limit is low for programs that use select(), and nothing here does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # systems that have no more than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def connections_within() -> int:
    """How many connections of clients there are files for, one at least."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        soft = 2**31
    return max(soft - _RESERVED, 1)
