"""The indexer as a process: beside a server, when the machine has nothing else to do, or once."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress

import structlog

from estafeta.access.indexing import Indexer
from estafeta.app import privileges
from estafeta.app.crew import end_with_parent
from estafeta.app.office import new_event_loop
from estafeta.app.patience import Patience
from estafeta.config.settings import Settings
from estafeta.store.changes import EVERYTHING
from estafeta.store.errors import StoreError
from estafeta.store.search import SearchIndexes
from estafeta.store.store import Store, open_store

_log = structlog.get_logger("estafeta.app.indexing")

ENDS_AFTER = (10.0, 1800.0)
"""Seconds without a change after which the process ends: when it has found nothing to do at all, and else. It is
started again at the next change; a server that has nothing to do is smaller by its 25 MiB."""
TIDY_AFTER = 86_400.0
"""Seconds between two looks for what is not there any more."""


def index_now(settings: Settings) -> int:
    """Index all that is new; gives how many messages were. Raises StoreError."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_once(settings))


def index_behind(settings: Settings) -> None:
    """Index what comes until the server ends, or SIGTERM, or nothing has come for long. Raises StoreError."""
    privileges.seal()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_behind(settings))


def _open(settings: Settings) -> Store:
    return open_store(settings.data, clock=time.time, large_content=settings.store.large_content)


async def _once(settings: Settings) -> int:
    store, indexes = _open(settings), SearchIndexes(settings.data)
    try:
        return await Indexer(store, indexes).run()
    finally:
        indexes.close()
        store.close()


async def _behind(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    store, indexes = _open(settings), SearchIndexes(settings.data)
    patience, wanted = Patience(), asyncio.Event()
    end_watching = store.changes.watch(EVERYTHING, patience.hear)
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, wanted.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    end_with_parent(wanted.set)
    task = loop.create_task(_keep(Indexer(store, indexes), patience))
    task.add_done_callback(lambda _: wanted.set())
    try:
        await wanted.wait()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        end_watching()
        indexes.close()
        store.close()


async def _keep(indexer: Indexer, patience: Patience) -> None:
    loop = asyncio.get_running_loop()
    tidy_at = loop.time()
    taken = 0
    while True:
        try:
            taken += await indexer.run(patience.rest)
            if loop.time() >= tidy_at:
                tidy_at = loop.time() + TIDY_AFTER
                await indexer.tidy()
        except StoreError as error:
            _log.error("indexing failed, trying again later", reason=str(error))
            await asyncio.sleep(60.0)
        else:
            if not await patience.turn(within=ENDS_AFTER[taken > 0]):
                return
