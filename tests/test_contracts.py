"""What the design demands of the code as a whole: who imports whom, names, docstrings, and no ties to a machine."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
LOCKS = sorted(ROOT.glob("requirements*.lock"))

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def project() -> dict[str, list[str]]:
    """The dependencies that pyproject.toml names, by where."""
    read = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = read["project"]["optional-dependencies"]
    return {"": read["project"]["dependencies"], "build": read["build-system"]["requires"], **extras}


def canonical(requirement: str) -> str:
    """The name in a requirement, as registries compare names."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def test_rooms_import_only_what_they_may() -> None:
    command = (
        "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    )
    linted = subprocess.run(
        [sys.executable, "-c", command],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_files_and_folders_are_named_for_what_they_are() -> None:
    nothing = {"utils", "util", "common", "core", "base", "helpers", "helper", "manager", "misc"}
    parts = {part for path in SOURCES for part in path.relative_to(ROOT / "src").with_suffix("").parts}
    assert not parts & nothing


def test_modules_say_what_they_are_for_in_eight_lines() -> None:
    faults = []
    for path in SOURCES:
        docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
        if docstring is None or docstring.count("\n") >= 8:
            faults.append(name_of(path))
    assert not faults


def without_docstring(path: Path) -> Iterator[str]:
    """The public definitions of a module that have none."""
    for node in definitions(ast.parse(path.read_text("utf-8"))):
        if ast.get_docstring(node) is None:
            yield f"{name_of(path)}:{node.lineno} {node.name}"


def definitions(tree: ast.Module | ast.ClassDef, *, is_handled: bool = False) -> Iterator[Definition]:
    """Public classes, functions and methods. Exempt are what is told elsewhere: handlers of events, a protocol's
    methods in its own implementations, and members of private classes."""
    for node in tree.body:
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        if is_handled and node.name.startswith("on_"):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from definitions(node, is_handled=True)


def test_what_is_public_says_what_it_is() -> None:
    assert not [fault for path in SOURCES for fault in without_docstring(path)]


def tracked_files() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("git is not there")
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


# Written in parts, so that this file does not find itself.
MACHINE = re.compile("|".join(("/" + "work/", "/" + "root/", "/" + "home/[a-z]", r"/tmp/" + "v/")))
REGISTRY = re.compile("|".join(("pypi" + r"\.org", "pythonhosted" + r"\.org", "--(?:extra-)?index" + "-url[= ]")))


def test_nothing_is_tied_to_one_machine_or_registry() -> None:
    faults = []
    for path in tracked_files():
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
            if MACHINE.search(line) or REGISTRY.search(line):
                faults.append(f"{name_of(path)}:{number} {line.strip()[:100]}")
    assert not faults


def requirements(lock: Path) -> list[str]:
    """The logical lines of a lock file."""
    text = re.sub(r"\\\n\s*", " ", lock.read_text("utf-8"))
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_one_version_with_its_hashes_and_no_place(lock: Path) -> None:
    lines = requirements(lock)
    assert lines
    for line in lines:
        assert re.match(r"[a-z0-9][a-z0-9.-]*==[^\s;]+ ", line), line
        assert re.search(r" --hash=sha256:[0-9a-f]{64}(?: |$)", line), line
        assert not set(re.findall(r" (--?[a-z-]+)", line)) - {"--hash"}, line


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [("requirements.lock", [""]), ("requirements-dev.lock", ["", "dev"]), ("requirements-build.lock", ["build"])],
)
def test_the_locks_have_what_the_project_needs(lock: str, wanted: list[str]) -> None:
    locked = {canonical(line) for line in requirements(ROOT / lock)}
    needed = {canonical(requirement) for part in wanted for requirement in project()[part]}
    assert needed <= locked


def test_every_lock_is_looked_at() -> None:
    parts = ("", "-bench", "-dev", "-build", "-fuzz")
    assert {lock.name for lock in LOCKS} == {f"requirements{part}.lock" for part in parts}
