"""The page of dependencies is that of pyproject.toml, and the source imports nothing else."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "dependencies.md"


def canonical(requirement: str) -> str:
    """The name in a requirement, as registries compare names."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def named() -> dict[str, list[str]]:
    """What pyproject.toml names, by the sections of the page."""
    read = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    lists = {
        "To run": read["project"]["dependencies"],
        "To build": read["build-system"]["requires"],
        "To develop and test": read["project"]["optional-dependencies"]["dev"],
    }
    assert set(read["project"]["optional-dependencies"]) == {"dev"}
    return {section: sorted(canonical(requirement) for requirement in each) for section, each in lists.items()}


def rows(section: str) -> list[list[str]]:
    """The rows of the section's table."""
    text = PAGE.read_text("utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return found[2:]


@pytest.mark.parametrize("section", ["To run", "To build", "To develop and test"])
def test_the_page_has_each_dependency_once_with_its_reasons(section: str) -> None:
    table = rows(section)
    assert [row[0] for row in table] == named()[section]
    for row in table:
        assert len(row) == 3 and all(re.match(r"\S.*[.]$", cell) for cell in row[1:]), row


def test_the_source_imports_what_is_named_and_all_of_that() -> None:
    imported = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    foreign = imported - sys.stdlib_module_names - {"estafeta"}
    foreign.discard("pydantic_core")  # pydantic's own inner half, of one version with it; its errors are typed there
    owners = packages_distributions()
    assert sorted(canonical(owner) for name in foreign for owner in set(owners[name])) == named()["To run"]
