"""Certificates of every kind for tests: good ones, and ones that nobody should accept."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
DER = serialization.Encoding.DER
PEM = serialization.Encoding.PEM


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """One for all tests: they take long to make."""
    return rsa.generate_private_key(65537, 2048)


@dataclass(frozen=True)
class Certified:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(DER)

    @property
    def spki(self) -> bytes:
        """The public key as it stands in the certificate."""
        return self.certificate.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def write(self, folder: Path, *chain: Certified) -> tuple[Path, Path]:
        """PEM files of the certificate (with those above it) and of the key."""
        certificate, key = folder / "made.pem", folder / "made.key"
        certificate.write_bytes(b"".join(one.certificate.public_bytes(PEM) for one in (self, *chain)))
        key.write_bytes(self.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return certificate, key


def certify(
    common: str,
    issuer: Certified | None = None,
    *,
    names: tuple[str, ...] = (),
    is_authority: bool | None = False,
    path_length: int | None = None,
    key: Key | None = None,
    now: datetime = NOW,
    days: tuple[float, float] = (-1, 90),
    signs: bool | None = None,
    usages: tuple[ObjectIdentifier, ...] = (),
    permitted: tuple[str, ...] = (),
    excluded: tuple[str, ...] = (),
    unknown: bool = False,
    subject: x509.Name | None = None,
) -> Certified:
    """A certificate, signed by itself without an issuer; `is_authority` None leaves BasicConstraints out."""
    own = key or ec.generate_private_key(ec.SECP256R1())
    name = subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )
    if is_authority is not None:
        builder = builder.add_extension(x509.BasicConstraints(is_authority, path_length), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(one) for one in names]), critical=False)
    if signs is not None:
        usage = x509.KeyUsage(not signs, False, False, False, False, signs, signs, False, False)
        builder = builder.add_extension(usage, critical=True)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if permitted or excluded:
        constraints = x509.NameConstraints(
            [x509.DNSName(one) for one in permitted] or None, [x509.DNSName(one) for one in excluded] or None
        )
        builder = builder.add_extension(constraints, critical=True)
    if unknown:
        oid = ObjectIdentifier("1.3.6.1.4.1.32473.1")
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, b"\x05\x00"), critical=True)
    return Certified(builder.sign((issuer.key if issuer else own), hashes.SHA256()), own)


def _general(name: str) -> x509.GeneralName:
    if "@" in name and name.isascii():
        return x509.RFC822Name(name)
    if "@" in name:  # RFC 9598 §3: SmtpUTF8Mailbox, a UTF8String
        octets = name.encode()
        return x509.OtherName(ObjectIdentifier("1.3.6.1.5.5.7.8.9"), bytes((0x0C, len(octets))) + octets)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
