"""The index of one account gives all contents that have a text, and where it says so no others."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from estafeta.mail.mime.text import Searchable, folded
from estafeta.store.search import Place, SearchIndex

NOTHING = Searchable("", "", "", "", "", "", "")
FIELD_OF = {
    Place.SUBJECT: "subject",
    Place.FROM: "from_",
    Place.TO: "to",
    Place.CC: "cc",
    Place.BCC: "bcc",
    Place.HEADER: "header",
    Place.BODY: "body",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.sqlite3"


@pytest.fixture
def index(path: Path) -> Iterator[SearchIndex]:
    opened = SearchIndex(path)
    yield opened
    opened.close()


def bodies(*texts: str) -> list[tuple[int, Searchable]]:
    return [(number, replace(NOTHING, body=text)) for number, text in enumerate(texts, 1)]


def found(index: SearchIndex, text: str, *places: Place) -> list[int] | None:
    """The contents; None where any of them may have it."""
    ids = index.candidates(places or (Place.BODY,), folded(text)).ids
    return None if ids is None else sorted(ids)


def plainly(documents: Sequence[tuple[int, Searchable]], places: Sequence[Place], text: str) -> set[int]:
    """The definition: the folded text is in the folded text of a place."""
    asked = folded(text)
    return {
        content_id
        for content_id, document in documents
        if any(asked in folded(getattr(document, FIELD_OF[place])) for place in places)
    }


# Few letters, so that texts have much in common; several scripts, marks, what folds to several letters, and what is
# no letter at all.
_LETTERS = st.sampled_from("aab beé́ßStT-.@\t\n\"*[]?_%' 日本語한글ﬁİıς💌\u2060\xa0Åk0")
_WORDS = st.sampled_from(
    ["message", "messages", "Müller", "muller", "日本語の手紙", "x" * 40, "ab" * 60, "ана", "ΑΝΑΣ"]
)
_TEXTS = st.lists(st.one_of(_WORDS, st.text(_LETTERS, max_size=12)), max_size=6).map(" ".join)
_DOCUMENTS = st.lists(st.builds(Searchable, *(_TEXTS for _ in range(7))), min_size=1, max_size=5).map(
    lambda found: list(enumerate(found, 1))
)


@st.composite
def _cases(draw: st.DrawFn) -> tuple[list[tuple[int, Searchable]], list[Place], str]:
    documents = draw(_DOCUMENTS)
    places = draw(st.lists(st.sampled_from(list(Place)), min_size=1, max_size=3, unique=True))
    if draw(st.booleans()):  # what is there in one of them
        text = getattr(draw(st.sampled_from(documents))[1], FIELD_OF[draw(st.sampled_from(places))])
        begin = draw(st.integers(0, len(text)))
        return documents, places, text[begin : begin + draw(st.integers(0, 80))]
    return documents, places, draw(_TEXTS)


@given(_cases())
@example((bodies("x" * 200), [Place.BODY], "x" * 100))
@example((bodies("STRASSE", "Straße"), [Place.BODY], "straß"))
@settings(max_examples=80, deadline=None)
@pytest.mark.rfc("9051 §6.4.4", "The index misses nothing that the plain definition of SEARCH finds, in any script.")
def test_it_agrees_with_the_plain_definition(case: tuple[list[tuple[int, Searchable]], list[Place], str]) -> None:
    documents, places, text = case
    with tempfile.TemporaryDirectory() as folder:
        index = SearchIndex(Path(folder, "index"))
        try:
            index.add(documents)
            candidates = index.candidates(places, folded(text))
        finally:
            index.close()
    asked_for = plainly(documents, places, text)
    if candidates.ids is not None:
        assert asked_for <= candidates.ids
    if candidates.is_exact:
        everything = {content_id for content_id, _ in documents}
        assert asked_for == (everything if candidates.ids is None else candidates.ids)


def test_parts_of_words_are_found_by_the_index_alone(index: SearchIndex) -> None:
    index.add(bodies("Reunión del martes", "la reunion", "Unión Europea", "otra cosa"))
    assert found(index, "UNION") == [1, 2, 3]
    assert found(index, "reun") == [1, 2]
    assert found(index, "o") == [1, 2, 3, 4]
    assert found(index, "xyz") == []
    assert index.candidates([Place.BODY], "union").is_exact


def test_each_place_is_its_own(index: SearchIndex) -> None:
    index.add([(1, replace(NOTHING, subject="apple")), (2, replace(NOTHING, body="apple", cc="pear"))])
    assert found(index, "apple", Place.SUBJECT) == [1]
    assert found(index, "apple", Place.BODY) == [2]
    assert found(index, "apple", Place.SUBJECT, Place.BODY) == [1, 2]
    assert found(index, "pear", Place.BODY) == []


def test_thousands_of_words_may_have_a_part(index: SearchIndex) -> None:
    index.add(bodies(*(f"common{number}word" for number in range(1, 3001))))
    assert found(index, "common") == list(range(1, 3001))
    assert found(index, "n29") == [29, *range(290, 300), *range(2900, 3000)]


def test_what_words_cannot_decide_is_left_open(index: SearchIndex) -> None:
    index.add(bodies("one two", "two one"))
    candidates = index.candidates([Place.BODY], "one two")
    assert candidates.ids == frozenset((1, 2))
    assert not candidates.is_exact
    assert found(index, "!?") is None
    assert not index.candidates([Place.BODY], "!?").is_exact


def test_a_content_is_added_once(index: SearchIndex) -> None:
    index.add(bodies("first"))
    index.add(bodies("second", "third"))
    assert found(index, "first") == [1]
    assert found(index, "second") == []
    assert found(index, "third") == [2]
    assert index.missing([1, 2, 3]) == [3]


def test_what_is_gone_is_forgotten(index: SearchIndex) -> None:
    index.add(bodies("first word", "second word"))
    assert index.forget(frozenset([2])) == 1
    assert found(index, "word") == [2]
    assert index.missing([1, 2]) == [1]
    index.add(bodies("again"))
    assert found(index, "again") == [1]


def test_how_far_a_mailbox_is_indexed_only_grows(index: SearchIndex) -> None:
    assert index.progress(7) == 1
    index.add(bodies("a"), mailbox_id=7, uid_next=10)
    index.add([], mailbox_id=7, uid_next=4)
    index.add([], mailbox_id=8, uid_next=2)
    assert (index.progress(7), index.progress(8)) == (10, 2)


def test_it_is_kept_and_private(path: Path) -> None:
    index = SearchIndex(path)
    index.add(bodies("kept"))
    index.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    index = SearchIndex(path)
    assert found(index, "kept") == [1]
    index.close()


def test_two_processes_may_have_it_open(path: Path, index: SearchIndex) -> None:
    other = SearchIndex(path)
    index.add(bodies("one"))
    other.add([(2, replace(NOTHING, body="two one"))])
    assert found(index, "one") == found(other, "one") == [1, 2]
    other.close()


@pytest.mark.parametrize("octets", [b"", b"no database at all", b"SQLite format 3\0" + b"\xff" * 5000])
def test_what_is_no_index_is_made_anew(path: Path, octets: bytes) -> None:
    path.write_bytes(octets)
    index = SearchIndex(path)
    index.add(bodies("anew"))
    assert found(index, "anew") == [1]
    index.close()


def test_one_of_another_version_is_made_anew(path: Path) -> None:
    index = SearchIndex(path)
    index.add(bodies("old"))
    index.close()
    with apsw.Connection(str(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    index = SearchIndex(path)
    assert index.missing([1]) == [1]
    index.close()
