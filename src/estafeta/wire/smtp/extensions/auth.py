"""AUTH: the SASL profile of SMTP, and the AUTH parameter of MAIL (RFC 4954)."""

from __future__ import annotations

from estafeta.mail.reply import Reply
from estafeta.mail.xtext import from_xtext
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Extension, Parameter, Session


def _offer(session: Session) -> str | None:
    return "AUTH " + " ".join(session.mechanisms) if session.mechanisms else None


def _read(session: Session, value: str | None) -> dict[str, object]:
    if value is None:
        raise Fault(Reply.of(501, "AUTH needs a value", "5.5.4"))
    try:
        submitter = from_xtext(value)
    except ValueError:
        raise Fault(Reply.of(501, "AUTH is not xtext", "5.5.4")) from None
    return {"auth": "" if submitter == "<>" else submitter}  # RFC 4954 §5


AUTH = Extension(
    "AUTH", "RFC 4954", _offer, mail_parameters=(Parameter("AUTH", _read, "the submitter as xtext, or <>"),)
)
