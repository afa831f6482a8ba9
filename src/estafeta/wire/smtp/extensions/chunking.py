"""CHUNKING and BINARYMIME: content that is counted instead of escaped, and that may be any octets (RFC 3030)."""

from __future__ import annotations

from estafeta.wire.smtp.session import Extension

CHUNKING = Extension(
    "CHUNKING", "RFC 3030", lambda session: "CHUNKING" if session.options.chunking else None, verbs=("BDAT",)
)

# RFC 3030 §3: its value of BODY is read and written where the others are.
BINARYMIME = Extension("BINARYMIME", "RFC 3030", lambda session: "BINARYMIME" if session.options.chunking else None)
