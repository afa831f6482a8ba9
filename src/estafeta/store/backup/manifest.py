"""The folder of backups: generations, each with a database and a manifest, and the contents that all of them share.

A generation is a folder named by its time. It is whole when it has that name: it is made under another one. A content
file is never changed, and its name never given to another, so one copy serves every generation.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import apsw

from estafeta.mail.value import value
from estafeta.store.errors import StoreError
from estafeta.store.files import open_private, sync_folder
from estafeta.store.records import new_digest
from estafeta.store.sqlite import DATABASE

FORMAT = 1
MANIFEST = "manifest.json"
CONTENTS = "contents"
UNFINISHED = ".part"
LOCK = ".lock"
SECRET = "secret"  # noqa: S105 - the name of a file
_PIECE = 1 << 20


class BackupError(StoreError):
    """A backup could not be made, or is not what it should be; for an operator's eyes."""


@value
class Manifest:
    """What a generation says of itself."""

    format: int
    created_at: float
    """Seconds since 1970."""
    version: str
    """Of Estafeta."""
    schema: int
    database: str
    """The digest of the database file, in hexadecimal."""
    secret: str
    """The digest of the secret; empty where there is none."""
    accounts: int
    messages: int
    queued: int
    contents: int
    """Contents that are files."""
    octets: int
    """Of these files and the database."""
    damaged: tuple[str, ...]
    """Contents that were not what had been written when they were copied."""


@value
class Generation:
    """A backup that is whole."""

    path: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """By its time."""
        return self.path.name

    @property
    def database(self) -> Path:
        """The database file."""
        return self.path / DATABASE

    @property
    def secret(self) -> Path:
        """The secret."""
        return self.path / SECRET


def generations(folder: Path) -> list[Generation]:
    """The whole ones whose manifests can be read, the oldest first. Raises BackupError for a folder that cannot be."""
    return [found for found in _looked_at(folder) if isinstance(found, Generation)]


def unreadable(folder: Path) -> dict[str, BackupError]:
    """Those whose manifests cannot be read, by their names, and why."""
    return {path.name: error for path, error in _faulty(folder)}


def _faulty(folder: Path) -> list[tuple[Path, BackupError]]:
    return [found for found in _looked_at(folder) if not isinstance(found, Generation)]


def _looked_at(folder: Path) -> list[Generation | tuple[Path, BackupError]]:
    try:
        paths = sorted(path for path in folder.iterdir() if (path / MANIFEST).is_file() and not is_unfinished(path))
    except OSError as error:
        raise BackupError(f"{folder}: {error.strerror}") from error
    found: list[Generation | tuple[Path, BackupError]] = []
    for path in paths:
        try:
            found.append(Generation(path, read_manifest(path / MANIFEST)))
        except BackupError as error:
            found.append((path, error))
    return found


def is_unfinished(path: Path) -> bool:
    """Whether it is what is left of a backup that was cut off."""
    return path.name.endswith(UNFINISHED)


def read_manifest(path: Path) -> Manifest:
    """Raises BackupError."""
    try:
        facts = json.loads(path.read_bytes())
        if facts.get("format") != FORMAT:
            raise BackupError(f"{path}: it was made by another version of Estafeta (format {facts.get('format')!r})")
        return Manifest(**{**facts, "damaged": tuple(facts["damaged"])})
    except OSError as error:
        raise BackupError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BackupError(f"{path}: this is not a manifest, or it is damaged") from error


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Synced. Raises OSError."""
    with os.fdopen(open_private(path, is_new=True), "wb") as file:
        file.write(json.dumps(asdict(manifest), indent=2).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def content_path(folder: Path, name: str) -> Path:
    """Where a content file is, below `content` of a data directory or `contents` of a folder of backups."""
    return folder / name[-2:] / name


def copy_file(source: Path, target: Path) -> tuple[bytes, int]:
    """Copy a file, synced, and give its digest and size; the target has its name when it is whole. Raises OSError."""
    part = target.with_name(target.name + UNFINISHED)
    part.unlink(missing_ok=True)
    digest, size = new_digest(), 0
    with source.open("rb", buffering=0) as octets, os.fdopen(open_private(part, is_new=True), "wb") as file:
        while piece := octets.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    part.rename(target)
    return digest.digest(), size


def digest_of_file(path: Path) -> tuple[bytes, int]:
    """The digest and size of a file. Raises OSError."""
    digest, size = new_digest(), 0
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return digest.digest(), size


def unchanging(database: Path) -> apsw.Connection:
    """A database that nobody writes to, on a medium that may not let anybody. Raises apsw.Error."""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    return apsw.Connection(f"{database.absolute().as_uri()}?immutable=1", flags=flags)


def named_contents(database: Path) -> set[str]:
    """The content files that a database names. Raises BackupError."""
    try:
        connection = unchanging(database)
        try:
            rows = connection.execute("SELECT file FROM contents WHERE file IS NOT NULL")
            return {str(name) for (name,) in rows}
        finally:
            connection.close(True)
    except apsw.Error as error:
        raise BackupError(f"{database}: {error}") from error


def prune(folder: Path, keep: int) -> list[str]:
    """Remove all but the newest generations, and contents that none of these names; gives what was removed.

    Raises BackupError, OSError.
    """
    kept = generations(folder)
    removed = [each.name for each in kept[:-keep]]
    for each in kept[:-keep]:
        aside = each.path.with_name(each.name + UNFINISHED)
        each.path.rename(aside)
        shutil.rmtree(aside)
    named: set[str] = set()
    for database in [each.database for each in kept[-keep:]] + [path / DATABASE for path, _ in _faulty(folder)]:
        named |= named_contents(database)
    for subfolder in (folder / CONTENTS).iterdir():
        for path in subfolder.iterdir():
            if path.name not in named:
                path.unlink()
    sync_folder(folder)
    return removed
