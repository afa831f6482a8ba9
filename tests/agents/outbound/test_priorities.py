"""Mail of a higher priority is relayed first (RFC 6710 §5.1), from memory and from the store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from tests.agents.outbound.conftest import Play
from tests.agents.outbound.yard import NEVER, Gate, Yard, said

priorities = st.lists(st.integers(-9, 9), min_size=2, max_size=40)


@pytest.mark.rfc(
    "6710 §5.1", "What waits in the store is sent in the order of its priorities, however little has room."
)
@given(given=priorities, in_memory=st.integers(10, 60))
@given_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_waits_in_the_store(given: list[int], in_memory: int) -> None:
    async def test(yard: Yard) -> None:
        for number, priority in enumerate(given):
            message = yard.message(priority=priority)
            await yard.commit(yard.recipients(f"u{number}@one.example", message=message))
        async with yard.running(concurrency=1, first_concurrency=1, in_memory=in_memory):
            await yard.until_empty()
        assert [each.message.priority for each in yard.hosts.taken] == sorted(given, reverse=True)

    with TemporaryDirectory() as folder:
        yard = Yard(Path(folder))

        async def main() -> None:
            await yard.populate()
            await test(yard)

        try:
            asyncio.run(main())
        finally:
            yard.store.close()


@pytest.mark.rfc("6710 §5.1", "So is what comes in while another message is under way.")
def test_what_comes_in_meanwhile(play: Play) -> None:
    async def test(yard: Yard) -> None:
        gate = Gate()
        yard.hosts.does["one.example"] = gate
        async with yard.running(concurrency=1, first_concurrency=1) as dispatcher:
            await yard.accept(dispatcher, "first@one.example")
            await gate.has_begun.wait()
            for number, priority in enumerate((-3, 0, 9, 0, 4)):
                await yard.accept(dispatcher, f"u{number}@one.example", message=yard.message(priority=priority))
            gate.event.set()
            await yard.until_empty()
        assert yard.hosts.taken_at("one.example")[1:] == [f"u{number}@one.example" for number in (2, 4, 1, 3, 0)]

    play(test)


@pytest.mark.rfc("6710 §4.6", "A notification has the priority of the message that it is about.")
def test_a_notification_goes_by_the_priority_of_its_message(play: Play) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = lambda job: said(job, NEVER)
        async with yard.running() as dispatcher:
            message = yard.message("far@two.example", priority=7)
            await yard.accept(dispatcher, "a@one.example", message=message)
            await yard.until_empty()
        [notice] = yard.hosts.taken
        assert (notice.message.reverse_path.is_null, notice.message.priority) == (True, 7)

    play(test)
