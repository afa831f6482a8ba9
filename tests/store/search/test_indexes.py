"""Each account has an index of its own, in a private folder."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from estafeta.mail.mime.text import Searchable
from estafeta.store.errors import StoreError
from estafeta.store.records import AccountId
from estafeta.store.search import Place, SearchIndex, SearchIndexes

ANN, BOB = AccountId(1 << 40), AccountId(2 << 40)
TEXTS = [(number, Searchable("", "", "", "", "", "", f"word{number} common")) for number in range(1, 2000)]


@pytest.fixture
def indexes(tmp_path: Path) -> Iterator[SearchIndexes]:
    opened = SearchIndexes(tmp_path)
    yield opened
    opened.close()


def found(index: SearchIndex, text: str) -> int:
    ids = index.candidates([Place.BODY], text).ids
    assert ids is not None
    return len(ids)


def test_accounts_know_nothing_of_each_other(indexes: SearchIndexes, tmp_path: Path) -> None:
    indexes.of(ANN).add(TEXTS[:1])
    indexes.of(BOB).add([(1, replace(TEXTS[0][1], body="other"))])
    assert found(indexes.of(ANN), "word") == 1
    assert found(indexes.of(BOB), "word") == 0
    assert sorted(indexes.kept()) == [ANN, BOB]
    assert stat.S_IMODE((tmp_path / "search").stat().st_mode) == 0o700


def test_an_index_goes_with_its_account(indexes: SearchIndexes, tmp_path: Path) -> None:
    indexes.of(ANN).add(TEXTS[:1])
    indexes.of(BOB).add(TEXTS[:1])
    indexes.remove(ANN)
    assert indexes.kept() == [BOB]
    assert found(indexes.of(ANN), "word") == 0  # one of that name is a new one
    indexes.remove(AccountId(3 << 40))  # which has none


def test_there_is_none_at_first(indexes: SearchIndexes) -> None:
    assert indexes.kept() == []


def test_many_may_be_asked(indexes: SearchIndexes) -> None:
    accounts = [AccountId(number << 40) for number in range(1, 100)]
    for account_id in accounts:
        indexes.of(account_id).add(TEXTS[:1])
    assert all(found(indexes.of(account_id), "word") == 1 for account_id in accounts)


def test_one_that_is_damaged_in_the_midst_is_made_anew(tmp_path: Path) -> None:
    first = SearchIndexes(tmp_path)
    first.of(ANN).add(TEXTS)
    first.close()
    (path,) = (tmp_path / "search").glob("*.sqlite3")
    octets = bytearray(path.read_bytes())
    for page in range(3 * 4096, len(octets), 4096):
        octets[page : page + 2048] = b"\xff" * 2048
    path.write_bytes(octets)
    indexes = SearchIndexes(tmp_path)
    try:
        for _ in range(2):  # finding the damage may fail once
            try:
                index = indexes.of(ANN)
                index.add(TEXTS[:10])
                assert found(index, "common") == 10
                break
            except StoreError:
                continue
        else:
            pytest.fail("the index stays damaged")
    finally:
        indexes.close()
