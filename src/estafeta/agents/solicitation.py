"""Solicitations that nobody here wants: MAIL says what a message is, or its Solicitation field does (RFC 3865)."""

from __future__ import annotations

from collections.abc import Iterable

from estafeta.agents.settings import ReceptionSettings
from estafeta.mail.catalogue import senders
from estafeta.mail.header import field

UNWANTED = senders.SOLICITATION


def unwanted(settings: ReceptionSettings, keywords: Iterable[str]) -> str | None:
    """The first of the keywords that is refused where NO-SOLICITING is offered."""
    if not settings.no_soliciting:
        return None
    refused = {keyword.lower() for keyword in settings.unwanted_solicitations}
    return next((keyword for keyword in keywords if keyword.lower() in refused), None)


def in_header(head: bytes) -> list[str]:
    """The keywords that a header section names (RFC 3865 §2.3): Solicitation: keyword *("," keyword)."""
    found = field(head, "solicitation")
    return [] if found is None else [word.strip() for word in found.text.split(",") if word.strip()]
