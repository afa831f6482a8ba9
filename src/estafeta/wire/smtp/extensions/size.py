"""SIZE: the largest message taken, and the size declared with MAIL (RFC 1870)."""

from __future__ import annotations

from estafeta.mail.catalogue import senders, syntax
from estafeta.mail.envelope import Octets, Sender
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Extension, Parameter, Session


def _read(session: Session, value: str | None) -> dict[str, object]:
    # RFC 1870 §3: size-value = 1*20DIGIT
    if value is None or not (value.isascii() and value.isdecimal()) or len(value) > 20:
        raise Fault(syntax.PARAMETER_VALUE.with_(keyword="SIZE", form="a number of octets"))
    size = Octets(int(value))
    if size > session.options.message_size:  # RFC 1870 §6.1 (2)
        raise Fault(senders.DECLARED_TOO_LARGE)
    return {"size": size}


def _write(sender: Sender, is_utf8: bool) -> str | None:
    return None if sender.size is None else f"SIZE={sender.size}"


SIZE = Extension(
    "SIZE",
    "RFC 1870",
    lambda session: f"SIZE {session.options.message_size}",
    mail_parameters=(
        # RFC 1870 §4 (6)
        Parameter("SIZE", _read, _write, "octets as a number", octets=26),
    ),
)
