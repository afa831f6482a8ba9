"""REQUIRETLS: a message that goes by verified TLS or not at all (RFC 8689); offered over TLS alone (§2)."""

from __future__ import annotations

from estafeta.mail.catalogue import senders, syntax
from estafeta.mail.envelope import Sender
from estafeta.wire.smtp.extensions.starttls import is_offered as offers_starttls
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Extension, Parameter, Session


# Not done of RFC 8689 §3: the field TLS-Required of a message that comes is not looked at.
def _is_offered(session: Session) -> bool:
    return session.options.requiretls and session.is_secure


def _read(session: Session, value: str | None) -> dict[str, object]:
    if value is not None:  # RFC 8689 §2: the parameter has no value
        raise Fault(syntax.PARAMETER_WITH_VALUE.with_(keyword="REQUIRETLS"))
    if session.options.requiretls and offers_starttls(session):
        raise Fault(senders.REQUIRETLS_NEEDS_TLS)
    if not _is_offered(session):
        raise Fault(syntax.PARAMETER_NOT_OFFERED.with_(keyword="REQUIRETLS"))
    return {"requires_tls": True}


def _write(sender: Sender, is_utf8: bool) -> str | None:
    return "REQUIRETLS" if sender.requires_tls else None


REQUIRETLS = Extension(
    "REQUIRETLS",
    "RFC 8689",
    lambda session: "REQUIRETLS" if _is_offered(session) else None,
    mail_parameters=(
        # RFC 8689 §2 (6)
        Parameter("REQUIRETLS", _read, _write, "no value", octets=12),
    ),
)
