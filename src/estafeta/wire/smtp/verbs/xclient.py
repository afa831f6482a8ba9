"""XCLIENT: a trusted proxy says for which client it speaks, and the session begins anew (Postfix XCLIENT_README).

The verb that a filter uses to say where mail came from, XFORWARD, has attributes of the same form.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from estafeta.mail.catalogue import clients
from estafeta.mail.xtext import from_xtext
from estafeta.wire.smtp.events import Event, Xclient
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Phase, Session, Verb, unchanged

# What a proxy could not find out, for good or for now.
_UNKNOWN: Final = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}|0")

Reader = Callable[[str], str]
"""Checks the value of an attribute and gives its plain form; raises ValueError."""


def _text(most: int) -> Reader:
    def read(value: str) -> str:
        if not value or len(value) > most or not value.isprintable():
            raise ValueError
        return value

    return read


def _word(*words: str) -> Reader:
    def read(value: str) -> str:
        if value.upper() not in words:
            raise ValueError
        return value.upper()

    return read


def _address(value: str) -> str:
    """IPv4 as it is, IPv6 with a prefix."""
    if value[:5].upper() == "IPV6:":
        return str(IPv6Address(value[5:]))
    return str(IPv4Address(value))


def _port(value: str) -> str:
    if not _PORT.fullmatch(value) or int(value) > 65535:
        raise ValueError
    return value


NAME: Final = _text(255)
ADDRESS: Final = _address
PORT: Final = _port
PROTOCOL: Final = _text(64)

ATTRIBUTES: Final[dict[str, Reader]] = {
    "NAME": NAME,
    "ADDR": ADDRESS,
    "PORT": PORT,
    "PROTO": _word("SMTP", "ESMTP", "LMTP"),
    "HELO": NAME,
    "LOGIN": _text(320),
    "DESTADDR": ADDRESS,
    "DESTPORT": PORT,
}


def attributes(argument: bytes, readers: dict[str, Reader]) -> dict[str, str | None]:
    """`NAME=VALUE ...`, the values in xtext; None where the proxy does not know it. Raises Fault."""
    told: dict[str, str | None] = {}
    for word in argument.decode("ascii", "replace").split():
        keyword, equals, value = word.partition("=")
        name = keyword.upper()
        reader = readers.get(name)
        if reader is None or not equals or name in told:
            raise Fault(clients.BAD_ATTRIBUTE.with_(name=name if name in readers else "attribute"))
        try:
            told[name] = None if value.upper() in _UNKNOWN else reader(from_xtext(value))
        except ValueError:
            raise Fault(clients.BAD_ATTRIBUTE.with_(name=name)) from None
    if not told:
        raise Fault(clients.BAD_ATTRIBUTE.with_(name="attribute"))
    return told


def _parse(session: Session, argument: bytes) -> Event:
    if not session.options.xclient:
        raise Fault(clients.SPEAKER_NOT_TRUSTED)
    return Xclient(attributes(argument, ATTRIBUTES))


XCLIENT = Verb(
    "XCLIENT",
    "XCLIENT attribute=value ...",
    frozenset({Phase.GREETED, Phase.READY}),
    _parse,
    unchanged,
    is_offered=lambda session: session.options.xclient is not None,
)
