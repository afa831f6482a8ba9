"""A mount namespace for servers whose paths and users are compiled in: nothing of the system's is changed.

The server sees an /etc of its own, with its users and a resolver that never leaves the machine, and folders of its own
in the place of those that it insists on.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

FIRST_ID = 64100


def isolated(folder: Path, users: Sequence[str], command: Sequence[str], places: Mapping[str, Path]) -> list[str]:
    """The command that starts another one so; `places` are folders by the path at which the server sees them."""
    etc = folder / "etc"
    if not etc.exists():
        shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
        with (etc / "passwd").open("a") as passwd, (etc / "group").open("a") as group:
            for number, user in enumerate(users, FIRST_ID):
                passwd.write(f"{user}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n")
                group.write(f"{user}:x:{number}:\n")
        (etc / "resolv.conf").unlink(missing_ok=True)
        (etc / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    binds = [*((str(own), seen) for seen, own in places.items()), (str(etc), "/etc")]
    script = "".join(f"mount --bind '{own}' '{seen}'\n" for own, seen in binds) + 'exec "$@"\n'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", *command]
