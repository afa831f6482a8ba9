"""DELIVERBY: a message is delivered within a time, or its sender is told (RFC 2852)."""

from __future__ import annotations

import re

from estafeta.mail.catalogue import senders, syntax
from estafeta.mail.envelope import ByMode, DeliverBy, Sender
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Extension, Parameter, Session

# RFC 2852 §4: by-value = by-time ";" by-mode [by-trace]; by-time = ["-" / "+"] 1*9digit
_BY = re.compile(r"([+-]?[0-9]{1,9});([NRnr])([Tt]?)")


def _offer(session: Session) -> str | None:
    least = session.options.deliver_by
    if least is None:
        return None
    return f"DELIVERBY {least}" if least else "DELIVERBY"  # RFC 2852 §2 (3)


def _read(session: Session, value: str | None) -> dict[str, object]:
    least = session.options.deliver_by
    if least is None:
        raise Fault(syntax.PARAMETER_NOT_OFFERED.with_(keyword="DELIVERBY"))
    match = _BY.fullmatch(value or "")
    if match is None:
        raise Fault(
            syntax.PARAMETER_VALUE.with_(keyword="BY", form="seconds;N or seconds;R, with a T behind it for traces")
        )
    seconds, mode = int(match[1]), ByMode(match[2].upper())
    if mode is ByMode.RETURN and seconds <= 0:  # RFC 2852 §4
        raise Fault(senders.BY_WITHOUT_TIME)
    if mode is ByMode.RETURN and seconds < least:  # RFC 2852 §3: any 55z
        raise Fault(senders.BY_TOO_SOON.with_(seconds=str(least)))
    return {"deliver_by": DeliverBy(seconds, mode, bool(match[3]))}


def _write(sender: Sender, is_utf8: bool) -> str | None:
    by = sender.deliver_by
    return None if by is None else f"BY={by.seconds};{by.mode.value}{'T' if by.is_traced else ''}"


def least_time(words: tuple[str, ...]) -> int:
    """Of the words behind DELIVERBY in a reply to EHLO the min-by-time in seconds; 0 where there is none."""
    first = words[0].partition(",")[0] if words else ""
    return int(first) if first.isascii() and first.isdecimal() and len(first) <= 9 else 0


DELIVER_BY = Extension(
    "DELIVERBY",
    "RFC 2852",
    _offer,
    mail_parameters=(
        # RFC 2852 §2 (5)
        Parameter("BY", _read, _write, "seconds;N or seconds;R, with T for traces", octets=17),
    ),
)
