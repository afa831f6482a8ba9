"""Pages as their readers see them."""

from __future__ import annotations

import pytest

from estafeta.mail.mime.html import html_text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>a <b>bo</b>ld</p><p>next", "\na bold\n\nnext"),
        ("a<br>b<td>c</td>", "a\nb\nc\n"),
        ("<head><title>not</title><style>p {}</style></head><SCRIPT>x<y</SCRIPT>shown", "\n\nshown"),
        ("a<!-- <p>hidden --> b", "a b"),
        ("&lt;a&gt; &amp; &ntilde; &#241; &#xF1;&nbsp;x", "<a> & ñ ñ ñ\xa0x"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("cut <a href='", "cut "),
        ("cut <!-- off", "cut "),
        ("cut <style> off", "cut "),
        ("&#" + "9" * 5000 + ";x", "x"),
        ("\u0130<title>t</title>x", "\u0130x"),
    ],
)
def test_pages_are_read_without_their_tags(page: str, text: str) -> None:
    assert html_text(page) == text
