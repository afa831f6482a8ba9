"""How a parameter of MAIL or RCPT carries any text: xtext, and unitext for addresses in UTF-8.

RFC 3461 §4 has xtext for ENVID, ORCPT and AUTH. RFC 6533 §3 gives the address type `utf-8` an encoding of
its own, which keeps clear of xtext's signs: `\\x{43F}` for a character that cannot stand as it is.
"""

from __future__ import annotations

import re

# RFC 3461 §4: xtext = *( xchar / hexchar ); xchar is "!" to "~" but for "+" and "="
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEXCHAR = re.compile(rb"\+([0-9A-F]{2})")
_NOT_XCHAR = re.compile(r"[^!-*,-<>-~]")
# RFC 6533 §3: utf-8-enc-addr = utf-8-addr-xtext / utf-8-addr-unitext / utf-8-address. A backslash that begins no
# EmbeddedUnicodeChar, and a "+", are those of the third form. HEXPOINT is read with any leading zeros.
_UNITEXT = re.compile(r"(?:[^\x00-\x20=\\\x7f]|\\x\{[0-9A-Fa-f]{2,6}\}|\\(?!x\{))+")
_EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_NOT_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")
_NOT_QUCHAR = re.compile(r"[\x00-\x20+=\\\x7f-\x9f]")


def to_xtext(text: str) -> str:
    """Encode; what is beyond ASCII is said octet by octet, as UTF-8."""
    return _NOT_XCHAR.sub(lambda match: "".join(f"+{octet:02X}" for octet in match[0].encode()), text)


def from_xtext(text: str) -> str:
    """Decode; octets that are no UTF-8 become U+FFFD. Raises ValueError."""
    if not _XTEXT.fullmatch(text):
        raise ValueError("bad xtext")
    if "+" not in text:
        return text
    octets = _HEXCHAR.sub(lambda match: bytes((int(match[1], 16),)), text.encode("ascii"))
    return octets.decode("utf-8", "replace")


def to_unitext(text: str, *, utf8: bool) -> str:
    """Encode an address of the type `utf-8`; with `utf8`, what is beyond ASCII stays as it is (RFC 6533 §3)."""
    return (_NOT_QUCHAR if utf8 else _NOT_QCHAR).sub(lambda match: f"\\x{{{ord(match[0]):02X}}}", text)


def from_unitext(text: str) -> str:
    """Decode an address of the type `utf-8`, in any of its three forms (RFC 6533 §3). Raises ValueError."""
    if not _UNITEXT.fullmatch(text):
        raise ValueError("bad address of type utf-8")
    return _EMBEDDED.sub(_embedded, text)


def _embedded(match: re.Match[str]) -> str:
    point = int(match[1], 16)
    if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
        raise ValueError("not a Unicode character")
    return chr(point)
