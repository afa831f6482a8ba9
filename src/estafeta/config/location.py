"""Where the settings and the data are: all that a command needs which only opens the store.

Kept apart from the models, whose import costs more than the whole of such a command.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from estafeta.config.faults import Fault, Key, SettingsError
from estafeta.config.toml_lines import key_lines

CONFIG_VARIABLE = "ESTAFETA_CONFIG"
CANDIDATES = (Path("estafeta.toml"), Path("/etc/estafeta/estafeta.toml"))
DEFAULT_DATA = Path("/var/lib/estafeta")
_AT_LINE = re.compile(r" \(at line (\d+), column (\d+)\)$")


@dataclass(frozen=True, slots=True)
class Document:
    """A settings file as tomllib read it, with the line of each key."""

    file: Path
    tables: dict[str, object]
    lines: dict[Key, int]

    def line_of(self, key: Key) -> int | None:
        """The line of the key, or of the nearest table around it."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key)


def find_config(given: Path | None) -> Path:
    """The file that was asked for, or the first that exists; raises SettingsError."""
    if given is not None:
        return given
    if from_environment := os.environ.get(CONFIG_VARIABLE):
        return Path(from_environment)
    for candidate in CANDIDATES:
        if candidate.exists():
            return candidate
    looked = " nor ".join(str(candidate) for candidate in CANDIDATES)
    raise SettingsError(
        [
            Fault(
                CANDIDATES[-1],
                "",
                None,
                f"there is no settings file (neither {looked})",
                f"Name one with --config or {CONFIG_VARIABLE}, or try Estafeta out with `estafeta try`.",
            )
        ]
    )


def parse(file: Path) -> Document:
    """Read the file as TOML; raises SettingsError with the line of a syntax error."""

    def refuse(problem: str, remedy: str, line: int | None = None) -> SettingsError:
        return SettingsError([Fault(file, "", line, problem, remedy)])

    try:
        octets = file.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise refuse(f"cannot be read: {reason}", "Check the path and its permissions.") from None
    try:
        text = octets.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise refuse("is not UTF-8 text", "Save the file as UTF-8.", line) from None
    try:
        return Document(file, tomllib.loads(text), key_lines(text))
    except RecursionError:
        raise refuse("is nested too deeply", "No setting needs such nesting; remove it.") from None
    except ValueError as error:  # TOMLDecodeError, and integers that Python refuses to read
        problem = str(error)
        place = _AT_LINE.search(problem)
        if place:
            problem = f"{problem[: place.start()]} in column {place[2]}"
        at = int(place[1]) if place else text.count("\n") + 1 if "end of document" in problem else None
        problem = problem.removesuffix(" (at end of document)")
        raise refuse(
            f"is not valid TOML: {problem[:1].lower()}{problem[1:]}",
            "Correct this line; https://toml.io shows the form.",
            at,
        ) from None


def data_directory(file: Path) -> Path:
    """The data directory that the file names; nothing else of the file is judged. Raises SettingsError."""
    document = parse(file)
    data = document.tables.get("data", str(DEFAULT_DATA))
    if not isinstance(data, str):
        fault = Fault(
            file, "data", document.line_of(("data",)), "must be text", 'Write a path: data = "/var/lib/estafeta".'
        )
        raise SettingsError([fault])
    return file.absolute().parent / data
