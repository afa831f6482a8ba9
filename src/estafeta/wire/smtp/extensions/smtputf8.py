"""SMTPUTF8: addresses and header fields in UTF-8 (RFC 6531)."""

from __future__ import annotations

from estafeta.mail.reply import Reply
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Extension, Parameter, Session


def _read(session: Session, value: str | None) -> dict[str, object]:
    if value is not None:  # RFC 6531 §3.4: the parameter has no value
        raise Fault(Reply.of(501, "SMTPUTF8 takes no value", "5.5.4"))
    if not session.options.smtputf8:
        raise Fault(Reply.of(555, "SMTPUTF8 is not offered", "5.5.4"))
    return {"smtputf8": True}


SMTPUTF8 = Extension(
    "SMTPUTF8",
    "RFC 6531",
    lambda session: "SMTPUTF8" if session.options.smtputf8 else None,
    mail_parameters=(Parameter("SMTPUTF8", _read, "no value"),),
)
