"""What the server does for its store beside serving, in short steps that nobody notices."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog

from estafeta.store import contents
from estafeta.store.store import Store

log = structlog.get_logger("estafeta.app.upkeep")

_TOGETHER = 10
"""Contents that are read at a time: of the largest, some hundred milliseconds of a reader's thread."""
_PAUSE = 0.05
"""Seconds between two steps: a store of a million messages takes some hours, and nobody waits for it."""


async def fill_digests(store: Store) -> None:
    """Find the digests of contents that were stored before there were any. Raises StoreError."""
    number = 0
    while found := await store.read(partial(contents.find_digests, contents=store.content, limit=_TOGETHER)):
        await store.write(partial(contents.set_digests, found=found))
        number += len(found)
        await asyncio.sleep(_PAUSE)
    if number:
        log.info("digests found of contents that had none", contents=number)
