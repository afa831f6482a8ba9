"""SQLite's way to a disk that can lose power: the usual file system beneath, so that locks and memory are the usual."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from estafeta.simulation.disk_image import FileImage

if TYPE_CHECKING:
    from estafeta.simulation.disk import Disk


class PowerLost(apsw.IOError):
    """Nothing works any more."""


class DiskVfs(apsw.VFS):
    """Registered under the disk's `vfs`."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__(disk.vfs, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        """Open through the usual file system; what has no name is temporary, and nothing of it need be known."""
        if self._disk.is_off:
            raise PowerLost("the power is off")
        if not name:
            return apsw.VFSFile("", name, flags)
        kind = _ReadOnlyFile if flags[0] & apsw.SQLITE_OPEN_READONLY else _DiskVfsFile
        return kind(self._disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        """Remove a file; without `syncdir` it may come back."""
        disk = self._disk
        is_last = disk.operate("write", disk.generation)
        octets = Path(filename).read_bytes() if os.path.exists(filename) else None  # noqa: PTH110
        super().xDelete(filename, syncdir)
        if octets is not None:
            disk.removed(filename, octets)
        if syncdir:
            disk.names_are_safe(os.path.dirname(filename))  # noqa: PTH120
        if is_last:
            disk.fail()


class _DiskVfsFile(apsw.VFSFile):
    """One file that SQLite has open."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._disk = disk
        self._generation = disk.generation
        self._folder = os.path.dirname(path)  # noqa: PTH120
        was_there = os.path.exists(path)  # noqa: PTH110
        super().__init__("", name, flags)
        file = disk.file(path) if was_there else None
        if file is None:
            file = FileImage(Path(path).read_bytes(), is_named=was_there)
            disk.know(path, file)
        self._file = file

    def xRead(self, amount: int, offset: int) -> bytes:
        """As usual."""
        self._disk.look(self._generation)
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:
        """As usual, and not safe."""
        disk = self._disk
        is_last = disk.operate("write", self._generation)
        octets = bytes(data)
        if disk.is_full or disk.room is not None:
            growth = offset + len(octets) - super().xFileSize()
            if growth > 0 and disk.grant(growth) < growth:
                raise apsw.FullError("the disk is full")
        super().xWrite(octets, offset)
        self._file.pending.append((offset, octets))
        if is_last:
            disk.fail()

    def xTruncate(self, newsize: int) -> None:
        """As usual, and not safe."""
        disk = self._disk
        is_last = disk.operate("write", self._generation)
        super().xTruncate(newsize)
        self._file.pending.append((newsize, None))
        if is_last:
            disk.fail()

    def xSync(self, flags: int) -> None:
        """What was written is safe; where it fails, it may never be."""
        disk, file = self._disk, self._file
        try:
            is_last = disk.operate("sync", self._generation)
        except PowerLost:
            raise
        except apsw.IOError:
            file.fail_sync(disk.chance)
            raise
        if not disk.forgets_syncs:
            if not file.is_named:
                disk.names_are_safe(self._folder)
            file.sync()
        if is_last:
            disk.fail()


class _ReadOnlyFile(_DiskVfsFile):
    """One that is only read."""

    def xLock(self, level: int) -> None:
        """As usual; the lock that SQLite asks for when the last connection is closed cannot be had.

        The usual file system fails there, which SQLite overlooks; in Python closing would raise that.
        """
        if level > apsw.SQLITE_LOCK_SHARED:
            raise apsw.BusyError("it is only read")
        super().xLock(level)
