"""What a process that died has left in the write-ahead log is written once more, and synced.

A sync that fails leaves octets that the system still shows, but that are not on the disk and that no later sync
brings there, for it thinks that they are. Who dies then hands them to the next process, whose commits would stand on
them: all would be lost with the power. Written anew they are synced like any others.
"""

from __future__ import annotations

from pathlib import Path

import apsw

_PIECE = 64 * 1024
"""Octets that are read and written at once; SQLite cannot write as much as 128 KiB."""


def rewrite_log(log: Path, vfs: str | None = None) -> None:
    """Only while nobody else has the store open. Raises apsw.Error."""
    if not log.exists() or not log.stat().st_size:
        return  # as after each orderly end
    file = apsw.VFSFile(vfs or "", str(log), [apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READWRITE, 0])
    try:
        size = file.xFileSize()
        for at in range(0, size, _PIECE):
            file.xWrite(file.xRead(min(_PIECE, size - at), at), at)
        file.xSync(apsw.SQLITE_SYNC_NORMAL)
    finally:
        file.xClose()
