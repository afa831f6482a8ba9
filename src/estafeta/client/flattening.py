"""A message of the standard library as it goes over the wire, and whom it is from and for.

Blind copies leave the header (RFC 5322 §3.6.3). What the server does not take is said in another way: names beyond
ASCII as encoded words, domains as A-labels, 8-bit parts in 7 bits.
"""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterator
from email import policy
from email.errors import MessageError
from email.generator import BytesGenerator
from email.headerregistry import Address, Group
from email.message import EmailMessage, Message
from email.parser import HeaderParser
from email.utils import getaddresses
from typing import TypeAlias

from estafeta.mail.address import AddressError, parse_domain
from estafeta.mail.downgrade import CannotDowngrade, to_seven_bit
from estafeta.mail.header import header_size
from estafeta.mail.line_ends import has_bare_line_ends
from estafeta.wire.errors import ExtensionMissing
from estafeta.wire.smtp.replies import Capabilities

# What `str.splitlines` takes for the end of a line, but for CR and LF, with which fields are folded.
_LINE_END = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")

# What the library's own parser raises in some fields of messages that were read.
_ERRORS = (AttributeError, LookupError, TypeError, ValueError)

AnyMessage: TypeAlias = "EmailMessage | Message[str, str]"

_ADDRESS_FIELDS = (
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
)


def to_wire(octets: bytes) -> bytes:
    """Content of a local file with its line ends made CRLF; what is CRLF already stays as it is."""
    return re.sub(rb"\r\n|\r|\n", b"\r\n", octets) if has_bare_line_ends(octets) else octets


def sender_of(message: AnyMessage) -> str | None:
    """The address in Sender, or the first in From; of a resent message, in Resent-Sender or Resent-From.

    Raises ValueError where the message was resent more than once: nobody knows whose turn it is (RFC 5322 §3.6.6).
    """
    prefix = _prefix(message)
    for name in (f"{prefix}Sender", f"{prefix}From"):
        for address in _addresses(message, name):
            return address
    return None


def recipients_of(message: AnyMessage) -> list[str]:
    """The addresses in To, Cc and Bcc, each once; of a resent message, in the Resent fields. Raises ValueError."""
    prefix = _prefix(message)
    found = (address for name in ("To", "Cc", "Bcc") for address in _addresses(message, prefix + name))
    return list(dict.fromkeys(found))


def flatten(message: AnyMessage, capabilities: Capabilities, *, smtputf8: bool = False) -> tuple[bytes, bool]:
    """The content for a server with these capabilities, and whether it needs SMTPUTF8.

    With `smtputf8` the header may be in UTF-8 whatever is in it. Raises ExtensionMissing when the server cannot take
    what the message says.
    """
    sent = copy.copy(message)
    del sent["Bcc"], sent["Resent-Bcc"]
    _clean(sent)
    wants_utf8 = smtputf8 or _needs_utf8(sent)
    octets = to_wire(_octets(sent, is_utf8=wants_utf8))
    header, body = octets[: header_size(octets)], octets[header_size(octets) :]
    if not header.isascii() and not wants_utf8:
        header = _in_ascii(header)
        octets = header + body
    is_utf8 = not header.isascii()
    if is_utf8 and not capabilities.has("SMTPUTF8"):
        raise ExtensionMissing("SMTPUTF8", "the header of the message")
    if not body.isascii() and not capabilities.has("8BITMIME"):
        try:
            octets = to_seven_bit(octets)
        except CannotDowngrade as error:
            raise ExtensionMissing("8BITMIME", f"the content of the message ({error})") from error
    return octets, is_utf8


def _clean(message: AnyMessage) -> None:
    """Fields that were read, without what the library takes for the ends of lines: so none becomes another field."""
    items = list(message.raw_items())
    if not any(type(value) is str and _LINE_END.search(value) for _, value in items):
        return
    for name in {name for name, _ in items}:
        del message[name]
    for name, value in items:
        message.set_raw(name, _LINE_END.sub(" ", value) if type(value) is str else value)


def _octets(message: AnyMessage, *, is_utf8: bool) -> bytes:
    file = io.BytesIO()
    if isinstance(message, EmailMessage):
        if not is_utf8:
            _say_domains_in_ascii(message)
        wanted = policy.SMTPUTF8 if is_utf8 else policy.SMTP
        try:
            BytesGenerator(file, policy=wanted).flatten(message)
        except _ERRORS:  # fields go as they came
            file = io.BytesIO()
            BytesGenerator(file, policy=wanted.clone(refold_source="none")).flatten(message)
    else:
        BytesGenerator(file, policy=policy.compat32.clone(linesep="\r\n")).flatten(message)
    return file.getvalue()


def _in_ascii(header: bytes) -> bytes:
    """The header section of a message that was read with 8-bit fields, with encoded words in their place."""
    try:
        text = header.decode("utf-8")
    except UnicodeDecodeError:
        return header
    file = io.BytesIO()
    read = HeaderParser(EmailMessage, policy=policy.SMTP).parsestr(text)
    try:
        BytesGenerator(file, policy=policy.SMTP.clone(refold_source="all")).flatten(read)
    except _ERRORS:
        return header
    return file.getvalue()


def _prefix(message: AnyMessage) -> str:
    resent = message.get_all("Resent-Date", [])
    if len(resent) > 1:
        raise ValueError("the message was resent more than once: say sender and recipients")
    return "Resent-" if resent else ""


def _addresses(message: AnyMessage, name: str) -> Iterator[str]:
    for field in message.get_all(name, []):
        groups = getattr(field, "addresses", None)
        if groups is not None:
            yield from (each.addr_spec for each in groups if each.addr_spec not in ("", "<>"))
        else:
            yield from (address for _, address in getaddresses([str(field)]) if address)


def _needs_utf8(message: AnyMessage) -> bool:
    """A local-part has no other form (RFC 6532 §3.2)."""
    return isinstance(message, EmailMessage) and any(
        not address.username.isascii() for _, field in _address_fields(message) for address in field.addresses
    )


def _address_fields(message: EmailMessage) -> Iterator[tuple[str, _AddressField]]:
    for name in _ADDRESS_FIELDS:
        for field in message.get_all(name, []):
            if hasattr(field, "addresses") and hasattr(field, "groups"):
                yield name, field


class _AddressField(str):
    """What headerregistry.AddressHeader is, for the type checker."""

    addresses: tuple[Address, ...]
    groups: tuple[Group, ...]


def _say_domains_in_ascii(message: EmailMessage) -> None:
    """RFC 5890 §2.3.2.1: a domain in Unicode as A-labels; encoded words may not stand in an address."""
    for name, field in list(_address_fields(message)):
        if all(address.domain.isascii() for address in field.addresses):
            continue
        try:
            groups = [_group_in_ascii(group) for group in field.groups]
        except (AddressError, MessageError, ValueError):
            continue  # no domain at all; the server will say so
        message.replace_header(name, groups)


def _group_in_ascii(group: Group) -> Group:
    return Group(
        group.display_name,
        tuple(
            Address(address.display_name, address.username, address.domain and parse_domain(address.domain))
            for address in group.addresses
        ),
    )
