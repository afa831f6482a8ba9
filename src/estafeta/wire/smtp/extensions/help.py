"""HELP as a keyword of EHLO (RFC 5321 §4.1.1.8)."""

from __future__ import annotations

from estafeta.wire.smtp.session import Extension

HELP = Extension("HELP", "RFC 5321 §4.1.1.8", lambda session: "HELP", verbs=("HELP",))
