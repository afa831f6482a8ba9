"""The indexes of all accounts: one file each, in a folder of the data directory; those used last are open."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from estafeta.store.files import make_folder
from estafeta.store.ids import IdSource
from estafeta.store.records import AccountId
from estafeta.store.search.index import SearchIndex

FOLDER = "search"
_OPEN = 64
"""Indexes that are open at a time; each has three files and some memory."""


class SearchIndexes:
    """Opens indexes; safe to use from any thread."""

    def __init__(self, data_directory: Path) -> None:
        self._folder = data_directory / FOLDER
        self._open: OrderedDict[int, SearchIndex] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, account_id: AccountId) -> SearchIndex:
        """The index of an account, made when there is none. Raises StoreError."""
        with self._lock:
            found = self._open.get(account_id)
            if found is None:
                make_folder(self._folder)
                found = self._open[account_id] = SearchIndex(self._path(account_id))
            self._open.move_to_end(account_id)
            # One that is dropped is closed when the last thread that asks it lets go.
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)
            return found

    def remove(self, account_id: AccountId) -> None:
        """The account is gone, and its index goes too."""
        with self._lock:
            self._open.pop(account_id, None)
            path = self._path(account_id)
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)

    def kept(self) -> list[AccountId]:
        """The accounts that have an index."""
        if not self._folder.is_dir():
            return []
        return [AccountId(IdSource.parse(path.stem)) for path in self._folder.glob("*.sqlite3")]

    def close(self) -> None:
        """Close all that are open."""
        with self._lock:
            for index in self._open.values():
                index.close()
            self._open.clear()

    def _path(self, account_id: AccountId) -> Path:
        return self._folder / f"{IdSource.text(account_id)}.sqlite3"
