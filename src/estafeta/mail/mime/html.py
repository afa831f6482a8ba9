"""The visible text of an HTML page, as a reader of mail sees it: without tags, styles, scripts and comments.

Each step goes once over the page; what is not closed ends with the page.
"""

from __future__ import annotations

import re
from html import unescape

_HIDDEN = re.compile(r"<!--|<(script|style|title)\b", re.IGNORECASE)
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "br", "center", "dd", "div"),
        *("dl", "dt", "fieldset", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr"),
        *("html", "img", "input", "li", "main", "nav", "ol", "option", "p", "pre", "section", "select"),
        *("table", "tbody", "td", "textarea", "tfoot", "th", "thead", "tr", "ul"),
    )
)
"""Elements that stand apart from the text around them."""
_TAG = re.compile(r"<(?:/?([a-zA-Z][a-zA-Z0-9]*+)|[/!?])[^<>]*+(?:>|\Z)")
_LARGE = re.compile(r"&#[0-9]{8,}+;?")  # no letter has such a number, and none is worth reading it


def html_text(page: str) -> str:
    """The text of a page; blocks and cells of tables are apart by ends of lines."""
    shown = _TAG.sub(_in_place_of, _without_hidden(page))
    return unescape(_LARGE.sub("", shown)) if "&" in shown else shown


def _in_place_of(tag: re.Match[str]) -> str:
    name = tag[1]
    return "\n" if name is not None and name.lower() in _BLOCKS else ""


def _without_hidden(page: str) -> str:
    match = _HIDDEN.search(page)
    if match is None:
        return page
    lower = page.lower()
    if len(lower) != len(page):  # a letter that has no lower case of its own length
        lower = page
    kept: list[str] = []
    at = 0
    while match is not None:
        kept.append(page[at : match.start()])
        word = match[1]
        if word is None:
            end = lower.find("-->", match.end())
            at = len(page) if end < 0 else end + 3
        else:
            end = lower.find("</" + word.lower(), match.end())
            at = len(page) if end < 0 else end
        match = _HIDDEN.search(page, at)
    kept.append(page[at:])
    return "".join(kept)
