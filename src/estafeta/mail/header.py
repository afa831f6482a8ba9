"""The header section of a message, octet by octet (RFC 5322 §2.2), read as leniently as the world writes it.

Nothing here changes a message: fields are found and given as they stand.
"""

from __future__ import annotations

import re
from email.errors import MessageError
from email.header import decode_header, make_header
from email.utils import getaddresses

from estafeta.mail.value import value

MAX_AUTHORS = 16_384
"""Letters of From that are read: hundreds of authors, and some milliseconds of the standard library's parser."""

# Departs from RFC 5322 §2.2: blanks between a field's name and its colon (the obsolete syntax) are let pass.
# Departs from RFC 5322 §3.6: no message is refused for fields that it lacks or has too often.
# Patterns are possessive, so that each octet is looked at once, and nothing is remembered of those that were.
_FIELD = re.compile(rb"^([!-9;-~]++)[ \t]*+:([^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+)", re.MULTILINE)
_MSG_ID = re.compile(rb"[ \t]*+:(?:[^<\r\n]++|\r\n[ \t])*+(<[^<>\s]{1,996}>)")


@value
class HeaderField:
    """One field: its name and its body, both as they stand, folds included, without the last CRLF."""

    name: str
    body: bytes

    @property
    def text(self) -> str:
        """The body for people: unfolded, encoded words decoded, what is not UTF-8 replaced."""
        unfolded = self.body.replace(b"\r\n", b"").decode("utf-8", "replace").strip()
        try:
            return str(make_header(decode_header(unfolded)))
        except (ValueError, LookupError, MessageError):
            return unfolded


@value
class HeaderFacts:
    """What acceptance wants to know of a header section."""

    size: int
    """Octets of the header section with the empty line behind it."""
    message_id: str | None
    """The Message-ID with its angle brackets."""
    has_date: bool
    hops: int
    """Received fields (RFC 5321 §6.3)."""


def header_size(content: bytes) -> int:
    """Octets up to and with the first empty line; all of them where there is none."""
    if content.startswith(b"\r\n"):
        return 2
    end = content.find(b"\r\n\r\n")
    return len(content) if end < 0 else end + 4


def header_facts(content: bytes) -> HeaderFacts:
    """Find the facts; of several Message-IDs the first counts."""
    size = header_size(content)
    # The names in lower case, each behind the end of a line; obsolete syntax lets blanks stand before the colon.
    header = b"\r\n" + content[:size].lower()
    hops = header.count(b"\r\nreceived:")
    if header.count(b"\r\nreceived") > hops:
        hops += header.count(b"\r\nreceived ") + header.count(b"\r\nreceived\t")
    has_date = header.find(b"\r\ndate:") >= 0 or header.find(b"\r\ndate ") >= 0 or header.find(b"\r\ndate\t") >= 0
    message_id: str | None = None
    at = header.find(b"\r\nmessage-id")
    if at >= 0:
        found = _MSG_ID.match(content, at + 10, size)
        message_id = found[1].decode("utf-8", "replace") if found is not None else None
    return HeaderFacts(size, message_id, has_date, hops)


def fields(content: bytes) -> list[HeaderField]:
    """The fields in their order; lines that are no field are passed over."""
    header = content[: header_size(content)]
    return [HeaderField(match[1].decode("ascii"), match[2]) for match in _FIELD.finditer(header)]


def field(content: bytes, name: str) -> HeaderField | None:
    """The first field of the name, in any case."""
    wanted = name.lower()
    return next((found for found in fields(content) if found.name.lower() == wanted), None)


def authors(content: bytes) -> tuple[str, ...]:
    """The addresses in From (RFC 5322 §3.6.2) as text, in lower case; none where there are none.

    A text that is no address stands for an author that cannot be read.
    """
    bodies = [
        found.body.replace(b"\r\n", b"").decode("utf-8", "replace")
        for found in fields(content)
        if found.name.lower() == "from"
    ]
    if sum(map(len, bodies)) > MAX_AUTHORS:
        return ("",)
    try:
        return tuple(address.lower() for _, address in getaddresses(bodies) if address)
    except RecursionError:  # comments within comments without end: nobody's address
        return ("",)
