"""STARTTLS: TLS on an open session (RFC 3207); not offered once TLS is on (§4.2)."""

from __future__ import annotations

from estafeta.wire.smtp.session import Extension, Session


def is_offered(session: Session) -> bool:
    """Whether STARTTLS can be said now."""
    return session.options.starttls and not session.is_secure


STARTTLS = Extension(
    "STARTTLS", "RFC 3207", lambda session: "STARTTLS" if is_offered(session) else None, verbs=("STARTTLS",)
)
