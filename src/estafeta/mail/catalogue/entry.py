"""One reply of the catalogue: its name, its codes, what it says in each language, and when it is given.

A reply that always says the same is one `Reply`, made once. One with places to fill is a `ReplyForm`.
"""

from __future__ import annotations

from string import Formatter

from estafeta.mail.reply import EnhancedStatusCode, Reply
from estafeta.mail.value import value

_MOST = {"address": 320, "hostname": 255, "node": 256, "domain": 255, "text": 480, "verbs": 480, "challenge": 12_288}
"""Characters of a value, by the name of its place (RFC 5321 §4.5.3.1)."""
_MOST_ELSE = 100


@value
class Entry:
    """What the catalogue knows of one reply."""

    key: str
    """Its name for operators, in journals and tests."""
    code: int
    status: EnhancedStatusCode | None
    english: str
    """The text; `{name}` is a place to be filled."""
    spanish: str
    """The same in Spanish, with its accents: on the wire they are left out."""
    when: str
    """In which case it is given."""
    standard: str
    """Where the code, or its use here, is laid down."""
    is_data: bool = False
    """The text is there to be read by programs: it is the same in all languages, and no operator's matter."""

    @property
    def places(self) -> tuple[str, ...]:
        """The names of what is to be filled in."""
        return places_of(self.english)

    def most(self, place: str) -> int:
        """Characters that a place takes, so that the line stays below 512 octets (RFC 5321 §4.5.3.1.5)."""
        return _MOST.get(place, _MOST_ELSE)


def places_of(text: str) -> tuple[str, ...]:
    """The names of the places in a text, each once, in order. Raises ValueError for braces that hold no plain name."""
    found: dict[str, None] = {}
    for _, name, form, conversion in Formatter().parse(text):
        if name is None:
            continue
        if form or conversion or not name.isidentifier():
            raise ValueError(f"not a place: {name!r}")
        found[name] = None
    return tuple(found)


class ReplyForm:
    """A reply with places to fill."""

    __slots__ = ("entry",)

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    def with_(self, **values: str) -> Reply:
        """The reply with these values, one for each place; what is too long for a line is cut."""
        entry = self.entry
        for name, said in values.items():
            if len(said) > _MOST_ELSE and "\n" not in said:
                values[name] = said[: entry.most(name)]
        text = entry.english.format_map(values)
        return Reply(entry.code, entry.status, tuple(text.split("\n")), entry.key, values)


class Group:
    """Replies that belong together, in the order in which they were named."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.entries: list[Entry] = []
        self.constants: dict[str, Reply] = {}

    def reply(
        self, key: str, code: int, status: str | None, english: str, spanish: str, *, when: str, standard: str
    ) -> Reply:
        """Name a reply that always says the same."""
        entry = self._entry(key, code, status, english, spanish, when, standard)
        reply = self.constants[key] = Reply(entry.code, entry.status, (english,), key)
        return reply

    def form(
        self, key: str, code: int, status: str | None, english: str, spanish: str, *, when: str, standard: str
    ) -> ReplyForm:
        """Name a reply with places."""
        return ReplyForm(self._entry(key, code, status, english, spanish, when, standard))

    def data(self, key: str, code: int, status: str | None, text: str, *, when: str, standard: str) -> ReplyForm:
        """Name a reply whose text is for programs."""
        return ReplyForm(self._entry(key, code, status, text, text, when, standard, is_data=True))

    def _entry(
        self,
        key: str,
        code: int,
        status: str | None,
        english: str,
        spanish: str,
        when: str,
        standard: str,
        *,
        is_data: bool = False,
    ) -> Entry:
        parsed = EnhancedStatusCode.parse(status) if status else None
        entry = Entry(key, code, parsed, english, spanish, when, standard, is_data)
        self.entries.append(entry)
        return entry
