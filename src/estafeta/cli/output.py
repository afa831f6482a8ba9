"""What commands print: tables for people, one JSON document for machines.

Text that came with the mail may hold control characters; on a terminal they are shown, not obeyed.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum

# Controls of ASCII and Latin-1, line and paragraph separators, and what turns the direction of text round.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_NOT_ONE_LINE = re.compile("[\t\n]+")


def printable(text: str) -> str:
    """The text with its control characters spelled out, line ends and tabs kept."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def one_line(text: str) -> str:
    """As `printable`, and on one line."""
    return printable(_NOT_ONE_LINE.sub(" ", text))


def say(line: str = "") -> None:
    """One line of output."""
    sys.stdout.write(printable(line) + "\n")


def document(value: object) -> None:
    """One JSON document; control characters beyond ASCII are escaped too."""
    text = json.dumps(_plain(value), ensure_ascii=False, indent=2)
    sys.stdout.write(
        re.sub("[\x7f-\x9f\u2028\u2029\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"
    )


def answer(as_json: bool, value: object, line: str) -> None:
    """What a change did: a line for people, or the same as a document."""
    if as_json:
        document(value)
    else:
        say(line)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """A table without rules; on a terminal it is fitted to its width, else every cell is whole."""
    cells = [[one_line(str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _fitted_table(columns, cells, right)
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for row in (list(columns), *cells):
        padded = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        )
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _fitted_table(columns: Sequence[str], cells: list[list[str]], right: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left")
    for row in cells:
        drawn.add_row(*(Text(cell) for cell in row))
    Console(file=sys.stdout, highlight=False).print(drawn)


def moment(at: float) -> str:
    """An instant for people: local time to the second, with its offset."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def instant(at: float) -> str:
    """An instant for machines: RFC 3339, UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def octets(count: int) -> str:
    """`812 B`, `1.4 MiB`."""
    if count < 1024:
        return f"{count} B"
    size = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size /= 1024
        if size < 1024 or unit == "TiB":
            break
    return f"{size:.1f} {unit}"


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted(str(inner) for inner in value)
    if dataclasses.is_dataclass(value) and type(value).__str__ is object.__str__:
        return {member.name: _plain(getattr(value, member.name)) for member in dataclasses.fields(value)}
    return str(value)
