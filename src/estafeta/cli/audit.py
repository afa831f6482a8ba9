"""`estafeta audit`: accounts for every recipient of every accepted message, and for the rows that the store keeps."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from estafeta.cli.opening import opened
from estafeta.cli.options import config_option, json_option
from estafeta.cli.output import document, instant, one_line, say
from estafeta.store.records import Instant

_DURATION = re.compile(r"(\d{1,6})\s*([mhdw])", re.IGNORECASE)
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@click.command("audit")
@click.option(
    "--since",
    metavar="WHEN",
    help="Only mail accepted since then: a duration such as 90m, 12h, 7d or 2w, or a date as 2026-03-31 or "
    "2026-03-31T12:00 (local time, unless it has an offset).",
)
@config_option
@json_option
def command(since: str | None, config: Path | None, as_json: bool) -> int:
    """Account for every message that was accepted; exits with 1 when something is missing, twice or wrong.

    Each recipient must be at one end: in the mailbox, in the queue, relayed, or failed with its sender told. Counters
    must agree with the messages, and contents be there. The server may run meanwhile. Each gap is one line; what the
    names of gaps mean is in docs/care.md.
    """
    from estafeta.store.audit import Audit, Gap

    gaps: list[Gap] = []
    with opened(config) as store:
        now = store.now()
        begin = None if since is None else _instant(since, now)
        audit = Audit(now, since=begin, measure=store.store.content.measure)
        while not audit.is_over:
            found = store.read(audit.step)
            gaps += found
            if not as_json:
                for gap in found:
                    say(one_line(str(gap)))
    if as_json:
        document(
            {
                "at": instant(now),
                "since": None if begin is None else instant(begin),
                "messages": audit.messages,
                "recipients": audit.recipients,
                "gaps": [asdict(gap) for gap in gaps],
            }
        )
    else:
        said = f"{_counted(len(gaps), 'gap')}" if gaps else "all accounted for"
        say(f"{_counted(audit.messages, 'message')}, {_counted(audit.recipients, 'recipient')}: {said}")
    return 1 if gaps else 0


def _instant(text: str, now: Instant) -> Instant:
    duration = _DURATION.fullmatch(text.strip())
    if duration is not None:
        return Instant(max(now - int(duration[1]) * _SECONDS[duration[2].lower()], 0))
    try:
        return Instant(max(datetime.fromisoformat(text.strip()).timestamp(), 0))
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(
            f"{text!r} is neither a duration like 12h or 7d nor a date like 2026-03-31.", param_hint="--since"
        ) from None


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
