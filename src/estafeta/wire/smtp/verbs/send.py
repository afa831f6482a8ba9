"""SEND, SOML and SAML: open a transaction as MAIL does, for the recipients' screens (RFC 821 §3.4, §4.1.1)."""

from __future__ import annotations

from dataclasses import replace

from estafeta.mail.envelope import Opening
from estafeta.wire.smtp.events import Event, Mail
from estafeta.wire.smtp.extensions.send import is_offered
from estafeta.wire.smtp.session import Session, Verb
from estafeta.wire.smtp.verbs.mail import MAIL


def _opening(opening: Opening) -> Verb:
    """As MAIL in all but where the message is to appear."""

    def parse(session: Session, argument: bytes) -> Event:
        event = MAIL.parse(session, argument)
        assert isinstance(event, Mail)
        return replace(event, sender=replace(event.sender, opening=opening))

    syntax = MAIL.syntax.replace("MAIL", opening.value, 1)
    return Verb(opening.value, syntax, MAIL.phases, parse, MAIL.proceed, is_offered=is_offered)


SEND = _opening(Opening.SEND)
SOML = _opening(Opening.SOML)
SAML = _opening(Opening.SAML)
