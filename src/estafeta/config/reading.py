"""From the file to `Settings`: what pydantic finds is put into words, and every fault is told at once.

A table that holds a fault is read again without it, so that the checks of what remains still speak.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from copy import deepcopy
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from estafeta.config import check
from estafeta.config.faults import Fault, Finding, Key, SettingsError, key_text
from estafeta.config.location import Document, parse
from estafeta.config.settings import Settings
from estafeta.net.address import IpNetwork

_WORDS = {
    "int_type": ("must be a whole number", "Write digits without quotes and without a point."),
    "float_type": ("must be a number", "Write a number without quotes."),
    "bool_type": ("must be true or false", "Write true or false, without quotes."),
    "string_type": ("must be text", "Put the value in quotes."),
    "path_type": ("must be a path", "Write the path of a file in quotes."),
    "tuple_type": ("must be an array", "Put the values in brackets, [...]; tables that repeat are written [[name]]."),
    "finite_number": ("must be a finite number", "Write a number without inf or nan."),
    "int_parsing_size": ("is too large a number", "Write a smaller number."),
}


def read(file: Path) -> Settings:
    """The settings as the file says them, checked for what the file alone can tell. Raises SettingsError."""
    document = parse(file)
    settings, findings = _interpret(document, check.alone)
    return _settled(document, settings, findings)


def load(file: Path) -> Settings:
    """As `read`, and checked against the machine: certificate, key, folders. Raises SettingsError."""
    document = parse(file)
    settings, findings = _interpret(document, check.alone, check.surroundings)
    return _settled(document, settings, findings)


def place(document: Document, findings: list[Finding]) -> list[Fault]:
    """The findings with their lines, in the order of the file."""
    faults = [
        Fault(document.file, key_text(found.key), document.line_of(found.key), found.problem, found.remedy)
        for found in findings
    ]
    return sorted(dict.fromkeys(faults), key=lambda fault: (fault.line or 0, fault.key))


def _settled(document: Document, settings: Settings, findings: list[Finding]) -> Settings:
    if findings:
        raise SettingsError(place(document, findings))
    return settings


def _interpret(document: Document, *checks: check.Check) -> tuple[Settings, list[Finding]]:
    findings: list[Finding] = []
    tables = deepcopy(document.tables)
    indexes: dict[Key, list[int]] = {}
    try:
        settings = _validate(tables, document.file)
    except ValidationError as error:
        errors = [found for found in error.errors(include_url=False) if found["type"] != "default_factory_not_called"]
        findings = _words_of(errors, document.tables)
        for found in findings:
            _remove(tables, found.key)
        indexes = _close_ranks(tables)
        settings = _validate(tables, document.file)
    faulty = {found.key[0] for found in findings}
    for run in checks:
        for found in run(settings):
            if found.because_of in faulty:
                continue
            findings.append(Finding(_as_written(found.key, indexes), found.problem, found.remedy))
    return settings, findings


def _validate(tables: dict[str, object], file: Path) -> Settings:
    # JSON is the form in which pydantic's strict mode still reads enumerations, paths, networks and tuples.
    octets = json.dumps(tables, default=lambda moment: {"date": str(moment)})
    return Settings.model_validate_json(octets, strict=True, context={"folder": file.absolute().parent})


def _words_of(errors: list[ErrorDetails], tables: dict[str, object]) -> list[Finding]:
    findings: dict[Key, Finding] = {}
    for error in errors:
        key = _key_of(error, tables)
        findings.setdefault(key, _finding(key, error))
    return list(findings.values())


def _key_of(error: ErrorDetails, tables: dict[str, object]) -> Key:
    """The place in the file; pydantic adds parts of its own for the branches of a union."""
    key: Key = ()
    value: Any = tables
    for part in error["loc"]:
        in_table = isinstance(value, dict) and part in value
        if in_table or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            value = value[part]
        elif error["type"] in ("missing", "missing_argument") and isinstance(value, dict):
            return (*key, part)
        else:
            break
        key = (*key, part)
    return key


def _finding(key: Key, error: ErrorDetails) -> Finding:
    kind, context = error["type"], error.get("ctx", {})
    if kind.startswith("ip_") or _kind_at(key) == IpNetwork:
        return Finding(key, "is not a network", 'Write it as "192.0.2.0/24" or "2001:db8::/32", host bits zero.')
    if kind in _WORDS:
        return Finding(key, *_WORDS[kind])
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return _unknown(key)
    if kind in ("missing", "missing_argument"):
        return Finding(key, "is missing", f"Add {key[-1]} = ... to this table.")
    if kind in ("enum", "literal_error"):
        wanted = _kind_at(key)
        choices = [member.value for member in wanted] if _is_enum(wanted) else list(typing.get_args(wanted))
        return Finding(key, "is not a value of this setting", f"Write one of {_quoted(choices)}.")
    if kind == "remedied":
        return Finding(key, error["msg"], str(context["remedy"]))
    if kind.endswith(("dataclass_type", "model_type", "model_attributes_type", "dict_type")):
        name = key_text(tuple(part for part in key if isinstance(part, str)))
        return Finding(key, "must be a table", f"Write [{name}] on a line of its own and its settings below.")
    if kind.startswith(("greater_than", "less_than")):
        message = error["msg"]
        limit = message.removeprefix("Input should be ")
        return Finding(key, f"must be {limit}", "Change the number.")
    message = error["msg"]
    return Finding(key, message[:1].lower() + message[1:], "Correct the value.")


def _unknown(key: Key) -> Finding:
    known = sorted(fields_at(key[:-1]))
    close = difflib.get_close_matches(str(key[-1]).lower(), known, n=1, cutoff=0.6)
    if close:
        return Finding(key, "is not a setting", f"Did you mean {close[0]}?")
    return Finding(key, "is not a setting", f"This table knows {', '.join(known)}.")


def fields_at(key: Key) -> dict[str, Any]:
    """The settings of a table and their types; empty when the key is no table."""
    table = _kind_at(key)
    if isinstance(table, type) and issubclass(table, BaseModel):
        return {name: field.annotation for name, field in table.model_fields.items()}
    if isinstance(table, type) and dataclasses.is_dataclass(table):
        return typing.get_type_hints(table)
    return {}


def _kind_at(key: Key) -> Any:
    kind: Any = Settings
    for part in key:
        if isinstance(part, int):
            kind = next(iter(typing.get_args(kind)), object)
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[part].annotation if part in kind.model_fields else object
        elif isinstance(kind, type) and dataclasses.is_dataclass(kind):
            kind = typing.get_type_hints(kind).get(part, object)
        if typing.get_origin(kind) in (typing.Union, types.UnionType):
            inner = [choice for choice in typing.get_args(kind) if choice is not type(None)]
            kind = inner[0] if len(inner) == 1 else kind
    return kind


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, StrEnum)


def _quoted(choices: list[str]) -> str:
    return ", ".join(f'"{choice}"' for choice in choices)


def _remove(tables: dict[str, Any], key: Key) -> None:
    """Take out what is at fault: the key, or the whole element of an array that cannot be without it."""
    array = next((at for at, part in enumerate(key) if isinstance(part, int)), None)
    value: Any = tables
    for part in key[:array] if array is not None else key[:-1]:
        value = value[part]
    if array is not None:
        value[key[array]] = None
    else:
        value.pop(key[-1], None)
        if key[0] in ("tls", "oauth"):  # they cannot be without a part: no certificate is checked without its key
            tables.pop(key[0], None)


def _close_ranks(tables: dict[str, Any], key: Key = ()) -> dict[Key, list[int]]:
    """Drop the array elements taken out; gives the old index of each that stays, by array."""
    indexes: dict[Key, list[int]] = {}
    for name, value in tables.items():
        if isinstance(value, list):
            indexes[(*key, name)] = [at for at, element in enumerate(value) if element is not None]
            tables[name] = [element for element in value if element is not None]
        elif isinstance(value, dict):
            indexes |= _close_ranks(value, (*key, name))
    return indexes


def _as_written(key: Key, indexes: dict[Key, list[int]]) -> Key:
    """The key with the index that its array element has in the file."""
    written: Key = ()
    for part in key:
        kept = indexes.get(written) if isinstance(part, int) else None
        written = (*written, kept[part] if kept is not None and isinstance(part, int) else part)
    return written
