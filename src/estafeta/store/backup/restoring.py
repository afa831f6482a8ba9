"""A backup becomes a store again, in an empty data directory, in a way that deceives no client.

What came after the backup is gone, so UIDs that clients know would be given to other messages: every mailbox gets a
new UIDVALIDITY, greater than any before (RFC 9051 §2.3.1.1), and clients read it anew. Mail that was queued may have
been relayed since: it is held until the operator has looked at it.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import apsw

from estafeta.mail.value import value
from estafeta.store.backup.manifest import (
    CONTENTS,
    SECRET,
    BackupError,
    Generation,
    content_path,
    copy_file,
    generations,
    unreadable,
)
from estafeta.store.errors import os_error
from estafeta.store.files import make_folder, sync_folder
from estafeta.store.ids import IdSource
from estafeta.store.sqlite import DATABASE, translated

_AHEAD = 1_000_000
"""As many mailboxes may have been made, in no time, between the backup and the end."""
_HIGHEST = 0xFFFF_FFFF
"""The largest UIDVALIDITY."""


class Queue(StrEnum):
    """What becomes of mail that was queued."""

    HOLD = "hold"
    """It waits for the operator, who knows whether it went out since."""
    SEND = "send"
    """It is tried; what went out since goes out twice."""


@value
class Restored:
    """What was restored."""

    generation: Generation
    mailboxes: int
    held: int
    """Recipients that wait for the operator now."""
    damaged: tuple[str, ...]
    """Contents that are missing in the backup or not what was written."""


def restore(
    folder: Path, data_directory: Path, *, now: float, name: str | None = None, queue: Queue = Queue.HOLD
) -> Restored:
    """Restore the newest generation, or the one of that name (blocks). Raises BackupError, StoreError.

    The data directory must be empty or absent. The database gets its name last, so what was cut off is no store.
    """
    generation = _chosen(folder, name)
    if data_directory.exists() and any(data_directory.iterdir()):
        raise BackupError(f"{data_directory} is not empty: name another data directory, or move this one away")
    part = data_directory / f"{DATABASE}.part"
    try:
        make_folder(data_directory)
        digest, _ = copy_file(generation.database, part)
        if digest.hex() != generation.manifest.database:
            raise BackupError(f"{generation.database} is damaged; try an earlier backup with --generation")
        if generation.manifest.secret:
            digest, _ = copy_file(generation.secret, data_directory / SECRET)
            if digest.hex() != generation.manifest.secret:
                raise BackupError(f"{generation.secret} is damaged; try an earlier backup with --generation")
        connection = apsw.Connection(str(part))
        try:
            damaged = _copy_contents(connection, folder, data_directory)
            mailboxes, held = _make_safe(connection, now, queue)
        finally:
            connection.close(True)
        sync_folder(data_directory)
        part.rename(data_directory / DATABASE)
        sync_folder(data_directory)
    except OSError as error:
        raise BackupError(f"{error.filename or data_directory}: {os_error(error)}") from error
    except apsw.Error as error:
        raise translated(error) from error
    return Restored(generation, mailboxes, held, tuple(damaged))


def _chosen(folder: Path, name: str | None) -> Generation:
    found, faulty = generations(folder), unreadable(folder)
    if name in faulty:
        raise faulty[name]
    if not found:
        raise BackupError(f"there is no whole backup in {folder}")
    if name is None:
        return found[-1]
    for each in found:
        if each.name == name:
            return each
    raise BackupError(f"there is no backup {name} in {folder}; there are {', '.join(each.name for each in found)}")


def _copy_contents(connection: apsw.Connection, folder: Path, data_directory: Path) -> list[str]:
    """All that the database names; gives those that are missing or not what they were."""
    damaged = []
    target_folder = data_directory / "content"
    make_folder(target_folder)
    changed: set[Path] = set()
    columns = [row[1] for row in connection.execute("PRAGMA table_info(contents)")]
    digest_column = "digest" if "digest" in columns else "NULL"
    rows = connection.execute(
        f"SELECT content_id, file, size, {digest_column} FROM contents WHERE file IS NOT NULL"  # noqa: S608
    )
    for content_id, name, size, digest in rows:
        target = content_path(target_folder, name)
        make_folder(target.parent)
        try:
            found, length = copy_file(content_path(folder / CONTENTS, name), target)
        except FileNotFoundError:
            damaged.append(IdSource.text(content_id))
            continue
        changed.add(target.parent)
        if length != size or (digest is not None and found != digest):
            damaged.append(IdSource.text(content_id))
    for path in (*sorted(changed), target_folder):
        sync_folder(path)
    return damaged


def _make_safe(connection: apsw.Connection, now: float, queue: Queue) -> tuple[int, int]:
    """New UIDVALIDITYs, and mail held; gives how many mailboxes and recipients."""
    connection.execute("PRAGMA synchronous = full").fetchall()
    with connection:
        ((before,),) = connection.execute("SELECT value FROM counters WHERE name = 'uid_validity'").fetchall()
        mailboxes = [row[0] for row in connection.execute("SELECT mailbox_id FROM mailboxes ORDER BY mailbox_id")]
        # Above all that the lost days can have given: each is the time, or one more than the one before.
        validity = max(int(str(before)), int(now)) + _AHEAD
        if validity + len(mailboxes) > _HIGHEST:
            raise BackupError("the clock of this machine is too far ahead for UIDVALIDITY; set it, and restore again")
        for mailbox_id in mailboxes:
            validity += 1
            connection.execute(
                "UPDATE mailboxes SET uid_validity = ? WHERE mailbox_id = ?", (validity, mailbox_id)
            ).fetchall()
        connection.execute("UPDATE counters SET value = ? WHERE name = 'uid_validity'", (validity,)).fetchall()
        held = 0
        if queue is Queue.HOLD:
            connection.execute("UPDATE queued_recipients SET status = 'held' WHERE status <> 'held'").fetchall()
            held = connection.changes()
    return len(mailboxes), held
