"""SQL as named statements, read once from the files in `sql/`.

A statement is preceded by `-- name: some_name` and one line of comment that says what it is for. Parameters
are `:name`. The SQL keeps to what SQLite and PostgreSQL both understand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

_HEAD = re.compile(r"^-- name: (\w+)\n-- (.+)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """One SQL statement; the only form in which a transaction takes SQL. There is one object of each."""

    name: str
    purpose: str
    text: str


class Statements:
    """The statements of one file as attributes: `Statements("queue").recipients_of_message`."""

    def __init__(self, file: str) -> None:
        self.all: dict[str, Statement] = {}
        source = resources.files("estafeta.store").joinpath(f"sql/{file}.sql").read_text("utf-8")
        heads = list(_HEAD.finditer(source))
        for head, following in zip(heads, [*heads[1:], None], strict=True):
            body = source[head.end() : following.start() if following else None]
            # One line: engines look prepared statements up by their text, so that it had better be short.
            text = " ".join(body.split()).rstrip("; ")
            if "--" in text:
                raise ValueError(f"a comment within {head[1]} in {file}.sql would hide what follows it")
            if head[1] in self.all:
                raise ValueError(f"two statements named {head[1]} in {file}.sql")
            self.all[head[1]] = Statement(head[1], head[2], text)

    def __getattr__(self, name: str) -> Statement:
        try:
            statement = self.all[name]
        except KeyError:
            raise AttributeError(f"no statement is named {name}") from None
        self.__dict__[name] = statement  # found without this function from now on
        return statement
