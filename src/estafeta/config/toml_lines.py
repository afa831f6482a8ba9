"""The line of every key of a TOML document, which tomllib does not tell.

The scanner runs over text that tomllib has already read without complaint, so it only finds its way and
judges nothing (TOML 1.0.0: keys, strings, arrays, inline tables, tables, arrays of tables).
"""

from __future__ import annotations

import tomllib
from bisect import bisect_left

from estafeta.config.faults import Key


def key_lines(text: str) -> dict[Key, int]:
    """The first line of each key, table, array element and element of an array of tables, counted from 1."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._end = len(text)
        self._at = 0
        self._newlines = [at for at, character in enumerate(text) if character == "\n"]
        self._lines: dict[Key, int] = {}
        self._tables: dict[Key, int] = {}
        """How many elements each array of tables has so far."""

    def scan(self) -> dict[Key, int]:
        table: Key = ()
        while self._skip():
            if self._text.startswith("[[", self._at):
                table = self._header(2)
            elif self._text[self._at] == "[":
                table = self._header(1)
            else:
                self._pair(table)
        return self._lines

    def _header(self, brackets: int) -> Key:
        # std-table = "[" key "]"; array-table = "[[" key "]]"
        line = self._line()
        self._at += brackets
        names = self._key()
        self._skip()
        self._at += brackets
        key: Key = ()
        for name in names[:-1]:
            key = self._element((*key, name))
            self._note(key, line)
        key = (*key, names[-1])
        self._note(key, line)
        if brackets == 1:
            return self._element(key)
        index = self._tables.get(key, 0)
        self._tables[key] = index + 1
        key = (*key, index)
        self._note(key, line)
        return key

    def _element(self, key: Key) -> Key:
        """A name that is an array of tables stands for its last element."""
        return (*key, self._tables[key] - 1) if key in self._tables else key

    def _pair(self, table: Key) -> None:
        # keyval = key "=" val; key = simple-key / dotted-key
        line = self._line()
        key = table
        for name in self._key():
            key = (*key, name)
            self._note(key, line)
        self._skip()
        self._at += 1  # the equals sign
        self._value(key)

    def _key(self) -> list[str]:
        names = []
        while True:
            self._skip()
            names.append(self._simple_key())
            self._skip()
            if not self._text.startswith(".", self._at):
                return names
            self._at += 1

    def _simple_key(self) -> str:
        start = self._at
        quote = self._text[start]
        if quote == "'":
            self._at = self._text.index("'", start + 1) + 1
            return self._text[start + 1 : self._at - 1]
        if quote == '"':
            self._basic_string()
            raw = self._text[start : self._at]
            return str(tomllib.loads(f"key = {raw}")["key"]) if "\\" in raw else raw[1:-1]
        while self._at < self._end and (self._text[self._at].isalnum() or self._text[self._at] in "-_"):
            self._at += 1
        return self._text[start : self._at]

    def _value(self, key: Key) -> None:
        self._skip()
        first = self._text[self._at]
        if self._text.startswith(('"""', "'''"), self._at):
            self._multi_line_string(first)
        elif first == '"':
            self._basic_string()
        elif first == "'":
            self._at = self._text.index("'", self._at + 1) + 1
        elif first == "[":
            self._array(key)
        elif first == "{":
            self._inline_table(key)
        else:  # a number, a boolean or a date; a date may have one space in it
            start = self._at
            while self._at < self._end and self._text[self._at] not in ",]}\n#":
                self._at += 1
            if self._at == start:
                raise ValueError("a value is missing, so this is no TOML")

    def _basic_string(self) -> None:
        self._at += 1
        while self._text[self._at] != '"':
            self._at += 2 if self._text[self._at] == "\\" else 1
        self._at += 1

    def _multi_line_string(self, quote: str) -> None:
        self._at += 3
        while not self._text.startswith(quote * 3, self._at):
            self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
        self._at += 3
        for _ in range(2):  # mlb-quotes: one or two quotes may stand before the closing three
            if self._text.startswith(quote, self._at):
                self._at += 1

    def _array(self, key: Key) -> None:
        self._at += 1
        index = 0
        while self._skip() and self._text[self._at] != "]":
            self._note((*key, index), self._line())
            self._value((*key, index))
            index += 1
            self._skip()
            if self._text[self._at] == ",":
                self._at += 1
        self._at += 1

    def _inline_table(self, key: Key) -> None:
        self._at += 1
        while self._skip() and self._text[self._at] != "}":
            self._pair(key)
            self._skip()
            if self._text[self._at] == ",":
                self._at += 1
        self._at += 1

    def _skip(self) -> bool:
        """Pass blanks, line ends and comments; False at the end of the document."""
        while self._at < self._end:
            character = self._text[self._at]
            if character == "#":
                newline = self._text.find("\n", self._at)
                self._at = self._end if newline < 0 else newline
            elif character in " \t\r\n":
                self._at += 1
            else:
                return True
        return False

    def _line(self) -> int:
        return bisect_left(self._newlines, self._at) + 1

    def _note(self, key: Key, line: int) -> None:
        self._lines.setdefault(key, line)
