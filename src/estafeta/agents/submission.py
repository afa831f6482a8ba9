"""What only a submission agent does: complete the header, check the author (RFC 6409)."""

from __future__ import annotations

from estafeta.mail.address import Address, AddressError
from estafeta.mail.header import HeaderFacts, authors
from estafeta.mail.trace import date_time
from estafeta.routing.directory import Directory


# Not done of RFC 6409 §4.2: domains that are not complete stay as they are.
# Not done of RFC 6409 §8.1: Sender is neither added nor looked at.
def missing_fields(facts: HeaderFacts, *, host: str, queue_id: str, at: float) -> bytes:
    """Date and Message-ID where the message has none (RFC 6409 §8.2, §8.3), each with CRLF."""
    lines = []
    if not facts.has_date:
        lines.append(f"Date: {date_time(at)}\r\n")
    if facts.message_id is None:
        lines.append(f"Message-ID: {made_message_id(host=host, queue_id=queue_id)}\r\n")
    return "".join(lines).encode()


def made_message_id(*, host: str, queue_id: str) -> str:
    """The Message-ID that a submission without one gets: queue ids are unique on a host."""
    return f"<{queue_id}@{host}>"


# Departs from RFC 6531 §3.6: a header section in UTF-8 is taken though MAIL did not say SMTPUTF8.
async def foreign_author(directory: Directory, account: Address, head: bytes) -> str | None:
    """The first address in From that the account may not use; None when all are its own (RFC 6409 §6.3)."""
    for text in authors(head):
        try:
            address = Address.parse(text)
        except AddressError:
            return text
        if not await directory.may_send_as(account, address):
            return text
    return None
