"""SEND, SOML and SAML as keywords of EHLO (RFC 1869 §5): a server that has them must say so (RFC 5321 App. F.6)."""

from __future__ import annotations

from estafeta.wire.smtp.session import Extension, Session


def is_offered(session: Session) -> bool:
    """Whether messages for screens are taken."""
    return session.options.screens


SEND = Extension("SEND", "RFC 821 §3.4", lambda session: "SEND" if is_offered(session) else None, verbs=("SEND",))
SOML = Extension("SOML", "RFC 821 §3.4", lambda session: "SOML" if is_offered(session) else None, verbs=("SOML",))
SAML = Extension("SAML", "RFC 821 §3.4", lambda session: "SAML" if is_offered(session) else None, verbs=("SAML",))
