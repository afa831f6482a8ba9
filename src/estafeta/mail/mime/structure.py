"""ENVELOPE, BODY and BODYSTRUCTURE in the form in which IMAP sends them (RFC 3501 §7.4.2, RFC 9051 §7.5.2).

Texts are quoted where that is safe and literals where it is not; both versions of IMAP read both.
"""

from __future__ import annotations

import re
from functools import lru_cache

from estafeta.mail.mime.addresses import MAX_ADDRESSES, Address, addresses
from estafeta.mail.mime.fields import Fields, fields, unfolded
from estafeta.mail.mime.index import US_ASCII, Limits, Parameters, Part

_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]{0,4000}")
_NOT_QUOTABLE = re.compile(rb"[\x00\r\n\x80-\xff]")
_ESCAPED = re.compile(rb'(["\\])')
_HEADER = Limits().header
_NO_ENVELOPE = b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
"""Of a message that could not be taken apart."""


def string(value: bytes) -> bytes:
    """A text as IMAP writes it (RFC 9051 §4.3)."""
    if _QUOTABLE.fullmatch(value) is not None:
        return b'"' + value + b'"'
    if len(value) <= 4000 and _NOT_QUOTABLE.search(value) is None:
        return b'"' + _ESCAPED.sub(rb"\\\1", value) + b'"'
    value = value.replace(b"\0", b"")  # RFC 9051 §4.3: a literal has no NUL
    return b"{%d}\r\n%b" % (len(value), value)


def _word(value: str) -> bytes:
    """A type, an encoding or the name of a parameter."""
    return _short(value) if len(value) <= 40 else string(value.encode("latin-1"))


@lru_cache(1024)
def _short(value: str) -> bytes:
    return string(value.encode("latin-1"))  # there are few, and the same in all messages


def nstring(value: bytes | None) -> bytes:
    """A text, or NIL where there is none."""
    return b"NIL" if value is None else string(value)


def envelope(octets: bytes, part: Part) -> bytes:
    """ENVELOPE of a message, which is the whole or the one in a message/rfc822 part."""
    found = fields(octets, part.start, min(part.body, part.start + _HEADER))
    return envelope_with(found, people_of(found))


def people_of(found: Fields, limit: int = MAX_ADDRESSES) -> dict[bytes, list[Address]]:
    """The addresses in the fields of a header section by the field's name, at most so many in each."""
    return {name: addresses(found[name], limit) for name in ADDRESS_FIELDS if name in found}


ADDRESS_FIELDS = (b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc")
"""The fields of a message with addresses that its envelope has."""


def envelope_with(found: Fields, people: dict[bytes, list[Address]]) -> bytes:
    """ENVELOPE out of the fields of a header section and the addresses in them."""
    senders = _addresses(people.get(b"from"))
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        _text(found, b"date"),
        _text(found, b"subject"),
        senders,
        # RFC 9051 §7.5.2: where they are absent or empty they are From's.
        _addresses(people.get(b"sender"), senders),
        _addresses(people.get(b"reply-to"), senders),
        _addresses(people.get(b"to")),
        _addresses(people.get(b"cc")),
        _addresses(people.get(b"bcc")),
        _text(found, b"in-reply-to"),
        _text(found, b"message-id"),
    )


def _text(found: Fields, name: bytes) -> bytes:
    bodies = found.get(name)
    return b"NIL" if bodies is None else string(unfolded(bodies[0]))


def _addresses(people: list[Address] | None, otherwise: bytes = b"NIL") -> bytes:
    if not people:
        return otherwise
    written = [
        b"(%b %b %b %b)" % (nstring(name), nstring(route), nstring(mailbox), nstring(host))
        for name, route, mailbox, host in people
    ]
    return b"(" + b"".join(written) + b")"


def body_structure(octets: bytes, part: Part) -> bytes:
    """BODYSTRUCTURE: with extension data."""
    return structures(octets, part)[1]


def body(octets: bytes, part: Part) -> bytes:
    """BODY: without extension data."""
    return structures(octets, part)[0]


def structures(octets: bytes, part: Part) -> tuple[bytes, bytes]:
    """BODY and BODYSTRUCTURE."""
    return _structures(octets, part, [MAX_ADDRESSES])


def _structures(octets: bytes, part: Part, left: list[int]) -> tuple[bytes, bytes]:
    """The same; `left` has how many addresses of messages within may still be read."""
    subtype = _word(part.subtype)
    disposition = part.disposition
    extension = b"%b %b %b" % (
        b"NIL" if disposition is None else b"(%b %b)" % (_word(disposition[0]), _parameters(disposition[1])),
        _language(part.language),
        nstring(part.location),
    )
    parameters = _PLAIN if part.parameters is US_ASCII else _parameters(part.parameters)
    if part.media_type == "multipart":
        inner = [_structures(octets, each, left) for each in part.parts]
        return (
            b"(%b %b)" % (b"".join([each[0] for each in inner]), subtype),
            b"(%b %b %b %b)" % (b"".join([each[1] for each in inner]), subtype, parameters, extension),
        )
    basic = b"%b %b %b %b %b %b %d" % (
        _word(part.media_type),
        subtype,
        parameters,
        nstring(part.content_id),
        nstring(part.description),
        _word(part.encoding),
        part.end - part.body,
    )
    extension = b"%b %b" % (nstring(part.md5), extension)
    if part.media_type == "text":
        basic = b"%b %d" % (basic, part.lines)
    elif part.is_message:
        if part.parts:
            message = part.parts[0]
            found = fields(octets, message.start, min(message.body, message.start + _HEADER))
            people = people_of(found, max(left[0], 0))
            left[0] -= sum(map(len, people.values()))
            short, long = _structures(octets, message, left)
            head = envelope_with(found, people)
        else:  # RFC 9051 §9, body-type-msg: an envelope and a body there must be
            short, long, head = _EMPTY, _EMPTY_EXTENDED, _NO_ENVELOPE
        return (
            b"(%b %b %b %d)" % (basic, head, short, part.lines),
            b"(%b %b %b %d %b)" % (basic, head, long, part.lines, extension),
        )
    return b"(%b)" % basic, b"(%b %b)" % (basic, extension)


def _parameters(parameters: Parameters) -> bytes:
    if not parameters:
        return b"NIL"
    return b"(" + b" ".join([_word(name) + b" " + string(value) for name, value in parameters]) + b")"


def _language(value: bytes | None) -> bytes:
    """One tag, or several in parentheses (RFC 3282)."""
    if value is None:
        return b"NIL"
    tags = [string(tag) for each in value.split(b",") if (tag := each.strip())]
    if not tags:
        return b"NIL"
    return tags[0] if len(tags) == 1 else b"(" + b" ".join(tags) + b")"


_PLAIN = b'("charset" "us-ascii")'
_EMPTY = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0)'
_EMPTY_EXTENDED = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0 NIL NIL NIL NIL)'
