"""`estafeta backup`: a copy of the store, made while the server runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from estafeta import __version__
from estafeta.cli.opening import opened_at
from estafeta.cli.options import config_option, json_option
from estafeta.cli.output import document, octets, say
from estafeta.cli.progress import Progress
from estafeta.config.location import data_directory, find_config


@click.command("backup")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--keep", type=click.IntRange(min=1), metavar="N", help="Keep the newest N backups of the folder, remove others."
)
@click.option("--check", is_flag=True, help="Read what earlier backups have copied, and copy what is damaged again.")
@config_option
@json_option
def command(folder: Path, keep: int | None, check: bool, config: Path | None, as_json: bool) -> int:
    """Back the store up into FOLDER, while the server runs or not.

    The folder has a subfolder for each backup, named by its time in UTC, with a whole database of one moment, and the
    files of large messages, which all backups share: those that are there already are not copied again. A backup that
    is cut off is known as such, and does no harm. Settings and certificates are not in it. Exit code 1: a message was
    damaged already, as the output says.
    """
    from estafeta.store.backup import make_backup

    data = data_directory(find_config(config))
    with opened_at(data) as store, Progress() as progress:
        made = make_backup(
            data, folder, now=store.now(), version=__version__, keep=keep, checks=check, told=progress.show
        )
    manifest = made.manifest
    if as_json:
        document({"path": str(made.path), **asdict(manifest)})
    else:
        say(
            f"{made.path}: {manifest.accounts:,} accounts, {manifest.messages:,} messages, {manifest.queued:,} queued"
            f" recipients, {octets(manifest.octets)}"
        )
        for name in manifest.damaged:
            say(f"content file {name} is not what was written: run `estafeta verify`")
    return 1 if manifest.damaged else 0
