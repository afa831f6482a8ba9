"""REQUIRETLS: a message that goes by verified TLS or not at all (RFC 8689); offered over TLS alone (§2)."""

from __future__ import annotations

from estafeta.mail.reply import Reply
from estafeta.wire.smtp.extensions.starttls import is_offered as offers_starttls
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Extension, Parameter, Session


def _is_offered(session: Session) -> bool:
    return session.options.requiretls and session.is_secure


def _read(session: Session, value: str | None) -> dict[str, object]:
    if value is not None:  # RFC 8689 §2: the parameter has no value
        raise Fault(Reply.of(501, "REQUIRETLS takes no value", "5.5.4"))
    if session.options.requiretls and offers_starttls(session):
        raise Fault(Reply.of(530, "REQUIRETLS needs TLS: say STARTTLS first", "5.7.0"))
    if not _is_offered(session):
        raise Fault(Reply.of(555, "REQUIRETLS is not offered", "5.5.4"))
    return {"requires_tls": True}


REQUIRETLS = Extension(
    "REQUIRETLS",
    "RFC 8689",
    lambda session: "REQUIRETLS" if _is_offered(session) else None,
    mail_parameters=(Parameter("REQUIRETLS", _read, "no value"),),
)
