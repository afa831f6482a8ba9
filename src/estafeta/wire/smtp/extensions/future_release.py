"""FUTURERELEASE: a message that its sender hands in now and that leaves later (RFC 4865); for submission alone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from estafeta.mail.catalogue import senders, syntax
from estafeta.mail.envelope import Hold, Sender
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Extension, Parameter, Session

# RFC 4865 §3 (2): future-release-integer = %x31-39 *8DIGIT
_INTERVAL = re.compile(r"[1-9][0-9]{0,8}")
# RFC 3339 §5.6: date-time; RFC 4865 §3 (2) wants it normalized to UTC, its erratum 2040 lets other offsets stand.
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def _not_offered() -> Fault:
    return Fault(syntax.PARAMETER_NOT_OFFERED.with_(keyword="FUTURERELEASE"))


def _bad(keyword: str, form: str) -> Fault:
    return Fault(syntax.PARAMETER_VALUE.with_(keyword=keyword, form=form))  # RFC 4865 §4.2 (10), (11)


def timestamp(at: datetime) -> str:
    """The instant as a date-time of RFC 3339 in UTC, in whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _offer(session: Session) -> str | None:
    latest = session.options.hold_until
    if latest is None or not session.options.hold_for:
        return None
    return f"FUTURERELEASE {session.options.hold_for} {timestamp(latest())}"  # RFC 4865 §3 (3)


def _hold_for(session: Session, value: str | None) -> dict[str, object]:
    longest = session.options.hold_for
    if not longest:
        raise _not_offered()
    if value is None or not _INTERVAL.fullmatch(value):
        raise _bad("HOLDFOR", "seconds from 1 to 999999999")
    if int(value) > longest:  # RFC 4865 §4.2 (7)
        raise Fault(senders.HELD_TOO_LONG.with_(seconds=str(longest)))
    return {"hold": Hold(seconds=int(value))}


def _hold_until(session: Session, value: str | None) -> dict[str, object]:
    latest = session.options.hold_until
    if latest is None or not session.options.hold_for:
        raise _not_offered()
    until = _date_time(value or "")
    if until is None:
        raise _bad("HOLDUNTIL", "a date-time such as 2030-12-24T18:00:00Z")
    end = latest()
    if until > end:  # RFC 4865 §4.2 (8)
        raise Fault(senders.HELD_TOO_LATE.with_(until=timestamp(end)))
    if until <= end - timedelta(seconds=session.options.hold_for):  # RFC 4865 §3 (4): a future date and time
        raise _bad("HOLDUNTIL", "in the past")
    return {"hold": Hold(until=until)}


def _date_time(text: str) -> datetime | None:
    if not _DATE_TIME.fullmatch(text):
        return None
    text = text.upper()
    # A leap second is the second before it; fractions have at most six digits for `datetime`.
    text = text.replace(":60", ":59") if text[17:19] == "60" else text
    text = re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", text)
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _write_for(sender: Sender, is_utf8: bool) -> str | None:
    seconds = sender.hold.seconds if sender.hold is not None else None
    return None if seconds is None else f"HOLDFOR={seconds}"


def _write_until(sender: Sender, is_utf8: bool) -> str | None:
    until = sender.hold.until if sender.hold is not None else None
    if until is None:
        return None
    if until.microsecond:  # not before its time
        until = until.replace(microsecond=0) + timedelta(seconds=1)
    return f"HOLDUNTIL={timestamp(until)}"


FUTURE_RELEASE = Extension(
    "FUTURERELEASE",
    "RFC 4865",
    _offer,
    mail_parameters=(
        # RFC 4865 §3 (5): 34 for the longer of the two, which exclude each other
        Parameter("HOLDFOR", _hold_for, _write_for, "seconds", octets=18),
        Parameter("HOLDUNTIL", _hold_until, _write_until, "a date-time of RFC 3339", octets=34),
    ),
)
