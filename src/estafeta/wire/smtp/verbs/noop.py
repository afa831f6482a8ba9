"""NOOP: nothing; an argument is ignored (RFC 5321 §4.1.1.9)."""

from __future__ import annotations

from estafeta.wire.smtp.events import Noop
from estafeta.wire.smtp.session import ANY_PHASE, Verb, unchanged

NOOP = Verb("NOOP", "NOOP [text]", ANY_PHASE, lambda session, argument: Noop(), unchanged)
