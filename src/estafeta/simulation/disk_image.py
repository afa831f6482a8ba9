"""What is known of a file on a disk that can lose power: the octets that are safe, and what came after them.

A disk writes sectors whole, in any order; what was written since the last sync is there, lost or torn.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

SECTOR = 512
"""Octets that a disk writes whole or not at all (SQLite supposes the same: powersafe overwrite)."""
_LOSE_ALL = 0.2
"""How often nothing of what was not synced is there."""
_LOSE_NONE = 0.2
_LOST = 0.4
"""How often one write is lost, where some are."""
_TORN = 0.4
"""How often one that is not lost is torn."""
_HOLE = 0.25
"""How often a file has grown, but what made it grow is lost."""


class FileImage:
    """See the module. A file that is not `is_named` may be gone altogether."""

    __slots__ = ("durable", "is_lossy", "is_named", "pending")

    def __init__(self, durable: bytes, *, is_named: bool) -> None:
        self.durable = bytearray(durable)
        self.pending: list[tuple[int, bytes | None]] = []
        """Offset and octets; with None the file was cut to that size."""
        self.is_named = is_named
        """Its name is safe, too."""
        self.is_lossy = False
        """A sync failed: what is read is more than the disk has."""

    def sync(self) -> None:
        """All of it is safe, the name of a new file too: SQLite syncs the folder then, and so does ext4."""
        for offset, octets in self.pending:
            _apply(self.durable, offset, octets)
        self.pending.clear()
        self.is_named = True

    def fail_sync(self, chance: random.Random) -> None:
        """What was not safe may or may not be, and a later sync does not bring it back, as on Linux."""
        self.durable = bytearray(self.after_power_loss(chance))
        self.is_lossy = self.is_lossy or bool(self.pending)
        self.pending.clear()

    def after_power_loss(self, chance: random.Random) -> bytes:
        """What a disk may hold: of what was not synced each sector may be there, in any order."""
        image = bytearray(self.durable)
        manner = chance.random()
        is_some = manner >= _LOSE_ALL + _LOSE_NONE
        largest = len(image)
        for offset, octets in self.pending:
            largest = max(largest, offset + len(octets or b""))
            if manner < _LOSE_ALL or (is_some and chance.random() < _LOST):
                continue
            if octets is None or not is_some or chance.random() >= _TORN:
                _apply(image, offset, octets)
                continue
            at = 0
            while at < len(octets):
                end = at + SECTOR - (offset + at) % SECTOR
                if chance.random() < 0.5:
                    _apply(image, offset + at, octets[at:end])
                at = end
        if is_some and chance.random() < _HOLE and len(image) < largest:
            image.extend(bytes(largest - len(image)))
        return bytes(image)


def _apply(image: bytearray, offset: int, octets: bytes | None) -> None:
    if len(image) < offset:
        image.extend(bytes(offset - len(image)))
    if octets is None:
        del image[offset:]
    else:
        image[offset : offset + len(octets)] = octets


class NameChange:
    """One change of names that is not safe yet: made (the default), moved or removed."""

    __slots__ = ("before", "folder", "is_new", "path", "removed")

    def __init__(self, path: str, *, before: str = "", is_new: bool = True, removed: FileImage | None = None) -> None:
        self.path = path
        self.folder = os.path.dirname(path)  # noqa: PTH120
        self.before = before
        """What it was called."""
        self.is_new = is_new
        """Without this change there is no such file, or there may be none."""
        self.removed = removed

    def undo(self, chance: random.Random) -> None:
        """It did not get to the disk."""
        path = Path(self.path)
        if self.removed is not None:
            if path.parent.is_dir() and not path.exists():
                path.write_bytes(self.removed.after_power_loss(chance))
                path.chmod(0o600)
        elif self.before and not (self.is_new and chance.random() < 0.5):
            if path.exists() and Path(self.before).parent.is_dir():
                path.rename(self.before)
        elif not path.is_dir():
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path)
