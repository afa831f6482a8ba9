"""A mount namespace for servers whose paths and users are compiled in: nothing of the system's is changed.

The server sees an /etc of its own, with its users and a resolver that never leaves the machine; the files of its
packages as if they were installed; and folders of its own in the place of those that it insists on.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

FIRST_ID = 64100
"""Of the first user; the next ones follow."""
NOTHING: Mapping[str, Path] = {}


def isolated(
    folder: Path,
    users: Sequence[str],
    command: Sequence[str],
    places: Mapping[str, Path] = NOTHING,
    *,
    packages: Sequence[Path] = (),
) -> list[str]:
    """The command that starts another one so.

    `places` are folders by the path at which the server sees them, `packages` those of unpacked packages.
    """
    etc = folder / "etc"
    if not etc.exists():
        shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
        for each in packages:
            if (each / "etc").is_dir():
                shutil.copytree(each / "etc", etc, symlinks=True, dirs_exist_ok=True)
        for name, rest in (("passwd", "{0}::/nonexistent:/usr/sbin/nologin"), ("group", "")):
            # In front, as the first of two counts where the system has such a user, too.
            own = (f"{user}:x:{each}:{rest.format(each)}\n" for each, user in enumerate(users, FIRST_ID))
            (etc / name).write_text("".join(own) + (etc / name).read_text())
        (etc / "resolv.conf").unlink(missing_ok=True)
        (etc / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    binds = [*((str(own), seen) for seen, own in places.items()), (str(etc), "/etc")]
    script = "".join(f"mount --bind '{own}' '{seen}'\n" for own, seen in binds)
    if packages:
        layers = ":".join(str(each / "usr") for each in packages)
        script += f"mount -t overlay overlay -o 'lowerdir={layers}:/usr' /usr\n"
    script += 'exec "$@"\n'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", *command]
