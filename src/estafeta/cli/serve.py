"""`estafeta serve`: the server in the foreground, as a service manager wants it."""

from __future__ import annotations

import errno
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

from estafeta.cli import starting
from estafeta.cli.faults import CommandFault
from estafeta.cli.options import config_option
from estafeta.config.location import find_config

if TYPE_CHECKING:
    from estafeta.app import Commands, ListenFailed


@click.command("serve")
@config_option
@click.option("--behind", is_flag=True, hidden=True, help="One of several processes, started by the first.")
def command(config: Path | None, behind: bool) -> int:
    """Run the server until SIGTERM; sessions under way get `shutdown.drain_seconds` to end.

    SIGHUP reads the settings and the certificate again.
    """
    starting.begin()
    from estafeta import app
    from estafeta.cli import logs
    from estafeta.config.reading import load

    file = find_config(config).absolute()
    settings = load(file)
    logs.set_up(settings.log)
    try:
        return app.run(settings, partial(load, file), commands=None if behind else _commands(app, file))
    except app.ListenFailed as failure:
        raise CommandFault(words_of(failure)) from None


def _commands(app: ModuleType, file: Path) -> Commands:
    """How the other processes of this server are started: by this very program, with the same settings."""
    program = (sys.executable, "-m", "estafeta.cli.main")
    common = ("--config", str(file), "--behind")
    commands: Commands = app.Commands((*program, "serve", *common), (*program, "index", *common))
    return commands


def words_of(failure: ListenFailed) -> str:
    """Why a port cannot be served, and what to do."""
    listen, error = failure.listen, failure.error
    if error.errno == errno.EADDRINUSE:
        return f"port {listen.port} is in use ({listen.name}): stop what listens there, or choose another port"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {listen.port} may not be opened ({listen.name}): below 1024 it needs CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{listen.address} is not an address of this machine ({listen.name})"
    return f"{listen.name} cannot be served: {(error.strerror or str(error)).lower()}"
