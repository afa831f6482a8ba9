"""Files and folders that only their owner can open, whatever the umask is; and what contents are kept in, `Files`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Protocol


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, with mode 0700; one that is there gets that mode."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def open_private(path: Path, *, is_new: bool = False) -> int:
    """Open or make a file with mode 0600 for reading and writing; `is_new`: it must not be there yet."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_EXCL if is_new else 0)
    descriptor = os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


def sync_folder(path: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Files(Protocol):
    """What large contents ask of a file system; every method raises OSError."""

    def make_folder(self, path: Path) -> None:
        """See the function of this name."""

    def create(self, path: Path) -> BinaryIO:
        """Make a file that is not there yet, without a buffer, for its owner alone."""

    def sync(self, file: BinaryIO) -> None:
        """Make what was written to it durable."""

    def sync_folder(self, path: Path) -> None:
        """Make names in a folder durable."""

    def rename(self, path: Path, target: Path) -> None:
        """Give a file another name, for what has that name."""

    def remove(self, path: Path) -> None:
        """Take a file away; nothing where there is none."""

    def open(self, path: Path) -> BinaryIO:
        """Open a file for reading, without a buffer."""


class SystemFiles:
    """Those of the system."""

    def make_folder(self, path: Path) -> None:
        """See Files."""
        make_folder(path)

    def create(self, path: Path) -> BinaryIO:
        """See Files."""
        return os.fdopen(open_private(path, is_new=True), "w+b", buffering=0)

    def sync(self, file: BinaryIO) -> None:
        """See Files."""
        os.fsync(file.fileno())

    def sync_folder(self, path: Path) -> None:
        """See Files."""
        sync_folder(path)

    def rename(self, path: Path, target: Path) -> None:
        """See Files."""
        path.rename(target)

    def remove(self, path: Path) -> None:
        """See Files."""
        path.unlink(missing_ok=True)

    def open(self, path: Path) -> BinaryIO:
        """See Files."""
        return path.open("rb", buffering=0)
