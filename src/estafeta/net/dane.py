"""DANE: what TLSA records of the DNS say of the certificates that a server showed (RFC 6698, 7671, 7672).

Only DANE-EE(3) and DANE-TA(2) speak for mail servers. With DANE-EE the leaf's octets decide and nothing else; with
DANE-TA there must be a path from the leaf up to the anchor that a record names, and the name of the leaf must fit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_public_key

from estafeta.net.certificates import UNREADABLE
from estafeta.net.chains import MAX_CHAIN, check_path, is_signed_by_key, load_chain, paths
from estafeta.net.dns import TlsaRecord
from estafeta.net.tls import CertificateFault, CertificateRefused, matching_name

DANE_TA = 2
DANE_EE = 3
_CERT, _SPKI = 0, 1
_FULL, _SHA256, _SHA512 = 0, 1, 2
_DIGEST_SIZES = {_SHA256: 32, _SHA512: 64}


def is_usable(record: TlsaRecord) -> bool:
    """Whether the record can speak for a mail server; PKIX-TA(0) and PKIX-EE(1) cannot (RFC 7672 §3.1.3)."""
    if record.usage not in (DANE_TA, DANE_EE) or record.selector not in (_CERT, _SPKI):
        return False
    if record.matching != _FULL:
        return len(record.data) == _DIGEST_SIZES.get(record.matching)
    try:
        if record.selector == _CERT:
            x509.load_der_x509_certificate(record.data)
        else:
            load_der_public_key(record.data)
    except UNREADABLE:
        return False
    return True


def usable(records: Iterable[TlsaRecord]) -> tuple[TlsaRecord, ...]:
    """The usable records, of those that differ in the digest alone the stronger ones (RFC 7671 §9)."""
    kept = [record for record in records if is_usable(record)]
    strongest: dict[tuple[int, int], int] = {}
    for record in kept:
        key = (record.usage, record.selector)
        strongest[key] = max(record.matching, strongest.get(key, 0))
    return tuple(record for record in kept if record.matching in (_FULL, strongest[record.usage, record.selector]))


def check_tlsa(records: Iterable[TlsaRecord], chain: Sequence[bytes], names: Sequence[str], now: datetime) -> str:
    """How a chain (DER, leaf first) is verified by the records, in words such as `DANE-EE 3 1 1`.

    `names` are those that a leaf below a trust anchor may have (RFC 7672 §3.2.2). Raises CertificateRefused.
    """
    if not chain:
        raise CertificateRefused(CertificateFault.TLSA, "the server showed none")
    speaking = usable(records)
    for record in speaking:
        # RFC 7672 §3.1.1: neither the names nor the dates of the certificate count.
        if record.usage == DANE_EE and _matches(record, chain[0]):
            return f"DANE-EE {record.usage} {record.selector} {record.matching}"
    anchoring = [record for record in speaking if record.usage == DANE_TA]
    if not anchoring:
        raise CertificateRefused(CertificateFault.TLSA, "no TLSA record matches it")
    return _check_anchored(anchoring, chain[:MAX_CHAIN], names, now)


def _matches(record: TlsaRecord, certificate: bytes) -> bool:
    selected = certificate if record.selector == _CERT else _spki(certificate)
    if record.matching == _SHA256:
        selected = hashlib.sha256(selected).digest()
    elif record.matching == _SHA512:
        selected = hashlib.sha512(selected).digest()
    return selected == record.data


def _spki(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate as it stands there, also of keys that no library reads."""
    # Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { version [0] OPTIONAL, serialNumber, signature, issuer,
    # validity, subject, subjectPublicKeyInfo, ... (RFC 5280 §4.1)
    try:
        at, _ = _element(certificate, 0)
        at, _ = _element(certificate, at)
        has_version = certificate[at] == 0xA0
        for _ in range(6 if has_version else 5):
            _, at = _element(certificate, at)
        return certificate[at : _element(certificate, at)[1]]
    except IndexError as error:
        raise CertificateRefused(CertificateFault.TLSA, "it cannot be read") from error


def _element(octets: bytes, at: int) -> tuple[int, int]:
    """Where the content of the DER element at an offset begins and ends; raises IndexError."""
    length = octets[at + 1]
    begin = at + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(octets[begin : begin + count])
        begin += count
    if begin + length > len(octets):
        raise IndexError("cut off")
    return begin, begin + length


# DANE-TA(2)


def _check_anchored(records: list[TlsaRecord], chain: Sequence[bytes], names: Sequence[str], now: datetime) -> str:
    shown = load_chain(chain)
    # RFC 7671 §5.2.2: an anchor that is in the DNS itself need not be shown.
    full = [each.data for each in records if each.matching == _FULL and each.selector == _CERT]
    above = [*zip(shown[1:], chain[1:], strict=True), *((x509.load_der_x509_certificate(one), one) for one in full)]
    refusal = CertificateRefused(CertificateFault.TLSA, "no TLSA record matches it or what signed it")
    for path, last in paths(shown[0], above):
        for record in records:
            # A bare key is an anchor without a certificate, above the last of the path.
            is_bare = record.matching == _FULL and record.selector == _SPKI and is_signed_by_key(path[-1], record.data)
            if is_bare or (last is not None and _matches(record, last)):
                try:
                    check_path(path, now, has_anchor=not is_bare)
                    name = matching_name(path[0], names, common_name=True)
                except CertificateRefused as error:
                    refusal = error
                else:
                    return f"DANE-TA {record.usage} {record.selector} {record.matching} for {name}"
    raise refusal
