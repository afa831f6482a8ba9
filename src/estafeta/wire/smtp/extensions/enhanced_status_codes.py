"""ENHANCEDSTATUSCODES: replies carry codes of RFC 3463 (RFC 2034)."""

from __future__ import annotations

from estafeta.wire.smtp.session import Extension

ENHANCED_STATUS_CODES = Extension("ENHANCEDSTATUSCODES", "RFC 2034", lambda session: "ENHANCEDSTATUSCODES")
