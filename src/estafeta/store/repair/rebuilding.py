"""A new database of the rows that were salvaged, and of those that indexes tell of.

The rows go in as they are, but for those that a constraint of the schema refuses. References are seen to afterwards.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from estafeta.store.ids import IdSource
from estafeta.store.migrations import Migration
from estafeta.store.repair.cells import Value
from estafeta.store.repair.salvage import Salvage, Salvaged
from estafeta.store.repair.shapes import Row, make_schema

_TOGETHER = 500
"""Rows that are put in by one call."""


@dataclass(slots=True)
class Rebuilt:
    """What is known beside the rows in the new database."""

    hurt: frozenset[str] = frozenset()
    """Tables that have lost rows."""
    refused: Counter[str] = field(default_factory=Counter)
    """Rows that broke a constraint, by table."""
    doubtful_messages: set[tuple[int, int]] = field(default_factory=set)
    """Mailboxes and UIDs of messages that may have been expunged before."""
    doubtful_recipients: set[int] = field(default_factory=set)
    """Queued recipients that may have left before, or whose row is not what its index says."""
    doubtful_contents: set[int] = field(default_factory=set)
    """Contents without a digest whose octets may be those of others."""
    missing_messages: dict[tuple[int, int], int] = field(default_factory=dict)
    """Contents of messages of which only indexes tell, by mailbox and UID."""
    missing_recipients: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Message and forward-path of queued recipients of which only an index tells."""
    remade: list[str] = field(default_factory=list)
    renumbered: set[int] = field(default_factory=set)
    """Mailboxes whose row was made again: what clients know of them is not true any more."""


def rebuild(salvage: Salvage, connection: apsw.Connection, migrations: Sequence[Migration], data: Path) -> Rebuilt:
    """Fill an empty database; it has the newest schema then. `data` is where contents in files are."""
    make_schema(connection, migrations[: salvage.version])
    rebuilt = Rebuilt(frozenset(salvage.hurt()))
    with connection:
        connection.execute("DELETE FROM counters").fetchall()
        for table in salvage.shapes:
            _fill(salvage, connection, table, rebuilt)
        _Remaking(salvage, connection, rebuilt, data).run()
        if salvage.version < len(migrations):
            make_schema(connection, migrations, after=salvage.version)
    return rebuilt


def _fill(salvage: Salvage, connection: apsw.Connection, table: str, rebuilt: Rebuilt) -> None:
    insertion = salvage.shapes[table].insertion
    waiting: list[Row] = []

    def put() -> None:
        before = connection.total_changes()
        connection.executemany(insertion, waiting)
        if (refused := len(waiting) - (connection.total_changes() - before)) and table not in rebuilt.hurt:
            rebuilt.refused[table] += refused
        waiting.clear()

    for found in _fit(salvage.rows(table), table):
        if found.is_certain and found.is_whole:
            waiting.append(found.row)
            if len(waiting) == _TOGETHER:
                put()
            continue
        put()
        connection.execute(insertion, found.row).fetchall()
        if connection.changes():
            _doubt(table, found.row, rebuilt)
    put()


def _fit(rows: Iterator[Salvaged], table: str) -> Iterator[Salvaged]:
    """Leave out what the types of columns do not tell: rows that nobody could read."""
    for found in rows:
        row = found.row
        if table == "journal":
            try:
                is_fit = isinstance(json.loads(str(row["facts"])), dict)
            except ValueError:
                is_fit = False
            if not is_fit:
                continue
        elif table == "contents" and not found.is_whole and row["octets"] is None:
            row["octets"], row["file"] = (b"", None) if row["file"] is None else (None, row["file"])
        elif table == "messages" and not is_prefix(row["prefix"]):
            continue
        yield found


def is_prefix(prefix: Value) -> bool:
    """Whether octets are whole lines of a header section, as they stand before a content."""
    if not isinstance(prefix, bytes) or not prefix:
        return prefix == b""
    try:
        lines = prefix.decode().split("\r\n")
    except UnicodeDecodeError:
        return False
    return ":" in lines[0] and not lines.pop() and all(line.replace("\t", "").isprintable() for line in lines)


def _doubt(table: str, row: Row, rebuilt: Rebuilt) -> None:
    if table == "messages":
        rebuilt.doubtful_messages.add((_integer(row["mailbox_id"]), _integer(row["uid"])))
    elif table == "queued_recipients":
        rebuilt.doubtful_recipients.add(_integer(row["recipient_id"]))
    elif table == "contents" and row.get("digest") is None:
        rebuilt.doubtful_contents.add(_integer(row["content_id"]))


def _integer(value: Value) -> int:
    assert isinstance(value, int)
    return value


