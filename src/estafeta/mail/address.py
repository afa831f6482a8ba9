"""Addresses and paths as RFC 5321 §4.1.2 has them, with RFC 6531 §3.3 for UTF-8.

An `Address` keeps its local-part unquoted (`"a b"@x` has the local-part `a b`), because the quoted
and the plain form of one local-part are the same address; `str()` quotes again where it must. The
domain is kept in lower case, and as an A-label wherever it can be said so.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import field
from functools import lru_cache

import idna

from estafeta.mail.value import value

# RFC 5321 §4.5.3.1.1 and §4.5.3.1.2, in octets. The local-part's limit of 64 is one that the world exceeds
# (VERP, SRS), so as other servers do we read up to the limit of a path.
# Departs from RFC 5321 §4.5.3.1.1: local-parts of up to 255 octets are taken.
MAX_LOCAL_PART = 255
MAX_DOMAIN = 255

# RFC 5321 §4.1.2: Atom = 1*atext; Dot-string = Atom *("." Atom); RFC 6531 §3.3 adds UTF8-non-ascii to atext.
# (Here and below the classes say what is left out: ranges up to the last code point take long to compile.)
# Beyond the grammar, controls and line ends outside of ASCII are left out too: no reader of ours or of others is to
# see a new line where an address stands.
_ATEXT = r'[^\x00-\x20"(),.:;<>@\[\\\]\x7f-\x9f\u2028\u2029]'
_DOT_STRING = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
# RFC 5321 §4.1.2: Quoted-string = DQUOTE *QcontentSMTP DQUOTE; qtextSMTP / quoted-pairSMTP
_QUOTED_STRING = re.compile(r'"((?:[^\x00-\x1f"\\\x7f-\x9f\u2028\u2029]|\\[ -~])*)"')
# RFC 5321 §4.1.2: sub-domain = Let-dig [Ldh-str]; RFC 6531 §3.3 adds U-label. An underscore is outside the
# grammar and inside many real names (`_dmarc`-like hosts), so it is read.
# Departs from RFC 5321 §4.1.2: underscores in a domain, and a root dot behind it, are let pass.
_LET_DIG = r"[^\x00-/:-@\[-^`{-\x7f]"
_SUB_DOMAIN = rf"{_LET_DIG}(?:[^\x00-,./:-@\[-^`{{-\x7f]*{_LET_DIG})?"
_DOMAIN = re.compile(rf"{_SUB_DOMAIN}(?:\.{_SUB_DOMAIN})*")
_ADDRESS_LITERAL = re.compile(r"\[([^\[\]\\\x00-\x20\x7f]+)\]")
_GENERAL_LITERAL = re.compile(r"[0-9A-Za-z-]*[0-9A-Za-z]:[!-Z^-~]+")


class AddressError(ValueError):
    """The text is not an address; the message says why in words fit for a reply."""


@value
class Address:
    """local-part@domain; the domain is empty only for the reserved `postmaster` (RFC 5321 §4.5.1)."""

    local_part: str
    domain: str
    _text: str | None = field(default=None, init=False, repr=False, compare=False)
    """What `str` gave: a message says its addresses half a dozen times."""

    @staticmethod
    def parse(text: str) -> Address:
        """Read `local-part@domain` without brackets; raises AddressError."""
        return _parse(text)

    @property
    def is_ascii(self) -> bool:
        """Whether the address can be sent without SMTPUTF8."""
        return self.local_part.isascii() and self.domain.isascii()

    @property
    def is_literal(self) -> bool:
        """Whether the domain is an address literal, `[192.0.2.1]`."""
        return self.domain.startswith("[")

    def __str__(self) -> str:
        text = self._text
        if text is None:
            local = quote_local_part(self.local_part)
            text = f"{local}@{self.domain}" if self.domain else local
            object.__setattr__(self, "_text", text)
        return text


@value
class ReversePath:
    """Where notifications go: an address, or nothing (`<>`) for messages that must never cause one."""

    address: Address | None

    @property
    def is_null(self) -> bool:
        """RFC 5321 §4.5.5: the null reverse-path."""
        return self.address is None

    def __str__(self) -> str:
        return "" if self.address is None else str(self.address)


NULL_REVERSE_PATH = ReversePath(None)


@value
class ForwardPath:
    """Where a message goes."""

    address: Address

    @property
    def is_postmaster(self) -> bool:
        """`<Postmaster>` without a domain (RFC 5321 §4.1.1.3)."""
        return not self.address.domain

    def __str__(self) -> str:
        return str(self.address)


@lru_cache(maxsize=4096)
def quote_local_part(local_part: str) -> str:
    """The local-part as the wire wants it: plain when it is a Dot-string, else a Quoted-string."""
    if _DOT_STRING.fullmatch(local_part):
        return local_part
    return '"' + local_part.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse_domain(text: str) -> str:
    """Read a domain name or an address literal; the result is in lower case, IDNs as A-labels.

    Raises AddressError.
    """
    if text.startswith("["):
        return _address_literal(text)
    name = text[:-1] if text.endswith(".") else text  # a fully qualified name's root dot
    if not name or not _DOMAIN.fullmatch(name):
        raise AddressError("bad domain name")
    if name.isascii():
        lowered = name.lower()
    else:
        try:
            # A root dot may be one of those that only UTS 46 takes for a dot.
            lowered = idna.encode(name, uts46=True).decode("ascii").removesuffix(".")
        except (idna.IDNAError, UnicodeError) as error:
            raise AddressError("bad internationalized domain name") from error
    if len(lowered) > MAX_DOMAIN:
        raise AddressError("domain name too long")
    if any(len(label) > 63 for label in lowered.split(".")):  # RFC 1035 §2.3.4
        raise AddressError("label of domain name too long")
    return lowered


def _address_literal(text: str) -> str:
    # RFC 5321 §4.1.3: IPv4-address-literal / IPv6-address-literal / General-address-literal
    match = _ADDRESS_LITERAL.fullmatch(text)
    if match is None:
        raise AddressError("bad address literal")
    inner = match[1]
    try:
        if inner[:5].lower() == "ipv6:":
            return f"[IPv6:{ipaddress.IPv6Address(inner[5:])}]"
        if inner[:1].isdigit() and ":" not in inner:
            return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError as error:
        raise AddressError("bad address literal") from error
    if not _GENERAL_LITERAL.fullmatch(inner):
        raise AddressError("bad address literal")
    return f"[{inner}]"


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address:
    local_text, at, domain_text = text.rpartition("@")
    if not at:
        raise AddressError("address has no domain")
    local_part = parse_local_part(local_text)
    return Address(local_part, parse_domain(domain_text))


def parse_local_part(text: str) -> str:
    """Read a Dot-string or Quoted-string; gives the local-part unquoted. Raises AddressError."""
    if _DOT_STRING.fullmatch(text):
        local_part = text
    elif quoted := _QUOTED_STRING.fullmatch(text):
        local_part = re.sub(r"\\(.)", r"\1", quoted[1])
    else:
        raise AddressError("bad local-part")
    if len(local_part.encode()) > MAX_LOCAL_PART:
        raise AddressError("local-part too long")
    return local_part
