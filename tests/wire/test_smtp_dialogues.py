"""Dialogues of every verb and extension with the server engine: as written, whole, octet by octet, cut at random."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.dialogue import FILES, FOLDER, compare, play, read

from estafeta.wire.smtp.extensions import EXTENSIONS
from estafeta.wire.smtp.verbs import VERBS

ONE_BY_ONE = [file for file in FILES if not read(file).options.refuse_early_commands]
"""Where input that waits is no fault, what is answered does not depend on the cuts."""


def named(folder: str) -> set[str]:
    return {file.stem for file in (FOLDER / folder).glob("*.txt")}


def test_every_verb_has_a_dialogue() -> None:
    assert named("verbs") == {verb.name.lower() for verb in VERBS}


def test_every_extension_has_a_dialogue() -> None:
    assert named("extensions") == {extension.keyword.lower() for extension in EXTENSIONS}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_dialogue_goes_as_written(file: Path) -> None:
    dialogue = read(file)
    owner = dialogue.owner()
    for turn in dialogue.turns:
        compare(owner.hear(turn.said), list(turn.replies), turn.said.decode("utf-8", "backslashreplace"))
        if turn.starts_tls:
            owner.engine.tls_started()
    assert owner.messages == list(dialogue.messages)


@pytest.mark.rfc("2920 §3.1", "Commands are answered one by one however they are put together.")
@pytest.mark.parametrize("file", ONE_BY_ONE, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_dialogue_goes_the_same_whole_and_octet_by_octet(file: Path) -> None:
    dialogue = read(file)
    whole, octets = play(dialogue, None), play(dialogue, 0)
    compare(whole.output, dialogue.expected)
    assert octets.output == whole.output
    assert octets.told == whole.told
    assert octets.messages == whole.messages == list(dialogue.messages)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ONE_BY_ONE), st.integers(1, 200))
def test_where_a_dialogue_is_cut_changes_nothing(file: Path, seed: int) -> None:
    dialogue = read(file)
    whole, cut = play(dialogue, None), play(dialogue, seed)
    assert (cut.output, cut.told, cut.messages) == (whole.output, whole.told, whole.messages)
