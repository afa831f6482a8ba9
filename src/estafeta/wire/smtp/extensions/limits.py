"""LIMITS: how much one session and one transaction may be, so that clients need not find out (RFC 9422)."""

from __future__ import annotations

from dataclasses import dataclass

from estafeta.wire.smtp.session import Extension, Session


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server announced; None where it said nothing, or nothing that can be read (RFC 9422 §3)."""

    transactions: int | None = None
    """MAILMAX: MAIL commands in one session (RFC 9422 §4.1)."""
    recipients: int | None = None
    """RCPTMAX: RCPT commands in one transaction (RFC 9422 §4.2)."""
    domains: int | None = None
    """RCPTDOMAINMAX: different domains of the recipients in one session (RFC 9422 §4.3)."""

    @staticmethod
    def of(words: tuple[str, ...]) -> Limits:
        """Read the words behind LIMITS; what is not known or not well formed is passed over."""
        found: dict[str, int] = {}
        for word in words:
            name, _, value = word.partition("=")
            # RFC 9422 §3: 1*6 digits, from 1 on
            if value.isascii() and value.isdecimal() and len(value) <= 6 and int(value):
                found.setdefault(name.upper(), int(value))
        return Limits(found.get("MAILMAX"), found.get("RCPTMAX"), found.get("RCPTDOMAINMAX"))


def _offer(session: Session) -> str | None:
    named = (("MAILMAX", session.options.transactions), ("RCPTMAX", session.options.recipients))
    # RFC 9422 §3: at most six digits; a limit beyond is none for any client.
    words = [f"{name}={limit}" for name, limit in named if limit is not None and 0 < limit < 1_000_000]
    return " ".join(["LIMITS", *words]) if words else None


LIMITS = Extension("LIMITS", "RFC 9422", _offer)
