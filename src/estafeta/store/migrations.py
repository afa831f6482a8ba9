"""Brings a database to the schema of this version, one numbered file of `schema/` after the other.

All steps run in one transaction, after the old database was copied to `before-schema-N.sqlite3` beside it.
"""

from __future__ import annotations

import os
import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import apsw

from estafeta.mail.value import value
from estafeta.store.errors import NewerSchema, StoreError
from estafeta.store.files import open_private, sync_folder

_FILE = re.compile(r"(\d{4})_\w+\.sql")


@value
class Migration:
    """One step: the number that the schema has after it."""

    number: int
    script: str


def known_migrations(folder: Traversable | None = None) -> list[Migration]:
    """The steps in their order; they are numbered from 1 without a gap."""
    folder = folder or resources.files("estafeta.store").joinpath("schema")
    found = sorted((int(match[1]), file) for file in folder.iterdir() if (match := _FILE.fullmatch(file.name)))
    if [number for number, _ in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations must be numbered from 0001 without a gap")
    return [Migration(number, file.read_text("utf-8")) for number, file in found]


def migrate(connection: apsw.Connection, data_directory: Path, migrations: list[Migration]) -> None:
    """Bring the database up to date; the caller holds the write lock. Raises NewerSchema, StoreError."""
    version = schema_version(connection)
    newest = migrations[-1].number
    if version > newest:
        raise NewerSchema(
            f"{data_directory} has schema {version}, but this version of Estafeta knows only up to {newest}; "
            "use the version that wrote it, or a later one"
        )
    if version == newest:
        return
    if version:
        _copy(connection, data_directory / f"before-schema-{newest}.sqlite3")
    try:
        with connection:
            for migration in migrations[version:]:
                connection.execute(migration.script).fetchall()
            connection.execute(f"PRAGMA user_version = {newest}").fetchall()
            if broken := connection.execute("PRAGMA foreign_key_check").fetchall():
                raise StoreError(f"migration to schema {newest} breaks references in {broken[0][0]}")
    except (apsw.CorruptError, apsw.NotADBError):  # told as what it is
        raise
    except apsw.Error as error:
        raise StoreError(f"migration to schema {newest} failed, nothing was changed: {error}") from error


def schema_version(connection: apsw.Connection) -> int:
    """The number of the schema; 0 for an empty database."""
    (version,) = connection.execute("PRAGMA user_version").fetchall()[0]
    return int(str(version))


def _copy(connection: apsw.Connection, target: Path) -> None:
    part = target.with_suffix(".part")
    part.unlink(missing_ok=True)
    os.close(open_private(part, is_new=True))
    try:
        connection.execute("VACUUM INTO ?", (str(part),)).fetchall()
    except (apsw.CorruptError, apsw.NotADBError):  # told as what it is
        part.unlink(missing_ok=True)
        raise
    except apsw.Error as error:
        part.unlink(missing_ok=True)
        raise StoreError(f"cannot copy the database to {target} before the migration: {error}") from error
    with part.open("rb") as copy:
        os.fsync(copy.fileno())
    part.rename(target)
    sync_folder(target.parent)
