"""`estafeta index`: reads mail for searching and listing before anybody asks for it."""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from pathlib import Path

import click

from estafeta.cli import starting
from estafeta.cli.opening import refuse_root
from estafeta.cli.options import config_option
from estafeta.cli.output import say
from estafeta.config.location import find_config


@click.command("index")
@config_option
@click.option("--behind", is_flag=True, hidden=True, help="Go on with new mail; started by a server.")
def command(config: Path | None, behind: bool) -> int:
    """Read mail that was not read yet, so that the first SEARCH or SORT of a mailbox is quick.

    A server does so by itself with `processes.indexer`; this is for after a large import. The index of an account is
    below `search` in the data directory, and may be removed at any time: it is made again.
    """
    if behind:
        _give_way()
    starting.begin()
    from estafeta import app
    from estafeta.cli import logs
    from estafeta.config.reading import load

    gc.freeze()
    gc.enable()
    settings = load(find_config(config).absolute())
    logs.set_up(settings.log)
    if behind:
        app.index_behind(settings)
        return 0
    refuse_root(settings.data)
    say(f"{app.index_now(settings)} messages were indexed")
    return 0


def _give_way() -> None:
    """Take what the server and others leave of the processor, from the start on."""
    os.nice(19)
    with suppress(OSError, AttributeError):  # not everywhere, and not for everybody
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
