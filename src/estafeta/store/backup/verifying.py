"""Every octet looked at: contents and their digests, the database and its indexes, the search index, a backup.

What a store has is read in steps, each on a snapshot of its own, so that a server that runs meanwhile is not held up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw

from estafeta.store.backup.manifest import (
    CONTENTS,
    BackupError,
    Generation,
    content_path,
    digest_of_file,
    generations,
    is_unfinished,
    unchanging,
    unreadable,
)
from estafeta.store.ids import IdSource
from estafeta.store.records import content_digest
from estafeta.store.search.indexes import FOLDER as SEARCH
from estafeta.store.sqlite import DATABASE, connect

_TOGETHER = 200
"""Contents of one snapshot."""

Told = Callable[[str, int, int], None]


def verify_store(
    data_directory: Path, *, pause: float = 0.0, told: Told = lambda _what, _done, _all: None
) -> Iterator[str]:
    """What is wrong in a data directory, a sentence each (blocks); after each step it rests for `pause` seconds."""
    yield from _database(data_directory / DATABASE, told)
    yield from _Contents(data_directory, pause, told).look()
    yield from _search(data_directory / SEARCH, told)


def verify_backup(folder: Path, *, told: Told = lambda _what, _done, _all: None) -> Iterator[str]:
    """What is wrong in a folder of backups, a sentence each (blocks). Raises BackupError where it is none."""
    found, faulty = generations(folder), unreadable(folder)
    if not found and not faulty:
        raise BackupError(f"there is no backup in {folder}")
    for name, error in faulty.items():
        yield f"{name}: {error}"
    seen: dict[str, bytes] = {}
    for each in found:
        yield from _generation(each, folder / CONTENTS, seen, told)
    for path in folder.iterdir():
        if is_unfinished(path):
            yield f"{path.name} was cut off; the next backup removes it"


# The database.


def _database(path: Path, told: Told) -> Iterator[str]:
    told("database", 0, 1)
    try:
        connection = connect(path)
    except apsw.Error as error:
        yield f"{path.name} cannot be opened: {error}"
        return
    try:
        yield from _checked(connection, path.name)
    finally:
        with suppress(apsw.Error):
            connection.close(True)
    told("database", 1, 1)


def _checked(connection: apsw.Connection, name: str) -> Iterator[str]:
    try:
        for (fault,) in connection.execute("PRAGMA integrity_check").fetchall():
            if fault != "ok":
                yield f"{name}: {fault}"
        for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check").fetchall():
            yield f"{name}: row {row} of {table} names what is not in {parent}"
    except apsw.Error as error:
        yield f"{name} is damaged: {error}"


class _Contents:
    """The contents of a store."""

    def __init__(self, data_directory: Path, pause: float, told: Told) -> None:
        self._data = data_directory
        self._pause = pause
        self._told = told

    def look(self) -> Iterator[str]:
        """What is wrong with them."""
        try:
            connection = connect(self._data / DATABASE)
        except apsw.Error:
            return  # said of the database already
        try:
            connection.execute("PRAGMA query_only = on").fetchall()
            yield from self._look(connection)
        except (apsw.Error, UnicodeDecodeError) as error:
            yield f"{DATABASE} is damaged: {error}"
        finally:
            with suppress(apsw.Error):
                connection.close(True)

    def _look(self, connection: apsw.Connection) -> Iterator[str]:
        number = int(str(connection.execute("SELECT count(*) FROM contents").fetchall()[0][0]))
        done, after = 0, -1
        while True:
            rows: list[Any] = connection.execute(
                "SELECT content_id, size, octets, file, digest FROM contents WHERE content_id > ?"
                " ORDER BY content_id LIMIT ?",
                (after, _TOGETHER),
            ).fetchall()
            if not rows:
                return
            for row in rows:
                fault = self._wrong(connection, *row)
                if fault:
                    yield f"content {IdSource.text(row[0])} {fault}"
            after = rows[-1][0]
            done += len(rows)
            self._told("contents", done, number)
            time.sleep(self._pause)

    def _wrong(
        self,
        connection: apsw.Connection,
        content_id: int,
        size: int,
        octets: bytes | None,
        file: str | None,
        digest: bytes | None,
    ) -> str:
        """What is wrong with one; empty where all is well."""
        if octets is not None:
            found, length = content_digest(octets), len(octets)
        else:
            assert file is not None
            try:
                found, length = digest_of_file(content_path(self._data / "content", file))
            except FileNotFoundError:
                rows = connection.execute("SELECT 1 FROM contents WHERE content_id = ?", (content_id,)).fetchall()
                return "has no file" if rows else ""  # its last message was removed meanwhile
            except OSError as error:
                return f"cannot be read: {error.strerror}"
        if length != size:
            return f"has {length} octets instead of {size}"
        if digest is not None and found != digest:
            return "is not what was written"
        return ""


# The search index.


def _search(folder: Path, told: Told) -> Iterator[str]:
    paths = sorted(folder.glob("*.sqlite3")) if folder.is_dir() else []
    for number, path in enumerate(paths):
        try:
            connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                connection.set_busy_timeout(10_000)
                faults = [
                    fault for (fault,) in connection.execute("PRAGMA integrity_check").fetchall() if fault != "ok"
                ]
            finally:
                connection.close(True)
        except apsw.Error as error:
            faults = [str(error)]
        if faults:
            yield f"{SEARCH}/{path.name}: {faults[0]}; remove the file, it is made again"
        told("search", number + 1, len(paths))


# A backup.


def _generation(one: Generation, contents: Path, seen: dict[str, bytes], told: Told) -> Iterator[str]:
    name = one.name
    for damaged in one.manifest.damaged:
        yield f"{name}: content file {damaged} was damaged already when it was copied"
    try:
        digest, _ = digest_of_file(one.database)
        if digest.hex() != one.manifest.database:
            yield f"{name}: its database is not what was written"
        if one.manifest.secret and digest_of_file(one.secret)[0].hex() != one.manifest.secret:
            yield f"{name}: its secret is not what was written"
        connection = unchanging(one.database)
    except OSError as error:
        yield f"{name}: {error.filename}: {error.strerror}"
        return
    except apsw.Error as error:
        yield f"{name}: its database cannot be opened: {error}"
        return
    try:
        yield from (f"{name}: {fault}" for fault in _checked(connection, DATABASE))
        yield from _named(connection, name, contents, seen, told)
    except (apsw.Error, UnicodeDecodeError) as error:
        yield f"{name}: its database is damaged: {error}"
    finally:
        connection.close(True)


def _named(connection: apsw.Connection, name: str, contents: Path, seen: dict[str, bytes], told: Told) -> Iterator[str]:
    """The content files that a generation names; `seen` are the digests of those looked at before."""
    number = int(str(connection.execute("SELECT count(*) FROM contents").fetchall()[0][0]))
    rows: Any = connection.execute("SELECT size, octets, file, digest FROM contents")
    for done, (size, octets, file, digest) in enumerate(rows):
        what = file or "in the database"
        if octets is not None:
            found, length = content_digest(octets), len(octets)
        elif file in seen:
            found, length = seen[file], size
        else:
            try:
                found, length = digest_of_file(content_path(contents, file))
            except OSError as error:
                yield f"{name}: content file {what}: {error.strerror}"
                continue
            seen[file] = found
        if length != size or (digest is not None and found != digest):
            yield f"{name}: content {what} is not what was written"
        told("contents", done + 1, number)
