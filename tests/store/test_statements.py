"""SQL stays in its files, named, explained, used, and in words that PostgreSQL knows too."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import estafeta.store
from estafeta.store.statements import Statements

ROOM = Path(estafeta.store.__file__).parent
FILES = sorted(path.stem for path in (ROOM / "sql").glob("*.sql"))
SQLITE_ONLY = re.compile(
    r"INSERT OR |REPLACE INTO|WITHOUT ROWID|AUTOINCREMENT|\bGLOB\b|ifnull|\browid\b|strftime", re.IGNORECASE
)


@pytest.mark.parametrize("file", FILES)
def test_each_statement_is_used_and_each_used_one_is_there(file: str) -> None:
    module, folder = ROOM / f"{file}.py", ROOM / file
    used = {
        node.attr
        for path in ([module] if module.exists() else folder.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "_sql"
    }
    assert used == set(Statements(file).all)


@pytest.mark.parametrize("file", FILES)
def test_each_statement_says_what_it_is_for(file: str) -> None:
    statements = Statements(file).all
    assert statements
    for statement in statements.values():
        assert statement.purpose and statement.text and ";" not in statement.text and "--" not in statement.text


@pytest.mark.parametrize("path", [*(ROOM / "sql").glob("*.sql"), *(ROOM / "schema").glob("*.sql")], ids=str)
def test_sql_keeps_to_what_both_engines_know(path: Path) -> None:
    # WITHOUT ROWID may stand behind a table, from where another engine's migration leaves it out.
    text = path.read_text() if path.parent.name == "sql" else path.read_text().replace("\n) WITHOUT ROWID;", "\n);")
    assert not SQLITE_ONLY.search(re.sub(r"^--.*", "", text, flags=re.MULTILINE))


def test_an_unknown_statement_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no statement is named nothing"):
        _ = Statements("queue").nothing
