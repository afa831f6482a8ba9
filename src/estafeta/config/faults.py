"""What is wrong with a settings file, in words for its author."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

Key = tuple[str | int, ...]
"""Where a setting is: table names, keys, and indexes of arrays, `("listen", 0, "port")`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, before its line is known."""

    key: Key
    problem: str
    remedy: str
    because_of: str = ""
    """A table that explains this: when it has faults of its own, this is not said."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with one file: where, what, and one sentence on what to do."""

    file: Path
    key: str
    line: int | None
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line is not None else str(self.file)
        key = f" {self.key}:" if self.key else ""
        return f"{place}:{key} {self.problem}. {self.remedy}"


class SettingsError(Exception):
    """The settings cannot be used; `faults` has every reason."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


def key_text(key: Key) -> str:
    """`smtp.trusted_networks[0]`, as a person would write it; keys that need quotes have them."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        plain = part.isascii() and part.replace("-", "a").replace("_", "a").isalnum()
        name = part if plain else f'"{part}"'
        text += f".{name}" if text else name
    return text
