"""The page of standards names tests that exist, and every RFC that the source cites."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
PAGE = (ROOT / "docs" / "standards.md").read_text("utf-8")


@cache
def names_in(path: Path) -> frozenset[str]:
    """The names of the tests in a file."""
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def named() -> list[str]:
    """The tests and files that the page names."""
    return re.findall(r"`([\w/]+\.(?:py|txt)(?:::\w+)?)`", PAGE)


def test_each_test_that_the_page_names_is_there() -> None:
    assert named()
    for name in named():
        file, _, test = name.partition("::")
        assert (TESTS / file).is_file(), name
        assert not test or (test.startswith("test_") and test in names_in(TESTS / file)), name


def rows() -> dict[str, str]:
    """RFC numbers that have a row, or a section of their own."""
    found = {match[1]: match[0] for match in re.finditer(r"^\| (\d{3,5}) [^|]+\|.*$", PAGE, re.MULTILINE)}
    return found | dict.fromkeys(re.findall(r"^## RFC (\d+): ", PAGE, re.MULTILINE), "")


def test_each_row_has_its_four_cells_and_is_there_once() -> None:
    for line in PAGE.splitlines():
        if line.startswith("|"):
            assert len(line.strip("|").split("|")) == 4, line
    numbers = re.findall(r"^\| (\d{3,5}) [^|]+\|", PAGE, re.MULTILINE)
    assert len(numbers) == len(set(numbers))


def test_a_row_of_something_done_names_a_test() -> None:
    for number, row in rows().items():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if row and cells[1] and not cells[1].startswith("Its words"):
            assert "`" in cells[3], number


def test_each_rfc_that_the_source_cites_has_a_row() -> None:
    cited: dict[str, str] = {}
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix in (".py", ".sql"):
            for match in re.finditer(r"RFCs? (\d{3,5}(?:, (?:and )?\d{3,5})*)", path.read_text("utf-8")):
                cited |= {number: str(path.relative_to(ROOT)) for number in re.findall(r"\d+", match[1])}
    missing = {number: where for number, where in cited.items() if number not in rows()}
    assert not missing
