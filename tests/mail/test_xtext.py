"""xtext and unitext: what is encoded comes back, and what is no encoding is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.xtext import from_unitext, from_xtext, to_unitext, to_xtext

ANY = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.rfc("3461 §4", "Any text comes back out of xtext.")
@given(ANY)
def test_any_text_comes_back_out_of_xtext(text: str) -> None:
    encoded = to_xtext(text)
    assert from_xtext(encoded) == text
    assert all("!" <= sign <= "~" and sign != "=" for sign in encoded)


@given(ANY.filter(bool), st.booleans())
def test_any_text_comes_back_out_of_unitext(text: str, utf8: bool) -> None:
    encoded = to_unitext(text, utf8=utf8)
    assert from_unitext(encoded) == text
    assert not any(sign in encoded for sign in " +=\r\n\0")
    assert utf8 or encoded.isascii()


@pytest.mark.rfc("6533 §3", "Unitext is as the standard writes it.")
@pytest.mark.parametrize(
    ("text", "ascii_form", "utf8_form"),
    [
        ("jos\u00e9@example.org", "jos\\x{E9}@example.org", "jos\u00e9@example.org"),
        ("пошта@example.org", "\\x{43F}\\x{43E}\\x{448}\\x{442}\\x{430}@example.org", "пошта@example.org"),
        ("a+b=c \\d@x", "a\\x{2B}b\\x{3D}c\\x{20}\\x{5C}d@x", "a\\x{2B}b\\x{3D}c\\x{20}\\x{5C}d@x"),
        ("\U0001f600@x", "\\x{1F600}@x", "\U0001f600@x"),
    ],
)
def test_unitext_is_as_rfc_6533_has_it(text: str, ascii_form: str, utf8_form: str) -> None:
    assert (to_unitext(text, utf8=False), to_unitext(text, utf8=True)) == (ascii_form, utf8_form)


def test_the_plain_form_of_an_address_in_utf8_is_read_as_it_stands() -> None:
    assert from_unitext('"jos\u00e9\\"x"+tag@example.org') == '"jos\u00e9\\"x"+tag@example.org'


@pytest.mark.rfc("3461 §4", "What is no xtext is refused.")
@pytest.mark.parametrize("text", ["a b", "a=b", "+", "+4", "+4g", "+4a", "a+2", "é", "a\r\nb"])
def test_what_is_no_xtext_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_xtext(text)


@pytest.mark.parametrize(
    "text", ["", "a b", "a=b", "\\x{}", "\\x{4}", "\\x{D800}", "\\x{110000}", "\\x{zz}", "\\x{41", "\t"]
)
def test_what_is_no_unitext_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_unitext(text)
