"""DSN: what the sender wants to be told, and of which original recipient (RFC 3461, RFC 6533 §3)."""

from __future__ import annotations

import re

from estafeta.mail.catalogue import recipients, syntax
from estafeta.mail.envelope import Notify, OriginalRecipient, Recipient, Ret, Sender
from estafeta.mail.xtext import from_unitext, from_xtext, to_unitext, to_xtext
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Extension, Parameter, Session

MAX_ENVID = 100  # RFC 3461 §4.4, as the parameter says it
MAX_ORCPT = 500  # RFC 3461 §4.2, as the parameter says it

_IN_ORDER = (Notify.NEVER, Notify.SUCCESS, Notify.FAILURE, Notify.DELAY)
# RFC 3461 §4.2: addr-type = atom, a registered one; all that are registered are of these.
_ADDRESS_TYPE = re.compile(r"[0-9A-Za-z-]{1,64}")
# RFC 3461 §4.2, §4.4: printable (graphic and white space) characters of US-ASCII
_PRINTABLE = re.compile(r"[ -~]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _bad(keyword: str, form: str) -> Fault:
    return Fault(syntax.PARAMETER_VALUE.with_(keyword=keyword, form=form))


def _words(value: str | None) -> str:
    """In upper case; of letters beyond ASCII, upper() can make those of a word."""
    return value.upper() if value is not None and value.isascii() else ""


def _ret(session: Session, value: str | None) -> dict[str, object]:
    try:
        return {"ret": Ret(_words(value))}
    except ValueError:
        raise _bad("RET", "FULL or HDRS") from None


def _envid(session: Session, value: str | None) -> dict[str, object]:
    try:
        envid = from_xtext(value or "")
    except ValueError:
        raise _bad("ENVID", "not xtext") from None
    if value is None or len(value) > MAX_ENVID or not _PRINTABLE.fullmatch(envid):
        raise _bad("ENVID", f"printable text of at most {MAX_ENVID} characters")
    return {"envid": envid}


def _notify(session: Session, value: str | None) -> dict[str, object]:
    try:
        # RFC 3461 §4.1: in any case; 1#element of RFC 822 §2.7 lets elements be empty.
        wanted = frozenset(Notify(word) for word in _words(value).split(",") if word)
    except ValueError:
        wanted = frozenset()
    if not wanted or (Notify.NEVER in wanted and len(wanted) > 1):
        raise _bad("NOTIFY", "NEVER, or some of SUCCESS,FAILURE,DELAY")
    return {"notify": wanted}


def _orcpt(session: Session, value: str | None) -> dict[str, object]:
    address_type, semicolon, encoded = (value or "").partition(";")
    if not semicolon or not _ADDRESS_TYPE.fullmatch(address_type) or len(value or "") > MAX_ORCPT:
        raise _bad("ORCPT", f"type;address of at most {MAX_ORCPT} characters")
    is_utf8 = address_type.lower() == "utf-8"
    try:
        address = from_unitext(encoded) if is_utf8 else from_xtext(encoded)
    except ValueError as error:
        raise _bad("ORCPT", str(error)) from None
    if not ((is_utf8 and not _CONTROL.search(address)) or _PRINTABLE.fullmatch(address)):
        raise _bad("ORCPT", "not printable")
    # RFC 6533 §3: a server with SMTPUTF8 takes UTF-8 here, whatever MAIL said.
    if not encoded.isascii() and not session.options.smtputf8:
        raise Fault(recipients.ORIGINAL_IN_UTF8)
    return {"original": OriginalRecipient(address_type, address)}


def _write_ret(sender: Sender, is_utf8: bool) -> str | None:
    return None if sender.ret is None else f"RET={sender.ret.value}"


def _write_envid(sender: Sender, is_utf8: bool) -> str | None:
    return f"ENVID={to_xtext(sender.envid)}" if sender.envid else None


def _write_notify(recipient: Recipient, is_utf8: bool) -> str | None:
    notify = recipient.notify
    return "NOTIFY=" + ",".join(word.value for word in _IN_ORDER if word in notify) if notify else None


def _write_orcpt(recipient: Recipient, is_utf8: bool) -> str | None:
    original = recipient.original
    if original is None:
        return None
    # RFC 3461 §5.2.1 (d): as it came; RFC 6533 §3: in ASCII where UTF-8 is not understood
    kind, address = original.address_type, original.address
    encoded = to_unitext(address, utf8=is_utf8) if kind.lower() == "utf-8" else to_xtext(address)
    value = f"{to_xtext(kind)};{encoded}"
    # In ASCII it can become longer than any server takes, and is not worth the recipient.
    return f"ORCPT={value}" if len(value) <= MAX_ORCPT else None


# RFC 3461 §4 (6): 102 or so for MAIL and 500 for RCPT, of which the longest values here need more.
DSN = Extension(
    "DSN",
    "RFC 3461",
    lambda session: "DSN" if session.options.dsn else None,
    mail_parameters=(
        Parameter("RET", _ret, _write_ret, "FULL or HDRS", octets=9),
        Parameter("ENVID", _envid, _write_envid, "the sender's name of the envelope as xtext", octets=7 + MAX_ENVID),
    ),
    rcpt_parameters=(
        Parameter("NOTIFY", _notify, _write_notify, "NEVER, or some of SUCCESS,FAILURE,DELAY", octets=29),
        Parameter(
            "ORCPT",
            _orcpt,
            _write_orcpt,
            "type;address, the address as xtext or, of the type utf-8, as unitext",
            octets=7 + MAX_ORCPT,
        ),
    ),
)
