"""VRFY, EXPN and HELP: questions, allowed at any time (RFC 5321 §4.1.1.6 to §4.1.1.8)."""

from __future__ import annotations

from estafeta.mail.reply import Reply
from estafeta.wire.smtp.events import Event, Expn, Help, Vrfy
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import ANY_PHASE, Session, Verb, unchanged


def _text(argument: bytes, verb: str) -> tuple[str, bool]:
    """The argument, and whether SMTPUTF8 stood behind it."""
    try:
        text = argument.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise Fault(Reply.of(501, "argument is not UTF-8", "5.5.2")) from None
    # RFC 6531 §3.7.4.2: SMTPUTF8 as the last word allows UTF-8 in the reply.
    smtputf8 = text.upper().endswith(" SMTPUTF8")
    text = text[:-9].rstrip() if smtputf8 else text
    if not text:
        raise Fault(Reply.of(501, f"{verb} needs an argument", "5.5.4"))
    return text, smtputf8


def _vrfy(session: Session, argument: bytes) -> Event:
    return Vrfy(*_text(argument, "VRFY"))


def _expn(session: Session, argument: bytes) -> Event:
    return Expn(*_text(argument, "EXPN"))


def _help(session: Session, argument: bytes) -> Event:
    return Help(argument.decode("utf-8", "replace").strip().upper())


VRFY = Verb(
    "VRFY",
    "VRFY user-or-address",
    ANY_PHASE,
    _vrfy,
    unchanged,
    ends_group=True,
    is_offered=lambda session: session.options.vrfy,
)
EXPN = Verb(
    "EXPN",
    "EXPN alias",
    ANY_PHASE,
    _expn,
    unchanged,
    ends_group=True,
    is_offered=lambda session: session.options.expn,
)
HELP = Verb("HELP", "HELP [command]", ANY_PHASE, _help, unchanged)
