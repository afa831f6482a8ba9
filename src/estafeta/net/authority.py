"""A certificate authority of one's own, for trials and tests: an authority and a server certificate in files.

The extensions are those that RFC 5280 §4.2 asks for, so that the strictest verifiers accept the chain.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from estafeta.mail.value import value
from estafeta.net.errors import TlsError

AUTHORITY_LIFE = timedelta(days=3650)
# Apple's limit for server certificates of private authorities is 825 days, that of public ones 398.
SERVER_LIFE = timedelta(days=397)
# A certificate with less life left than this is made anew.
RENEW_BEFORE = timedelta(days=30)
# Clocks of clients may go a little slow.
_BACKDATED = timedelta(hours=1)


@value
class Issued:
    """Where a certificate and its key are, and the authority that signed it, all PEM files."""

    authority: Path
    certificate: Path
    """The server's certificate, followed by the authority's."""
    key: Path


def issue(folder: Path, names: Iterable[str], *, now: datetime | None = None) -> Issued:
    """A server certificate for host names and IP addresses below `folder`, with the authority it needs.

    What is there is used as long as it fits the names and is not about to expire. Raises TlsError.
    """
    now = now or datetime.now(UTC)
    wanted = tuple(dict.fromkeys(names))
    if not wanted:
        raise TlsError("a certificate needs a name")
    issued = Issued(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    authority_key_file = folder / "authority.key"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = _usable(issued.authority, authority_key_file, now)
        if authority is None:
            authority = _make_authority(now)
            _write_pair(issued.authority, authority_key_file, authority, ())
        server = _usable(issued.certificate, issued.key, now)
        if server is None or not _fits(server.certificate, authority.certificate, wanted):
            server = _make_server(wanted, authority, now)
            _write_pair(issued.certificate, issued.key, server, (authority.certificate,))
    except OSError as error:
        raise TlsError(f"certificate folder {folder}: {error.strerror}") from error
    return issued


@value
class _Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def _usable(certificate_file: Path, key_file: Path, now: datetime) -> _Pair | None:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEW_BEFORE:
        return None
    return _Pair(certificate, key)


def _fits(certificate: x509.Certificate, authority: x509.Certificate, names: tuple[str, ...]) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except Exception:
        return False
    return set(alternative.value) == set(_general_names(names))


def _make_authority(now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # A name of its own for each authority: a verifier that trusts an older one must not mix them up.
    subject = _name("Estafeta", f"Estafeta trial authority {serial & 0xFFFFFFFF:08x}")
    builder = (
        _builder(subject, subject, key, serial, now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
    )
    return _Pair(builder.sign(key, hashes.SHA256()), key)


def _make_server(names: tuple[str, ...], authority: _Pair, now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # RFC 5280 §6.1.3: each certificate of the path must be valid, so not longer than its authority lives
    life = min(SERVER_LIFE, authority.certificate.not_valid_after_utc - now)
    serial = x509.random_serial_number()
    # The common name has 64 characters at most (RFC 5280 appendix A.1, ub-common-name).
    subject = _name("Estafeta", names[0][:64])
    issuer_key_id = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(subject, authority.certificate.subject, key, serial, now, life)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id), critical=False)
    )
    return _Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    serial: int,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(organization: str, common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _general_names(names: tuple[str, ...]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            try:
                found.append(x509.DNSName(name))
            except ValueError as error:
                raise TlsError(f"not a host name for a certificate: {name!r}") from error
    return found


def _write_pair(certificate_file: Path, key_file: Path, pair: _Pair, chain: tuple[x509.Certificate, ...]) -> None:
    key = pair.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificates = (pair.certificate, *chain)
    octets = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)
    _write(key_file, key, 0o600)
    _write(certificate_file, octets, 0o644)


def _write(file: Path, octets: bytes, mode: int) -> None:
    beside = file.with_name(f"{file.name}.{os.getpid()}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as new:
            new.write(octets)
            new.flush()
            os.fsync(new.fileno())
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
