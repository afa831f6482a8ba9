"""Large contents as files, written and synced before the commit that names them.

A file is written below `incoming/`, synced, renamed to `content/xx/` and its folder synced; only then may a
transaction name it. What a crash leaves unnamed is swept when the store is opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO

import structlog

from estafeta.store.errors import NotFound, os_error
from estafeta.store.files import Files, SystemFiles
from estafeta.store.ids import IdSource
from estafeta.store.records import Content, content_digest, new_digest

_log = structlog.get_logger("estafeta.store.content")

SPOOL_THRESHOLD = 256 * 1024
"""Octets up to which content is kept in the database. A file costs two syncs of its own (file and folder),
a row shares the sync of its group; but a row is written twice (WAL, database): too much when large."""


class ContentStore:
    """The folder of large contents."""

    def __init__(
        self, data_directory: Path, ids: IdSource, *, threshold: int = SPOOL_THRESHOLD, files: Files | None = None
    ) -> None:
        self._folder = data_directory / "content"
        self._incoming = data_directory / "incoming"
        self._ids = ids
        self._files = files or SystemFiles()
        self.threshold = threshold
        for folder in (self._folder, self._incoming):
            self._files.make_folder(folder)
        self._doubtful: list[str] | None = None
        """Files to be removed when no commit is in doubt any more; None while none is."""
        self._durable = {path.name for path in self._folder.iterdir()}
        """Folders whose names are known to be durable: one that is there may have been made by who died then."""
        for folder in (data_directory, self._folder):
            self._files.sync_folder(folder)

    def spool(self) -> Spool:
        """A place to gather a content whose size is not known yet."""
        return Spool(self, self.threshold)

    def write(self, octets: bytes) -> Content:
        """Keep octets as a synced file (blocks: run it in a thread). Raises DiskFull, StoreError."""
        file, path = self._make_temporary()
        with file:
            try:
                _write_whole(file, octets)
            except OSError as error:
                self._drop(path)
                raise os_error(error) from error
            return self._settle(file, path, len(octets), content_digest(octets))

    def read(self, name: str) -> bytes:
        """The octets of a file. Raises NotFound when its content was released meanwhile, StoreError."""
        with self.open(name) as file:
            try:
                return file.read()
            except OSError as error:
                raise os_error(error) from error

    def open(self, name: str) -> BinaryIO:
        """The file, for reading it in pieces; it stays readable when its content is released meanwhile.

        The caller closes it. Raises NotFound when that has happened before, StoreError.
        """
        try:
            return self._files.open(self._path(name))
        except FileNotFoundError as error:
            _log.warning(
                "a content file is missing",
                reason=f"content/{name[-2:]}/{name} is missing: unless its message was removed just now, "
                "stop the server and run `estafeta repair`",
            )
            raise NotFound("the content is gone") from error
        except OSError as error:
            raise os_error(error) from error

    def measure(self, name: str) -> int | None:
        """The size of a file in octets, None where there is none. Raises StoreError."""
        try:
            with self.open(name) as file:
                return file.seek(0, SEEK_END)
        except NotFound:
            return None
        except OSError as error:
            raise os_error(error) from error

    def remove(self, name: str) -> None:
        """Remove a file that no row names any more. Never raises: what stays is swept later."""
        if self._doubtful is not None:
            self._doubtful.append(name)
        else:
            self._drop(self._path(name))

    def begin_doubt(self) -> None:
        """A commit failed at its sync: after a crash it may turn out to have happened, and its files must be there."""
        if self._doubtful is None:
            self._doubtful = []

    def end_doubt(self) -> None:
        """A later commit is durable, so the one that failed never happened: remove what was to be removed."""
        doubtful, self._doubtful = self._doubtful or [], None
        for name in doubtful:
            self.remove(name)

    def _drop(self, path: Path) -> None:
        with suppress(OSError):
            self._files.remove(path)

    def sweep(self, is_named: Callable[[str], bool]) -> int:
        """Remove what no row names, and all that is unfinished; gives how many files.

        Only while nobody else has the store open: a file is unnamed for a moment before its commit.
        """
        orphans = list(self._incoming.iterdir())
        for folder in self._folder.iterdir():
            orphans += [path for path in folder.iterdir() if not is_named(path.name)]
        for path in orphans:
            self._files.remove(path)
        return len(orphans)

    def _path(self, name: str) -> Path:
        # The last characters of an id change fastest, so the folders fill evenly.
        return self._folder / name[-2:] / name

    def _make_temporary(self) -> tuple[BinaryIO, Path]:
        path = self._incoming / self._ids.text(self._ids.next_id())
        try:
            return self._files.create(path), path
        except OSError as error:
            raise os_error(error) from error

    def _settle(self, file: BinaryIO, path: Path, size: int, digest: bytes) -> Content:
        """Sync a finished temporary file and give it its place."""
        target, files = self._path(path.name), self._files
        try:
            files.sync(file)
            if target.parent.name not in self._durable or not target.parent.is_dir():
                files.make_folder(target.parent)
                files.sync_folder(self._folder)
                self._durable.add(target.parent.name)
            files.rename(path, target)
            files.sync_folder(target.parent)
        except OSError as error:
            self._drop(path)
            self._drop(target)
            raise os_error(error) from error
        return Content(size=size, file=path.name, digest=digest)


def _write_whole(file: BinaryIO, octets: bytes) -> None:
    """Write all: a disk that is nearly full takes a part without an error."""
    view = memoryview(octets)
    while view:
        view = view[file.write(view) :]


class Spool:
    """Gathers one content: in memory up to a threshold, beyond that in a file."""

    def __init__(self, store: ContentStore, threshold: int) -> None:
        self._store = store
        self._threshold = threshold
        self._chunks: list[bytes] = []
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._content: Content | None = None
        self._digest: blake2b | None = None
        """Of what is in the file; the writer finds that of a content in memory, so that the event loop need not."""
        self.size = 0
        """Octets so far."""

    def write(self, octets: bytes) -> None:
        """Add octets. Raises DiskFull, StoreError.

        Beyond the threshold this writes to the file cache without a sync, so an event loop may call it.
        """
        self.size += len(octets)
        if self._file is None:
            self._chunks.append(octets)
            if self.size > self._threshold:
                self._file, self._path = self._store._make_temporary()
                self._flush(b"".join(self._chunks))
                self._chunks.clear()
        else:
            self._flush(octets)

    def _flush(self, octets: bytes) -> None:
        assert self._file is not None
        if self._digest is None:
            self._digest = new_digest()
        self._digest.update(octets)
        try:
            _write_whole(self._file, octets)
        except OSError as error:
            raise os_error(error) from error

    async def finish(self) -> Content:
        """The content; a file is synced and has its place now. Raises DiskFull, StoreError.

        When no commit names it in the end, call `discard`.
        """
        if self._content is None:
            if self._file is None:
                self._content = Content(self.size, b"".join(self._chunks))
            else:
                self._content = await asyncio.to_thread(self._finish_file)
        return self._content

    def _finish_file(self) -> Content:
        assert self._file is not None and self._path is not None and self._digest is not None
        with self._file:
            return self._store._settle(self._file, self._path, self.size, self._digest.digest())

    def discard(self) -> None:
        """Forget the content, which no row names, and remove its file; at any time, and twice too."""
        self._chunks.clear()
        if self._file is not None:
            self._file.close()
        if self._content is not None and self._content.file is not None:
            self._store.remove(self._content.file)
        elif self._path is not None:
            self._store._drop(self._path)
