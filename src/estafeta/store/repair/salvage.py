"""Rows out of a damaged database, from the pages themselves.

First the trees are walked from their roots, as far as they hold together. Pages that no tree leads to, and that are not
free, are known by the shape of their rows, and belong to a tree that has lost some. What indexes repeat of a row whose
own page is lost is told too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from estafeta.mail.value import value
from estafeta.store.migrations import Migration
from estafeta.store.repair.cells import (
    INDEX_INTERIOR,
    INDEX_LEAF,
    TABLE_INTERIOR,
    TABLE_LEAF,
    Cell,
    Malformed,
    Page,
    Value,
    kind_of,
    numbers,
    read_page,
    read_record,
    trunk_leaves,
)
from estafeta.store.repair.pages import Pages
from estafeta.store.repair.shapes import ALIKE, Column, Index, Row, Shape, schema_texts, shapes, tells

_SCHEMA = Shape(
    "sqlite_schema",
    (
        Column("type", "TEXT", True, None),
        Column("name", "TEXT", True, None),
        Column("tbl_name", "TEXT", True, None),
        Column("rootpage", "INTEGER", True, None),
        Column("sql", "TEXT", False, None),
    ),
    None,
    True,
    (),
    (),
    "",
)
_TOLD_BY_INDEXES = frozenset(
    {
        "domains",
        "addresses",
        "alias_members",
        "mailboxes",
        "contents",
        "messages",
        "queued_messages",
        "queued_recipients",
    }
)
"""Tables of which the entries of indexes are read when rows are lost."""


@value
class Salvaged:
    """One row."""

    row: Row
    is_certain: bool
    """It was there when the database was last whole; False for one that may have been removed before."""
    is_whole: bool
    """All of its pages were found."""


@dataclass(slots=True)
class Tree:
    """A table or an index, as far as it was found."""

    shape: Shape
    index: Index | None
    """None for the table itself."""
    root: int | None
    pages: list[int]
    """Those with rows or entries that its root leads to."""
    strays: list[int]
    """Those that nothing leads to."""
    lost: int = 0
    """Places where pages should be that are none, or not of this tree."""
    broken: int = 0
    """Rows that cannot be read on pages that can."""

    @property
    def is_hurt(self) -> bool:
        """Rows of it are missing."""
        return self.root is None or bool(self.lost or self.broken)


class Salvage:
    """What can be read of a database."""

    def __init__(self, pages: Pages, migrations: Sequence[Migration]) -> None:
        """Finds out which page is whose; reads all of them once. `migrations` are all that are known."""
        self._pages = pages
        self._migrations = tuple(migrations)
        self._owner: dict[int, str] = {}
        """Pages that were found to be of a tree, by its name."""
        self._spilled: set[int] = set()
        """Pages on which rows go on."""
        self.is_free_known = True
        """Which pages are free is known, so that what was removed does not come back."""
        self._free = self._free_pages()
        roots, texts = self._schema()
        self.version = self._version(texts)
        """The number of the schema."""
        self.shapes = shapes(self._migrations[: self.version])
        """The tables, by name."""
        self.has_roots = bool(roots)
        """Where tables begin is known."""
        self.trees: dict[str, Tree] = {}
        """By the names of tables and indexes."""
        for shape in self.shapes.values():
            self.trees[shape.name] = Tree(shape, None, roots.get(shape.name), [], [])
            for index in shape.indexes:
                self.trees[index.name] = Tree(shape, index, roots.get(index.name), [], [])
        for name, tree in self.trees.items():
            if tree.root is not None:
                self._walk(name, tree)
        # Those that are not saved come last, for nothing tells whether a page is theirs.
        for name, root in roots.items():
            if name not in self.trees:
                self._walk(name, Tree(_ANY_TABLE, None, root, [], []), is_any=True)
        self._find_strays()

    # What is asked.

    def hurt(self) -> list[str]:
        """The tables of which rows are missing."""
        return [name for name, tree in self.trees.items() if tree.index is None and tree.is_hurt]

    def rows(self, table: str) -> Iterator[Salvaged]:
        """All rows of a table, those that its root leads to first; a row that is found twice comes twice."""
        tree = self.trees[table]
        for numbers_, is_certain in ((tree.pages, True), (tree.strays, self.is_free_known)):
            for number in numbers_:
                page = self._page(number)
                if page is None:
                    continue
                for cell in page.cells:
                    row = self._row(tree.shape, cell)
                    if row is not None:
                        yield Salvaged(row, is_certain, cell.is_whole)

    def each_entry(self, table: str) -> Iterator[Row]:
        """The entries of all indexes of a table; each has the columns of its index and, as "", the rowid."""
        shape = self.trees[table].shape
        for index in shape.indexes:
            tree = self.trees[index.name]
            for number in (*tree.pages, *(tree.strays if self.is_free_known else ())):
                page = self._page(number)
                if page is not None:
                    yield from self._entries_of(page, index, shape)

    def entries(self, table: str) -> dict[tuple[Value, ...], Row]:
        """What indexes tell of rows together, by the rowid, or what the primary key is made of."""
        shape = self.trees[table].shape
        found: dict[tuple[Value, ...], Row] = defaultdict(dict)
        for values in self.each_entry(table):
            key = (values[""],) if "" in values else tuple(values.get(name) for name in shape.key)
            found[key].update(values)
        return found

    # Whose is which page.

    def _page(self, number: int) -> Page | None:
        octets = self._pages.get(number)
        if octets is None:
            return None
        try:
            return read_page(octets, self._pages.usable, self._pages.get, is_first=number == 1)
        except Malformed:
            return None

    def _free_pages(self) -> set[int]:
        """Pages that are free: by the list in the file, or, where that is broken, by what looks like a part of it."""
        pages, free, said = self._pages, set[int](), 0
        first = pages.get(1) if pages.has_header else None
        if first is not None:
            following, said = numbers(first, 32, 36)
            while following and following not in free:
                octets = pages.get(following)
                found = trunk_leaves(octets, pages.usable, pages.count) if octets is not None else None
                if found is None:
                    break
                free.add(following)
                following = found[0]
                free.update(found[1])
            if len(free) == said and not following:
                return free
        self.is_free_known = False
        for number in range(2, pages.count + 1):
            octets = pages.get(number)
            found = trunk_leaves(octets, pages.usable, pages.count) if octets is not None else None
            # A page of zeros lists nothing; and of one page it cannot be said.
            if found is not None and len(found[1]) > 1:
                free.add(number)
                free.update(found[1])
        return free

    def _schema(self) -> tuple[dict[str, int], set[tuple[str, str]]]:
        """Where trees begin, and the names and texts of tables and indexes, as far as either can be read."""
        tree = Tree(_SCHEMA, None, 1, [], [])
        self._walk(_SCHEMA.name, tree)
        if tree.is_hurt:
            for number in range(2, self._pages.count + 1):
                if number in self._owner or number in self._free or not self._is_kind(number, TABLE_LEAF):
                    continue
                page = self._page(number)
                rows = [self._row(_SCHEMA, cell) for cell in page.cells] if page is not None else []
                if page is not None and any(row is not None and row["type"] in ("table", "index") for row in rows):
                    tree.pages.append(number)
                    self._claim(_SCHEMA.name, number, page)
        roots: dict[str, int] = {}
        texts: set[tuple[str, str]] = set()
        for number in tree.pages:
            page = self._page(number)
            for cell in page.cells if page is not None else ():
                row = self._row(_SCHEMA, cell)
                if row is None:
                    continue
                texts.add((str(row["name"]), str(row["sql"])))
                if isinstance(root := row["rootpage"], int) and 1 < root <= self._pages.count:
                    roots[str(row["name"])] = root
        return roots, texts

    def _version(self, texts: set[tuple[str, str]]) -> int:
        """The schema that the texts are of; the newest where nothing tells."""
        first = self._pages.get(1) if self._pages.has_header else None
        said = next(numbers(first, 60)) if first is not None else 0
        if texts or not 1 <= said <= len(self._migrations):
            known = range(1, len(self._migrations) + 1)
            return max(known, key=lambda number: (len(texts & schema_texts(self._migrations[:number])), number))
        return said

    def _walk(self, name: str, tree: Tree, *, is_any: bool = False) -> None:
        assert tree.root is not None
        waiting = [tree.root]
        kinds: set[bool] = set()
        while waiting:
            number = waiting.pop()
            page = self._page(number) if number not in self._owner and number not in self._free else None
            if page is None or not (is_any or self._fits(tree, page)) or (kinds and page.is_table not in kinds):
                tree.lost += 1
                continue
            kinds.add(page.is_table)
            self._claim(name, number, page)
            tree.broken += page.broken
            if page.kind != TABLE_INTERIOR:
                tree.pages.append(number)
                if not is_any and tree.index is None:
                    tree.broken += sum(1 for cell in page.cells if self._row(tree.shape, cell) is None)
            waiting += reversed(page.children)

    def _claim(self, name: str, number: int, page: Page) -> None:
        self._owner[number] = name
        for cell in page.cells:
            self._spilled.update(cell.overflow)

    def _fits(self, tree: Tree, page: Page) -> bool:
        """Whether a page may be of a tree: its kind, and at least one of its rows."""
        if page.is_table != (tree.index is None and tree.shape.has_rowid):
            return False
        if page.kind == TABLE_INTERIOR or not page.cells:
            return not page.broken or page.kind == TABLE_INTERIOR
        if tree.index is not None:
            return any(True for _ in self._entries_of(page, tree.index, tree.shape))
        return any(self._row(tree.shape, cell) is not None for cell in page.cells)

    def _find_strays(self) -> None:
        hurt = {name: tree for name, tree in self.trees.items() if tree.is_hurt}
        if not hurt:
            return
        for number in range(2, self._pages.count + 1):
            if number in self._owner or number in self._free or number in self._spilled:
                continue
            if not self._is_kind(number, TABLE_LEAF, INDEX_LEAF, INDEX_INTERIOR):
                continue
            page = self._page(number)
            if page is None or not page.cells:
                continue
            found = [name for name, tree in hurt.items() if self._is_stray_of(tree, page)]
            # The shape of an index may be that of another; a table's is its own.
            tables = [name for name in found if hurt[name].index is None]
            chosen = tables if len(tables) == 1 else found
            if len(chosen) == 1 and chosen[0] not in ALIKE:
                hurt[chosen[0]].strays.append(number)
                self._claim(chosen[0], number, page)

    def _is_stray_of(self, tree: Tree, page: Page) -> bool:
        if page.is_table != (tree.index is None and tree.shape.has_rowid):
            return False
        if tree.index is None:
            rows = [self._row(tree.shape, cell) for cell in page.cells]
            known = [row for row in rows if row is not None]
            return len(known) * 2 > len(rows) and all(tells(tree.shape, row) for row in known)
        if tree.shape.name not in _TOLD_BY_INDEXES:
            return False
        return sum(1 for _ in self._entries_of(page, tree.index, tree.shape)) == len(page.cells)

    def _is_kind(self, number: int, *kinds: int) -> bool:
        octets = self._pages.get(number)
        return octets is not None and kind_of(octets) in kinds

    # What stands in a cell.

    def _row(self, shape: Shape, cell: Cell) -> Row | None:
        try:
            values = read_record(cell.payload, is_whole=cell.is_whole)
        except Malformed:
            return None
        if not cell.is_whole:
            # What was on lost pages is None; only contents are worth anything without it.
            return shape.row(cell.rowid, values) if shape.name == "contents" else None
        return shape.row(cell.rowid, values)

    def _entries_of(self, page: Page, index: Index, shape: Shape) -> Iterable[Row]:
        kinds = {column.name: column.kind for column in shape.columns} | {"": "INTEGER"}
        for cell in page.cells:
            if not cell.is_whole:
                continue
            try:
                values = read_record(cell.payload)
            except Malformed:
                continue
            if len(values) == len(index.columns):
                row = dict(zip(index.columns, values, strict=True))
                if all(shape.is_kind(kinds[name], value) for name, value in row.items()):
                    if shape.rowid_column is not None and "" in row:
                        row[shape.rowid_column] = row[""]
                    yield row


_ANY_TABLE = Shape("", (), None, True, (), (), "")
