from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.line_ends import has_bare_line_ends


@given(st.text(alphabet="\r\n .\0a", max_size=12))
def test_line_ends_are_bare_unless_each_cr_and_each_lf_is_part_of_a_crlf(text: str) -> None:
    octets = text.encode()
    alone = octets.count(b"\r") != octets.count(b"\r\n") or octets.count(b"\n") != octets.count(b"\r\n")
    assert has_bare_line_ends(octets) == alone