class _Remaking:
    """Rows that indexes tell of, put in where their own are lost."""

    def __init__(self, salvage: Salvage, connection: apsw.Connection, rebuilt: Rebuilt, data: Path) -> None:
        self._salvage = salvage
        self._connection = connection
        self._rebuilt = rebuilt
        self._data = data

    def run(self) -> None:
        hurt = self._rebuilt.hurt
        if "domains" in hurt:
            self._domains()
        if "addresses" in hurt:
            self._addresses()
        if "alias_members" in hurt:
            self._alias_members()
        if "mailboxes" in hurt:
            self._mailboxes()
        if "contents" in hurt:
            self._contents()
        if "messages" in hurt:
            self._messages()
        self._recipients()

    def _put(self, table: str, row: Row) -> bool:
        shape = self._salvage.shapes[table]
        whole = {column.name: row.get(column.name, column.default) for column in shape.columns}
        self._connection.execute(shape.insertion, whole).fetchall()
        return bool(self._connection.changes())

    def _domains(self) -> None:
        for (rowid,), entry in self._salvage.entries("domains").items():
            if isinstance(rowid, int) and entry.get("name"):
                row = {**entry, "created_at": born_at(rowid)}
                if self._put("domains", row):
                    self._rebuilt.remade.append(f"the domain {entry['name']!s}, without its catch-all")

    def _addresses(self) -> None:
        # Without the index of accounts an account's address would become an alias.
        is_told = not self._salvage.trees["sqlite_autoindex_addresses_2"].is_hurt
        for entry in self._salvage.entries("addresses").values():
            is_whole = is_told and entry.get("address") and entry.get("domain_id") is not None
            if is_whole and self._put("addresses", entry):
                self._rebuilt.remade.append(f"the address {entry['address']!s}")

    def _alias_members(self) -> None:
        for entry in self._salvage.entries("alias_members").values():
            is_whole = entry.get("alias") and entry.get("lowered") and entry.get("position") is not None
            if is_whole and self._put("alias_members", {**entry, "member": entry["lowered"]}):
                self._rebuilt.remade.append(f"the member {entry['lowered']!s} of the alias {entry['alias']!s}")

    def _mailboxes(self) -> None:
        for entry in self._salvage.entries("mailboxes").values():
            if entry.get("mailbox_id") is None or entry.get("account_id") is None or not entry.get("name"):
                continue
            numbers = dict.fromkeys(("uid_validity", "uid_next", "highest_modseq"), 1)
            row = {**entry, **numbers, "messages": 0, "octets": 0}
            if self._put("mailboxes", row):
                self._rebuilt.renumbered.add(_integer(entry["mailbox_id"]))
                self._rebuilt.remade.append(f"the mailbox {entry['name']!s}, with a new UIDVALIDITY")

    def _contents(self) -> None:
        for entry in self._salvage.entries("contents").values():
            file = entry.get("file")
            if not isinstance(file, str) or entry.get("content_id") is None:
                continue
            try:
                # As ContentStore keeps it.
                size = (self._data / "content" / file[-2:] / file).stat().st_size
            except (OSError, ValueError):
                continue
            if self._put("contents", {**entry, "size": size}):
                self._rebuilt.remade.append(f"the row of the content file {file}")

    def _messages(self) -> None:
        is_there = "SELECT 1 FROM messages WHERE mailbox_id = ? AND uid = ?"
        for entry in self._salvage.each_entry("messages"):
            mailbox_id, uid = entry.get("mailbox_id"), entry.get("uid")
            # A message that was appended or moved has a delivery of its own.
            content_id = entry.get("content_id", entry.get("delivery_id"))
            if not (isinstance(mailbox_id, int) and isinstance(uid, int) and isinstance(content_id, int)):
                continue
            if "content_id" not in entry and (mailbox_id, uid) in self._rebuilt.missing_messages:
                continue
            if not self._connection.execute(is_there, (mailbox_id, uid)).fetchall():
                self._rebuilt.missing_messages[mailbox_id, uid] = content_id

    def _recipients(self) -> None:
        """What the index of forward-paths says of queued recipients."""
        asked = "SELECT message_id, forward_path, destination FROM queued_recipients WHERE recipient_id = ?"
        for entry in self._salvage.each_entry("queued_recipients"):
            rowid = entry.get("recipient_id")
            if not isinstance(rowid, int) or "forward_path" not in entry:
                continue
            rows = self._connection.execute(asked, (rowid,)).fetchall()
            if not rows:
                if "queued_recipients" in self._rebuilt.hurt:
                    self._rebuilt.missing_recipients[rowid] = (
                        _integer(entry["message_id"]),
                        str(entry["forward_path"]),
                    )
            elif rows[0] != (entry["message_id"], entry["forward_path"], entry["destination"]):
                self._rebuilt.doubtful_recipients.add(rowid)


def born_at(number: int) -> float:
    """When an id was given (store/ids.py); 0 for what is none."""
    instant = (number - IdSource.smallest_at(0)) / (IdSource.smallest_at(1) or 1)
    return max(0.0, instant)
