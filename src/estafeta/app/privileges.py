"""The rights of root, and how they are given up for good: after the ports are bound and the key is read.

Giving up is one way: all three user and group ids, the further groups, the capabilities, and with no_new_privs the
ways back over programs that are set-user-id. What was given up is looked at afterwards, in every thread.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
from contextlib import suppress
from pathlib import Path
from typing import Final

from estafeta.config.owner import Owner
from estafeta.config.settings import Settings

KEY_VARIABLE: Final = "ESTAFETA_KEY"
"""The descriptor of the key and the path that it was read from, for our other processes: `7:/etc/estafeta/key.pem`."""

# <linux/prctl.h>
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_LOOKED_AT: Final = 2000
"""Files of the data directory whose owner is looked at; the rest belongs to whom these do."""


class PrivilegeFault(Exception):
    """The server cannot run as the user that the settings name. The text is for the operator."""


def make_ready(data: Path, owner: Owner) -> None:
    """Make the data directory where there is none, and see that all in it belongs to the owner.

    Raises PrivilegeFault that says what to run.
    """
    try:
        if not data.exists():
            data.mkdir(mode=0o700, parents=True)
            os.chown(data, owner.user, owner.group)
        strange = _of_others(data, owner.user)
    except OSError as error:
        raise PrivilegeFault(f"{data}: {error.strerror}") from error
    if strange is not None:
        raise PrivilegeFault(
            f"{strange} does not belong to {owner.name}; run: chown -R {owner.name}:{_group_name(owner.group)} {data}"
        )


def _of_others(data: Path, user: int) -> Path | None:
    """A file of another user in the folder, of those that are looked at."""
    looked_at = 0
    folders = [data]
    if data.stat().st_uid != user:
        return data
    while folders:
        with os.scandir(folders.pop(0)) as entries:
            for entry in entries:
                if entry.stat(follow_symlinks=False).st_uid != user:
                    return Path(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                looked_at += 1
                if looked_at >= _LOOKED_AT:
                    return None
    return None


def _group_name(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)


def become(owner: Owner) -> None:
    """Give up the rights of root for good, and see that they are gone. Raises PrivilegeFault.

    For a process that is the owner already it does nothing; what is neither root nor the owner cannot become him.
    """
    if os.geteuid() == owner.user:
        return
    if os.geteuid() != 0:
        raise PrivilegeFault(
            f"started as {_name_of(os.geteuid())}, it cannot become {owner.name}: start it as root or as {owner.name}"
        )
    try:
        os.setgroups(owner.groups)
        os.setresgid(owner.group, owner.group, owner.group)
        os.setresuid(owner.user, owner.user, owner.user)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    except OSError as error:
        raise PrivilegeFault(f"the rights of root cannot be given up: {error.strerror}") from error
    _look_back(owner)


def _look_back(owner: Owner) -> None:
    """See that there is no way back. Raises PrivilegeFault."""
    for attempt in (os.setuid, os.seteuid, os.setgid, os.setegid):
        with suppress(PermissionError):
            attempt(0)
            raise PrivilegeFault("the rights of root came back after they were given up")
    for task in Path("/proc/self/task").iterdir():
        facts = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        wanted = {
            "Uid": "\t".join([str(owner.user)] * 4),
            "Gid": "\t".join([str(owner.group)] * 4),
            "CapPrm": "0" * 16,
            "CapEff": "0" * 16,
            "CapAmb": "0" * 16,
            "NoNewPrivs": "1",
        }
        for name, value in wanted.items():
            if facts.get(name, value).strip() != value:
                raise PrivilegeFault(f"a thread kept rights of root: {name} is {facts[name].strip()}")


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def seal() -> None:
    """What this process makes is its own: files are private, and its memory, with mail and passwords, goes nowhere.

    No core dumps, and no other process of the same user may look into it; root still may.
    """
    os.umask(0o077)
    with suppress(OSError):
        _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):  # not Linux
        return
    if prctl(option, *(ctypes.c_ulong(each) for each in (value, 0, 0, 0))):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class HeldKey:
    """The private key of `[tls]`, read while that could be done, for a process that may not read the file any more."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        """A file in memory, which is handed to the other processes too."""

    @classmethod
    def read(cls, path: Path) -> HeldKey:
        """Read the key. Raises OSError."""
        octets = path.read_bytes()
        descriptor = os.memfd_create("key", os.MFD_CLOEXEC)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(octets)
        os.fchmod(descriptor, 0o444)
        return cls(path, descriptor)

    @classmethod
    def inherited(cls) -> HeldKey | None:
        """What our first process has handed on; None where it has not."""
        descriptor, colon, path = os.environ.pop(KEY_VARIABLE, "").partition(":")
        if not colon or not descriptor.isdecimal():
            return None
        os.set_inheritable(int(descriptor), False)
        return cls(Path(path), int(descriptor))

    @property
    def variable(self) -> dict[str, str]:
        """What another process of ours is told."""
        return {KEY_VARIABLE: f"{self.descriptor}:{self.path}"}

    def put_into(self, settings: Settings) -> Settings:
        """The settings with the held key in the place of a file that cannot be read."""
        tls = settings.tls
        if tls is None or tls.key != self.path or os.access(tls.key, os.R_OK, effective_ids=True):
            return settings
        held = Path(f"/proc/self/fd/{self.descriptor}")
        return settings.model_copy(update={"tls": tls.model_copy(update={"key": held})})
