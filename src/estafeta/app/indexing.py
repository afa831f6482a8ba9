"""The indexer as a process: beside a server, when the machine has nothing else to do, or once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress

import structlog

from estafeta.access.indexing import Indexer
from estafeta.app import privileges
from estafeta.app.crew import end_with_parent
from estafeta.app.office import new_event_loop
from estafeta.config.settings import Settings
from estafeta.store.changes import EVERYTHING
from estafeta.store.errors import StoreError
from estafeta.store.search import SearchIndexes
from estafeta.store.store import Store, open_store

_log = structlog.get_logger("estafeta.app.indexing")

GATHER_AFTER = 2.0
"""Seconds between a delivery and its indexing, so that much mail is taken in together."""
TIDY_AFTER = 86_400.0
"""Seconds between two looks for what is not there any more."""


def index_now(settings: Settings) -> int:
    """Index all that is new; gives how many messages were. Raises StoreError."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_once(settings))


def index_behind(settings: Settings) -> None:
    """Index what comes until the server ends, or SIGTERM. Raises StoreError."""
    privileges.seal()
    os.nice(19)
    with suppress(OSError, AttributeError):  # not everywhere, and not for everybody
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
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
    news, wanted = asyncio.Event(), asyncio.Event()
    end_watching = store.changes.watch(EVERYTHING, lambda _: news.set())
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, wanted.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    end_with_parent(wanted.set)
    task = loop.create_task(_keep(Indexer(store, indexes), news))
    try:
        await wanted.wait()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        end_watching()
        indexes.close()
        store.close()


async def _keep(indexer: Indexer, news: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    tidy_at = loop.time()
    while True:
        try:
            if await indexer.run():
                continue  # there may be more by now
            if loop.time() >= tidy_at:
                tidy_at = loop.time() + TIDY_AFTER
                await indexer.tidy()
        except StoreError as error:
            _log.error("indexing failed, trying again later", reason=str(error))
            await asyncio.sleep(60.0)
        await news.wait()
        news.clear()
        await asyncio.sleep(GATHER_AFTER)
