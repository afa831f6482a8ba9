"""Dialogues as text files: what a client says, and how each reply begins. README.md of the folder tells the form."""

from __future__ import annotations

import random
from ast import literal_eval
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.wire.owner import Owner

from estafeta.wire.smtp.session import ServerOptions

FOLDER = Path(__file__).parent / "dialogues"
FILES = sorted(FOLDER.rglob("*.txt"))

_OF_SESSION = ("is_secure", "is_authenticated")
_OFFERED: dict[str, Any] = {
    "starttls": True,
    "mechanisms": ("PLAIN",),
    "insecure_mechanisms": ("PLAIN",),
    "message_size": 1000,
    "etrn": True,
    "atrn": True,
    "turn": True,
    "screens": True,
    "refuse_early_commands": False,
}


@dataclass(frozen=True, slots=True)
class Expected:
    """How a reply begins, and lines that it has."""

    start: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """What is said in one piece, and what is answered to it."""

    said: bytes
    replies: tuple[Expected, ...]
    starts_tls: bool = False
    """TLS begins behind it."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One file."""

    options: ServerOptions
    session: dict[str, bool]
    turns: tuple[Turn, ...]
    messages: tuple[bytes, ...]
    """The contents that are taken."""

    def owner(self) -> Owner:
        """One that knows nothing yet."""
        return Owner(self.options, **self.session)

    @property
    def expected(self) -> list[Expected]:
        """All replies."""
        return [reply for turn in self.turns for reply in turn.replies]


@dataclass(slots=True)
class _Reading:
    """A file, line by line."""

    options: dict[str, Any] = field(default_factory=lambda: dict(_OFFERED))
    session: dict[str, bool] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    said: bytes = b""
    replies: list[Expected] = field(default_factory=list)

    def take(self, kind: str, text: str) -> None:
        match kind:
            case "O":
                name, _, value = text.partition("=")
                (self.session if name in _OF_SESSION else self.options)[name] = literal_eval(value)
            case "C" | "D":
                if self.replies:
                    self.end_turn()
                self.said += text.encode() + b"\r\n" if kind == "C" else _octets(text)
            case "S":
                self.replies.append(Expected(text))
            case "L":
                last = self.replies[-1]
                self.replies[-1] = Expected(last.start, (*last.lines, text))
            case "M":
                self.messages.append(_octets(text))
            case "T":
                self.end_turn(starts_tls=True)
            case _:
                raise ValueError(f"a line that is no part of a dialogue: {kind}: {text}")

    def end_turn(self, *, starts_tls: bool = False) -> None:
        if self.said or self.replies:
            self.turns.append(Turn(self.said, tuple(self.replies), starts_tls))
        self.said, self.replies = b"", []


def _octets(text: str) -> bytes:
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def read(file: Path) -> Dialogue:
    """Raises ValueError for what is no dialogue."""
    reading = _Reading()
    for line in file.read_text("utf-8").split("\n"):
        if line and line[0] != "#":
            reading.take(line[:1], line[3:])
    reading.end_turn()
    options = ServerOptions("mx.example.org", **reading.options)
    return Dialogue(options, reading.session, tuple(reading.turns), tuple(reading.messages))


def replies(octets: bytes) -> list[list[str]]:
    """The replies in the output, each as its lines."""
    found: list[list[str]] = [[]]
    for line in octets.decode("utf-8").split("\r\n")[:-1]:
        found[-1].append(line)
        if line[3:4] == " ":
            found.append([])
    assert found[-1] == [], "the last reply is not whole"
    return found[:-1]


def compare(output: bytes, expected: list[Expected], said: str = "") -> None:
    """Every reply is as expected, and there is no other."""
    found = replies(output)
    shown = [reply[-1] for reply in found]
    assert len(found) == len(expected), (said, shown, [reply.start for reply in expected])
    for reply, wanted in zip(found, expected, strict=True):
        assert reply[-1].startswith(wanted.start), (said, reply[-1], wanted.start)
        for line in wanted.lines:
            assert line in [each[4:] for each in reply], (said, line, reply)


def play(dialogue: Dialogue, seed: int | None) -> Owner:
    """The whole dialogue, cut at random where there is a seed; in one piece up to each TLS without."""
    owner = dialogue.owner()
    chance = random.Random(seed)
    waiting = b""
    for turn in dialogue.turns:
        waiting += turn.said
        if turn.starts_tls or turn is dialogue.turns[-1]:
            while waiting:
                size = len(waiting) if seed is None else chance.randint(1, 1 + seed)
                owner.hear(waiting[:size])
                waiting = waiting[size:]
        if turn.starts_tls:
            owner.engine.tls_started()
    return owner
