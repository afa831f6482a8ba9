"""SMTPUTF8: addresses and header fields in UTF-8 (RFC 6531)."""

from __future__ import annotations

from estafeta.mail.catalogue import syntax
from estafeta.mail.envelope import Sender
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Extension, Parameter, Session


def _read(session: Session, value: str | None) -> dict[str, object]:
    if value is not None:  # RFC 6531 §3.4: the parameter has no value
        raise Fault(syntax.PARAMETER_WITH_VALUE.with_(keyword="SMTPUTF8"))
    if not session.options.smtputf8:
        raise Fault(syntax.PARAMETER_NOT_OFFERED.with_(keyword="SMTPUTF8"))
    return {"smtputf8": True}


def _write(sender: Sender, is_utf8: bool) -> str | None:
    return "SMTPUTF8" if is_utf8 else None


SMTPUTF8 = Extension(
    "SMTPUTF8",
    "RFC 6531",
    lambda session: "SMTPUTF8" if session.options.smtputf8 else None,
    mail_parameters=(
        # RFC 6531 §3.1 (6)
        Parameter("SMTPUTF8", _read, _write, "no value", octets=10),
    ),
)
