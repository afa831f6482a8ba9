"""The corpus of the fuzzer is played again with every run of the tests, and so are the inputs that it began with."""

from __future__ import annotations

from importlib import import_module

import pytest
from tests.fuzz.inputs import CORPUS, TARGETS
from tests.fuzz.seeds import seeds
from tests.fuzz.words import dictionary


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_of_the_corpus_breaks_what_the_harness_says(name: str) -> None:
    run = import_module(f"tests.fuzz.targets.{name}").run
    files = sorted((CORPUS / name).iterdir())
    assert files, "the corpus is in the repository"
    for octets in [*seeds(name), *(file.read_bytes() for file in files)]:
        try:
            run(octets)
        except Exception as error:
            error.add_note(f"input: {octets!r}")
            raise


@pytest.mark.parametrize("name", TARGETS)
def test_each_target_has_words_and_an_invariant(name: str) -> None:
    assert dictionary(name)
    assert (import_module(f"tests.fuzz.targets.{name}").__doc__ or "").strip().endswith(".")


def test_the_corpus_is_small() -> None:
    assert sum(file.stat().st_size for file in CORPUS.rglob("*") if file.is_file()) < 500_000
