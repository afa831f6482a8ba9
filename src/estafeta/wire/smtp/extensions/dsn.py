"""DSN: what the sender wants to be told, and of which original recipient (RFC 3461, RFC 6533 §3)."""

from __future__ import annotations

import re

from estafeta.mail.envelope import Notify, OriginalRecipient, Ret
from estafeta.mail.reply import Reply
from estafeta.mail.xtext import from_unitext, from_xtext
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Extension, Parameter, Session

MAX_ENVID = 100  # RFC 3461 §4.4, as the parameter says it
MAX_ORCPT = 500  # RFC 3461 §4.2, as the parameter says it

# RFC 3461 §4.2: addr-type = atom, a registered one; all that are registered are of these.
_ADDRESS_TYPE = re.compile(r"[0-9A-Za-z-]{1,64}")
# RFC 3461 §4.2, §4.4: printable (graphic and white space) characters of US-ASCII
_PRINTABLE = re.compile(r"[ -~]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _bad(text: str) -> Fault:
    return Fault(Reply.of(501, text, "5.5.4"))


def _words(value: str | None) -> str:
    """In upper case; of letters beyond ASCII, upper() can make those of a word."""
    return value.upper() if value is not None and value.isascii() else ""


def _ret(session: Session, value: str | None) -> dict[str, object]:
    try:
        return {"ret": Ret(_words(value))}
    except ValueError:
        raise _bad("RET is FULL or HDRS") from None


def _envid(session: Session, value: str | None) -> dict[str, object]:
    try:
        envid = from_xtext(value or "")
    except ValueError:
        raise _bad("ENVID is not xtext") from None
    if value is None or len(value) > MAX_ENVID or not _PRINTABLE.fullmatch(envid):
        raise _bad(f"ENVID is printable text of at most {MAX_ENVID} characters")
    return {"envid": envid}


def _notify(session: Session, value: str | None) -> dict[str, object]:
    try:
        # RFC 3461 §4.1: in any case; 1#element of RFC 822 §2.7 lets elements be empty.
        wanted = frozenset(Notify(word) for word in _words(value).split(",") if word)
    except ValueError:
        wanted = frozenset()
    if not wanted or (Notify.NEVER in wanted and len(wanted) > 1):
        raise _bad("NOTIFY is NEVER, or some of SUCCESS,FAILURE,DELAY")
    return {"notify": wanted}


def _orcpt(session: Session, value: str | None) -> dict[str, object]:
    address_type, semicolon, encoded = (value or "").partition(";")
    if not semicolon or not _ADDRESS_TYPE.fullmatch(address_type) or len(value or "") > MAX_ORCPT:
        raise _bad(f"ORCPT is type;address of at most {MAX_ORCPT} characters")
    is_utf8 = address_type.lower() == "utf-8"
    try:
        address = from_unitext(encoded) if is_utf8 else from_xtext(encoded)
    except ValueError as error:
        raise _bad(f"ORCPT: {error}") from None
    if not ((is_utf8 and not _CONTROL.search(address)) or _PRINTABLE.fullmatch(address)):
        raise _bad("ORCPT is not printable")
    # RFC 6533 §3: a server with SMTPUTF8 takes UTF-8 here, whatever MAIL said.
    if not encoded.isascii() and not session.options.smtputf8:
        raise _bad("ORCPT in UTF-8 where SMTPUTF8 is not offered")
    return {"original": OriginalRecipient(address_type, address)}


DSN = Extension(
    "DSN",
    "RFC 3461",
    lambda session: "DSN",
    mail_parameters=(
        Parameter("RET", _ret, "FULL or HDRS"),
        Parameter("ENVID", _envid, "the sender's name of the envelope as xtext"),
    ),
    rcpt_parameters=(
        Parameter("NOTIFY", _notify, "NEVER, or some of SUCCESS,FAILURE,DELAY"),
        Parameter("ORCPT", _orcpt, "type;address, the address as xtext or, of the type utf-8, as unitext"),
    ),
)
