"""A disk that can lose power: what was not synced is then there, lost or torn, as chance has it.

Real files in a folder, written through a SQLite file system of their own (the database and its WAL) and through
`DiskFiles` (large contents). Of each file the image is kept that is safe, and what was written since, in units that a
disk writes whole; of each folder the names that are not safe yet. SQLite's shared memory is memory: it is gone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import apsw

from estafeta.simulation.disk_files import DiskFiles
from estafeta.simulation.disk_image import FileImage, NameChange
from estafeta.simulation.disk_vfs import DiskVfs, PowerLost

__all__ = ["Disk", "PowerLost"]

_MOST_REMOVED = 64
"""Files that were removed and may come back: their octets are kept."""


class Disk:
    """One machine's disk, below a folder (its real path). `vfs` and `files` are the ways to it."""

    def __init__(self, folder: Path, chance: random.Random, name: str) -> None:
        self.folder = folder
        self.chance = chance
        self.operations = 0
        """Writes, syncs and changes of names so far."""
        self.is_off = False
        self.is_full = False
        """What makes a file larger fails."""
        self.room: int | None = None
        """Octets by which files may still grow; None: as many as they like. What is removed gives none back."""
        self.forgets_syncs = False
        """A planted fault: what is synced is not safe."""
        self.forgets_folder_syncs = False
        """The same for names."""
        self.on_power_lost: Callable[[], None] = lambda: None
        """Called when power is lost at an operation, in the midst of it."""
        self.generation = 0
        """Who opened a file in an earlier one is dead."""
        self.has_fault = False
        """Some operation is going to fail."""
        self._files: dict[str, FileImage] = {}
        self._names: dict[str, NameChange] = {}
        self._power_countdown = 0
        self._fault_countdown = 0
        self._fault = ""
        self.vfs = f"disk-{name}"
        """The name of the SQLite file system."""
        self._vfs = DiskVfs(self)

    @property
    def files(self) -> DiskFiles:
        """Its files, for those who live now."""
        return DiskFiles(self)

    # What happens to it.

    def lose_power_at(self, number: int) -> None:
        """At the operation of this number from now, before or after it; in the midst of it is the same as before."""
        self._power_countdown = max(1, number)

    def fail_next(self, number: int, kind: str) -> None:
        """The "read", "write" or "sync" of this number from now fails; a change of names is a write."""
        self._fault_countdown, self._fault, self.has_fault = max(1, number), kind, True

    def heal(self) -> None:
        """There is room, and nothing fails."""
        self.is_full = self.has_fault = False
        self.room = None
        self._power_countdown = self._fault_countdown = 0

    def cut_off(self) -> None:
        """Whoever uses it is dead: nothing more comes from there. What was written is in the system's memory."""
        self.is_off = True
        self.generation += 1

    def lose_power(self) -> None:
        """What is not safe is left to chance; everything that had files open must have closed them."""
        self.cut_off()
        self._power_countdown = self._fault_countdown = 0
        self.has_fault = False
        for text, file in self._files.items():
            path = Path(text)
            if not path.exists():
                continue
            if not file.is_named and self.chance.random() < 0.5:
                path.unlink()
                continue
            with path.open("r+b") as real:
                real.truncate(0)
                real.write(file.after_power_loss(self.chance))
        self._files.clear()
        for name in reversed(self._names.values()):
            if self.chance.random() < 0.5:
                name.undo(self.chance)
        self._names.clear()
        for memory in self.folder.rglob("*-shm"):
            memory.unlink()

    def power_on(self) -> None:
        """It can be used again."""
        self.is_off = False

    def close(self) -> None:
        """Nobody uses it any more."""
        self._vfs.unregister()

    # What the ways to it ask.

    def operate(self, kind: str, generation: int) -> bool:
        """Before each operation; True: power is lost when it is done. Raises PowerLost and faults."""
        if self.is_off or generation != self.generation:
            raise PowerLost("the power is off")
        if self.has_fault:
            self.try_fault(kind)
        self.operations += 1
        if self._power_countdown:
            self._power_countdown -= 1
            if not self._power_countdown:
                if self.chance.random() < 0.5:
                    self.fail()
                return True
        return False

    def look(self, generation: int) -> None:
        """Before each read. Raises PowerLost and faults."""
        if self.is_off or generation != self.generation:
            raise PowerLost("the power is off")
        if self.has_fault:
            self.try_fault("read")

    def try_fault(self, kind: str) -> None:
        """Before each operation while there is a fault: it may be its turn. Raises apsw.IOError."""
        if kind == self._fault:
            self._fault_countdown -= 1
            if not self._fault_countdown:
                self.has_fault = False
                raise apsw.IOError(f"{kind} failed")

    def fail(self) -> None:
        """The power is off from now on."""
        self.is_off = True
        self.on_power_lost()
        raise PowerLost("the power is off")

    def grant(self, octets: int) -> int:
        """By how many of so many octets a file can grow."""
        if self.is_full:
            return 0
        if self.room is None:
            return octets
        granted = min(octets, self.room)
        self.room -= granted
        return granted

    def file(self, path: str) -> FileImage | None:
        """What is known of a file, if anything is: all of it is safe otherwise."""
        return self._files.get(path)

    def know(self, path: str, file: FileImage) -> None:
        """Something of a file may not be safe from now on."""
        self._files[path] = file

    def name_changed(self, change: NameChange) -> None:
        """A name is not safe yet."""
        self._names.pop(change.path, None)  # so that the latest change is the last
        self._names[change.path] = change
        if change.removed is not None:
            removed = [path for path, each in self._names.items() if each.removed is not None]
            if len(removed) > _MOST_REMOVED:
                del self._names[removed[0]]

    def renamed(self, path: str, target: str) -> None:
        """A file has another name, which is not safe yet."""
        file = self._files.pop(path, None)
        if file is not None:
            self._files[target] = file
        change = self._names.pop(path, None)
        self.name_changed(NameChange(target, before=path, is_new=change is not None and change.removed is None))

    def removed(self, path: str, octets: bytes) -> None:
        """A file has no name any more, which is not safe yet."""
        file = self._files.pop(path, None) or FileImage(octets, is_named=True)
        self.name_changed(NameChange(path, removed=file))

    def names_are_safe(self, folder: str) -> None:
        """The names in a folder are, from now on."""
        if self.forgets_folder_syncs:
            return
        for change in [each for each in self._names.values() if each.folder == folder]:
            del self._names[change.path]
            file = self._files.get(change.path)
            if change.removed is None and file is not None and not file.pending and not file.is_lossy:
                del self._files[change.path]  # nothing need be known of it any more
