"""The journal's entries about one accepted mail object, as the checks read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from estafeta.mail.value import value
from estafeta.store.ids import IdSource
from estafeta.store.records import Fate

_FINAL = {fate.value for fate in Fate if fate.is_final} | {"merged"}

Facts = dict[str, object]


@value
class Entry:
    """What the journal tells at one place."""

    facts: Facts
    is_redacted: bool = False


@dataclass(slots=True)
class Mail:
    """One accepted mail object and what became of it. Ids are texts, as the journal has them."""

    number: int
    accepted: Entry
    later: list[Entry] = field(default_factory=list)
    copies: set[tuple[str, int]] = field(default_factory=set)
    """Mailboxes and UIDs where it still is as it was delivered."""
    waiting: set[str] = field(default_factory=set)
    """Its recipients in the queue."""

    @property
    def name(self) -> str:
        """The message id."""
        return IdSource.text(self.number)

    @property
    def is_told(self) -> bool:
        """Whether the entry says where the message went; those of older versions do not."""
        return "delivered" in self.accepted.facts

    def listed(self, fact: str) -> list[object]:
        """All that the entries have under a name."""
        return [each for entry in (self.accepted, *self.later) for each in as_list(entry.facts.get(fact))]

    def outcomes(self, entry: Entry) -> Iterator[tuple[str, Facts]]:
        """Of one attempt the recipients that it decided of, by id."""
        others = as_list(entry.facts.get("not_ours"))
        for each in as_list(entry.facts.get("recipients")):
            if isinstance(each, dict) and each.get("fate") in _FINAL and "recipient_id" in each:
                recipient = str(each["recipient_id"])
                if recipient not in others:
                    yield recipient, each


def as_list(value: object) -> list[object]:
    """The value if it is a list; an empty one if not."""
    return value if isinstance(value, list) else []


def read_facts(text: str) -> Facts | None:
    """Facts as they are kept; None where they cannot be read."""
    try:
        facts = json.loads(text)
    except ValueError:
        return None
    return facts if isinstance(facts, dict) else None


def number_of(name: str) -> int | None:
    """The id that a text names; None where it is none."""
    try:
        return IdSource.parse(name)
    except ValueError:
        return None
