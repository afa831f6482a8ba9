"""PASS: the password of the one whom USER named (RFC 1939 §7).

There is no APOP: it needs the password itself on the server's disk, and its MD5 is broken (RFC 6151).
"""

from __future__ import annotations

from estafeta.wire.pop3 import grammar
from estafeta.wire.pop3.commands.user import NOT_OFFERED
from estafeta.wire.pop3.events import Event, Login
from estafeta.wire.pop3.session import AUTHORIZATION, Answer, Command, Negative, Session


def _read(session: Session, argument: bytes | None) -> Answer | Event:
    if not session.offer.user:
        return NOT_OFFERED
    user, session.user = session.user, None
    if user is None:
        return Negative("send USER first")
    # RFC 1939 §7: spaces are part of the password, also at its ends.
    return Login(user, grammar.text(argument, "password", utf8=session.offer.utf8))


PASS = Command("PASS", AUTHORIZATION, "SP password", _read)
