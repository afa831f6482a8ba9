"""Accepted mail: each recipient is in its mailbox, in the queue, or at the one end that the journal tells of.

The journal says of each acceptance into which mailboxes, under which UIDs, and into which rows of the queue it went;
of each attempt, what became of which row. What old entries do not say is not asked for.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from estafeta.store.audit import telling
from estafeta.store.audit.entries import Entry, Facts, Mail, as_list, number_of, read_facts
from estafeta.store.audit.gap import Cursor, Gap, Ledger, Step
from estafeta.store.engine import Transaction
from estafeta.store.ids import IdSource
from estafeta.store.statements import Statements

_sql = Statements("audit")

_PAGE = 500
"""Entries of the journal in one step: some milliseconds."""

_END = re.compile(r"(?:mailbox of (?P<account>\S+@[^\s,]+)|<(?P<path>\S+)> by way of (?P<via>[^\s,]+)|nowhere)(?:, |$)")
"""One end as routes tell of it."""


def look(tx: Transaction, ledger: Ledger, cursor: Cursor) -> Step:
    """Look at the mail that some entries of the journal tell of."""
    after = ledger.since - 1 if cursor is None else cursor
    rows = tx.run(_sql.entries, after=after, limit=_PAGE)
    gaps: list[Gap] = []
    mails: dict[int, Mail] = {}
    for number, is_redacted, text in rows:
        if text is not None:
            facts = read_facts(text)
            if facts is None:
                gaps.append(Gap("journal", IdSource.text(number), "its entry in the journal cannot be read"))
            else:
                mails[number] = Mail(number, Entry(facts, bool(is_redacted)))
    if mails:
        _gather(tx, mails, gaps)
        for mail in mails.values():
            ledger.messages += 1
            ledger.recipients += len(as_list(mail.accepted.facts.get("recipients")))
            gaps += _gaps_of(tx, ledger, mail)
    return Step(gaps, rows[-1][0] if len(rows) == _PAGE else None)


def _gather(tx: Transaction, mails: dict[int, Mail], gaps: list[Gap]) -> None:
    """All that the store has of the messages, by four questions."""
    text = IdSource.text
    span = {"first": min(mails), "last": max(mails)}
    for number, is_redacted, facts_text in tx.run(_sql.entries_about, **span):
        if (mail := mails.get(number)) is not None:
            facts = read_facts(facts_text)
            if facts is None:
                gaps.append(Gap("journal", text(number), "an entry about it in the journal cannot be read"))
            else:
                mail.later.append(Entry(facts, bool(is_redacted)))
    names: dict[int, str] = {}
    for number, mailbox_id, uid in tx.run(_sql.copies, **span):
        if (mail := mails.get(number)) is not None:
            name = names.get(mailbox_id) or names.setdefault(mailbox_id, text(mailbox_id))
            mail.copies.add((name, uid))
    for number, recipient_id in tx.run(_sql.waiting, **span):
        if (mail := mails.get(number)) is not None:
            mail.waiting.add(text(recipient_id))


def _gaps_of(tx: Transaction, ledger: Ledger, mail: Mail) -> Iterator[Gap]:
    yield from _in_mailboxes(tx, ledger, mail)
    yield from _in_queue(mail)
    if mail.is_told:
        yield from _by_routes(mail)
    yield from telling.gaps_of(tx, mail)


# Mailboxes.


def _in_mailboxes(tx: Transaction, ledger: Ledger, mail: Mail) -> Iterator[Gap]:
    delivered: set[tuple[str, int]] = set()
    for each in mail.listed("delivered"):
        if isinstance(each, list) and len(each) == 2:
            delivered.add((str(each[0]), int(each[1])))
    for mailbox, uid in delivered - mail.copies:
        mailbox_id = number_of(mailbox)
        if mailbox_id is not None and not ledger.expunged.may_be_gone(tx, mailbox_id, uid):
            where = f"UID {uid} in {_place(tx, mailbox_id)}"
            yield Gap(
                "lost", mail.name, f"it was delivered as {where}, and is not there, nor was it expunged; {_SEARCH}"
            )
    if mail.is_told:
        for mailbox, uid in mail.copies - delivered:
            where = f"UID {uid} in {_place(tx, number_of(mailbox))}"
            yield Gap("never-accepted", mail.name, f"{where} is of it, and the journal does not say that it came there")


_SEARCH = "look for it in a backup, or ask its sender to send it again"


def _place(tx: Transaction, mailbox_id: int | None) -> str:
    row = None if mailbox_id is None else tx.one(_sql.name_of_mailbox, mailbox_id=mailbox_id)
    return "a mailbox that is gone" if row is None else f"{row[1]} of {row[0] or 'an account without address'}"


# The queue.


def _in_queue(mail: Mail) -> Iterator[Gap]:
    ends: dict[str, list[str]] = defaultdict(list)
    paths: dict[str, str] = {}
    for entry in mail.later:
        for recipient, outcome in mail.outcomes(entry):
            ends[recipient].append(str(outcome["fate"]))
            paths[recipient] = f" (<{outcome.get('forward_path')}>)"
        for each in as_list(entry.facts.get("ended_left_out")):
            ends[str(each)].append("ended")
        for each in as_list(entry.facts.get("removed")):
            ends[str(each)].append("removed")
    queued = {str(each) for each in mail.listed("queued")}
    for recipient in queued:
        told, who = ends.get(recipient, []), f"recipient {recipient}{paths.get(recipient, '')}"
        if recipient in mail.waiting:
            if told:
                yield Gap("twice", mail.name, f"{who} is {told[0]}, and is in the queue still: it would go out again")
        elif not told:
            yield Gap("lost", mail.name, f"{who} is not in the queue, and the journal tells of no end; {_SEARCH}")
        if len(told) > 1:
            yield Gap("twice", mail.name, f"{who} has come to {len(told)} ends: {', '.join(told)}")
    if mail.is_told:
        for recipient in mail.waiting - queued:
            yield Gap(
                "never-accepted",
                mail.name,
                f"recipient {recipient} is in the queue, and the journal does not say that it was accepted; "
                f"`estafeta queue remove {recipient}` takes it out",
            )


# What the routes promised.


def _by_routes(mail: Mail) -> Iterator[Gap]:
    """As many ends as the routes had, where these are told whole."""
    facts = mail.accepted.facts
    expected = None if mail.accepted.is_redacted or "loops" in facts else _expected(facts)
    if expected is None:
        return
    mailboxes, elsewhere = expected
    delivered, queued = len(as_list(facts["delivered"])), len(as_list(facts.get("queued")))
    if as_list(facts.get("shown")):  # who has read it on a screen need not have it in the mailbox
        is_right = delivered == 0 if facts.get("opening") == "SEND" else delivered <= mailboxes
    else:
        is_right = delivered == mailboxes
    if not is_right or queued != elsewhere:
        promised = f"{mailboxes} in mailboxes and {elsewhere} in the queue"
        yield Gap("ends", mail.name, f"its recipients lead to {promised}, and it went to {delivered} and {queued}")


def _expected(facts: Facts) -> tuple[int, int] | None:
    """Mailboxes and recipients elsewhere that the routes lead to; None where they are not told whole."""
    recipients = facts.get("recipients")
    if not isinstance(recipients, list) or not recipients:
        return None
    if "held_until" in facts and not as_list(facts["delivered"]):  # where it goes is found at its time
        return 0, len({str(each.get("forward_path")) for each in recipients if isinstance(each, dict)})
    accounts: set[str] = set()
    elsewhere: set[tuple[str, str]] = set()
    for each in recipients:
        route = each.get("route") if isinstance(each, dict) else None
        if not isinstance(route, str):
            return None
        at = 0
        while at < len(route):
            end = _END.match(route, at)
            if end is None:
                return None
            at = end.end()
            if end["account"]:
                accounts.add(end["account"])
            elif end["path"]:
                elsewhere.add((end["path"], end["via"]))
    return len(accounts), len(elsewhere)
