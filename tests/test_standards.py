"""The page of standards is as the script makes it, and what the tests and the code cite exists."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from tools import standards
from tools.standards import Departure, Malformed, Mark, Place, cited, departures, gather, marks, page, places

RFCS = standards.ROOT.parent / "shared" / "rfc"


@pytest.fixture(scope="module")
def gathered() -> standards.Standards:
    """What the code and the tests say now; a mark or a departure that is not well formed fails here."""
    return gather()


@pytest.fixture(scope="session")
def texts() -> Path:
    """The folder of the texts of RFCs, kept beside the project."""
    folder = Path(os.environ.get("ESTAFETA_RFCS", RFCS))
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"the texts of the RFCs are missing: {folder}")
        pytest.skip(f"the texts of the RFCs are not at {folder}")
    return folder


def test_the_page_is_as_the_script_makes_it(gathered: standards.Standards) -> None:
    wanted = page(gathered)
    if os.environ.get("ESTAFETA_WRITE_DOCS"):
        standards.PAGE.write_text(wanted, "utf-8")
    assert standards.PAGE.read_text("utf-8") == wanted, "make standards writes the page anew"


def test_every_row_has_the_cells_of_its_heading(gathered: standards.Standards) -> None:
    width = 0
    for line in page(gathered).splitlines():
        if line.startswith(("| RFC |", "| section |")):
            width = len(line.split("|"))
        if line.startswith("|"):
            assert len(re.split(r"(?<!\\)\|", line)) == width, line


def test_every_rfc_that_is_named_has_a_title(gathered: standards.Standards) -> None:
    assert {place.rfc for place in gathered.places} - standards.titled() == set()


def has_section(text: str, section: str) -> bool:
    """Whether the text of an RFC has a heading of the section."""
    number = re.escape(section)
    start = rf"(?:APPENDIX |Appendix )?{number}" if section[0].isalpha() else number
    return re.search(rf"^[ \t]*{start}[.:]?(?:[ \t]+\S|[ \t]*$)", text, re.MULTILINE) is not None


def text_of(folder: Path, rfc: int) -> str | None:
    """The text of an RFC; None where it is not in the folder, or something else has its name."""
    path = folder / f"rfc{rfc}.txt"
    text = path.read_text("utf-8", "replace") if path.is_file() else ""
    return text if re.search(rf"^\s*(?:RFC|Request for Comments:) +{rfc}\b", text, re.MULTILINE) else None


def test_every_section_that_is_named_is_there(gathered: standards.Standards, texts: Path) -> None:
    found = {rfc: text_of(texts, rfc) for rfc in {place.rfc for place in gathered.places}}
    assert found[5321] is not None
    missing = []
    for place in gathered.places:
        text = found[place.rfc]
        if place.section and text is not None and not has_section(text, place.section):
            where = [*gathered.code.get(place, []), *(mark.test for mark in gathered.marks if mark.place == place)]
            missing.append((*place, where))
    assert missing == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(RFC 5321 §4.1.1.6, §3.5)", [(5321, "4.1.1.6"), (5321, "3.5")]),
        ("RFC 2033 §4.2 and §4.3, RFC 2920", [(2033, "4.2"), (2033, "4.3"), (2920, "")]),
        ("RFC 5321, 2033, and 2920 §3", [(5321, ""), (2033, ""), (2920, "3")]),
        ("RFCs 5321, 2033", [(5321, ""), (2033, "")]),
        ("RFC 5321 §4.5.3.2.1 to .3: 5 minutes", [(5321, "4.5.3.2.1"), (5321, "4.5.3.2.2"), (5321, "4.5.3.2.3")]),
        ("RFC 5321 appendix F.1", [(5321, "F.1")]),
        ("RFC 3207); not over TLS (§4.2).", [(3207, ""), (3207, "4.2")]),
        ("# RFC 5321\n    # §4.1, RFC\n    # 2920 §3", [(5321, "4.1"), (2920, "3")]),
        (
            '"""RFC 5321 §4.5"""\n    ehlo: int\n    """§4.6"""\n    # §4.7',
            [(5321, "4.5"), (5321, "4.6"), (5321, "4.7")],
        ),
        ("-- RFC 8460 §3\n-- 2024 is a year", [(8460, "3")]),
        ("RFC 5321 §6.3, 100 of them, and 1000 of others", [(5321, "6.3")]),
        ("RFC 4155; section and policy §11.6, of another document", [(4155, "")]),
        ("a section of no RFC (§5)", []),
    ],
)
def test_citations_are_read_in_all_their_forms(text: str, expected: list[tuple[int, str]]) -> None:
    assert list(cited(text)) == expected


@pytest.mark.parametrize("specification", ["", "RFC 5321", "5321 4.1", "5321 §", "5321 §4.1.", "5321, §4.1", "§4.1"])
def test_a_mark_that_names_no_section_is_malformed(specification: str) -> None:
    with pytest.raises(Malformed, match="names no section"):
        places(specification, "tests/test_x.py:1")


def test_marks_are_found_wherever_pytest_takes_them(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "test_module.py").write_text(
        'import pytest\npytestmark = [pytest.mark.peers, pytest.mark.rfc("2920", "all of it")]\n'
        '@pytest.mark.rfc("5321 §3.5, §7.3", "both")\nclass TestVrfy:\n'
        '    @pytest.mark.rfc("5321 §4.1.1.6", "one")\n    def test_it(self) -> None: ...\n'
        '@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.rfc("821 §3.8", "case"))])\n'
        "async def test_alone(x: int) -> None: ...\n"
    )
    (tmp_path / "room" / "smtp_dialogues").mkdir()
    (tmp_path / "room" / "smtp_dialogues" / "hello.txt").write_text("# RFC 1939 §5: said.\n# A note.\nS: +OK\n")
    found = [
        Mark(Place(2920, ""), "all of it", "room/test_module.py"),
        Mark(Place(5321, "3.5"), "both", "room/test_module.py::TestVrfy"),
        Mark(Place(5321, "7.3"), "both", "room/test_module.py::TestVrfy"),
        Mark(Place(5321, "4.1.1.6"), "one", "room/test_module.py::TestVrfy::test_it"),
        Mark(Place(821, "3.8"), "case", "room/test_module.py::test_alone"),
        Mark(Place(1939, "5"), "said.", "room/smtp_dialogues/hello.txt"),
    ]
    assert sorted(marks(tmp_path), key=str) == sorted(found, key=str)


@pytest.mark.parametrize(
    "text",
    [
        'pytest.mark.rfc("5321 §4.1")(test_x)',
        '@pytest.mark.rfc("5321 §4.1", " ")\ndef test_x() -> None: ...',
        '@pytest.mark.rfc("5321 §4.1", WHAT)\ndef test_x() -> None: ...',
        '@pytest.mark.rfc("5321 §4.1", what="x")\ndef test_x() -> None: ...',
        '@pytest.mark.rfc("5321 §4.1", "x")\ndef fixture() -> None: ...',
    ],
)
def test_a_mark_that_says_too_little_is_malformed(text: str, tmp_path: Path) -> None:
    (tmp_path / "test_module.py").write_text(text)
    with pytest.raises(Malformed, match=r"^tests/test_module.py:1: "):
        marks(tmp_path)


def test_a_departure_goes_on_to_the_end_of_its_comment_or_to_the_next() -> None:
    module = (
        "    # RFC 5321 §5.1: by preference.\n"
        "    # Departs from RFC 5321 §5.1: a host that is an alias\n"
        "    # is taken.\n"
        "    # Not done of RFC 2449: LOGIN-DELAY.\n"
        "    x = 1  # Departs from RFC 5321 §4.5.3.1.3: 512 octets.\n"
        "    # Another comment.\n"
        "-- Not done of RFC 7162 §3.2.10: what was expunged\n"
        "-- is not kept.\n"
    )
    assert list(departures(module, "x")) == [
        Departure(Place(5321, "5.1"), "a host that is an alias is taken."),
        Departure(Place(2449, ""), "Not done: LOGIN-DELAY."),
        Departure(Place(5321, "4.5.3.1.3"), "512 octets."),
        Departure(Place(7162, "3.2.10"), "Not done: what was expunged is not kept."),
    ]


@pytest.mark.parametrize(
    "line", ["# Departs from RFC 5321 §5.1", "# Not done of RFC 5321 §5.1, §5.2: x", "# Departs from RFC 5321:"]
)
def test_a_departure_without_a_section_or_a_text_is_malformed(line: str) -> None:
    with pytest.raises(Malformed, match=r"^x:2: "):
        list(departures(f"first\n{line}\n", "x"))


def test_the_page_has_a_row_for_each_section_that_markdown_shows_as_it_was_written() -> None:
    ten, nine = Place(5321, "4.10"), Place(5321, "4.9")
    written = page(
        standards.Standards(
            {ten: ["wire/a.py", "wire/b.py"], Place(5321, "F.1"): ["wire/a.py"]},
            [Mark(nine, "<Postmaster> is `a|b`", "test_x.py::test_y"), Mark(nine, "another", "test_x.py::test_z")],
            [Departure(ten, "host_name is taken.")],
        )
    )
    rows = [line for line in written.splitlines() if line.startswith("|")]
    assert rows[2] == "| [5321](#rfc-5321) | Simple Mail Transfer Protocol | 3 | 1 | 1 |"
    assert rows[5:] == [
        r"| 4.9 | \<Postmaster> is `a\|b`. Another. | | | `test_x.py::test_y` `test_x.py::test_z` |",
        r"| 4.10 | | Host\_name is taken. | `wire/a.py` `wire/b.py` | |",
        "| F.1 | | | `wire/a.py` | |",
    ]
    assert "### RFC 5321\n" in written
