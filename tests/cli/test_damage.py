"""How a damaged store shows in the log."""

from __future__ import annotations

from typing import Any

import structlog

from estafeta.cli.damage import EVERY_SECONDS, DamageTold
from estafeta.store.errors import Damaged, damaged


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def lines_of(told: DamageTold, line: dict[str, Any], count: int) -> list[dict[str, Any]]:
    found = []
    for _ in range(count):
        try:
            found.append(dict(told(None, "error", dict(line))))
        except structlog.DropEvent:
            continue
    return found


def test_damage_is_in_the_log_once_a_minute() -> None:
    clock = Clock()
    told = DamageTold(clock)
    line = {"event": "command failed", "reason": str(damaged("the database x is damaged"))}
    assert [one["event"] for one in lines_of(told, line, 1000)] == ["command failed"]
    clock.now += EVERY_SECONDS
    [again] = lines_of(told, line, 1000)
    assert again["lines_left_out"] == 999
    assert len(lines_of(told, {"event": "something else"}, 5)) == 5


def test_damage_is_in_the_log_without_a_traceback() -> None:
    told = DamageTold(Clock())
    try:
        try:
            raise Damaged("the database x is damaged: stop the server and run `estafeta repair`")
        except Damaged as error:
            raise ValueError("met in the midst of something") from error
    except ValueError:
        [line] = lines_of(told, {"event": "session failed", "exc_info": True}, 3)
    assert "exc_info" not in line
    assert "the database x is damaged" in line["reason"]
