"""What tells at the start of a server that its store is damaged, without reading all of it.

A missing database with mail beside it is not a new store; a write-ahead log whose header is gone, or that breaks off
before its end, is not one to go on from: SQLite would take what it can read, and write over the rest.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw

from estafeta.store.errors import damaged
from estafeta.store.sqlite import DATABASE, connect
from estafeta.store.writeahead import read_log

WORKSHOP = "repairing"
"""The folder in which `estafeta repair` makes a new database."""
FINISHED = "finished"
"""The file in that folder that says that nothing is left but to put the new database in its place."""

_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_HEADER = 32
"""Octets of the header of a log."""


def refuse_damaged(data_directory: Path, vfs: str | None = None) -> None:
    """Raise Damaged for a store that must not be opened. Only while nobody else has it open."""
    if (data_directory / WORKSHOP / FINISHED).exists():
        raise damaged("a repair was cut off in its last step", "run `estafeta repair` again")
    path = data_directory / DATABASE
    log = _Octets(path.with_name(f"{DATABASE}-wal"), vfs)
    try:
        database = _Octets(path, vfs)
        size = database.size
        database.close()
        if not size:
            if log.size > _HEADER:
                raise damaged(f"{DATABASE} is missing or empty, but it has a write-ahead log")
            if _has_contents(data_directory / "content"):
                raise damaged(f"{DATABASE} is missing or empty, but there is mail in the folder content")
        elif log.size > _HEADER:
            _refuse_broken(log, path, vfs)
    finally:
        log.close()


def _has_contents(folder: Path) -> bool:
    return folder.is_dir() and any(path.is_file() for path in folder.glob("*/*"))


def _refuse_broken(log: _Octets, database: Path, vfs: str | None) -> None:
    """Refuse a log of which SQLite would leave out transactions that were committed."""
    name = f"{database.name}-wal"
    if log.read(0, 4) in _MAGIC:
        with closing(connect(database, read_only=True, vfs=vfs)) as connection:
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
            taken, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
        left = read_log(log.read, log.size, after=max(0, taken))
        if left is not None and not left.is_headless and left.damaged:
            raise damaged(
                f"the write-ahead log {name} is damaged: committed mail is behind the place where it breaks off"
            )
        return
    # The log is begun anew when all of it is in the database: one whose header was cut off just then holds no more.
    found = read_log(log.read, log.size)
    if found is None or sum(1 for frame in found.frames if frame.commit) < 2:
        return
    pages = _Octets(database, vfs)
    try:
        size = found.page_size
        newest = {frame.page: frame.at for frame in found.frames if frame.is_good}
        if any(log.read(at, size) != pages.read((page - 1) * size, size) for page, at in newest.items()):
            raise damaged(f"the write-ahead log {name} has lost its header, and holds committed mail")
    finally:
        pages.close()


class _Octets:
    """A file as SQLite reads it; one that is not there is empty."""

    def __init__(self, path: Path, vfs: str | None) -> None:
        self.size = 0
        self._file: apsw.VFSFile | None = None
        if path.exists():
            flags = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY
            self._file = apsw.VFSFile(vfs or "", str(path), [flags, 0])
            self.size = self._file.xFileSize()

    def read(self, at: int, count: int) -> bytes:
        """Octets, fewer at the end."""
        if self._file is None:
            return b""
        return self._file.xRead(max(0, min(count, self.size - at)), at)

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.xClose()
            self._file = None
