"""A backup of a store that is in use: a snapshot of the database, and the content files that it names.

Files are copied first, those that an earlier backup has already are not; then a snapshot is held, and what it names
and is still missing is copied, and last its pages. A file may go away between its snapshot and its copy, when its last
message is removed: then another snapshot is taken. Each round has less to copy than the one before.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw

from estafeta.store.backup.manifest import (
    CONTENTS,
    FORMAT,
    LOCK,
    MANIFEST,
    SECRET,
    UNFINISHED,
    BackupError,
    Generation,
    Manifest,
    content_path,
    copy_file,
    digest_of_file,
    generations,
    is_unfinished,
    prune,
    write_manifest,
)
from estafeta.store.errors import os_error
from estafeta.store.files import make_folder, open_private, sync_folder
from estafeta.store.locks import LockFile
from estafeta.store.sqlite import DATABASE, connect, translated

_ROUNDS = 20
"""Snapshots at most: each lasts as long as it takes to copy what was added during the one before."""
_PAGES = 2000
"""Pages that are copied without looking up: 8 MiB."""

Told = Callable[[str, int, int], None]


def make_backup(
    data_directory: Path,
    folder: Path,
    *,
    now: float,
    version: str = "",
    keep: int | None = None,
    checks: bool = False,
    told: Told = lambda _what, _done, _all: None,
) -> Generation:
    """Back the store of a data directory up (blocks); of all generations `keep` are kept, all when None.

    The store is to be open in this process, so that nobody repairs or replaces it meanwhile. The manifest names the
    `version` of the program. With `checks` what
    earlier backups have copied is read, and copied again where it is damaged. `told` hears what is being copied, how
    much of it is done, and of how much. Raises BackupError, StoreError; then nothing of the folder is less than it was.
    """
    try:
        make_folder_of_backups(folder)
        lock = LockFile(folder / LOCK)
    except OSError as error:
        raise BackupError(f"{error.filename or folder}: {os_error(error)}") from error
    try:
        if not lock.try_lock():
            raise BackupError(f"another backup into {folder} is under way")
        return _made(data_directory, folder, now, version, keep, _Known(folder, checks), told)
    finally:
        lock.close()


def _made(
    data_directory: Path, folder: Path, now: float, version: str, keep: int | None, known: _Known, told: Told
) -> Generation:
    name = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime(now))
    part = folder / (name + UNFINISHED)
    try:
        _remove_unfinished(folder)
        make_folder(part)
        if (folder / name).exists():
            raise BackupError(f"{folder / name} is there already")
        with suppress(OSError):
            # Copied beforehand, so that the snapshot need not be held for long.
            _Copying(data_directory, folder, known, told).round(with_database=None)
        for _ in range(_ROUNDS):
            copying = _Copying(data_directory, folder, known, told)
            if copying.round(with_database=part / DATABASE):
                break
        else:
            raise BackupError(
                f"contents went away faster than they could be copied, {_ROUNDS} times; try again when less is removed"
            )
        # All of them: an earlier backup may have been cut off before it had synced its own.
        for path in (*sorted((folder / CONTENTS).iterdir()), folder / CONTENTS):
            sync_folder(path)
        secret = _copy_secret(data_directory, part)
        digest, size = digest_of_file(part / DATABASE)
        manifest = Manifest(
            format=FORMAT,
            created_at=now,
            version=version,
            schema=copying.schema,
            database=digest.hex(),
            secret=secret,
            accounts=copying.accounts,
            messages=copying.messages,
            queued=copying.queued,
            contents=copying.contents,
            octets=copying.octets + size,
            damaged=tuple(copying.damaged),
        )
        write_manifest(manifest, part / MANIFEST)
        sync_folder(part)
        part.rename(folder / name)
        sync_folder(folder)
        if keep is not None:
            prune(folder, keep)
        return Generation(folder / name, manifest)
    except OSError as error:
        raise BackupError(f"{error.filename or folder}: {os_error(error)}") from error
    except apsw.Error as error:
        raise translated(error) from error


def make_folder_of_backups(folder: Path) -> None:
    """An empty folder, or one of backups. Raises BackupError, OSError."""
    if folder.exists() and not folder.is_dir():
        raise BackupError(f"{folder} is not a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONTENTS).is_dir():
        raise BackupError(f"{folder} has other things in it: name an empty folder, or one of earlier backups")
    make_folder(folder)
    make_folder(folder / CONTENTS)


def _remove_unfinished(folder: Path) -> None:
    """What earlier backups that were cut off have left."""
    for path in folder.iterdir():
        if is_unfinished(path):
            shutil.rmtree(path)


def _copy_secret(data_directory: Path, part: Path) -> str:
    try:
        digest, _ = copy_file(data_directory / SECRET, part / SECRET)
    except FileNotFoundError:
        return ""
    return digest.hex()


class _Known:
    """What is known of the content files that are in the folder already."""

    def __init__(self, folder: Path, checks: bool) -> None:
        self._checks = checks
        self._is_good: set[str] = set()
        self.damaged: set[str] = set()
        """Copied as they were, but not what had been written, in this backup or an earlier one."""
        if (folder / CONTENTS).is_dir():
            self.damaged.update(name for each in generations(folder) for name in each.manifest.damaged)

    def has(self, path: Path, size: int, digest: bytes | None) -> bool:
        """Whether it is there, and need not be copied; a damaged one is always copied again."""
        if path.name in self._is_good:
            return True
        try:
            if path.name in self.damaged or path.stat().st_size != size:
                return False
            return not self._checks or digest is None or digest_of_file(path)[0] == digest
        except FileNotFoundError:
            return False

    def copied(self, name: str, *, is_whole: bool) -> None:
        """It was copied."""
        self._is_good.add(name)
        if is_whole:
            self.damaged.discard(name)
        else:
            self.damaged.add(name)


class _Copying:
    """One snapshot, and what it names."""

    def __init__(self, data_directory: Path, folder: Path, known: _Known, told: Told) -> None:
        self._known = known
        self._data = data_directory
        self._contents = folder / CONTENTS
        self._told = told
        self.schema = self.accounts = self.messages = self.queued = self.contents = self.octets = 0
        self.damaged: list[str] = []

    def round(self, with_database: Path | None) -> bool:
        """Copy what is missing, and the database to a file; False where something went away. Raises OSError."""
        connection = connect(self._data / DATABASE)
        try:
            connection.execute("PRAGMA query_only = on").fetchall()
            connection.execute("BEGIN").fetchall()
            self._count(connection)
            is_whole = self._copy_contents(connection)
            if is_whole and with_database is not None:
                self._copy_database(connection, with_database)
            connection.execute("COMMIT").fetchall()
            return is_whole
        finally:
            connection.close(True)

    def _count(self, connection: apsw.Connection) -> None:
        def number(text: str) -> int:
            return int(str(connection.execute(text).fetchall()[0][0]))

        self.schema = number("PRAGMA user_version")
        self.accounts = number("SELECT count(*) FROM accounts")
        self.messages = number("SELECT coalesce(sum(messages), 0) FROM mailboxes")
        self.queued = number("SELECT count(*) FROM queued_recipients")
        self.contents = number("SELECT count(*) FROM contents WHERE file IS NOT NULL")

    def _copy_contents(self, connection: apsw.Connection) -> bool:
        """Whether all that are named are in the folder now."""
        is_whole, done = True, 0
        rows: Any = connection.execute("SELECT file, size, digest FROM contents WHERE file IS NOT NULL")
        for name, size, digest in rows:
            done += 1
            self.octets += size
            target = content_path(self._contents, name)
            if not self._known.has(target, size, digest):
                make_folder(target.parent)
                try:
                    found, length = copy_file(content_path(self._data / "content", name), target)
                except FileNotFoundError:
                    is_whole = False
                    continue
                fits = length == size and (digest is None or found == digest)
                self._known.copied(name, is_whole=fits)
                self._told("contents", done, self.contents)
            if name in self._known.damaged:
                self.damaged.append(name)
        return is_whole

    def _copy_database(self, connection: apsw.Connection, path: Path) -> None:
        """The pages of the snapshot that the connection holds."""
        path.unlink(missing_ok=True)
        os.close(open_private(path, is_new=True))
        target = apsw.Connection(str(path))
        try:
            with target.backup("main", connection, "main") as backup:
                while not backup.done:
                    backup.step(_PAGES)
                    self._told("database", backup.page_count - backup.remaining, backup.page_count)
            # One file alone is a database: without WAL it can be read from a medium that cannot be written to.
            target.execute("PRAGMA journal_mode = delete").fetchall()
        finally:
            target.close(True)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
