"""`estafeta restore`: a backup becomes the store again."""

from __future__ import annotations

import time
from pathlib import Path

import click

from estafeta.cli.opening import refuse_root
from estafeta.cli.options import config_option, json_option
from estafeta.cli.output import document, instant, say
from estafeta.config.location import data_directory, find_config


@click.command("restore")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--generation", metavar="NAME", help="The backup of that time; the newest when left out.")
@click.option(
    "--queue",
    type=click.Choice(["hold", "send"]),
    default="hold",
    show_default=True,
    help="Mail that was queued: let it wait for `estafeta queue release`, or send it, perhaps a second time.",
)
@config_option
@json_option
def command(folder: Path, generation: str | None, queue: str, config: Path | None, as_json: bool) -> int:
    """Restore a backup in FOLDER into the data directory of the settings, which must be empty.

    Every mailbox gets a new UIDVALIDITY, so that mail programs read it anew: what came after the backup is gone, and
    its numbers would be given to other messages. Queued mail may have left since the backup, and is held. Exit code 1:
    a message of the backup is damaged, as the output says.
    """
    from estafeta.store.backup import Queue, restore

    data = data_directory(find_config(config))
    refuse_root(data)
    restored = restore(folder, data, now=time.time(), name=generation, queue=Queue(queue))
    manifest = restored.generation.manifest
    if as_json:
        document(
            {
                "data": str(data),
                "generation": restored.generation.name,
                "mailboxes": restored.mailboxes,
                "messages": manifest.messages,
                "held": restored.held,
                "damaged": restored.damaged,
            }
        )
    else:
        say(
            f"{data}: {manifest.accounts:,} accounts, {restored.mailboxes:,} mailboxes, {manifest.messages:,} messages,"
            f" as they were at {instant(manifest.created_at)}"
        )
        if restored.held:
            say(
                f"{restored.held:,} queued recipients are held: see `estafeta queue list`, and let them go by"
                " `estafeta queue release`"
            )
        for name in restored.damaged:
            say(f"content {name} is missing or damaged in the backup: run `estafeta repair`")
    return 1 if restored.damaged else 0
