"""The way of large contents to a disk that can lose power; see `store.files.Files`."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import apsw

from estafeta.simulation.disk_image import FileImage, NameChange
from estafeta.simulation.disk_vfs import PowerLost
from estafeta.store.files import make_folder, open_private

if TYPE_CHECKING:
    from estafeta.simulation.disk import Disk


class DiskFiles:
    """See the module. It dies with who got it: every method raises OSError from then on."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._generation = disk.generation

    def operate(self, kind: str) -> bool:
        """See Disk; raises OSError."""
        try:
            return self._disk.operate(kind, self._generation)
        except apsw.IOError as error:
            raise OSError(errno.EIO, str(error)) from error

    def end(self, is_last: bool) -> None:
        """After each operation; raises OSError where power is lost now."""
        if is_last:
            try:
                self._disk.fail()
            except PowerLost as error:
                raise OSError(errno.EIO, str(error)) from error

    def make_folder(self, path: Path) -> None:
        """See Files."""
        is_last = self.operate("write")
        if not path.is_dir():
            make_folder(path)
            self._disk.name_changed(NameChange(str(path)))
        self.end(is_last)

    def create(self, path: Path) -> BinaryIO:
        """See Files."""
        disk = self._disk
        is_last = self.operate("write")
        descriptor = open_private(path, is_new=True)
        known = FileImage(b"", is_named=True)  # its name is a change of names
        disk.know(str(path), known)
        disk.name_changed(NameChange(str(path)))
        file = _ContentFile(disk, self, descriptor, known)
        try:
            self.end(is_last)
        except OSError:
            file.close()
            raise
        return cast(BinaryIO, file)

    def sync(self, file: BinaryIO) -> None:
        """See Files."""
        disk, known = self._disk, cast(_ContentFile, file).known
        try:
            is_last = self.operate("sync")
        except OSError:
            if not disk.is_off:
                known.fail_sync(disk.chance)
            raise
        if not disk.forgets_syncs:
            known.sync()
        self.end(is_last)

    def sync_folder(self, path: Path) -> None:
        """See Files."""
        is_last = self.operate("sync")
        self._disk.names_are_safe(str(path))
        self.end(is_last)

    def rename(self, path: Path, target: Path) -> None:
        """See Files."""
        is_last = self.operate("write")
        path.rename(target)
        self._disk.renamed(str(path), str(target))
        self.end(is_last)

    def remove(self, path: Path) -> None:
        """See Files."""
        is_last = self.operate("write")
        try:
            octets = path.read_bytes()
            path.unlink()
        except FileNotFoundError:
            pass
        else:
            self._disk.removed(str(path), octets)
        self.end(is_last)

    def open(self, path: Path) -> BinaryIO:
        """See Files."""
        try:
            self._disk.look(self._generation)
        except apsw.IOError as error:
            raise OSError(errno.EIO, str(error)) from error
        return path.open("rb", buffering=0)


class _ContentFile(io.FileIO):
    """A content that is being written, from its beginning to its end."""

    def __init__(self, disk: Disk, files: DiskFiles, descriptor: int, known: FileImage) -> None:
        super().__init__(descriptor, "w+")
        self._disk = disk
        self._files = files
        self.known = known
        self._written = 0

    def write(self, octets: Any) -> int:
        """As usual, and not safe; on a disk that is nearly full a part of it."""
        is_last = self._files.operate("write")
        granted = self._disk.grant(len(octets))
        if granted == 0 and len(octets):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = super().write(octets[:granted])
        self.known.pending.append((self._written, bytes(octets[:count])))
        self._written += count
        self._files.end(is_last)
        return count
