"""The whole of a repair: what SQLite says, what the pages say, a new database beside the old, and the change of both.

The damaged files are never written to. Until the last step the store is as it was; a repair that was cut off in that
step is finished by the next one, and no server starts before that.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import apsw

from estafeta.store.errors import DiskFull, InUse, NewerSchema, NotFound, StoreError, os_error
from estafeta.store.files import make_folder, open_private, sync_folder
from estafeta.store.ids import IdSource
from estafeta.store.locks import Presence, WriteLock
from estafeta.store.migrations import Migration, known_migrations, schema_version
from estafeta.store.repair.contents import Contents
from estafeta.store.repair.mending import Mending, count_again, miscounted
from estafeta.store.repair.pages import Pages
from estafeta.store.repair.quarantine import FOLDER as QUARANTINE
from estafeta.store.repair.quarantine import Quarantine
from estafeta.store.repair.rebuilding import Rebuilt, rebuild
from estafeta.store.repair.report import Report
from estafeta.store.repair.salvage import Salvage
from estafeta.store.repair.shapes import make_schema, schema_texts
from estafeta.store.soundness import FINISHED, WORKSHOP
from estafeta.store.sqlite import DATABASE, translated

_NEW = "new.sqlite3"
_COPY = "copy.sqlite3"
_PIECE = 1 << 20
_SECTOR = 4096
_COMPLAINTS = 20
"""Sentences of SQLite that are told; there may be one for each row."""
_INDEX_COMPLAINT = re.compile(
    r"(?:row \d+ missing from index|wrong # of entries in index|non-unique entry in index|NULL value in index) (\S+)"
)
_COUNTED = ("domains", "accounts", "addresses", "mailboxes", "messages", "contents", "queued_recipients", "journal")
_SPARE = 16 << 20


def repair(
    data: Path,
    *,
    clock: Callable[[], float],
    is_dry_run: bool = False,
    migrations: Sequence[Migration] | None = None,
) -> Report:
    """Save what can be saved of the store in a data directory (blocks; a second for some ten megabytes).

    The server must be stopped. Raises InUse when it is not, NotFound where there is no store, NewerSchema, DiskFull,
    StoreError when nothing could be done; the store is as it was then.
    """
    if not data.is_dir():
        raise NotFound(f"there is no store in {data}")
    try:
        make_folder(data / "lock")
        with closing(Presence(data / "lock")) as presence, closing(WriteLock(data / "lock")) as turn:
            if not presence.is_alone:
                raise InUse("the store is open: stop the server, and commands that still run, and repair then")
            turn.acquire()
            known = tuple(migrations or known_migrations())
            return _Repair(data, known, clock=clock, is_dry_run=is_dry_run).run()
    except apsw.Error as error:
        raise StoreError(f"the repair failed, and the store is as it was: {translated(error)}") from error
    except OSError as error:
        raise os_error(error) from error


class _Repair:
    def __init__(
        self, data: Path, migrations: tuple[Migration, ...], *, clock: Callable[[], float], is_dry_run: bool
    ) -> None:
        self._data = data
        self._database = data / DATABASE
        self._log = data / f"{DATABASE}-wal"
        self._workshop = data / WORKSHOP
        self._migrations = migrations
        self._clock = clock
        self._report = Report(data, is_dry_run)

    def run(self) -> Report:
        if (self._workshop / FINISHED).exists():
            self._finish_last()
        if not self._database.exists() and not self._log.exists() and not _has_files(self._data / "content"):
            raise NotFound(f"there is no store in {self._data}")
        self._refuse_full_disk()
        shutil.rmtree(self._workshop, ignore_errors=True)
        make_folder(self._workshop)
        try:
            with Pages.opened(self._database, self._log) as pages:
                target = self._made(pages)
            if self._report.damage and not self._report.is_dry_run:
                self._change_over(target)
        except BaseException:
            if not (self._workshop / FINISHED).exists():
                shutil.rmtree(self._workshop, ignore_errors=True)
            raise
        shutil.rmtree(self._workshop, ignore_errors=True)
        return self._report

    def _refuse_full_disk(self) -> None:
        size = sum(path.stat().st_size for path in (self._database, self._log) if path.exists())
        if shutil.disk_usage(self._data).free < size + _SPARE:
            raise DiskFull(f"a repair needs room for another database of {size} octets in {self._data}")

    # What is wrong, and what is made of it.

    def _made(self, pages: Pages) -> Path:
        """The new database, complete; only the report matters where nothing is damaged."""
        report, copy, target = self._report, self._workshop / _COPY, self._workshop / _NEW
        unread = _copy(self._database, copy) + _copy(self._log, self._workshop / f"{_COPY}-wal")
        if unread:
            report.damage.append(f"the disk does not give {unread} pieces of {_SECTOR} octets")
        if pages.log is not None and pages.log.is_damaged:
            lost = pages.log.damaged
            what = "its header" if pages.log.is_headless else f"{lost} of its {len(pages.log.frames)} pages"
            report.damage.append(f"the write-ahead log {self._log.name} is damaged: {what}")
        complaints = self._complaints(copy)
        report.damage += complaints[:_COMPLAINTS]
        if len(complaints) > _COMPLAINTS:
            report.damage.append(f"and {len(complaints) - _COMPLAINTS} more of SQLite's complaints")
        # Nothing but what SQLite complains of, and that only of indexes.
        is_enough = not report.damage or (self._are_of_indexes(complaints) and len(report.damage) <= len(complaints))
        if is_enough and self._mend_copy(copy, is_reindexed=bool(complaints)):
            return copy
        _remove(copy)
        self._salvage(pages, target)
        return target

    def _complaints(self, copy: Path) -> list[str]:
        """What SQLite says of the database. Raises NewerSchema."""
        try:
            with closing(apsw.Connection(str(copy))) as connection:
                version = schema_version(connection)
                tables = connection.execute("SELECT name FROM sqlite_schema").fetchall()
                if version > len(self._migrations) and tables:
                    raise NewerSchema(
                        f"{self._data} has schema {version}, but this version of Estafeta knows only up to"
                        f" {len(self._migrations)}; repair it with the version that wrote it, or a later one"
                    )
                if not tables:
                    return [f"the database {DATABASE} is empty"]
                wanted = {name for name, _ in schema_texts(self._migrations[:version])}
                if wanted - {str(name) for (name,) in tables}:
                    return [f"the database {DATABASE} lacks tables"]
                said = [str(line) for (line,) in connection.execute(f"PRAGMA integrity_check({_COMPLAINTS * 50})")]
                return [] if said == ["ok"] else [line for text in said for line in text.splitlines()]
        except apsw.Error as error:
            return [f"the database {DATABASE} is damaged: {error}"]

    def _are_of_indexes(self, complaints: list[str]) -> bool:
        found = [_INDEX_COMPLAINT.match(line) for line in complaints]
        # Where mail goes stands in the queue's index once more: of two that differ neither is believed.
        return all(match is not None and "queued_" not in match[1] for match in found)

    def _mend_copy(self, copy: Path, *, is_reindexed: bool) -> bool:
        """Mend what pages need not be read for; False where that is not enough."""
        with closing(_connect(copy)) as connection:
            try:
                connection.execute("PRAGMA journal_mode = delete").fetchall()
                if is_reindexed:
                    connection.execute("REINDEX").fetchall()
                version = schema_version(connection)
                if version < len(self._migrations):
                    make_schema(connection, self._migrations, after=version)
                references = connection.execute("PRAGMA foreign_key_check").fetchall()
                if references:
                    self._report.damage.append(f"rows of {references[0][0]} refer to what is not there")
                    return False
                if is_reindexed and connection.execute("PRAGMA integrity_check(1)").fetchall() != [("ok",)]:
                    return False
            except apsw.ConstraintError:  # what an index holds to be one is twice in the table
                return False
            if is_reindexed:
                self._report.remade.append("the indexes, from their tables")
            self._mend_contents(connection)
        return True

    def _mend_contents(self, connection: apsw.Connection) -> None:
        report = self._report
        before = len(report.quarantined) + len(report.lost) + len(report.held)
        contents = Contents(connection, self._data, self._quarantine(), report)
        with connection:
            contents.check()
            contents.finish(is_salvaged=False)
            if contents.touched:
                count_again(connection, contents.touched)
            if wrong := miscounted(connection):
                count_again(connection, wrong)
                report.damage.append(f"{len(wrong)} mailboxes count otherwise than they hold")
        if count := len(report.quarantined) + len(report.lost) + len(report.held) - before:
            report.damage.append(f"{count} contents are not what they were")
        self._sum_up(connection, contents)

    def _salvage(self, pages: Pages, target: Path) -> None:
        """Fill a new database from the pages."""
        report = self._report
        salvage = Salvage(pages, self._migrations)
        if pages.missing:
            report.damage.append(f"{pages.missing} pages are missing at the end of {DATABASE}")
        if not pages.has_header:
            report.damage.append(f"the header of {DATABASE} is gone")
        os.close(open_private(target, is_new=True))
        with closing(_connect(target)) as connection:
            connection.execute("PRAGMA journal_mode = off").fetchall()
            rebuilt = rebuild(salvage, connection, self._migrations, self._data)
            report.remade += rebuilt.remade
            with connection:
                contents = self._mend(connection, rebuilt, is_log_damaged=bool(pages.log and pages.log.is_damaged))
            self._check_result(connection)
            report.hurt = sorted(rebuilt.hurt)
            for table, count in rebuilt.refused.items():
                report.lost_rows[table] = report.lost_rows.get(table, 0) + count
            self._sum_up(connection, contents)

    def _mend(self, connection: apsw.Connection, rebuilt: Rebuilt, *, is_log_damaged: bool) -> Contents:
        ids = IdSource(self._clock, worker=0, above=_largest_id(connection))
        contents = Contents(connection, self._data, self._quarantine(), self._report)
        mending = Mending(
            connection, ids, rebuilt, self._report, contents, clock=self._clock, is_log_damaged=is_log_damaged
        )
        mending.run()
        contents.keep_unnamed_files()
        return contents

    def _check_result(self, connection: apsw.Connection) -> None:
        for asked in ("PRAGMA integrity_check(1)", "PRAGMA foreign_key_check"):
            if (said := connection.execute(asked).fetchall()) not in ([], [("ok",)]):
                raise StoreError(f"the repair failed, and the store is as it was: {said[0]}")

    def _quarantine(self) -> Quarantine:
        return Quarantine(self._data, is_dry_run=self._report.is_dry_run)

    def _sum_up(self, connection: apsw.Connection, contents: Contents) -> None:
        self._report.unverified = contents.unverified
        for table in _COUNTED:
            counted = connection.execute(f"SELECT count(*) FROM {table}").fetchall()  # noqa: S608
            self._report.saved[table] = int(str(counted[0][0]))

    # The change.

    def _change_over(self, target: Path) -> None:
        """Put the new database in the place of the damaged one, which is kept."""
        with target.open("rb") as file:
            os.fsync(file.fileno())
        kept = self._keep_damaged()
        self._report.kept_in = kept
        self._report.is_changed = True
        _write(kept / "report.json", json.dumps(asdict(self._report), default=str, ensure_ascii=False, indent=2))
        for path in (target, kept, *kept.iterdir(), self._data / QUARANTINE, *(self._data / QUARANTINE).glob("*")):
            _give(path, self._data)
        sync_folder(kept)
        self._quarantine().sync()
        target.rename(self._workshop / _NEW)
        _write(self._workshop / FINISHED, kept.name)
        sync_folder(self._workshop)
        sync_folder(self._data)
        self._finish_last()

    def _finish_last(self) -> None:
        """The last step, as often as it takes: another log beside a database would be taken for its own."""
        for suffix in ("-wal", "-shm", "-journal"):
            (self._data / f"{DATABASE}{suffix}").unlink(missing_ok=True)
        sync_folder(self._data)
        new = self._workshop / _NEW
        if new.exists():
            new.rename(self._database)
            sync_folder(self._data)
        shutil.rmtree(self._workshop)

    def _keep_damaged(self) -> Path:
        at = datetime.fromtimestamp(self._clock(), UTC)
        name = f"damaged-{at:%Y%m%dT%H%M%SZ}"
        folder = self._data / name
        number = 1
        while folder.exists():
            number += 1
            folder = self._data / f"{name}-{number}"
        make_folder(folder)
        for path in (self._database, self._log):
            if path.exists():
                try:
                    os.link(path, folder / path.name)
                except OSError:  # a file system without links
                    _copy(path, folder / path.name)
        return folder


def _connect(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    for setting in ("synchronous = off", "temp_store = memory", "foreign_keys = off", "cache_size = -65536"):
        connection.execute(f"PRAGMA {setting}").fetchall()
    return connection


def _largest_id(connection: apsw.Connection) -> int:
    rows = connection.execute(
        "SELECT max(id) FROM (SELECT max(entry_id) AS id FROM journal UNION ALL SELECT max(content_id) FROM contents"
        " UNION ALL SELECT max(mailbox_id) FROM mailboxes UNION ALL SELECT max(account_id) FROM accounts)"
    ).fetchall()
    return int(str(rows[0][0] or 0))


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(
        path.is_file() for each in folder.iterdir() if each.is_dir() for path in each.iterdir()
    )


def _copy(source: Path, target: Path) -> int:
    """Copy a file, as zeros what the disk does not give; gives how many pieces that are. Raises OSError."""
    if not source.exists():
        return 0
    unread = at = 0
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        with os.fdopen(open_private(target, is_new=True), "wb") as file:
            while at < size:
                try:
                    piece = os.pread(descriptor, min(_PIECE, size - at), at)
                except OSError:
                    piece, missed = _sectors(descriptor, at, min(_PIECE, size - at))
                    unread += missed
                if not piece:
                    break
                file.write(piece)
                at += len(piece)
            file.flush()
            os.fsync(file.fileno())
    finally:
        os.close(descriptor)
    return unread


def _sectors(descriptor: int, at: int, count: int) -> tuple[bytes, int]:
    pieces, missed = [], 0
    for start in range(at, at + count, _SECTOR):
        length = min(_SECTOR, at + count - start)
        try:
            pieces.append(os.pread(descriptor, length, start).ljust(length, b"\0"))
        except OSError:
            pieces.append(bytes(length))
            missed += 1
    return b"".join(pieces), missed


def _give(path: Path, data: Path) -> None:
    """Give a file that root has made to whom the data directory is."""
    if os.geteuid() == 0 and path.exists():
        owner = data.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    with os.fdopen(open_private(path, is_new=True), "wb") as file:
        file.write(text.encode("utf-8", "backslashreplace"))
        file.flush()
        os.fsync(file.fileno())
