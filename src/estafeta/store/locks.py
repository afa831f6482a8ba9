"""What the processes on one data directory agree on through locked files (flock, so a dead process lets go).

Whose turn it is to write, which worker number is whose, and whether one is alone.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from estafeta.store.errors import StoreError
from estafeta.store.files import open_private
from estafeta.store.ids import MAX_WORKERS


class LockFile:
    """One file to lock, made with mode 0600."""

    def __init__(self, path: Path) -> None:
        self._descriptor = open_private(path)

    def lock(self) -> None:
        """Wait for the lock, for oneself alone."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def share(self) -> None:
        """Wait for the lock, shared with others that share."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def try_lock(self) -> bool:
        """Take the lock for oneself alone if nobody has it."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        """Let go."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go for good."""
        os.close(self._descriptor)


class WriteLock:
    """Gives the processes turns at writing.

    One lock alone would be unfair: a busy process that lets go and asks again at once mostly wins. So there
    is a turnstile before it: who waits for the lock stands in the turnstile, and the busy process, coming
    back, has to wait outside until the other has got the lock. Nobody polls.
    """

    def __init__(self, folder: Path) -> None:
        self._turnstile = LockFile(folder / "turnstile")
        self._writing = LockFile(folder / "write")

    def acquire(self) -> None:
        """Wait for one's turn."""
        self._turnstile.lock()
        try:
            self._writing.lock()
        finally:
            self._turnstile.unlock()

    def release(self) -> None:
        """End one's turn."""
        self._writing.unlock()

    def close(self) -> None:
        """Give the files back."""
        self._turnstile.close()
        self._writing.close()


class WorkerSlot:
    """A number below 256 that no other open store of this data directory has."""

    def __init__(self, folder: Path) -> None:
        for number in range(MAX_WORKERS):
            file = LockFile(folder / f"worker-{number}")
            if file.try_lock():
                self.number = number
                self._file = file
                return
            file.close()
        raise StoreError(f"{MAX_WORKERS} processes have this store open; no more can")

    def close(self) -> None:
        """Let another have the number."""
        self._file.close()


class Presence:
    """Says that the store is open, and finds out whether it was open nowhere else."""

    def __init__(self, folder: Path) -> None:
        self._file = LockFile(folder / "open")
        self.is_alone = self._file.try_lock()
        """Nobody else has the store open; stays so until `admit_others`."""

    def admit_others(self) -> None:
        """Let others open the store too."""
        self._file.share()

    def close(self) -> None:
        """The store is closed here."""
        self._file.close()
