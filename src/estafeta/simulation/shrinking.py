"""A run that failed, with as few actions as still fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from estafeta.simulation.plan import Plan


def shrink(plan: Plan, fails: Callable[[Plan], bool], *, tries: int = 200) -> tuple[Plan, list[int]]:
    """The plan with actions left out, and the numbers of those that are left, as long as `fails` says that it fails.

    First halves are left out, then smaller parts, then single actions (delta debugging).
    """
    left = list(range(len(plan.actions)))
    parts = 2
    while len(left) > 1 and tries > 0:
        size = max(1, len(left) // parts)
        for at in range(0, len(left), size):
            fewer = left[:at] + left[at + size :]
            tries -= 1
            if fails(only(plan, fewer)):
                left, parts = fewer, max(parts - 1, 2)
                break
            if tries <= 0:
                break
        else:
            if size == 1:
                break
            parts = min(len(left), parts * 2)
    return only(plan, left), left


def only(plan: Plan, numbers: Sequence[int]) -> Plan:
    """The plan with these of its actions, by their numbers in its order."""
    wanted = set(numbers)
    return replace(plan, actions=tuple(each for number, each in enumerate(plan.actions) if number in wanted))
