"""The tables of the schema as they lie in the file: what the migrations make of them, so that nothing is told twice.

By its shape a page of rows is known whose place in the file is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import apsw

from estafeta.mail.value import value
from estafeta.store.migrations import Migration
from estafeta.store.repair.cells import Value

Row = dict[str, Value]
"""A row by the names of its columns."""


@value
class Column:
    """One column."""

    name: str
    kind: str
    """INTEGER, REAL, TEXT or BLOB."""
    is_required: bool
    default: Value
    """What rows have that were written before the column was added."""


@value
class Index:
    """An index that lies in a tree of its own."""

    name: str
    columns: tuple[str, ...]
    """What its entries hold, in their order; empty for the rowid."""


@value
class Shape:
    """One table."""

    name: str
    columns: tuple[Column, ...]
    """As a record has them: of a table without rowid, those of its key first."""
    rowid_column: str | None
    """The column that is the rowid, where one is."""
    has_rowid: bool
    """Its rows lie in the tree of a table; the others in that of an index, by their key."""
    indexes: tuple[Index, ...]
    key: tuple[str, ...]
    """What its primary key is made of."""
    insertion: str
    """The statement that puts in a row, leaving out what breaks a constraint."""

    def row(self, rowid: int | None, values: Sequence[Value]) -> Row | None:
        """The values of a record by the names of the columns, or None where they cannot be of this table."""
        if len(values) > len(self.columns):
            return None
        row: Row = {}
        for number, column in enumerate(self.columns):
            value = values[number] if number < len(values) else column.default
            if column.name == self.rowid_column:
                if number >= len(values) or value is not None or rowid is None:
                    return None
                value = rowid
            elif column.kind == "REAL" and type(value) is int:
                value = float(value)
            if not (_KINDS[type(value)] == column.kind or (value is None and not column.is_required)):
                return None
            row[column.name] = value
        return row

    @staticmethod
    def is_kind(kind: str, value: Value) -> bool:
        """Whether a value in an index may be of a column of this kind."""
        return value is None or _KINDS[type(value)] == kind or (kind == "REAL" and type(value) is int)


_KINDS: Mapping[type, str] = {int: "INTEGER", float: "REAL", str: "TEXT", bytes: "BLOB", type(None): "NULL"}


def _is_address(value: Value) -> bool:
    return isinstance(value, str) and "@" in value


def _is_id(value: Value) -> bool:
    """Ids have the milliseconds since 1970 in front (store/ids.py): the first is of 1970, the last of 2109."""
    return isinstance(value, int) and value >= 1 << 40


# What tells rows from those of tables of a like shape. Only pages are held to it whose place is lost.
_TELLS: dict[str, Callable[[Row], bool]] = {
    "counters": lambda row: row["name"] in ("directory_version", "uid_validity", "redacted_id"),
    "addresses": lambda row: _is_address(row["address"]),
    "alias_members": lambda row: _is_address(row["alias"]) and _is_address(row["member"]),
    "lists": lambda row: _is_address(row["alias"]),
    "moved": lambda row: _is_address(row["alias"]),
    "certificates": lambda row: _is_address(row["address"]),
    "sts_policies": lambda row: not _is_address(row["policy_id"]) and "STSv1" in str(row["policy"]),
    "subscriptions": lambda row: _is_id(row["account_id"]),
    "acl": lambda row: _is_id(row["mailbox_id"]),
    "queued_messages": lambda row: _is_id(row["content_id"]),
    "messages": lambda row: _is_id(row["mailbox_id"]) and _is_id(row["content_id"]),
    "journal": lambda row: str(row["facts"]).startswith("{"),
}

NOT_SAVED = frozenset({"journal_keys", "descriptions", "holders"})
"""What is made again from the journal and from contents, and processes that are gone."""

ALIKE = frozenset({"expunged", "flagged"})
"""Tables whose rows nothing tells apart: of a page whose place is lost it is not known which it is of."""


def tells(shape: Shape, row: Row) -> bool:
    """Whether a row of a page whose place is lost may be of this table."""
    told = _TELLS.get(shape.name)
    return told is None or told(row)


def make_schema(connection: apsw.Connection, migrations: Sequence[Migration], *, after: int = 0) -> None:
    """Bring a database of ours up to the last of these migrations."""
    for migration in migrations[after:]:
        connection.execute(migration.script).fetchall()
    connection.execute(f"PRAGMA user_version = {migrations[-1].number}").fetchall()


@lru_cache(maxsize=16)
def shapes(migrations: tuple[Migration, ...]) -> Mapping[str, Shape]:
    """The tables after these migrations, by name; without those that are not saved."""
    connection = apsw.Connection(":memory:")
    try:
        make_schema(connection, migrations)
        # So that default values are told as values.
        found = connection.execute(
            "SELECT name, wr FROM pragma_table_list"
            " WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        return {str(name): _shape(connection, str(name), not wr) for name, wr in found if name not in NOT_SAVED}
    finally:
        connection.close()


@lru_cache(maxsize=16)
def schema_texts(migrations: tuple[Migration, ...]) -> frozenset[tuple[str, str]]:
    """The names and texts of tables and indexes after these migrations, as they stand in the file."""
    connection = apsw.Connection(":memory:")
    try:
        make_schema(connection, migrations)
        found = connection.execute("SELECT name, sql FROM sqlite_schema").fetchall()
        return frozenset((str(name), str(text)) for name, text in found)
    finally:
        connection.close()


def _shape(connection: apsw.Connection, table: str, has_rowid: bool) -> Shape:
    columns: dict[str, Column] = {}
    keys: list[str] = []
    for name, kind, notnull, default, key in connection.execute(
        'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?) ORDER BY cid', (table,)
    ):
        value = connection.execute(f"SELECT {default or 'NULL'}").fetchall()[0][0]
        columns[str(name)] = Column(str(name), str(kind), bool(notnull or key), value)
        if key:
            keys.append(str(name))
    indexes: list[Index] = []
    order: tuple[str, ...] = tuple(columns)
    for index, origin in connection.execute("SELECT name, origin FROM pragma_index_list(?)", (table,)).fetchall():
        names = tuple(
            str(name or "")
            for (name,) in connection.execute("SELECT name FROM pragma_index_xinfo(?) ORDER BY seqno", (index,))
        )
        if origin == "pk" and not has_rowid:
            order = names
        else:
            indexes.append(Index(str(index), names))
    is_alias = has_rowid and len(keys) == 1 and columns[keys[0]].kind == "INTEGER"
    listed, values = ", ".join(columns), ", ".join(f":{name}" for name in columns)
    insertion = f"INSERT OR IGNORE INTO {table} ({listed}) VALUES ({values})"  # noqa: S608 - names of the schema
    return Shape(
        table,
        tuple(columns[name] for name in order),
        keys[0] if is_alias else None,
        has_rowid,
        tuple(indexes),
        tuple(keys),
        insertion,
    )
