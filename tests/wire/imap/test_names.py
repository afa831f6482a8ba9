"""Modified UTF-7: there and back, and the forms that are no name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire.imap.names import BadName, decoded, encoded

_NAMES = st.text(st.characters(blacklist_categories=["Cs"]), max_size=30)


@pytest.mark.rfc("3501 §5.1.3", "Each name has one form in modified UTF-7, and comes back out of it.")
@given(_NAMES)
def test_a_name_comes_back_out_of_modified_utf7(name: str) -> None:
    text = encoded(name)
    assert text.isascii() and text.isprintable()
    assert decoded(text) == name


@pytest.mark.rfc("3501 §5.1.3", "The examples of the standard are written as there.")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
        ("&", "&-"),
        ("Entwürfe & mehr", "Entw&APw-rfe &- mehr"),
        ("\U0001f600", "&2D3eAA-"),
        ("", ""),
    ],
)
def test_examples_are_written_as_in_the_standard(name: str, text: str) -> None:
    assert encoded(name) == text
    assert decoded(text) == name


@pytest.mark.rfc("3501 §5.1.3", "What is printable may not be shifted, and shifts may not follow one another.")
@pytest.mark.parametrize(
    "text",
    [
        "&", "a&b", "&Jjo!", "&Jjo", "&U,BTFw-&ZeVnLIqe-", "&AGE-", "&AOF-", "&A-", "&AOE=-", "&2D0-", "&3gA-",
        "&AO/-", "\x7f", "é",
    ],
)  # fmt: skip
def test_other_forms_are_no_names(text: str) -> None:
    with pytest.raises(BadName):
        decoded(text)


@given(st.text("&-,+/=AOEUZaz09é", max_size=20))
def test_what_is_taken_is_the_form_that_is_written(text: str) -> None:
    try:
        name = decoded(text)
    except BadName:
        return
    assert encoded(name) == text
