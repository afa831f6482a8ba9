"""SUBSCRIBE and UNSUBSCRIBE (RFC 9051 §6.3.7, §6.3.8)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@value
class Subscribe(Request):
    """Put a name on the list of subscriptions, or take it away."""

    mailbox: str
    is_subscribed: bool


# subscribe = "SUBSCRIBE" SP mailbox
def _read(reader: Reader, is_subscribed: bool) -> Subscribe:
    reader.sp()
    mailbox = reader.mailbox()
    reader.end()
    return Subscribe(mailbox.rstrip("/") or mailbox, is_subscribed)


SUBSCRIBE = Command("SUBSCRIBE", AUTHENTICATED, lambda reader: _read(reader, True))
UNSUBSCRIBE = Command("UNSUBSCRIBE", AUTHENTICATED, lambda reader: _read(reader, False))
