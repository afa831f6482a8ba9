"""`estafeta verify`: every octet of the store, or of a folder of backups, is looked at."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from estafeta.cli.opening import opened_at
from estafeta.cli.options import config_option, json_option
from estafeta.cli.output import document, one_line, say
from estafeta.cli.progress import Progress
from estafeta.config.location import data_directory, find_config

_SLOW_PAUSE = 0.5
"""Seconds of rest after some hundred contents."""


@click.command("verify")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True), required=False)
@click.option("--slow", is_flag=True, help="Rest between the steps, so that a busy server does not feel it.")
@config_option
@json_option
def command(folder: Path | None, slow: bool, config: Path | None, as_json: bool) -> int:
    """Verify the store, or the backups in FOLDER: every message octet for octet, every index. Exit code 1: a fault.

    Each message was given a digest when it came; what is there is held to it. The server may run meanwhile.
    """
    from estafeta.store.backup import verify_backup, verify_store

    with Progress() as progress:
        if folder is not None:
            faults = _say(verify_backup(folder, told=progress.show), as_json)
        else:
            data = data_directory(find_config(config))
            with opened_at(data):
                faults = _say(
                    verify_store(data, pause=_SLOW_PAUSE if slow else 0.0, told=progress.show),
                    as_json,
                )
    if as_json:
        document({"faults": faults})
    else:
        say(f"{len(faults):,} faults" if faults else "all is as it was written")
    return 1 if faults else 0


def _say(faults: Iterable[str], as_json: bool) -> list[str]:
    found = []
    for fault in faults:
        found.append(fault)
        if not as_json:
            say(one_line(fault))
    return found
