"""`estafeta repair`: saves what can be saved of a damaged store, and says what became of the rest."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from estafeta.cli.faults import complain
from estafeta.cli.options import config_option, json_option
from estafeta.cli.output import document, instant, say
from estafeta.config.location import data_directory, find_config

if TYPE_CHECKING:
    from estafeta.store.repair import Affected, Report

_WHOLE, _SOME_LOST, _NOTHING_DONE = 0, 1, 2
_MOST = 50
"""Messages of a kind that are listed for people; the report in the folder of the damaged files has them all."""
_SAVED = {
    "domains": "domains",
    "accounts": "accounts",
    "mailboxes": "mailboxes",
    "messages": "messages",
    "queued_recipients": "queued recipients",
    "journal": "entries of the journal",
}


@click.command("repair")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@config_option
@json_option
def command(dry_run: bool, config: Path | None, as_json: bool) -> int:
    """Save what can be saved of a damaged store into a new database; the server must be stopped.

    The damaged files are kept in a folder `damaged-...` of the data directory. Messages whose content is not what it
    was are put into the folder `quarantine`, each with a document that says what it was. Exit code 0: all is there;
    1: something is lost, held or quarantined, as the output says; 2: nothing could be done.
    """
    from estafeta.store.errors import StoreError
    from estafeta.store.repair import State, repair

    data = data_directory(find_config(config))
    try:
        report = repair(data, clock=time.time, is_dry_run=dry_run)
    except StoreError as error:
        complain(str(error))
        return _NOTHING_DONE
    if as_json:
        document(_as_document(report))
    else:
        for line in _lines(report):
            say(line)
    return _SOME_LOST if report.state is State.SAVED else _WHOLE


def _as_document(report: Report) -> dict[str, object]:
    return {
        "data": report.data,
        "state": report.state.value,
        "dry_run": report.is_dry_run,
        "damage": report.damage,
        "saved": report.saved,
        "remade": report.remade,
        "quarantined": [_affected(one) for one in report.quarantined],
        "held": [_affected(one) for one in report.held],
        "lost": [_affected(one) for one in report.lost],
        "lost_without_id": report.unnamed,
        "left_out": report.lost_rows,
        "tables_with_losses": report.hurt,
        "contents_without_digest": report.unverified,
        "damaged_files": report.kept_in,
    }


def _affected(one: Affected) -> dict[str, object]:
    return {
        "id": one.content_id or None,
        "wrong": one.wrong,
        "reverse_path": one.reverse_path,
        "recipients": one.recipients,
        "accepted_at": None if one.accepted_at is None else instant(one.accepted_at),
        "places": one.places,
        "file": one.file,
    }


def _lines(report: Report) -> Iterator[str]:
    if not report.damage:
        yield f"{report.data}: nothing is damaged ({_saved(report)})"
        return
    for sentence in report.damage:
        yield f"damaged: {sentence}"
    would = "would be " if report.is_dry_run else ""
    yield f"{would}saved: {_saved(report)}"
    for sentence in report.remade[:_MOST]:
        yield f"made again: {sentence}"
    yield from _listed(f"{would}quarantined", report.quarantined)
    yield from _listed(f"{would}held in the queue", report.held)
    yield from _listed("lost", report.lost)
    for mailbox, count in report.unnamed.items():
        yield f"lost: {count} messages of {mailbox}, of which nothing is known"
    for table, count in report.lost_rows.items():
        yield f"left out: {count} rows of {table}"
    if report.hurt:
        yield f"tables that have lost rows: {', '.join(report.hurt)}"
    if report.unverified:
        yield f"{report.unverified} contents have no digest, for they are older: only their size was looked at"
    if report.kept_in is not None:
        yield f"the damaged files, and this report, are in {report.kept_in}"
    if report.is_dry_run:
        yield "nothing was changed"


def _saved(report: Report) -> str:
    return ", ".join(f"{report.saved.get(table, 0)} {name}" for table, name in _SAVED.items())


def _listed(title: str, found: list[Affected]) -> Iterable[str]:
    for one in found[:_MOST]:
        places = ", ".join(f"{place.account} {place.mailbox} {place.uid}" for place in one.places if place.account)
        parts = [
            one.content_id,
            f"from <{one.reverse_path}>" if one.reverse_path is not None else "",
            f"to {', '.join(f'<{each}>' for each in one.recipients)}" if one.recipients else "",
            f"in {places}" if places else "",
            f"({one.wrong})",
            f"is quarantine/{one.file}" if one.file else "",
        ]
        yield f"{title}: {' '.join(part for part in parts if part)}"
    if len(found) > _MOST:
        yield f"{title}: {len(found) - _MOST} more, which are in the report"
