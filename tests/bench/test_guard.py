"""What the guard reads out of callgrind's dumps, and what it says of growth."""

from __future__ import annotations

from bench.guard.__main__ import compared, counted

DUMP = "version: 1\ndesc: Trigger: Client Request: relay={messages}\nevents: Ir\nsummary: {total}\n\ntotals: {total}\n"


def test_of_several_dumps_of_a_scenario_the_least_counts_for_a_message() -> None:
    assert counted(
        [DUMP.format(messages=10, total=5000), DUMP.format(messages=10, total=4000), "desc: Trigger: x"]
    ) == {"relay": 400.0}


def test_only_what_grew_beyond_the_noise_is_told() -> None:
    lines, grown = compared({"relay": 100.0, "accept": 100.0}, {"relay": 102.0, "accept": 104.0, "fetch": 7.0})
    assert grown == ["accept"]
    assert [line.split()[-1] for line in lines] == ["+2.0%", "GREW", "new"]
