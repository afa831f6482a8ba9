"""The page of standards, docs/standards.md: what the tests are marked to show, and the citations in the code.

Tests are read without running them. `make standards` writes the page; tests/test_standards.py holds it to what is
written here, and the citations to the texts of the RFCs.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tools.titles import SUBJECTS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "standards.md"

HEAD = """\
# Standards

Which parts of which standards Estafeta speaks of in its code, which tests show that they are kept, and where it departs
from them. Nothing here is written by hand: `make standards` makes the page of

- the **citations** in the code, such as `# RFC 5321 §4.1.1.4` at the line that obeys the section;
- the **marks** of the tests, such as `@pytest.mark.rfc("5321 §4.1.1.4", "...")`, or `# RFC 1939 §5: ...` in the text of
  a dialogue, which say in a sentence what is shown;
- the **departures** that the code states where it departs: `# Departs from RFC 5321 §5.1: ...` where it does otherwise
  or more leniently than the section says, `# Not done of RFC 1939 §7: ...` where it leaves something out.

A section without a test is one that the code cites and no mark names: nothing here shows that it is kept. Modules are
named from `src/estafeta/`, tests from `tests/`.
"""

_SECTION = r"(?:§\d+(?:\.\d+)*|appendix [A-Z](?:\.\d+)*)"
_SPECIFICATION = re.compile(rf"\d{{3,5}}(?: {_SECTION}(?:, {_SECTION})*)?")
# An RFC, a further one of a list ("RFC 5321, 2033"), a section, and the end of a range ("§4.5.3.2.1 to .3").
_CITATION = re.compile(
    r"\bRFCs? (?P<rfc>\d{3,5})\b|"
    r"(?<=, )(?:and )?(?P<further>\d{3,5})(?=[,;)]|\.?$|\. | §| appendix )|"
    rf"(?P<section>{_SECTION})|(?<= to )\.(?P<last>\d+)"
)
# A citation may go on in the next line of a comment or docstring.
_BROKEN_LINE = re.compile(r"(\bRFCs?(?: \d{3,5})?|,| and)\n[ \t]*(?:(?:#|--) +)?(?=RFC|\d|§|appendix)")
# What stands before a section that is of the RFC named last; others are of documents that are no RFCs.
_OF_THE_LAST = re.compile(r"(?:[(#,\"]|--|\bits|\band|\bor) ?$")
_DEPARTURE_SIGN = re.compile(r"(?:#|--) (?:Departs from|Not done of) RFC\b")
_DEPARTURE = re.compile(
    rf"(?P<mark>#|--) (?P<kind>Departs from|Not done of) (?P<place>RFC \d{{3,5}}(?: {_SECTION})?): (?P<text>\S.*)"
)
_LINE_OF_DIALOGUE = re.compile(rf"# RFC (?P<place>\d{{3,5}}(?: {_SECTION}(?:, {_SECTION})*)?): (?P<what>\S.*)")


class Place(NamedTuple):
    """A section of an RFC, without its sign ("4.1.1.4", "F.1"); empty for the RFC as a whole."""

    rfc: int
    section: str

    @property
    def order(self) -> tuple[int, list[tuple[bool, str, int]]]:
        """Sorts sections by their numbers, and appendices behind them."""
        parts = self.section.split(".") if self.section else []
        return self.rfc, [(False, "", int(part)) if part.isdigit() else (True, part, 0) for part in parts]


@dataclass(frozen=True, slots=True)
class Mark:
    """What a test shows of a section."""

    place: Place
    what: str
    test: str
    """The file from tests/, and behind "::" the test where it is one alone."""


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the code does otherwise than a section says, or leaves it out."""

    place: Place
    text: str


class Malformed(ValueError):
    """A mark or a departure that cannot be read; says where."""


