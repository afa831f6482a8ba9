from __future__ import annotations

import tomllib
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from estafeta.config.faults import Key
from estafeta.config.toml_lines import key_lines


def keys_of(value: object, key: Key = ()) -> set[Key]:
    """Every key that tomllib knows of the document."""
    found = {key} if key else set()
    if isinstance(value, dict):
        for name, inner in value.items():
            found |= keys_of(inner, (*key, name))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            found |= keys_of(inner, (*key, index))
    return found


def test_every_way_to_write_a_key_has_its_line() -> None:
    text = """# a comment with a = 1
hostname = "mx.example.org" # and [tls] here
"quoted key" = 1
'literal.key' = 2
"esc\\u0061ped" = 3
a.b.c = 4
a . d = 5

[tls]
certificate = "x # no comment"
[ smtp . limits ]
hops = 1
[smtp]
trusted_networks = [
  "10.0.0.0/8", # one
  # [[listen]]
  "192.0.2.0/24",
]
[[listen]]
kind = "smtp"
[[listen]]
kind = "pop3"
[listen.sub]
x = 1
[[listen.sub2]]
y = 1
[[listen.sub2]]
y = 2
[inline]
table = { one = 1, two.three = "}", four = [ { five = 5 }, { six = 6 } ] }
date = 1979-05-27 07:32:00
"""
    lines = key_lines(text)
    assert set(lines) == keys_of(tomllib.loads(text))
    expected: dict[Key, int] = {
        ("hostname",): 2,
        ("quoted key",): 3,
        ("literal.key",): 4,
        ("escaped",): 5,
        ("a", "b", "c"): 6,
        ("a", "d"): 7,
        ("tls",): 9,
        ("tls", "certificate"): 10,
        ("smtp", "limits", "hops"): 12,
        ("smtp", "trusted_networks"): 14,
        ("smtp", "trusted_networks", 0): 15,
        ("smtp", "trusted_networks", 1): 17,
        ("listen", 0): 19,
        ("listen", 0, "kind"): 20,
        ("listen", 1): 21,
        ("listen", 1, "kind"): 22,
        ("listen", 1, "sub", "x"): 24,
        ("listen", 1, "sub2", 0, "y"): 26,
        ("listen", 1, "sub2", 1, "y"): 28,
        ("inline", "table", "two", "three"): 30,
        ("inline", "table", "four", 1, "six"): 30,
        ("inline", "date"): 31,
    }
    assert {key: lines[key] for key in expected} == expected


def test_multi_line_strings_hide_what_looks_like_keys() -> None:
    text = '''a = """
[table]
b = 1 \\""" still
two quotes at the end"""""
c = \'\'\'
d = 1
\'\'\'\'
e = """"""
f = 1
'''
    lines = key_lines(text)
    assert set(lines) == keys_of(tomllib.loads(text)) == {("a",), ("c",), ("e",), ("f",)}
    assert [lines[(name,)] for name in "acef"] == [1, 5, 8, 9]


def test_a_document_without_a_last_line_end_is_scanned_to_its_end() -> None:
    assert key_lines("a = 1\nb = 2") == {("a",): 1, ("b",): 2}
    assert key_lines("# only a comment") == {}
    assert key_lines("") == {}


@dataclass
class Writer:
    """A document that is written down together with the line of each key."""

    lines: list[str] = field(default_factory=list)
    expected: dict[Key, int] = field(default_factory=dict)

    def note(self, key: Key) -> None:
        self.expected.setdefault(key, len(self.lines) + 1)

    def write(self, line: str) -> None:
        self.lines.extend(line.split("\n"))


BARE = st.from_regex(r"[A-Za-z0-9_-]{1,5}", fullmatch=True)
ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=6)


def written(name: str, quote: int) -> str:
    if quote == 0 and name.isascii() and name and all(c.isalnum() or c in "-_" for c in name):
        return name
    if quote == 1 and "'" not in name:
        return f"'{name}'"
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


NAMES = st.one_of(BARE, ANY_TEXT)
QUOTES = st.integers(0, 2)
SCALARS = st.one_of(
    st.sampled_from(
        ["1", "-0.5", "true", "inf", "1979-05-27", "1979-05-27 07:32:00Z", "'lit # ]'", "0xff", "''", '""']
    ),
    st.sampled_from(['"basic \\" # [x] "', '"""\n[a]\nb = 1\n"""', "'''\n'' # ]\n'''", '"""a\\""""""', '"{ } ,"']),
)
BLANKS = st.sampled_from(["", " ", "\t", "  "])
GAPS = st.sampled_from(["", "# comment = 1", "  # [comment]", "\t"])


@given(st.data())
def test_the_lines_are_those_of_the_writer_and_the_keys_those_of_tomllib(data: st.DataObject) -> None:
    draw = data.draw
    writer = Writer()

    def pair(table: Key, name: str) -> None:
        writer.note((*table, name))
        start = f"{draw(BLANKS)}{written(name, draw(QUOTES))}{draw(BLANKS)}={draw(BLANKS)}"
        shape = draw(st.sampled_from(["scalar", "array", "inline"]))
        if shape == "scalar":
            writer.write(start + draw(SCALARS) + draw(BLANKS) + draw(GAPS))
        elif shape == "array":
            writer.write(start + "[" + draw(GAPS))
            for index in range(draw(st.integers(0, 3))):
                writer.write(draw(GAPS))
                writer.note((*table, name, index))
                writer.write(draw(SCALARS) + draw(BLANKS) + "," + draw(GAPS))
            writer.write("]")
        else:
            inner = draw(st.lists(NAMES, unique=True, max_size=3))
            cells = []
            for cell in inner:
                writer.note((*table, name, cell))
                cells.append(f"{written(cell, draw(QUOTES))} = {draw(st.sampled_from(['1', '[]', '{}']))}")
            writer.write(start + "{" + ", ".join(cells) + "}")

    tables = draw(st.lists(NAMES, unique=True, min_size=1, max_size=4))
    for name in draw(st.lists(NAMES.filter(lambda text: text not in tables), unique=True, max_size=2)):
        pair((), name)
    for table in tables:
        repeats = draw(st.integers(0, 3))
        header = written(table, draw(QUOTES))
        for index in range(max(repeats, 1)):
            writer.write(draw(GAPS))
            writer.note((table,))
            key: Key = (table,)
            if repeats:
                key = (table, index)
                writer.note(key)
            writer.write(f"{'[[' if repeats else '['}{draw(BLANKS)}{header}{draw(BLANKS)}{']]' if repeats else ']'}")
            for name in draw(st.lists(NAMES, unique=True, max_size=3)):
                pair(key, name)
    text = "\n".join(writer.lines)
    keys = keys_of(tomllib.loads(text))
    lines = key_lines(text)
    assert set(lines) == keys
    assert lines == writer.expected
