"""MT-PRIORITY: which message goes before which (RFC 6710)."""

from __future__ import annotations

import re

from estafeta.mail.catalogue import senders, syntax
from estafeta.mail.envelope import Sender
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Extension, Parameter, Session

# RFC 6710 §7: priority-value = (["-"] NZDIGIT) / "0"
_PRIORITY = re.compile(r"-?[1-9]|0")


def _offer(session: Session) -> str | None:
    policy = session.options.priority_policy
    if policy is None:
        return None
    return f"MT-PRIORITY {policy}" if policy else "MT-PRIORITY"  # RFC 6710 §3 (3)


def _read(session: Session, value: str | None) -> dict[str, object]:
    if session.options.priority_policy is None:
        raise Fault(syntax.PARAMETER_NOT_OFFERED.with_(keyword="MT-PRIORITY"))
    if value is None or not _PRIORITY.fullmatch(value):
        raise Fault(senders.BAD_PRIORITY)  # RFC 6710 §4.1 (1)
    return {"priority": int(value)}


def _write(sender: Sender, is_utf8: bool) -> str | None:
    return None if sender.priority is None else f"MT-PRIORITY={sender.priority}"


MT_PRIORITY = Extension(
    "MT-PRIORITY",
    "RFC 6710",
    _offer,
    mail_parameters=(
        # RFC 6710 §3 (6)
        Parameter("MT-PRIORITY", _read, _write, "a number from -9 to 9", octets=15),
    ),
)
