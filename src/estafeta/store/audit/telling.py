"""Notifications: one for each failure that its sender wants to hear of, none to nobody, none about another one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from estafeta.store.audit.entries import Entry, Facts, Mail, as_list, number_of, read_facts
from estafeta.store.audit.gap import Gap
from estafeta.store.engine import Transaction
from estafeta.store.statements import Statements

_sql = Statements("audit")

_FAILED = ("failed", "expired")
_NONE_MADE = "none could be made"
"""How the journal begins to tell of a notification that broke."""


def gaps_of(tx: Transaction, mail: Mail) -> Iterator[Gap]:
    """What is wrong with the notifications about a message, and with the message where it is one."""
    named: Counter[str] = Counter()
    for entry in mail.later:
        made = [str(each) for each in as_list(entry.facts.get("notifications"))]
        ids = [each for each in made if number_of(each) is not None]
        named.update(ids)
        failed = [path for path, outcome in _failures(mail, entry) if _is_wanted(outcome)]
        reverse_path = entry.facts.get("reverse_path", mail.accepted.facts.get("reverse_path"))
        if not (entry.is_redacted or mail.accepted.is_redacted):
            if reverse_path == "" and ids:
                yield Gap("told-wrongly", mail.name, f"its reverse-path is null, and notification {ids[0]} tells of it")
            is_due = bool(failed) and isinstance(reverse_path, str) and reverse_path != ""
            if is_due and (not made or any(each.startswith(_NONE_MADE) for each in made)):
                who = f"<{failed[0]}>" + (f" and {len(failed) - 1} more" if len(failed) > 1 else "")
                yield Gap("untold", mail.name, f"it failed for {who}, and <{reverse_path}> was not told; tell them")
        for each in ids:
            yield from _as_named(tx, mail, each, has_failed=bool(failed))
    for name, times in named.items():
        if times > 1:
            yield Gap("told-twice", mail.name, f"{times} outcomes name the same notification {name}")
    yield from _as_notification(tx, mail)


def _failures(mail: Mail, entry: Entry) -> Iterator[tuple[str, Facts]]:
    for _, outcome in mail.outcomes(entry):
        if outcome["fate"] in _FAILED:
            yield str(outcome.get("forward_path")), outcome


def _is_wanted(outcome: Facts) -> bool:
    """Whether the sender wants to hear of a failure: where NOTIFY was not said, too (RFC 3461 §4.1)."""
    notify = outcome.get("notify")
    return not isinstance(notify, str) or "FAILURE" in notify.split(",")


def _as_named(tx: Transaction, mail: Mail, name: str, *, has_failed: bool) -> Iterator[Gap]:
    """A notification that an outcome names was accepted, and is of this message."""
    row = tx.one(_sql.accepted_entry, message_id=number_of(name))
    facts = None if row is None else read_facts(row[1])
    if facts is None:
        yield Gap("untold", mail.name, f"its notification {name} is named, and was never accepted; tell the sender")
    elif facts.get("notification_of") != mail.name:
        yield Gap("told-wrongly", mail.name, f"notification {name} is named for it, and is of another message")
    elif has_failed and "failed" not in str(facts.get("action")):
        yield Gap("untold", mail.name, f"it has failed, and notification {name} does not say so; tell the sender")


def _as_notification(tx: Transaction, mail: Mail) -> Iterator[Gap]:
    """A notification is named by what it is about, which had a reverse-path and was none itself."""
    about = mail.accepted.facts.get("notification_of")
    number = number_of(about) if isinstance(about, str) else None
    if number is None:
        return
    row = tx.one(_sql.accepted_entry, message_id=number)
    facts = None if row is None else read_facts(row[1])
    if facts is None:  # the journal keeps nothing of it any more
        return
    if "notification_of" in facts:
        yield Gap("told-wrongly", mail.name, f"it is a notification about {about}, which is one itself")
    elif facts.get("reverse_path") == "" and not (row is not None and row[0]):
        yield Gap("told-wrongly", mail.name, f"it is a notification about {about}, whose reverse-path is null")
    elif "delivered" in facts:
        later = [read_facts(text) or {} for (text,) in tx.run(_sql.facts_about, message_id=number)]
        if not any(mail.name in as_list(each.get("notifications")) for each in (facts, *later)):
            yield Gap("told-twice", mail.name, f"it is a notification about {about}, of which no outcome called for it")
