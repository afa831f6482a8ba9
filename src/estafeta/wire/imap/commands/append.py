"""APPEND with MULTIAPPEND, CATENATE, BINARY, UTF8 (RFC 9051 §6.3.12, RFC 3502, RFC 4469, RFC 3516, RFC 6855)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, SELECTED, Command
from estafeta.wire.imap.reading import GrammarError, Reader
from estafeta.wire.imap.request import Request


@value
class Append(Request):
    """Begins: the first literal is announced and not asked for yet. See events.py for what follows."""

    mailbox: str


@value
class Replace(Request):
    """REPLACE (RFC 8508): as APPEND with one message, which takes the place of another."""

    mailbox: str
    number: int
    """Of the message that is replaced; STAR for the last."""
    is_uid: bool


def _read(reader: Reader) -> Request:
    raise GrammarError("missing argument" if reader.at_end() else "expected a message")


# A command without any message is all that is read here.
APPEND = Command("APPEND", AUTHENTICATED, _read)
REPLACE = Command("REPLACE", SELECTED, _read, "REPLACE")
UID_REPLACE = Command("UID REPLACE", SELECTED, _read, "REPLACE")
