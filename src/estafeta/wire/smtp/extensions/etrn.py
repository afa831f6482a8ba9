"""ETRN: a client asks for the mail that waits for it, over other connections (RFC 1985)."""

from __future__ import annotations

from estafeta.wire.smtp.session import Extension, Session


def is_offered(session: Session) -> bool:
    """Whether ETRN can be said."""
    return session.options.etrn


ETRN = Extension("ETRN", "RFC 1985", lambda session: "ETRN" if is_offered(session) else None, verbs=("ETRN",))
