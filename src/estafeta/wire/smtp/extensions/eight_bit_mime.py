"""8BITMIME: content with octets above 127 (RFC 6152)."""

from __future__ import annotations

from estafeta.mail.catalogue import syntax
from estafeta.mail.envelope import Body, Sender
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Extension, Parameter, Session


def _read(session: Session, value: str | None) -> dict[str, object]:
    if value is None or not value.isascii():  # upper() makes ASCII of letters beyond it
        value = ""
    try:
        body = Body(value.upper())
    except ValueError:
        raise Fault(syntax.PARAMETER_VALUE.with_(keyword="BODY", form="7BIT, 8BITMIME or BINARYMIME")) from None
    if body is Body.BINARY and not session.options.chunking:  # RFC 3030 §3
        raise Fault(syntax.PARAMETER_NOT_OFFERED.with_(keyword="BINARYMIME"))
    return {"body": body}


def _write(sender: Sender, is_utf8: bool) -> str | None:
    return None if sender.body is None else f"BODY={sender.body.value}"


EIGHT_BIT_MIME = Extension(
    "8BITMIME",
    "RFC 6152",
    lambda session: "8BITMIME",
    mail_parameters=(
        # RFC 6152 §2 (6): 14 octets; RFC 3030 §3 (6): its value is longer by two
        Parameter("BODY", _read, _write, "7BIT, 8BITMIME or BINARYMIME", octets=16),
    ),
)
