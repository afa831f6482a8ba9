from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import os
import re
import textwrap
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from estafeta.config.reading import fields_at, read
from estafeta.config.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
REQUIRED = object()
SPOKEN_DEFAULTS = {"hostname": "the machine's name", "port": "by kind"}


def described(table: type) -> dict[str, str]:
    """The text under each attribute of the class and its bases."""
    found: dict[str, str] = {}
    for kind in reversed(table.__mro__):
        if kind in (object, BaseModel):
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
        except (OSError, TypeError):
            continue
        body = tree.body[0]
        assert isinstance(body, ast.ClassDef)
        for member, following in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(member, ast.AnnAssign)
                and isinstance(member.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                found[member.target.id] = " ".join(str(following.value.value).split())
    return found


def defaults(table: type) -> dict[str, Any]:
    if issubclass(table, BaseModel):
        return {
            name: REQUIRED if field.is_required() else {} if field.default_factory is dict else field.default
            for name, field in table.model_fields.items()
        }
    assert dataclasses.is_dataclass(table)
    return {member.name: _default(member) for member in dataclasses.fields(table)}


def _default(member: dataclasses.Field[Any]) -> Any:
    if member.default_factory is not dataclasses.MISSING:
        return member.default_factory()
    return REQUIRED if member.default is dataclasses.MISSING else member.default


def type_name(kind: Any) -> str:
    choices = [choice for choice in get_args(kind) if choice is not type(None)]
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return " \\| ".join(f'"{member.value}"' for member in kind)
    if get_origin(kind) is dict:
        return f"table of {type_name(get_args(kind)[1])}"
    if get_origin(kind) is tuple:
        return f"array of {type_name(choices[0])}"
    if choices and all(isinstance(choice, str) for choice in choices):
        return " \\| ".join(f'"{choice}"' for choice in choices)
    if choices and any("Network" in str(choice) for choice in choices):
        return "network"
    if choices:
        return type_name(choices[0])
    return {int: "integer", float: "number", bool: "boolean", Path: "path"}.get(kind, "text")


def default_text(name: str, value: Any) -> str:
    if name in SPOKEN_DEFAULTS:
        return SPOKEN_DEFAULTS[name]
    if value is REQUIRED:
        return "*required*"
    if value is None or value in ("", {}):
        return ""
    if isinstance(value, tuple):
        return f"`{json.dumps([inner if isinstance(inner, int | float) else str(inner) for inner in value])}`"
    return f"`{json.dumps(str(value) if isinstance(value, Path) else value)}`"


def is_table(kind: Any) -> bool:
    return isinstance(kind, type) and (issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind))


def element(kind: Any) -> Any:
    """The table inside `tuple[Table, ...]` or `Table | None`, or the type itself."""
    return next((choice for choice in get_args(kind) if is_table(choice)), kind)


def rendered() -> str:
    sections: list[str] = []

    def section(title: str, table: type, key: tuple[str, ...]) -> None:
        texts, values = described(table), defaults(table)
        kinds = fields_at(key) if not key or not get_args(Settings.model_fields[key[0]].annotation) else {}
        if not kinds:
            kinds = (
                {name: field.annotation for name, field in table.model_fields.items()}
                if issubclass(table, BaseModel)
                else inspect.get_annotations(table, eval_str=True)
            )
        lines = [f"### {title}", "", "| name | type | default | what |", "|---|---|---|---|"]
        inner: list[tuple[str, type, tuple[str, ...]]] = []
        for name, kind in kinds.items():
            table_of = element(kind)
            assert name in texts, f"{table.__name__}.{name} has no description"
            if is_table(table_of):
                path = (*key, name)
                label = ".".join(path)
                inner.append((f"`[[{label}]]`" if get_origin(kind) is tuple else f"`[{label}]`", table_of, path))
                continue
            lines.append(
                f"| `{name}` | {type_name(kind)} | {default_text(name, values[name])} | {texts[name]} |".replace(
                    "|  |", "| |"
                )
            )
        if len(lines) > 4:
            sections.append("\n".join(lines))
        for each in inner:
            section(*each)

    section("At the top", Settings, ())
    return "\n\n".join(sections)


def test_the_page_has_every_setting_as_the_models_have_it() -> None:
    page = PAGE.read_text("utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end
    wanted = f"{before}{BEGIN}\n\n{rendered()}\n\n{END}{after}"
    if os.environ.get("ESTAFETA_WRITE_DOCS"):
        PAGE.write_text(wanted, "utf-8")
        page = wanted
    assert page == wanted, "ESTAFETA_WRITE_DOCS=1 pytest tests/config/test_documentation.py writes the tables anew"


def test_the_complete_example_of_the_page_is_read_without_faults(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(# /etc/estafeta/estafeta.toml\n.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert example is not None
    file = tmp_path / "estafeta.toml"
    file.write_text(example[1], "utf-8")
    settings = read(file)
    assert settings.hostname == "mx.example.org"
    # The example says of everything what it is when left out, or more.
    told = example[1]
    for name in Settings.model_fields:
        assert re.search(rf"^#? ?(?:\[{{1,2}}{name}[\].]|{name} =)", told, re.MULTILINE), name


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
def test_every_example_of_the_page_is_valid(example: str, tmp_path: Path) -> None:
    file = tmp_path / "estafeta.toml"
    file.write_text(example, "utf-8")
    read(file)
