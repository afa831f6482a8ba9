"""What a message says: its fields and parts as text (RFC 2047, RFC 2045, RFC 6532), for searching and for previews.

This is the plain definition of what SEARCH finds in a message. How much is taken is limited.
"""

from __future__ import annotations

import re
import unicodedata

from estafeta.mail.mime.addresses import Address, addresses
from estafeta.mail.mime.decoding import UnknownEncoding, base64, characters, transfer_decoded
from estafeta.mail.mime.fields import Fields, fields, unfolded
from estafeta.mail.mime.html import html_text
from estafeta.mail.mime.index import Limits, Part, indexed
from estafeta.mail.value import value

MAX_TEXT = 1_048_576
"""Octets of parts, decoded, that are taken as the text of one message: a thick book."""
MAX_HEADER = Limits().header
"""Octets of a header section that are taken."""
PREVIEW = 200
"""Letters of a preview (RFC 8970 §3.2)."""

# RFC 2047 §2; blanks in the text are let pass. RFC 2231 §5 puts a language behind the character set.
_ENCODED = re.compile(rb"=\?([^?*\s]++)(?:\*[^?\s]*+)?\?([bBqQ])\?([^?]*+)\?=")
_ENCODED_TEXT = re.compile(r"=\?([^?*\s]++)(?:\*[^?\s]*+)?\?([bBqQ])\?([^?]*+)\?=")
_BLANKS = re.compile(r"\s+")


def header_text(body: bytes) -> str:
    """A field's body as text: on one line, encoded words decoded; what is not ASCII is UTF-8 or else Latin-1."""
    line = unfolded(body)
    if line.find(b"=?") < 0:
        return line.decode("ascii") if line.isascii() else characters(line, "")
    text: list[str] = []
    at = 0
    held, held_charset = b"", ""  # adjacent words of one character set are decoded together: a letter may be cut
    for match in _ENCODED.finditer(line):
        between = line[at : match.start()]
        charset = match[1].decode("latin-1").lower()
        if between.strip() or (held_charset and charset != held_charset) or not held_charset:
            if held_charset:
                text.append(characters(held, held_charset))
            held = b""
            if between.strip() or not held_charset:  # RFC 2047 §6.2: blanks between encoded words are not shown
                text.append(characters(between, ""))
        held_charset = charset
        held += _word(match[2], match[3])
        at = match.end()
    if held_charset:
        text.append(characters(held, held_charset))
    text.append(characters(line[at:], ""))
    return "".join(text)


def _word(encoding: bytes, octets: bytes) -> bytes:
    if encoding in b"bB":
        return base64(octets)
    # RFC 2047 §4.2; a blank at the end would be taken for one that transport added.
    return transfer_decoded(octets.replace(b"_", b"=20").replace(b" ", b"=20"), "quoted-printable")


def folded(text: str) -> str:
    """For comparing: without case, accents and marks; each run of white space is one blank."""
    if text.isascii():
        return " ".join(text.lower().split())
    text = unicodedata.normalize("NFKD", text.casefold())
    text = "".join([letter for letter in text if not unicodedata.combining(letter)])
    return " ".join(unicodedata.normalize("NFKC", text.casefold()).split())


def name_text(address: Address) -> str:
    """The display name, or the name of a group."""
    name = address.mailbox if address.is_group else address.name
    return "" if name is None else header_text(name)


def address_text(people: list[Address]) -> str:
    """Addresses as a reader sees them: `Name <a@b>, c@d, Group: e@f`."""
    found: list[str] = []
    for each in people:
        if each.is_group:
            if each.mailbox is not None:
                found.append(name_text(each) + ":")
            continue
        written = characters(b"%b@%b" % (each.mailbox or b"", each.host) if each.host else each.mailbox or b"", "")
        name = name_text(each)
        found.append(f"{name} <{written}>" if name else written)
    return ", ".join(found)


@value
class Searchable:
    """A message as text, not folded."""

    subject: str
    from_: str
    to: str
    cc: str
    bcc: str
    header: str
    """All fields, one a line."""
    body: str
    """All text in the message's parts, and the fields of the messages in it."""


