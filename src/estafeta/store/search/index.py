"""The index of one account: a SQLite file of its own, with the words of each content in seven places (FTS5).

SEARCH finds parts of words (RFC 9051 §6.4.4). So the words themselves are kept once each, with an index of their
trigrams: the part is looked for among them, and then the messages with any of the words that were found. The file is
derived data: it is written without syncs, and made again when it is damaged or of another version.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import apsw

from estafeta.mail.mime.text import Searchable
from estafeta.mail.value import value
from estafeta.store.errors import StoreError, os_error
from estafeta.store.files import open_private
from estafeta.store.search.words import Place, question, texts, words

_VERSION = 1
_BUSY_MS = 10_000
_AT_ONCE = 400
"""Words of one question to FTS5."""
_CACHE_KIB = 8192
_FEW = 20
"""Candidates that are sooner read than asked for another word."""

_SCHEMA = f"""
CREATE TABLE documents (content_id INTEGER PRIMARY KEY);
CREATE TABLE progress (mailbox_id INTEGER PRIMARY KEY, uid_next INTEGER NOT NULL);
CREATE VIRTUAL TABLE texts USING fts5(
    {", ".join(place.value for place in Place)},
    content='', contentless_delete=1, detail=column, tokenize='ascii');
CREATE TABLE words (word_id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE);
CREATE VIRTUAL TABLE parts USING fts5(
    word, content='words', content_rowid='word_id', detail=none, columnsize=0, tokenize='trigram case_sensitive 1');
