"""The pages of a damaged database by number: those of its write-ahead log before those of its file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from estafeta.store.writeahead import PAGE_SIZE, Log, read_log

MAGIC = b"SQLite format 3\x00"


@dataclass(slots=True)
class Pages:
    """The pages by number, from 1. Close it, or use it as a context."""

    path: Path
    page_size: int = PAGE_SIZE
    usable: int = PAGE_SIZE
    """Octets of a page that are used."""
    count: int = 0
    """Pages that there should be."""
    has_header: bool = False
    log: Log | None = None
    missing: int = 0
    """Pages beyond the end of a file that was cut."""
    unreadable: set[int] = field(default_factory=set)
    """Pages that the disk does not give."""
    _file: int = -1
    _log_file: int = -1
    _in_log: dict[int, int] = field(default_factory=dict)

    @classmethod
    def opened(cls, database: Path, log: Path) -> Pages:
        """The pages of these files; either may be missing. Raises OSError."""
        pages = cls(database)
        try:
            size = pages._open(database, log)
        except BaseException:
            pages.close()
            raise
        pages._size_up(size)
        return pages

    def _open(self, database: Path, log: Path) -> int:
        size = 0
        if database.exists():
            self._file = os.open(database, os.O_RDONLY | os.O_CLOEXEC)
            size = os.fstat(self._file).st_size
        if log.exists():
            self._log_file = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
        return size

    def _size_up(self, size: int) -> None:
        header = _read(self._file, 0, 100)
        said = _page_size(header)
        if self._log_file >= 0:
            log_file = self._log_file
            length = os.fstat(log_file).st_size
            self.log = read_log(lambda at, count: _read(log_file, at, count), length, said)
        if self.log is not None:
            for frame in self.log.frames:
                if frame.is_good:
                    self._in_log[frame.page] = frame.at
            if 1 in self._in_log:
                header = _read(self._log_file, self._in_log[1], 100)
            if said is None and not self.log.is_headless:
                said = self.log.page_size
        self.has_header = _page_size(header) is not None
        self.page_size = said or PAGE_SIZE
        self.usable = self.page_size - (header[20] if self.has_header else 0)
        in_file = -(-size // self.page_size)
        expected = in_file
        if self.log is not None and self._in_log:
            commits = [frame.commit for frame in self.log.frames if frame.is_good and frame.commit]
            expected = max(commits[-1], *self._in_log)
        elif self.has_header and header[24:28] == header[92:96]:
            expected = int.from_bytes(header[28:32], "big")
            # A number that is itself damaged may be anything.
            if expected > in_file * 16 + 65_536:
                expected = in_file
        self.count = max(expected, in_file if not self.has_header else 0)
        self.missing = sum(1 for number in range(in_file + 1, self.count + 1) if number not in self._in_log)

    def get(self, number: int) -> bytes | None:
        """The octets of a page, or None for one that is not there or cannot be read."""
        if not 1 <= number <= self.count:
            return None
        at = self._in_log.get(number)
        try:
            if at is not None:
                octets = os.pread(self._log_file, self.page_size, at)
            elif self._file >= 0:
                octets = os.pread(self._file, self.page_size, (number - 1) * self.page_size)
            else:
                return None
        except OSError:
            self.unreadable.add(number)
            return None
        return octets if len(octets) == self.page_size else None

    def close(self) -> None:
        """Close the files."""
        for descriptor in (self._file, self._log_file):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._log_file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _read(file: int, at: int, count: int) -> bytes:
    """Octets of a file; as zeros what the disk does not give."""
    if file < 0:
        return b""
    try:
        return os.pread(file, count, at)
    except OSError:
        return bytes(count)


def _page_size(header: bytes) -> int | None:
    """What the header of a database says of its pages; None when it is none."""
    if len(header) < 100 or not header.startswith(MAGIC):
        return None
    size = int.from_bytes(header[16:18], "big")
    size = 65_536 if size == 1 else size
    # The fractions of a page that its rows may use are fixed (file format, section 1.3.5).
    fits = 512 <= size <= 65_536 and not size & (size - 1) and header[21:24] == bytes((64, 32, 32))
    return size if fits and header[20] <= 32 else None