def searchable(octets: bytes, root: Part) -> Searchable:
    """What can be found in a message."""
    found = fields(octets, root.start, min(root.body, root.start + MAX_HEADER))
    return Searchable(
        "\n".join(map(header_text, found.get(b"subject", []))),
        address_text(addresses(found.get(b"from", []))),
        address_text(addresses(found.get(b"to", []))),
        address_text(addresses(found.get(b"cc", []))),
        address_text(addresses(found.get(b"bcc", []))),
        _header(found),
        body_text(octets, root),
    )


def field_texts(octets: bytes, part: Part, name: str) -> tuple[str, ...]:
    """The bodies of the fields of a name, for SEARCH HEADER."""
    found = fields(octets, part.start, min(part.body, part.start + MAX_HEADER))
    return tuple(map(header_text, found.get(name.lower().encode("utf-8", "surrogateescape"), [])))


def _header(found: Fields) -> str:
    return "\n".join(f"{name.decode('ascii')}: {header_text(body)}" for name, all_ in found.items() for body in all_)


def body_text(octets: bytes, root: Part) -> str:
    """The text of all text/* parts, attached ones too, and of messages within, with their fields.

    Reports such as message/delivery-status are text, too.
    """
    return _body_text(octets, root, MAX_TEXT, within=True)


def _body_text(octets: bytes, root: Part, left: int, *, within: bool) -> str:
    """At most so much; `within`: messages that are encoded are decoded and read, too."""
    taken: list[str] = []
    waiting = [root]
    while waiting and left > 0:
        part = waiting.pop()
        waiting.extend(reversed(part.parts))
        if part.media_type == "text" or (part.media_type == "message" and not part.is_message):
            text = part_text(octets, part, left)
        elif part.is_message and part.parts:
            inner = part.parts[0]
            text = _header(fields(octets, inner.start, min(inner.body, inner.start + min(left, MAX_HEADER))))
        elif part.is_message and within:  # encoded, so that its parts stand nowhere
            inner_octets = _decoded(octets, part, left)
            inner, found = indexed(inner_octets)
            text = _header(found) + "\n" + _body_text(inner_octets, inner, left, within=False)
        else:
            continue
        taken.append(text)
        left -= len(text)
    return "\n".join(taken)


def part_text(octets: bytes, part: Part, limit: int = MAX_TEXT) -> str:
    """The text of one text/* part, of so many octets of its body; as it stands where nobody can decode it."""
    charset = part.parameter("charset")
    text = characters(_decoded(octets, part, limit), "" if charset is None else charset.decode("latin-1"))
    return html_text(text) if part.subtype == "html" else text


def _decoded(octets: bytes, part: Part, limit: int) -> bytes:
    # An encoding makes of n octets at most n; base64 needs a third more, and ends of lines.
    raw = octets[part.body : min(part.end, part.body + limit + limit // 2)]
    try:
        return transfer_decoded(raw, part.encoding)[:limit]
    except UnknownEncoding:
        return raw[:limit]


def preview(octets: bytes, root: Part) -> str:
    """The beginning of what a person would read first, at most 200 letters (RFC 8970 §3.2)."""
    part = _first(octets, root)
    if part is None:
        return ""
    text = ""
    for limit in (1_500, 24_576, 262_144):  # most have said enough in their first lines; pages begin with styles
        text = " ".join(part_text(octets, part, limit).split())
        if len(text) > PREVIEW or part.size <= limit:
            break
    return text[:PREVIEW].rstrip()


def _first(octets: bytes, root: Part) -> Part | None:
    """The first plain text that is no attachment, else the first page, else the first of what is text at all."""
    page: Part | None = None
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.disposition is not None and part.disposition[0] == "attachment" and part is not root:
            continue
        if part.media_type == "text" and part.size:
            if part.subtype == "plain":
                return part
            page = page or part
        waiting.extend(reversed(part.parts))
    return page
