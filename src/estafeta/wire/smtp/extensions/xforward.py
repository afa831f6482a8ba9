"""XFORWARD: filters that say where mail came from; told only to those who may (Postfix XFORWARD_README)."""

from __future__ import annotations

from estafeta.wire.smtp.session import Extension, Session

ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")


def _offer(session: Session) -> str | None:
    return " ".join(("XFORWARD", *ATTRIBUTES)) if session.options.xforward else None


XFORWARD = Extension("XFORWARD", "Postfix XFORWARD_README", _offer, verbs=("XFORWARD",))
