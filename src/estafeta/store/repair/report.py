"""What a repair found and did, for people and machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from estafeta.mail.value import value


class State(StrEnum):
    """What became of a store."""

    WHOLE = "whole"
    """Nothing was wrong."""
    MENDED = "mended"
    """Something was, and nothing is lost."""
    SAVED = "saved"
    """What could be saved is; the rest is in the report."""


@value
class Place:
    """Where a message was, or was to go."""

    account: str
    """An address; empty where it is not known."""
    mailbox: str = ""
    """Its name, or its id where the name is lost; empty for mail that waited to be relayed."""
    uid: int | None = None


@value
class Affected:
    """A message that is quarantined, lost or held."""

    content_id: str
    """As text, as `estafeta trace` takes it; empty where it is not known."""
    wrong: str
    """What is the matter, in one sentence."""
    reverse_path: str | None = None
    """As the journal tells it."""
    recipients: tuple[str, ...] = ()
    """As the journal tells them, and those for whom it was queued."""
    accepted_at: float | None = None
    places: tuple[Place, ...] = ()
    file: str | None = None
    """What is left of it, in the folder `quarantine`."""


@dataclass(slots=True)
class Report:
    """All of a repair."""

    data: Path
    is_dry_run: bool = False
    damage: list[str] = field(default_factory=list)
    """What is wrong, a sentence each."""
    saved: dict[str, int] = field(default_factory=dict)
    """Rows in the database now, by table."""
    remade: list[str] = field(default_factory=list)
    """What was lost and could be told from elsewhere."""
    quarantined: list[Affected] = field(default_factory=list)
    """Messages, or what is left of them, that are in the folder `quarantine` and nowhere else."""
    held: list[Affected] = field(default_factory=list)
    """Queued mail that waits for the operator's word."""
    lost: list[Affected] = field(default_factory=list)
    """Messages of which nothing is left but that they were there."""
    lost_rows: dict[str, int] = field(default_factory=dict)
    """Other rows that were left out, by table."""
    unnamed: dict[str, int] = field(default_factory=dict)
    """Messages that mailboxes had, of which not even an id is left; by account and mailbox."""
    unverified: int = 0
    """Contents without a digest, from before there were any: what changed none of their size was not noticed."""
    hurt: list[str] = field(default_factory=list)
    """Tables that have lost rows of which not even the number is known."""
    kept_in: Path | None = None
    """Where the damaged files are."""
    is_changed: bool = False
    """Another database is in place."""

    @property
    def state(self) -> State:
        """How it ended."""
        if not self.damage:
            return State.WHOLE
        gone = self.quarantined or self.held or self.lost or self.unnamed or self.lost_rows or self.hurt
        return State.SAVED if gone else State.MENDED
