"""XCLIENT: proxies that say for which client they speak; told only to those who may (Postfix XCLIENT_README)."""

from __future__ import annotations

from estafeta.wire.smtp.session import Extension, Session

ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT")


def _offer(session: Session) -> str | None:
    return " ".join(("XCLIENT", *ATTRIBUTES)) if session.options.xclient else None


XCLIENT = Extension("XCLIENT", "Postfix XCLIENT_README", _offer, verbs=("XCLIENT",))
