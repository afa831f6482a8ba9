"""Chains of certificates: the ways from a server's certificate up to one that is trusted (RFC 5280 §6).

OpenSSL checks chains in the handshake, and says yes or no to the connection. Here they are checked afterwards, for
what it does not do: anchors that the DNS names (DANE-TA), and whether a check would have failed.
"""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier

from estafeta.net.certificates import UNREADABLE
from estafeta.net.tls import CertificateFault, CertificateRefused, client_context, matching_name

MAX_CHAIN = 10
"""Certificates of a chain that are looked at: more than any authority's chain has."""
MAX_PATHS = 20
"""Paths that are tried: each costs up to MAX_CHAIN signatures, and an honest chain has a few."""

# RFC 5280 §4.2: a critical extension that is not understood makes a certificate useless.
_UNDERSTOOD: frozenset[ObjectIdentifier] = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
    }
)


def load_chain(chain: Sequence[bytes]) -> list[x509.Certificate]:
    """The certificates of a chain in DER form, as many as are looked at. Raises CertificateRefused."""
    if not chain:
        raise CertificateRefused(CertificateFault.UNTRUSTED, "the server showed none")
    try:
        return [x509.load_der_x509_certificate(one) for one in chain[:MAX_CHAIN]]
    except UNREADABLE as error:
        raise CertificateRefused(CertificateFault.UNTRUSTED, "the chain cannot be read") from error


def paths(
    leaf: x509.Certificate, above: list[tuple[x509.Certificate, bytes]]
) -> Iterator[tuple[list[x509.Certificate], bytes | None]]:
    """Paths from the leaf upwards whose signatures hold, each with the octets of its last certificate above the leaf.

    Where an authority has several certificates, each is followed, within a limit that ends a game of mirrors.
    """
    waiting: list[tuple[list[x509.Certificate], bytes | None]] = [([leaf], None)]
    for _ in range(MAX_PATHS):
        if not waiting:
            return
        path, last = waiting.pop(0)
        yield path, last
        waiting += [([*path, one], octets) for one, octets in above if one not in path and _has_issued(one, path[-1])]


def _has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def is_signed_by_key(certificate: x509.Certificate, spki: bytes) -> bool:
    """Whether a public key (SubjectPublicKeyInfo, DER) made the signature of a certificate."""
    try:
        key = load_der_public_key(spki)
        parameters = certificate.signature_algorithm_parameters
        octets, signature = certificate.tbs_certificate_bytes, certificate.signature
        algorithm = certificate.signature_hash_algorithm
        if isinstance(key, rsa.RSAPublicKey):
            if algorithm is None or isinstance(parameters, ec.ECDSA) or parameters is None:
                return False
            key.verify(signature, octets, parameters, algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            if not isinstance(parameters, ec.ECDSA):
                return False
            key.verify(signature, octets, parameters)
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, octets)
        elif isinstance(key, dsa.DSAPublicKey) and algorithm is not None:
            key.verify(signature, octets, algorithm)
        else:
            return False
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def check_path(path: Sequence[x509.Certificate], now: datetime, *, has_anchor: bool = True) -> None:
    """Check a path, leaf first, whose signatures hold: dates, and what each certificate may do.

    The last one is trusted itself, unless a bare key above it is (not `has_anchor`). Raises CertificateRefused.
    """
    leaf = path[0]
    for depth, certificate in enumerate(path):
        _check_dates(certificate, now)
        extensions = _extensions(certificate)
        _check_understood(extensions)
        if depth == 0:
            _check_purpose(extensions)
        else:
            _check_authority(extensions, depth - 1, is_anchor=has_anchor and depth == len(path) - 1)
            _check_constraints(extensions, leaf)


def _check_dates(certificate: x509.Certificate, now: datetime) -> None:
    if now > certificate.not_valid_after_utc:
        raise CertificateRefused(CertificateFault.EXPIRED, f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}")
    if now < certificate.not_valid_before_utc:
        raise CertificateRefused(
            CertificateFault.EXPIRED, f"not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"
        )


def _extensions(certificate: x509.Certificate) -> x509.Extensions:
    try:
        return certificate.extensions
    except UNREADABLE as error:
        raise CertificateRefused(CertificateFault.UNTRUSTED, "an extension cannot be read") from error


def _check_understood(extensions: x509.Extensions) -> None:
    for extension in extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            reason = f"the critical extension {extension.oid.dotted_string} is unknown"
            raise CertificateRefused(CertificateFault.UNTRUSTED, reason)


