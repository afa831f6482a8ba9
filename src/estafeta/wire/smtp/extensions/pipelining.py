"""PIPELINING: commands in groups without waiting for replies (RFC 2920)."""

from __future__ import annotations

from estafeta.wire.smtp.session import Extension

PIPELINING = Extension("PIPELINING", "RFC 2920", lambda session: "PIPELINING")
