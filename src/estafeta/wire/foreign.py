"""What is no protocol of mail, known by the first octets that a client sends.

Clients of the web, scanners and the lost are told so once, instead of line by line. A request of HTTP can carry
lines that look like commands of SMTP, so what follows it must not be read (cross-protocol attacks).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from estafeta.wire.proxy import SIGNATURE


class Foreign(StrEnum):
    """What it is."""

    TLS = "TLS"
    HTTP = "HTTP"
    SSH = "SSH"
    PROXY = "PROXY header"
    BINARY = "binary"


ENOUGH: Final = 512
"""Octets of a first line after which it is judged as it is."""

HELLOS: Final = (b"EHLO ", b"LHLO ", b"HELO ", b"ehlo ", b"lhlo ", b"helo ")
"""How nearly all first lines of mail begin."""
# RFC 9110 §9.3, RFC 5789, RFC 9113 §3.4; a method of HTTP is upper case. RTSP and SIP have requests of this form too.
_METHOD: Final = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|PRI) [^\r\n ]")
_VERSION: Final = re.compile(rb"[^\r\n]* (?:HTTP|RTSP|SIP)/[0-9.]{1,3}\r?\n")


def foreign_protocol(octets: bytes) -> Foreign | None:
    """What the first octets of a client, one at least, belong to; None where it may be commands of mail."""
    if octets.startswith(HELLOS):
        return None
    if octets.startswith(b"\x16\x03"):  # RFC 8446 §5.1: a handshake record
        return Foreign.TLS
    if octets.startswith((b"PROXY ", SIGNATURE)):
        return Foreign.PROXY
    if octets.startswith(b"SSH-"):  # RFC 4253 §4.2
        return Foreign.SSH
    if _METHOD.match(octets) or _VERSION.match(octets):
        return Foreign.HTTP
    first = octets[0]
    if (first < 0x20 and first not in b"\t\r\n") or first > 0x7E or 0 in octets.partition(b"\n")[0]:
        return Foreign.BINARY
    return None
