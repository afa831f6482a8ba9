"""8BITMIME: content with octets above 127 (RFC 6152)."""

from __future__ import annotations

from estafeta.mail.envelope import Body
from estafeta.mail.reply import Reply
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Extension, Parameter, Session


def _read(session: Session, value: str | None) -> dict[str, object]:
    if value is None or not value.isascii():  # upper() makes ASCII of letters beyond it
        value = ""
    try:
        return {"body": Body(value.upper())}
    except ValueError:
        raise Fault(Reply.of(501, "BODY is 7BIT or 8BITMIME", "5.5.4")) from None


EIGHT_BIT_MIME = Extension(
    "8BITMIME",
    "RFC 6152",
    lambda session: "8BITMIME",
    mail_parameters=(Parameter("BODY", _read, "7BIT or 8BITMIME"),),
)
