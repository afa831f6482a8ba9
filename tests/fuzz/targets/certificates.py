"""Whatever certificates a server shows, and whatever TLSA records name: they are refused with CertificateRefused or
verified, never by a record or an authority that does not fit, and within a limit of signatures that are checked."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.fuzz.inputs import Input, Program

from estafeta.net.certificates import UNREADABLE, client_certificate
from estafeta.net.chains import Authorities
from estafeta.net.dane import check_tlsa, usable
from estafeta.net.dns import TlsaRecord
from estafeta.net.tls import CertificateRefused, end_point_binding, matching_name

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NAMES = ("mx.example.org", ".example.net", "192.0.2.1")
KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
"""Of all authorities and servers: what the fuzzer makes of a certificate is signed with it again."""
MAX_CERTIFICATES = 4

SIGNED, WITH_KEY, PUBLISHED = range(3)
"""Flags: all that was signed comes without its signature; a record names the key; a record has octets of the input."""


def certificate(subject: str, issuer: str, *extensions: x509.ExtensionType, critical: bool = True) -> x509.Certificate:
    """One that is signed with the key."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(KEY.public_key())
        .serial_number(5)
        .not_valid_before(NOW - timedelta(days=9))
        .not_valid_after(NOW + timedelta(days=9))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(KEY, None)


@cache
def honest() -> tuple[x509.Certificate, ...]:
    """A server's, that of an authority in between, and that of the authority."""
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    tree = x509.NameConstraints([x509.DNSName("example.org")], [x509.DNSName("bad.example.org")])
    names = x509.SubjectAlternativeName([x509.DNSName("mx.example.org"), x509.DNSName("*.example.org")])
    return (
        certificate("mx.example.org", "between", names, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])),
        certificate("between", "authority", x509.BasicConstraints(True, 0), usage, tree),
        certificate("authority", "authority", x509.BasicConstraints(True, None), usage),
    )


@cache
def authorities() -> Authorities:
    """One authority that is trusted."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "authorities.pem")
        file.write_bytes(honest()[2].public_bytes(Encoding.PEM))
        return Authorities(file)


def element(tag: int, octets: bytes) -> bytes:
    """In DER."""
    size = len(octets)
    length = size.to_bytes((size.bit_length() + 7) // 8 or 1, "big")
    return bytes((tag,)) + (length if size < 128 else bytes((0x80 | len(length),)) + length) + octets


def signed(body: bytes) -> bytes:
    """A certificate of its first part, with a signature that is right."""
    return element(0x30, body + b"\x30\x05\x06\x03\x2b\x65\x70" + element(3, b"\0" + KEY.sign(body)))


def parts(octets: bytes) -> Iterator[bytes]:
    """Each behind two octets of its size."""
    program = Program(octets)
    for _ in range(MAX_CERTIFICATES):
        if not program:
            return
        yield program.octets(program.number() << 8 | program.number())


def written(certificates: tuple[bytes, ...]) -> bytes:
    """As `parts` reads them."""
    return b"".join(len(each).to_bytes(2, "big") + each for each in certificates)


def record(given: Input, chain: list[bytes]) -> TlsaRecord:
    """By the cut: of which certificate, and how it is told."""
    usage, selector, matching = 2 + (given.cut & 1), given.cut >> 1 & 1, (given.cut >> 2) % 3
    octets = chain[(given.cut >> 4) % len(chain)]
    if given.has(PUBLISHED):
        octets = chain[-1]
    elif given.has(WITH_KEY) or selector:
        octets = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if matching:
        octets = hashlib.new(("sha256", "sha512")[matching - 1], octets).digest()
    return TlsaRecord(usage, selector, matching, octets)


def check(given: Input, chain: list[bytes]) -> None:
    """All that is asked of a chain."""
    one = record(given, chain)
    try:
        told = check_tlsa([one], chain, NAMES[:1], NOW)
    except CertificateRefused as error:
        assert str(error)
    else:
        assert one in usable([one]) and told.startswith(("DANE-EE 3", "DANE-TA 2"))
    try:
        name = authorities().check(chain, NAMES, NOW).lower().removesuffix(".")
        assert name in ("mx.example.org", "*.example.org", "192.0.2.1") or name.endswith(".example.net"), name
    except CertificateRefused as error:
        assert str(error)
    else:
        leaf = x509.load_der_x509_certificate(chain[0])
        KEY.public_key().verify(leaf.signature, leaf.tbs_certificate_bytes)  # raises where it was not the authority
    for each in chain:
        shown = client_certificate(each)
        assert len(shown.fingerprint) == 64 and len(shown.mailboxes) <= 20
        binding = end_point_binding(each)
        assert binding is None or len(binding) in (20, 32, 48, 64)
        try:
            leaf = x509.load_der_x509_certificate(each)
        except UNREADABLE:
            continue
        try:
            assert matching_name(leaf, NAMES, common_name=True)
        except CertificateRefused as error:
            assert str(error)


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    chain = [signed(each) if given.has(SIGNED) else each for each in parts(given.octets)]
    if not chain:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is old or odd the library warns
        check(given, chain)
