"""Names of mailboxes on the wire: UTF-8, or modified UTF-7 for clients of IMAP4rev1 (RFC 3501 §5.1.3)."""

from __future__ import annotations

import re
from binascii import Error as BadEncoding
from binascii import a2b_base64, b2a_base64

_SHIFTED = re.compile(r"&([^-&]*)-")
_PRINTED = re.compile(r"[^\x20-\x7e]+")


class BadName(ValueError):
    """A name is not in the form that it should have."""


def encoded(name: str) -> str:
    """In modified UTF-7."""
    return _PRINTED.sub(_shift, name.replace("&", "&-"))


def _shift(match: re.Match[str]) -> str:
    base64 = b2a_base64(match[0].encode("utf-16-be", "surrogatepass"), newline=False)
    return "&" + base64.rstrip(b"=").decode().replace("/", ",") + "-"


def decoded(text: str) -> str:
    """Out of modified UTF-7; raises BadName for what is not in it, or not in its one right form."""
    try:
        name = _SHIFTED.sub(_unshift, text)
    except (BadEncoding, UnicodeDecodeError) as error:
        raise BadName("not modified UTF-7") from error
    if encoded(name) != text:
        raise BadName("not modified UTF-7 as it must be written")
    return name


def _unshift(match: re.Match[str]) -> str:
    if not match[1]:
        return "&"
    base64 = match[1].replace(",", "/")
    octets = a2b_base64(base64.encode("ascii", "replace") + b"=" * (-len(base64) % 4), strict_mode=True)
    return octets.decode("utf-16-be")
