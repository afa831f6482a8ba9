"""USER: who logs in (RFC 1939 §7). Answered +OK for every name, so that names cannot be tried out."""

from __future__ import annotations

from estafeta.wire.pop3 import grammar
from estafeta.wire.pop3.session import AUTHORIZATION, Answer, Code, Command, Negative, Positive, Session

# RFC 3206 §5: AUTH also stands for "an attempt to authenticate in violation of policy".
NOT_OFFERED = Negative("use STLS first, or AUTH", Code.AUTH)


def _read(session: Session, argument: bytes | None) -> Answer:
    if not session.offer.user:
        return NOT_OFFERED
    name = grammar.text(argument, "name", utf8=session.offer.utf8).strip(" ")
    if not name:
        raise grammar.GrammarError("give a name")
    session.user = name
    return Positive("send PASS")


USER = Command("USER", AUTHORIZATION, "SP name", _read)
