"""ATRN: a client takes the mail that waits for it over this connection, the roles turned (RFC 2645)."""

from __future__ import annotations

from estafeta.wire.smtp.session import Extension, Session


def is_offered(session: Session) -> bool:
    """Whether ATRN can be said; EHLO names it before the login too (RFC 2645 §4)."""
    return session.options.atrn


ATRN = Extension("ATRN", "RFC 2645", lambda session: "ATRN" if is_offered(session) else None, verbs=("ATRN",))