PRAGMA user_version = {_VERSION};
"""


@value
class Candidates:
    """Contents that may have a text in a place; `ids` None: any of them."""

    ids: frozenset[int] | None
    is_exact: bool
    """They have it, and no others."""


class SearchIndex:
    """One open index; safe to use from any thread. Everything blocks, and raises StoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection = self._open()

    def _open(self) -> apsw.Connection:
        try:
            try:
                return self._opened()
            except (apsw.CorruptError, apsw.NotADBError, _OtherVersion):
                self._remove()
            return self._opened()
        except _OtherVersion as error:  # another process of another version is at it
            raise StoreError("search index: of another version") from error
        except apsw.Error as error:
            raise StoreError(f"search index: {error}") from error
        except OSError as error:
            raise os_error(error) from error

    def _opened(self) -> apsw.Connection:
        os.close(open_private(self._path))
        connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=64)
        try:
            connection.set_busy_timeout(_BUSY_MS)
            connection.execute("PRAGMA journal_mode = wal").fetchall()
            connection.execute("PRAGMA synchronous = off").fetchall()
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}").fetchall()
            connection.execute("BEGIN IMMEDIATE")
            (version,) = connection.execute("PRAGMA user_version").fetchall()[0]
            if version == 0:
                connection.execute(_SCHEMA).fetchall()
            connection.execute("COMMIT")
            if version not in (0, _VERSION):
                raise _OtherVersion
        except BaseException:
            connection.close(True)
            raise
        return connection

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._connection.close(True)

    # What is in it.

    def progress(self, mailbox_id: int) -> int:
        """The UID below which all messages of a mailbox are in the index."""
        rows = self._run("SELECT uid_next FROM progress WHERE mailbox_id = ?", (mailbox_id,))
        return int(str(rows[0][0])) if rows else 1

    def missing(self, content_ids: Iterable[int]) -> list[int]:
        """Which of the contents are not in the index."""
        known = "SELECT 1 FROM documents WHERE content_id = ?"
        return [content_id for content_id in content_ids if not self._run(known, (content_id,))]

    def add(self, documents: Sequence[tuple[int, Searchable]], *, mailbox_id: int = 0, uid_next: int = 0) -> None:
        """Put contents into the index that are not there yet, and note how far a mailbox is indexed."""
        rows = [(content_id, [words(text) for text in texts(found)]) for content_id, found in documents]
        every = set[str]().union(*(each for _, places in rows for each in places))
        with self._lock:
            execute = self._connection.execute
            try:
                execute("BEGIN IMMEDIATE")
                for content_id, places in rows:
                    execute("INSERT OR IGNORE INTO documents (content_id) VALUES (?)", (content_id,))
                    if self._connection.changes():
                        execute(
                            "INSERT INTO texts (rowid, subject, author, recipient, cc, bcc, header, body)"
                            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                            (content_id, *map(" ".join, places)),
                        )
                for word in every:
                    execute("INSERT OR IGNORE INTO words (word) VALUES (?)", (word,))
                    if self._connection.changes():
                        word_id = self._connection.last_insert_rowid()
                        execute("INSERT INTO parts (rowid, word) VALUES (?, ?)", (word_id, word))
                if mailbox_id:
                    execute(
                        "INSERT INTO progress (mailbox_id, uid_next) VALUES (?, ?) ON CONFLICT (mailbox_id)"
                        " DO UPDATE SET uid_next = max(uid_next, excluded.uid_next)",
                        (mailbox_id, uid_next),
                    )
                execute("COMMIT")
            except apsw.Error as error:
                raise self._failed(error) from error

    def forget(self, live: frozenset[int]) -> int:
        """Remove what is not among these contents any more; gives how many were removed."""
        gone = [(row[0],) for row in self._run("SELECT content_id FROM documents", ()) if row[0] not in live]
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany("DELETE FROM texts WHERE rowid = ?", gone)
                self._connection.executemany("DELETE FROM documents WHERE content_id = ?", gone)
                self._connection.execute("COMMIT")
            except apsw.Error as error:
                raise self._failed(error) from error
        return len(gone)

    def _failed(self, error: apsw.Error) -> StoreError:
        """Leave no transaction open; a file that is damaged is made anew, and filled again by whoever asks next."""
        if isinstance(error, apsw.CorruptError | apsw.NotADBError):
            with suppress(apsw.Error):
                self._connection.close(True)
            self._remove()
            self._connection = self._open()
        elif self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        return StoreError(f"search index: {error}")

    # Asking.

    def candidates(self, places: Sequence[Place], text: str) -> Candidates:
        """The contents that may contain a folded text in one of these places."""
        asked = question(text)
        if not asked.parts:
            return Candidates(None, is_exact=not text)
        found: frozenset[int] | None = None
        # The longest part first: it is in the fewest.
        for part in sorted(asked.parts, key=len, reverse=True):
            with_part = self._with_part(places, part)
            found = with_part if found is None else found & with_part
            if len(found) <= _FEW:
                break
        return Candidates(found, asked.is_exact)

    def _with_part(self, places: Sequence[Place], part: str) -> frozenset[int]:
        columns = "{" + " ".join(place.value for place in places) + "}"
        found: set[int] = set()
        matching = self._words_with(part)
        for start in range(0, len(matching), _AT_ONCE):
            any_of = " OR ".join(f'"{word}"' for word in matching[start : start + _AT_ONCE])
            rows = self._run("SELECT rowid FROM texts WHERE texts MATCH ?", (f"{columns} : ({any_of})",))
            found.update(int(str(row[0])) for row in rows)
        return frozenset(found)

    def _words_with(self, part: str) -> list[str]:
        """The words that contain a part; it has nothing in it that a pattern would read otherwise."""
        if len(part) < 3:  # shorter than what the index of parts is made of
            rows = self._run("SELECT word FROM words WHERE instr(word, ?) > 0", (part,))
        else:
            rows = self._run(
                "SELECT w.word FROM parts AS p JOIN words AS w ON w.word_id = p.rowid WHERE p.word GLOB ?",
                (f"*{part}*",),
            )
        return [str(row[0]) for row in rows]

    def _run(self, text: str, values: tuple[object, ...]) -> list[tuple[object, ...]]:
        with self._lock:
            try:
                return self._connection.execute(text, values).fetchall()
            except apsw.Error as error:
                raise self._failed(error) from error


class _OtherVersion(Exception):
    pass