def _check_purpose(extensions: x509.Extensions) -> None:
    try:
        usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages):
        raise CertificateRefused(CertificateFault.UNTRUSTED, "it is not for servers")


def _check_authority(extensions: x509.Extensions, between: int, *, is_anchor: bool) -> None:
    """RFC 5280 §6.1.4 (k) to (n); `between` certificates stand between this one and the leaf."""
    try:
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        # An anchor is trusted because the DNS says so; old ones of version 1 have no extensions.
        if not is_anchor:
            raise CertificateRefused(CertificateFault.UNTRUSTED, "what signed it is no authority") from None
    else:
        if not constraints.ca:
            raise CertificateRefused(CertificateFault.UNTRUSTED, "what signed it is no authority")
        if constraints.path_length is not None and between > constraints.path_length:
            raise CertificateRefused(CertificateFault.UNTRUSTED, "its chain is longer than an authority allows")
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not usage.key_cert_sign:
        raise CertificateRefused(CertificateFault.UNTRUSTED, "what signed it may not sign certificates")


def _check_constraints(extensions: x509.Extensions, leaf: x509.Certificate) -> None:
    """RFC 5280 §4.2.1.10, for DNS names: those that a mail server is known by."""
    try:
        constraints = extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [name.lower() for name in alternative.get_values_for_type(x509.DNSName)]
    except x509.ExtensionNotFound:
        # The common name would get round the constraints.
        raise CertificateRefused(
            CertificateFault.UNTRUSTED, "an authority constrains its names and it has none"
        ) from None
    permitted = [one.value for one in constraints.permitted_subtrees or () if isinstance(one, x509.DNSName)]
    excluded = [one.value for one in constraints.excluded_subtrees or () if isinstance(one, x509.DNSName)]
    for name in names:
        if (permitted and not any(_is_within(name, one) for one in permitted)) or any(
            _is_within(name, one) for one in excluded
        ):
            raise CertificateRefused(CertificateFault.UNTRUSTED, f"an authority may not speak for {name}"[:300])


def _is_within(name: str, tree: str) -> bool:
    tree = tree.lower().removeprefix(".")
    return not tree or name == tree or name.endswith("." + tree)


class Authorities:
    """The authorities of a PEM file, or of the system: would a chain lead to one of them?"""

    def __init__(self, ca_file: Path | None = None) -> None:
        """Raises TlsError when the file cannot be used."""
        self._by_subject: dict[x509.Name, list[tuple[x509.Certificate, bytes]]] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old authorities break rules of which the library warns
            for octets in _authorities(ca_file):
                try:
                    certificate = x509.load_der_x509_certificate(octets)
                    self._by_subject.setdefault(certificate.subject, []).append((certificate, octets))
                except UNREADABLE:
                    continue

    def check(self, chain: Sequence[bytes], names: Iterable[str], now: datetime) -> str:
        """The name, of those given, that a chain (DER, leaf first) is good for. Raises CertificateRefused."""
        shown = load_chain(chain)
        name = matching_name(shown[0], names)
        trusted = [pair for one in shown for pair in self._above(one)]
        octets = {known for _, known in trusted}
        refusal = CertificateRefused(CertificateFault.UNTRUSTED, "no chain leads to an authority that is trusted")
        for path, last in paths(shown[0], [*trusted, *zip(shown[1:], chain[1:], strict=False)]):
            if last in octets:
                try:
                    check_path(path, now)
                except CertificateRefused as error:
                    refusal = error
                else:
                    return name
        raise refusal

    def _above(self, certificate: x509.Certificate) -> Sequence[tuple[x509.Certificate, bytes]]:
        """The authorities of the name that a certificate says it was issued by."""
        try:
            return self._by_subject.get(certificate.issuer, ())
        except UNREADABLE:  # names are read when they are asked for
            return ()


def _authorities(ca_file: Path | None) -> list[bytes]:
    context = client_context(ca_file)
    if ca_file is None:
        # OpenSSL reads the files of a folder only when it needs them.
        folder = ssl.get_default_verify_paths().capath
        for file in sorted(Path(folder).glob("*.[0-9]")) if folder else ():
            try:
                context.load_verify_locations(file)
            except (ssl.SSLError, OSError):
                continue
    return context.get_ca_certs(binary_form=True)
