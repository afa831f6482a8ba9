"""What happens in one run: a list of actions, all drawn from a seed before anything begins.

An action is a line of its own, so that a run that failed can be tried again with fewer of them.
"""

from __future__ import annotations

import random
from enum import StrEnum

from estafeta.mail.value import value
from estafeta.simulation.foreign import TEMPORARY, Script
from estafeta.simulation.node import PLACES, USERS, Place

HOUR = 3600.0
DAY = 24 * HOUR

FOREIGN = ("ext0", "ext1", "ext2", "ext3")


class Kind(StrEnum):
    """What an action is."""

    LETTER = "letter"
    VISIT = "visit"
    KILL = "kill"
    POWER = "power"
    POWER_AT = "power-at"
    """Power is lost at an operation of the disk."""
    STOP = "stop"
    STILL = "still"
    PART = "part"
    ISOLATE = "isolate"
    """A node is parted from all."""
    SCRIPT = "script"
    WEATHER = "weather"
    """The network is bad for a while."""
    DNS = "dns"
    MOVE = "move"
    """The DNS changes: a foreign host has another address."""
    DISK_FULL = "disk-full"
    DISK_ERROR = "disk-error"
    CLOCK = "clock"


@value
class Action:
    """One line of the plan."""

    at: float
    kind: Kind
    node: str = ""
    other: str = ""
    seconds: float = 0.0
    number: int = 0
    recipients: tuple[str, ...] = ()
    reverse_path: str = ""
    notify: str = ""

    def __str__(self) -> str:
        facts = [self.node, self.other, f"{self.seconds:g}s" if self.seconds else "", f"{self.number or ''}"]
        path = f"<{self.reverse_path}> to {' '.join(self.recipients)} {self.notify}" if self.recipients else ""
        return " ".join(word for word in (f"{self.at:9.1f}", self.kind.value, *facts, path) if word)


@value
class Plan:
    """All of a run but what chance does to it underway."""

    seed: int
    places: tuple[Place, ...]
    ends_at: float
    """From then on nothing is broken any more."""
    lifetime: float
    """Of queued mail."""
    actions: tuple[Action, ...]


def make_plan(seed: int, *, seconds: float | None = None) -> Plan:
    """The plan of a seed. Runs of most seeds last some minutes or hours; `seconds` sets it."""
    chance = random.Random(f"plan {seed}")  # noqa: S311
    places = PLACES[: chance.choice((1, 1, 2, 2, 2, 3))] if seconds is None else PLACES
    length = seconds if seconds is not None else chance.choice((60.0, 300.0, 900.0, HOUR))
    drawn = _Draw(chance, places, length)
    rate = 1.0 if seconds is None else seconds / DAY
    letters = round(chance.choice((3, 6, 12, 20)) * max(rate, 1.0)) if seconds is None else round(60 * rate)
    actions = [drawn.letter(number) for number in range(letters)]
    actions += [drawn.visit() for _ in range(chance.randrange(0, 4) if seconds is None else round(12 * rate))]
    # A run has few kinds of faults, so that each is met alone, too.
    kinds = chance.sample(_FAULTS, chance.choice((0, 1, 1, 2, 2, 3, 5)) if seconds is None else len(_FAULTS))
    for kind in kinds:
        for _ in range(chance.choice((1, 1, 2, 4)) if seconds is None else round(1 + rate)):
            actions.append(drawn.fault(kind))
    actions.sort(key=lambda action: action.at)
    # No clock goes so far ahead that mail, or a notification about it, is over at once.
    lifetime = DAY if Kind.CLOCK in kinds or seconds is not None else chance.choice((2 * HOUR, 6 * HOUR))
    return Plan(seed, places, length, lifetime, tuple(actions))


_FAULTS = tuple(kind for kind in Kind if kind not in (Kind.LETTER, Kind.VISIT))


class _Draw:
    """Draws actions."""

    def __init__(self, chance: random.Random, places: tuple[Place, ...], length: float) -> None:
        self._chance = chance
        self._places = places
        self._length = length
        self._addresses = [f"{user}@{place.domain}" for place in places for user in USERS]
        self._addresses += [f"{alias}@{place.domain}" for place in places for alias in ("team", "away")]
        self._foreign = [f"{who}@{name}.test" for name in FOREIGN for who in ("friend", "nobody")]
        self._unknown = [f"missing@{place.domain}" for place in places] + ["somebody@nowhere.test"]

    def _at(self) -> float:
        return self._chance.random() * self._length

    def _node(self) -> str:
        return self._chance.choice(self._places).name

    def letter(self, number: int) -> Action:
        """A letter that is handed in at a node."""
        chance = self._chance
        is_foreign = chance.random() < 0.3
        node = chance.choice(self._places)
        if is_foreign:  # a host that nobody knows may reach this node's own addresses alone
            own = [each for each in self._addresses if each.endswith(node.domain)]
            pool = [*own, f"missing@{node.domain}"]
            reverse_path = chance.choice(("friend@ext0.test", "friend@ext1.test", ""))
        else:
            pool = self._addresses * 2 + self._foreign + self._unknown
            reverse_path = chance.choice([each for each in self._addresses if each.startswith(("ana", "luis", "eva"))])
            if chance.random() < 0.1:
                reverse_path = ""
        recipients = tuple(dict.fromkeys(chance.choice(pool) for _ in range(chance.choice((1, 1, 2, 3, 6)))))
        return Action(
            self._at(),
            Kind.LETTER,
            node.name,
            "foreign" if is_foreign else "",
            number=number * 100_000 + chance.choice((200, 200, 1000, 3000, 9000, 40_000)),
            recipients=recipients,
            reverse_path=reverse_path,
            notify=chance.choice(("", "", "", "FAILURE", "SUCCESS,FAILURE", "NEVER")) if not is_foreign else "",
        )

    def visit(self) -> Action:
        """An owner comes to a mailbox."""
        user = self._chance.choice(USERS[:3])
        return Action(self._at(), Kind.VISIT, self._node(), user, number=self._chance.choice((2, 5, 10)))

    def fault(self, kind: Kind) -> Action:
        """Something breaks."""
        chance, at = self._chance, self._at()
        seconds = chance.choice((1.0, 20.0, 90.0, 400.0, 2000.0))
        node = self._node()
        if kind is Kind.PART:
            others = [place.name for place in self._places if place.name != node] + list(FOREIGN)
            return Action(at, kind, node, chance.choice(others), seconds)
        if kind is Kind.POWER_AT:
            return Action(at, kind, node, "", seconds, number=chance.choice((1, 3, 10, 40, 200)))
        if kind is Kind.SCRIPT:
            script = chance.choice((*TEMPORARY, Script.REJECT_RCPT, Script.REJECT_CONTENT))
            return Action(at, kind, chance.choice(FOREIGN), script.value, seconds * 10)
        if kind is Kind.MOVE:
            return Action(at, kind, chance.choice(FOREIGN))
        if kind is Kind.CLOCK:
            jump = chance.choice((-5 * HOUR, -HOUR, -60.0, 60.0, HOUR, 2 * HOUR))
            return Action(at, kind, node, number=int(jump))
        if kind is Kind.DISK_ERROR:
            return Action(at, kind, node, chance.choice(("read", "write", "sync")), number=chance.choice((1, 5, 30)))
        return Action(at, kind, node, "", seconds)