def cited(text: str) -> Iterator[Place]:
    """The places that a text cites, in order. A section alone, as in "(§4.2)", is of the RFC named last."""
    text = _BROKEN_LINE.sub(r"\1 ", text)
    rfc, section, end, is_pending = 0, "", -1, False
    for found in _CITATION.finditer(text):
        between = text[end : found.start()] if end >= 0 else ""
        if found["section"]:
            follows = between in (" ", ", ", " and ")
            if not rfc or not (follows or _OF_THE_LAST.search(text, max(0, found.start() - 8), found.start())):
                continue
            # "RFC 5321 said so (§5)" speaks of the RFC as a whole and then of a section.
            if is_pending and not follows:
                yield Place(rfc, "")
            section, is_pending = found["section"].removeprefix("§").removeprefix("appendix "), False
            yield Place(rfc, section)
        elif found["last"]:
            if between != " to ":
                continue
            stem, _, first = section.rpartition(".")
            for number in range(int(first) + 1, int(found["last"]) + 1):
                yield Place(rfc, f"{stem}.{number}")
        elif found["rfc"] or between == ", ":
            if is_pending:
                yield Place(rfc, "")
            rfc, is_pending = int(found["rfc"] or found["further"]), True
        else:
            continue
        end = found.end()
    if is_pending:
        yield Place(rfc, "")


def places(specification: str, where: str) -> list[Place]:
    """The sections that a mark names, as "5321 §4.1.1.4", "5321 §3.5, §7.3" or "2920". Raises Malformed."""
    if not _SPECIFICATION.fullmatch(specification):
        raise Malformed(f'{where}: {specification!r} names no section as "5321 §4.1.1.4" does')
    return list(cited(f"RFC {specification}"))


class _Marks(ast.NodeVisitor):
    """Collects the calls of `pytest.mark.rfc` with the names of the tests that they stand at."""

    def __init__(self, file: str) -> None:
        self.found: list[Mark] = []
        self._names = [file]

    def _visit_definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self._names.append(node.name)
        self.generic_visit(node)
        self._names.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _visit_definition

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func) == "pytest.mark.rfc":
            self._add(node)
        self.generic_visit(node)

    def _add(self, node: ast.Call) -> None:
        where = f"tests/{self._names[0]}:{node.lineno}"
        texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if len(texts) != 2 or len(node.args) != 2 or node.keywords or not texts[1].strip():
            raise Malformed(f"{where}: a mark has two texts, the section and what is shown of it")
        if not all(name.lower().startswith("test") for name in self._names[1:]):
            raise Malformed(f"{where}: {self._names[-1]} is no test")
        for place in places(texts[0], where):
            self.found.append(Mark(place, texts[1], "::".join(self._names)))


def marks(tests: Path) -> list[Mark]:
    """What the tests below a folder show, by their marks and the first lines of their dialogues. Raises Malformed."""
    found: list[Mark] = []
    for path in sorted(tests.rglob("test_*.py")):
        visitor = _Marks(path.relative_to(tests).as_posix())
        visitor.visit(ast.parse(path.read_text("utf-8")))
        found += visitor.found
    for path in sorted(tests.rglob("*dialogues/*.txt")):
        name = path.relative_to(tests).as_posix()
        for line in path.read_text("utf-8").splitlines():
            if stated := _LINE_OF_DIALOGUE.match(line):
                found += [Mark(place, stated["what"], name) for place in places(stated["place"], name)]
    return found


def departures(text: str, where: str) -> Iterator[Departure]:
    """The departures that a module states; each goes on over the comment lines behind it. Raises Malformed."""
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if not _DEPARTURE_SIGN.search(line):
            continue
        stated = _DEPARTURE.search(line)
        if stated is None:
            raise Malformed(f"{where}:{number}: a departure names an RFC or one section, and says what behind a colon")
        said = [stated["text"]]
        if line.lstrip().startswith(stated["mark"]):
            for following in lines[number:]:
                comment = following.strip()
                if not comment.startswith(stated["mark"] + " ") or _DEPARTURE_SIGN.search(comment):
                    break
                said.append(comment.removeprefix(stated["mark"]).strip())
        (place,) = cited(stated["place"])
        prefix = "Not done: " if stated["kind"] == "Not done of" else ""
        yield Departure(place, prefix + " ".join(said))


