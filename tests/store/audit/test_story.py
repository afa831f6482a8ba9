"""A post office to which everything happens has no gap in its ledger, while it runs and afterwards."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.store.audit.conftest import Told
from tests.store.audit.story import found_in

from estafeta.store.audit import audit_now
from estafeta.store.records import Instant
from estafeta.store.store import open_store


def test_there_is_no_gap_while_it_runs(told: Told) -> None:
    assert told[1] == []


def test_there_is_no_gap_afterwards(data: Path) -> None:
    store = open_store(data, clock=time.time)
    try:
        assert asyncio.run(found_in(store)) == []
        now = Instant(time.time())
        assert asyncio.run(store.read(lambda tx: audit_now(tx, now, measure=store.content.measure))) == []
    finally:
        store.close()
