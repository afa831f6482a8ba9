"""NO-SOLICITING: which kinds of solicitation nobody here wants, and what a message says it is (RFC 3865)."""

from __future__ import annotations

import re

from estafeta.mail.catalogue import syntax
from estafeta.mail.envelope import Sender
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Extension, Parameter, Session

MAX_VALUE = 1000
"""Characters of SOLICIT (RFC 3865 §2.2)."""

# RFC 3865 §2.1: Solicitation-keywords = word 0*("," word); word = ALPHA 0*(wordchar);
# wordchar = "." / "-" / "_" / ":" / ALPHA / DIGIT
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9._:-]*")


def solicitation_keywords(text: str) -> tuple[str, ...]:
    """Read keywords parted by commas; raises ValueError."""
    words = tuple(text.split(","))
    if len(text) > MAX_VALUE or not all(_WORD.fullmatch(word) for word in words):
        raise ValueError(f"not keywords of solicitation: {text[:80]!r}")
    return words


def _offer(session: Session) -> str | None:
    unwanted = session.options.no_soliciting
    if unwanted is None:
        return None
    return f"NO-SOLICITING {','.join(unwanted)}" if unwanted else "NO-SOLICITING"


def _read(session: Session, value: str | None) -> dict[str, object]:
    if session.options.no_soliciting is None:
        raise Fault(syntax.PARAMETER_NOT_OFFERED.with_(keyword="NO-SOLICITING"))
    try:
        return {"solicit": solicitation_keywords(value or "")}
    except ValueError:
        raise Fault(syntax.PARAMETER_VALUE.with_(keyword="SOLICIT", form="keywords parted by commas")) from None


def _write(sender: Sender, is_utf8: bool) -> str | None:
    return f"SOLICIT={','.join(sender.solicit)}" if sender.solicit else None


NO_SOLICITING = Extension(
    "NO-SOLICITING",
    "RFC 3865",
    _offer,
    # RFC 3865 §2.2
    mail_parameters=(Parameter("SOLICIT", _read, _write, "keywords parted by commas", octets=9 + MAX_VALUE),),
)
