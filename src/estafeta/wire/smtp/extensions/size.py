"""SIZE: the largest message taken, and the size declared with MAIL (RFC 1870)."""

from __future__ import annotations

from estafeta.mail.envelope import Octets
from estafeta.mail.reply import Reply
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Extension, Parameter, Session


def _read(session: Session, value: str | None) -> dict[str, object]:
    # RFC 1870 §3: size-value = 1*20DIGIT
    if value is None or not (value.isascii() and value.isdecimal()) or len(value) > 20:
        raise Fault(Reply.of(501, "SIZE is a number of octets", "5.5.4"))
    size = Octets(int(value))
    if size > session.options.message_size:  # RFC 1870 §6.1 (2)
        raise Fault(Reply.of(552, "message larger than this server takes", "5.3.4"))
    return {"size": size}


SIZE = Extension(
    "SIZE",
    "RFC 1870",
    lambda session: f"SIZE {session.options.message_size}",
    mail_parameters=(Parameter("SIZE", _read, "octets as a number"),),
)