@dataclass(frozen=True, slots=True)
class Standards:
    """All that the code and the tests say of standards."""

    code: dict[Place, list[str]]
    """The modules that cite a place, from src/estafeta/."""
    marks: list[Mark]
    departures: list[Departure]

    @property
    def places(self) -> list[Place]:
        """Each place that is cited or shown, in order."""
        named = {*self.code, *(mark.place for mark in self.marks), *(each.place for each in self.departures)}
        return sorted(named, key=lambda place: place.order)


def gather(root: Path = ROOT) -> Standards:
    """Read the code and the tests of the project. Raises Malformed."""
    source = root / "src" / "estafeta"
    code: defaultdict[Place, list[str]] = defaultdict(list)
    stated: list[Departure] = []
    for path in sorted(source.rglob("*")):
        if path.suffix in (".py", ".sql"):
            text, name = path.read_text("utf-8"), path.relative_to(source).as_posix()
            for place in dict.fromkeys(cited(text)):
                code[place].append(name)
            stated += departures(text, f"src/estafeta/{name}")
    return Standards(dict(code), marks(root / "tests"), stated)


def page(standards: Standards) -> str:
    """The page in Markdown."""
    shown = {mark.place for mark in standards.marks}
    sections: defaultdict[int, list[Place]] = defaultdict(list)
    for place in standards.places:
        sections[place.rfc].append(place)
    summary: list[str] = []
    tables: list[str] = []
    named = kept = 0
    for subject, titles in SUBJECTS.items():
        numbers = [number for number in titles if number in sections]
        if not numbers:
            continue
        summary += ["", f"### {subject}", "", _row("RFC", "title", "sections", "shown by tests", "departures")]
        summary.append("|---|---|--:|--:|--:|")
        tables.append(f"## {subject}")
        for number in numbers:
            here = sections[number]
            # An RFC that is named as a whole too is not one section more.
            counted = {place for place in here if place.section} or {*here}
            named, kept = named + len(counted), kept + len(counted & shown)
            departed = sum(each.place.rfc == number for each in standards.departures)
            cells = (f"[{number}](#rfc-{number})", titles[number], str(len(counted)))
            summary.append(_row(*cells, str(len(counted & shown)), str(departed or "")))
            tables.append(_table(number, titles[number], here, standards))
    counts = (
        f"**{named}** sections of **{len(sections)}** standards are named, and tests show something of **{kept}**. "
        f"**{len(standards.departures)}** departures are stated.\nAn RFC of which no section is named counts as one."
    )
    return "\n".join([HEAD, counts, "", "## Summary", *summary, "", "\n\n".join(tables), ""])


def _table(number: int, title: str, here: list[Place], standards: Standards) -> str:
    """One RFC, with a row for each of its sections."""
    lines = [
        f"### RFC {number}",
        "",
        f"[{title}](https://www.rfc-editor.org/rfc/rfc{number}.html)",
        "",
        _row("section", "what is shown", "departures", "code", "tests"),
        "|---|---|---|---|---|",
    ]
    for place in here:
        shown = [mark for mark in standards.marks if mark.place == place]
        cells = (
            place.section or "as a whole",
            _sentences(mark.what for mark in shown),
            _sentences(each.text for each in standards.departures if each.place == place),
            _names(standards.code.get(place, [])),
            _names(mark.test for mark in shown),
        )
        lines.append(_row(*cells))
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def _sentences(texts: Iterator[str]) -> str:
    """The texts one behind the other, each once, as sentences of a cell."""
    said = dict.fromkeys(" ".join(text.split()) for text in texts)
    return " ".join(_cell(text[:1].upper() + text[1:].rstrip(".") + ".") for text in said)


def _names(names: Iterator[str] | list[str]) -> str:
    return " ".join(f"`{name}`" for name in dict.fromkeys(names))


def _cell(text: str) -> str:
    """The text so that Markdown shows it as it is; what stands between backticks stays."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([<*_\[\]\\])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts).replace("|", r"\|")


def titled() -> set[int]:
    """The RFCs that have a title."""
    return {number for titles in SUBJECTS.values() for number in titles}


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(gather()), "utf-8")


if __name__ == "__main__":
    main()
