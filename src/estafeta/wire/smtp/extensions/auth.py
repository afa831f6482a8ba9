"""AUTH: the SASL profile of SMTP, and the AUTH parameter of MAIL (RFC 4954)."""

from __future__ import annotations

from estafeta.mail.catalogue import syntax
from estafeta.mail.envelope import Sender
from estafeta.mail.xtext import from_xtext, to_xtext
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Extension, Parameter, Session


def _offer(session: Session) -> str | None:
    return "AUTH " + " ".join(session.mechanisms) if session.mechanisms else None


# Departs from RFC 4954 §5: the submitter that MAIL names is written down and not handed on with the message.
def _read(session: Session, value: str | None) -> dict[str, object]:
    if value is None:
        raise Fault(syntax.PARAMETER_WITHOUT_VALUE.with_(keyword="AUTH"))
    try:
        submitter = from_xtext(value)
    except ValueError:
        raise Fault(syntax.PARAMETER_VALUE.with_(keyword="AUTH", form="not xtext")) from None
    return {"auth": "" if submitter == "<>" else submitter}  # RFC 4954 §5


def _write(sender: Sender, is_utf8: bool) -> str | None:
    return None if sender.auth is None else f"AUTH={to_xtext(sender.auth) or '<>'}"


AUTH = Extension(
    "AUTH",
    "RFC 4954",
    _offer,
    verbs=("AUTH",),
    # RFC 4954 §3 (6)
    mail_parameters=(Parameter("AUTH", _read, _write, "the submitter as xtext, or <>", octets=500),),
)
