"""The Sender Rewriting Scheme: a reverse-path under a domain of the forwarder, so that SPF holds, and back again.

`SRS0=HHHH=TT=domain=local@forwarder` names the original, the day and a keyed hash of them. A path that another
forwarder wrote becomes `SRS1=HHHH=first=rest@forwarder`, which leads straight back to the first of them. Hosts on the
way may change the case of a local-part: the hash does not depend on it. (M. Wong and S. Sidhu's paper "The Sender
Rewriting Scheme", which all implementations follow; no RFC has it.)
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum

from estafeta.mail.address import MAX_LOCAL_PART, Address, AddressError, ReversePath, parse_domain

HASH_LETTERS = 6
"""Of the hash in base64. Others take four, which some million tries find out, as case does not count."""

VALID_DAYS = 21
"""As everybody has it: longer than any queue keeps mail."""

_DAY = 86_400
_DAYS = 1024
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
# An address literal may have the `=` in it that parts the others.
_HOST = r"(\[[^\]]*\]|[^=\[][^=]*)"
_REWRITTEN = re.compile(r"SRS[01][-+=]", re.IGNORECASE | re.ASCII)
_SRS0 = re.compile(rf"SRS0[-+=]([^=]+)=([A-Z2-7]{{2}})={_HOST}=(.*)", re.IGNORECASE | re.ASCII | re.DOTALL)
_SRS1 = re.compile(rf"SRS1[-+=]([^=]+)={_HOST}=([-+=].*)", re.IGNORECASE | re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class SrsSettings:
    """`[srs]`: the reverse-path of mail that an alias forwards."""

    enabled: bool = True
    """Write the reverse-path of forwarded mail anew, under the domain of the alias, so that SPF holds there."""


class SrsFault(StrEnum):
    """Why an address is not led back, in words for the journal."""

    MALFORMED = "not a whole address of SRS"
    BAD_HASH = "the hash is not one of ours"
    EXPIRED = f"older than {VALID_DAYS} days"


def is_rewritten(address: Address) -> bool:
    """Whether the address has the form of SRS, whoever wrote it."""
    return _REWRITTEN.match(address.local_part) is not None


class Srs:
    """Rewrites reverse-paths and leads notifications back; all hosts of one house share the secret.

    The secret is for this alone. Instants are seconds since 1970.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def forward(self, reverse_path: ReversePath, domain: str, now: float) -> ReversePath:
        """The reverse-path under `domain`, one of ours.

        The null reverse-path stays as it is, and so does one that would become longer than a local-part may be.
        """
        address = reverse_path.address
        if address is None or not domain:
            return reverse_path
        local_part = self._rewritten(address, now)
        if len(local_part.encode()) > MAX_LOCAL_PART:
            return reverse_path
        return ReversePath(Address(local_part, domain))

    def back(self, address: Address, now: float) -> Address | SrsFault:
        """The address that `forward` was given; of one by another forwarder the address there."""
        if match := _SRS0.fullmatch(address.local_part):
            given, stamp, host, local_part = match.groups()
            if not self._is_ours(given, "SRS0", stamp, host, local_part):
                return SrsFault.BAD_HASH
            # A day of grace, for hosts whose clocks differ about midnight.
            if (_today(now) + 1 - _day_of(stamp)) % _DAYS > VALID_DAYS + 1:
                return SrsFault.EXPIRED
        elif match := _SRS1.fullmatch(address.local_part):
            given, host, rest = match.groups()
            if not self._is_ours(given, "SRS1", host, rest):
                return SrsFault.BAD_HASH
            local_part = f"SRS0{rest}"  # which has its own day
        else:
            return SrsFault.MALFORMED
        try:
            return Address(local_part, parse_domain(host))
        except AddressError:
            return SrsFault.MALFORMED

    def _rewritten(self, address: Address, now: float) -> str:
        local_part = address.local_part
        # Only tags in capitals, as they are made: others would not come back as they were.
        if local_part.startswith("SRS1") and (match := _SRS1.fullmatch(local_part)) and _is_domain(match[2]):
            return self._second(match[2], match[3])
        if local_part.startswith("SRS0") and _SRS0.fullmatch(local_part):
            return self._second(address.domain, local_part[4:])
        stamp = _stamp(now)
        made = self._hash("SRS0", stamp, address.domain, local_part)
        return f"SRS0={made}={stamp}={address.domain}={local_part}"

    def _second(self, host: str, rest: str) -> str:
        return f"SRS1={self._hash('SRS1', host, rest)}={host}={rest}"

    def _hash(self, *parts: str) -> str:
        digest = hmac.digest(self._secret, "=".join(parts).encode().lower(), "sha256")
        return base64.urlsafe_b64encode(digest)[:HASH_LETTERS].decode()

    def _is_ours(self, given: str, tag: str, *parts: str) -> bool:
        return hmac.compare_digest(given.lower().encode(), self._hash(tag, *parts).lower().encode())


def _today(now: float) -> int:
    return int(now // _DAY) % _DAYS


def _stamp(now: float) -> str:
    high, low = divmod(_today(now), 32)
    return _BASE32[high] + _BASE32[low]


def _day_of(stamp: str) -> int:
    return _BASE32.index(stamp[0].upper()) * 32 + _BASE32.index(stamp[1].upper())


def _is_domain(host: str) -> bool:
    try:
        return parse_domain(host) == host
    except AddressError:
        return False
