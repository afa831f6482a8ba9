"""`estafeta check`: every fault of the settings, with file, line and remedy."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from estafeta.cli.options import config_option, json_option
from estafeta.cli.output import document, say
from estafeta.config.faults import Fault, SettingsError
from estafeta.config.location import find_config


@click.command("check")
@config_option
@json_option
def command(config: Path | None, as_json: bool) -> int:
    """Check the settings file, the files it names, and what the store must have for it."""
    file: Path | None = None
    try:
        file = find_config(config)
        faults = _faults(file)
    except SettingsError as error:
        faults = list(error.faults)
    if as_json:
        document({"file": file, "faults": [dataclasses.asdict(fault) for fault in faults]})
    elif faults:
        for fault in faults:
            say(str(fault))
    else:
        say(f"{file}: no faults")
    return 1 if faults else 0


def _faults(file: Path) -> list[Fault]:
    from estafeta.cli.opening import has_store, opened_at
    from estafeta.config import check
    from estafeta.config.location import parse
    from estafeta.config.reading import load, place

    settings = load(file)
    if not has_store(settings.data):
        return []
    with opened_at(settings.data) as store:
        findings = store.read(lambda tx: list(check.against_store(settings, tx)))
    return place(parse(file), findings)
