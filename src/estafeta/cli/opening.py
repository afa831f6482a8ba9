"""Opening the store for one command; the server may run meanwhile."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from estafeta.cli.faults import CommandFault
from estafeta.config.location import data_directory, find_config
from estafeta.store.records import Instant

if TYPE_CHECKING:
    from estafeta.store.store import Store, Transaction

T = TypeVar("T")


class OpenedStore:
    """The store as a command uses it: step by step, without a loop of its own to run."""

    def __init__(self, store: Store, runner: asyncio.Runner) -> None:
        self.store = store
        self._runner = runner

    def now(self) -> Instant:
        """The time for what is written."""
        return Instant(time.time())

    def read(self, query: Callable[[Transaction], T]) -> T:
        """Ask one consistent snapshot."""
        return self._runner.run(self.store.read(query))

    def write(self, change: Callable[[Transaction], T]) -> T:
        """Make one change; it is on disk when this returns."""
        return self._runner.run(self.store.write(change))


@contextmanager
def opened(config: Path | None, *, make: bool = False) -> Iterator[OpenedStore]:
    """The store of the settings' data directory; made when there is none only if `make` says so."""
    data = data_directory(find_config(config))
    with opened_at(data, make=make) as store:
        yield store


@contextmanager
def opened_at(data: Path, *, make: bool = False) -> Iterator[OpenedStore]:
    """The store in this folder."""
    from estafeta.store.store import open_store

    if not make and not has_store(data):
        raise CommandFault(f"there is no store in {data} yet: `estafeta domain add NAME` makes it")
    refuse_root(data)
    store = open_store(data, clock=time.time)
    try:
        with asyncio.Runner() as runner:
            yield OpenedStore(store, runner)
    finally:
        store.close()


def refuse_root(data: Path) -> None:
    """Root does not write in a store, or a folder for one, of another user: the server could not read what it made.

    Raises CommandFault that says how to run the command instead.
    """
    from estafeta.store.store import DATABASE

    place = data / DATABASE if has_store(data) else data
    if os.geteuid() != 0 or not place.exists():
        return
    owner = place.stat().st_uid
    if owner:
        name = user_name(owner)
        raise CommandFault(f"the store in {data} belongs to {name}: run this as {name}, with runuser -u {name} -- ...")


def user_name(user: int) -> str:
    """The name of a user, or the number of one who has none."""
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def has_store(data: Path) -> bool:
    """Whether a store was made in this folder."""
    from estafeta.store.store import DATABASE

    return (data / DATABASE).exists()
