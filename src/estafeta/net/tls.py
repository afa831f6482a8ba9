"""TLS contexts of both sides, certificate facts, the channel binding `tls-server-end-point` (RFC 5929 §4).

A `ServerTls` has one context for its whole life. What a handshake uses is chosen at its ClientHello from the
certificate loaded last, so a reload needs no restart and no one has to be told of it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from estafeta.mail.value import value
from estafeta.net.certificates import UNREADABLE
from estafeta.net.errors import TlsError

MinimumTls: TypeAlias = Literal["1.2", "1.3"]

# TLS 1.2: forward secrecy only. AES in CBC mode comes last, for mail clients of before 2015: for a peer that
# is free to send in the clear, it is better than nothing. TLS 1.3 has its own list, all of it good.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!AESCCM"
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and _HAS_EXPIRED; _HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH.
_EXPIRED = (9, 10)
_MISMATCHED = (62, 64)
# What OpenSSL's own certificate objects call the DER form.
_DER = 2


class CertificateFault(StrEnum):
    """What is wrong with a certificate."""

    NAME = "name"
    """It is for another name."""
    EXPIRED = "expired"
    """Its time, or that of a certificate above it, is over or has not come."""
    UNTRUSTED = "untrusted"
    """No chain leads to an authority that is trusted, or something in the chain forbids it."""
    TLSA = "tlsa"
    """No TLSA record of the DNS speaks for it (RFC 6698)."""


class CertificateRefused(TlsError):
    """The peer's certificate is not accepted."""

    def __init__(self, fault: CertificateFault, reason: str) -> None:
        super().__init__(f"certificate not accepted: {reason}")
        self.fault = fault


@dataclass(frozen=True, slots=True)
class TlsClientSettings:
    """What this host shows and trusts when it is the client of another mail server."""

    certificate: Path | None = None
    """PEM file with a certificate and its chain, shown to servers that ask for one; none when left out."""
    key: Path | None = None
    """PEM file with the private key of that certificate; left out when it is in the same file."""
    ca_file: Path | None = None
    """PEM file of the authorities trusted where a certificate is checked; the system's when left out."""


@value
class TlsFacts:
    """What was agreed in one TLS handshake."""

    version: str
    """As OpenSSL calls it: `TLSv1.3`."""
    cipher: str
    bits: int
    server_name: str | None
    """The name that the client asked for (SNI)."""
    channel_binding: bytes | None
    """The data of `tls-server-end-point`; None where RFC 5929 §4.1 leaves it undefined."""
    client_certificate: bytes | None = None
    """At the server: the verified certificate of the client, in DER form; None where none was asked for or shown, and
    where the session was resumed."""


@value
class CertificateFacts:
    """What a certificate says of itself."""

    names: tuple[str, ...]
    """DNS names and IP addresses of the subject alternative name."""
    not_before: datetime
    not_after: datetime
    channel_binding: bytes | None


class ServerSslObject(ssl.SSLObject):
    """The server's end of one TLS connection, with what its ClientHello asked for and was shown."""

    server_name: str | None = None
    shown: CertificateFacts | None = None
    is_shown_for_certain: bool = False
    """False after a reload: a resumed session may be bound to the certificate of before."""


class ServerTls:
    """The certificate and key that a server shows, and the context that shows them.

    With `client_authorities`, a PEM file, clients are asked for a certificate; one that is shown must be of these, or
    the handshake fails. Raises TlsError, naming the file, when files are missing, unreadable or do not belong together.
    """

    def __init__(
        self,
        certificate: str | Path,
        key: str | Path,
        minimum: MinimumTls = "1.2",
        *,
        client_authorities: str | Path | None = None,
    ) -> None:
        self.certificate = certificate = Path(certificate)
        self.key = key = Path(key)
        self.minimum: MinimumTls = minimum
        self.client_authorities = None if client_authorities is None else Path(client_authorities)
        self._shown, self._facts = self._load()
        self._is_reloaded = False
        self._context = _server_context(minimum)
        self._context.load_cert_chain(certificate, key)
        self._ask_clients(self._context)
        self._context.sslobject_class = ServerSslObject
        self._context.sni_callback = self._client_hello

    @property
    def context(self) -> ssl.SSLContext:
        """The context to serve with: always the same one, also after a reload."""
        return self._context

    @property
    def facts(self) -> CertificateFacts:
        """What the certificate in use says of itself."""
        return self._facts

    @property
    def channel_binding(self) -> bytes | None:
        """The data of `tls-server-end-point` for the certificate in use."""
        return self._facts.channel_binding

    @property
    def names(self) -> tuple[str, ...]:
        """The names that the certificate in use is good for."""
        return self._facts.names

    @property
    def not_after(self) -> datetime:
        """The end of the certificate's life, in UTC."""
        return self._facts.not_after

    def reload(self) -> None:
        """Read both files again; new handshakes show the new certificate.

        Raises TlsError and stays with the old pair when the new one cannot be used.
        """
        self._shown, self._facts = self._load()
        self._is_reloaded = True

    def _load(self) -> tuple[ssl.SSLContext, CertificateFacts]:
        facts = certificate_facts(self.certificate)
        try:
            self.key.read_bytes()
        except OSError as error:
            raise TlsError(f"key file {self.key}: {error.strerror}") from error
        context = _server_context(self.minimum)
        try:
            # Without an answer for the password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as error:
            reason = _reason(error)
            raise TlsError(f"key file {self.key} with certificate {self.certificate}: {reason}") from error
        self._ask_clients(context)
        return context, facts

    def _ask_clients(self, context: ssl.SSLContext) -> None:
        """Both contexts ask: the first decides that, the one shown holds the authorities."""
        if self.client_authorities is None:
            return
        context.verify_mode = ssl.CERT_OPTIONAL
        # Each connection shows its certificate anew; see tls_facts.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
        # A certificate in the file is trusted itself, so that one which signed itself can be named too.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            context.load_verify_locations(cafile=str(self.client_authorities))
        except (ssl.SSLError, OSError) as error:
            raise TlsError(f"authority file {self.client_authorities}: {_reason(error)}") from error

    def _client_hello(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._shown
        if isinstance(connection, ServerSslObject):
            connection.server_name = name
            connection.shown = self._facts
            connection.is_shown_for_certain = not self._is_reloaded


def _no_password() -> str:
    raise ValueError("the key is protected by a password")


def _server_context(minimum: MinimumTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[minimum]
    context.options |= (
        ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION | ssl.OP_SINGLE_ECDH_USE
    )
    context.set_ciphers(_CIPHERS)
    return context


def client_context(
    ca_file: Path | None = None, *, verify: bool = True, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """A context for connecting: TLS 1.2 and up, checked against `ca_file` or the system's authorities.

    Without `verify` any certificate will do, as opportunistic TLS between MTAs has it (RFC 7435).
    `certificate` and `key` are shown to servers that ask. Raises TlsError when a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as error:
            with_key = f" with key {key}" if key is not None else ""
            raise TlsError(f"client certificate {certificate}{with_key}: {_reason(error)}") from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context
    try:
        context.load_verify_locations(cafile=str(ca_file))
    except (ssl.SSLError, OSError) as error:
        raise TlsError(f"authority file {ca_file}: {_reason(error)}") from error
    return context


def certificate_facts(file: Path) -> CertificateFacts:
    """Read the first certificate of a PEM file, the server's own; raises TlsError naming the file."""
    try:
        octets = file.read_bytes()
    except OSError as error:
        raise TlsError(f"certificate file {file}: {error.strerror}") from error
    try:
        leaf = x509.load_pem_x509_certificate(octets)
        names, end_point = _names(leaf), _end_point(leaf)
    except UNREADABLE as error:
        raise TlsError(f"certificate file {file}: no certificate in PEM form") from error
    return CertificateFacts(names, leaf.not_valid_before_utc, leaf.not_valid_after_utc, end_point)


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = alternative.get_values_for_type(x509.IPAddress)
    return (*alternative.get_values_for_type(x509.DNSName), *(str(address) for address in addresses))


def matching_name(leaf: x509.Certificate, wanted: Iterable[str], *, common_name: bool = False) -> str:
    """The name of a certificate that is one of those wanted: host names, IP addresses, `.example.org` for all below it.

    With `common_name`, that of the subject stands in where the certificate has no DNS names (RFC 6125 §6.4.4).
    Raises CertificateRefused.
    """
    try:
        names = _names(leaf)
        if common_name and not any(_is_host(name) for name in names):
            subject = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            names += tuple(str(attribute.value) for attribute in subject)
    except UNREADABLE as error:
        raise CertificateRefused(CertificateFault.NAME, "its names cannot be read") from error
    asked = tuple(wanted)
    for name in names:
        if any(_name_fits(name.lower(), one.lower()) for one in asked):
            return name
    has = ", ".join(names[:5]) or "no name"
    raise CertificateRefused(CertificateFault.NAME, f"it is for {has}, not for {' or '.join(asked)}"[:500])


def _is_host(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return True
    return False


def _name_fits(name: str, wanted: str) -> bool:
    name = name.removesuffix(".")
    if wanted.startswith("."):
        return name.endswith(wanted)
    # RFC 6125 §6.4.3: the asterisk is the whole of the left-most label, and stands for one.
    if name.startswith("*."):
        label, dot, parent = wanted.partition(".")
        return bool(label and dot) and parent == name[2:] and _is_host(wanted)
    return name == wanted


def _end_point(leaf: x509.Certificate) -> bytes | None:
    # RFC 5929 §4.1: the hash function of the certificate's signature, SHA-256 for MD5 and SHA-1; undefined
    # for signatures that use none, such as Ed25519.
    algorithm = leaf.signature_hash_algorithm
    if algorithm is None:
        return None
    if isinstance(algorithm, hashes.MD5 | hashes.SHA1):
        return leaf.fingerprint(hashes.SHA256())
    return leaf.fingerprint(algorithm)


@lru_cache(maxsize=256)
def end_point_binding(certificate: bytes) -> bytes | None:
    """The data of `tls-server-end-point` for a server certificate in DER form (RFC 5929 §4.1)."""
    try:
        return _end_point(x509.load_der_x509_certificate(certificate))
    except UNREADABLE:
        return None


def tls_facts(connection: ssl.SSLObject, server_hostname: str | None) -> TlsFacts:
    """What was agreed on a connection whose handshake is done; raises TlsError when it is not."""
    cipher = connection.cipher()
    version = connection.version()
    if cipher is None or version is None:
        raise TlsError("no handshake took place")
    binding: bytes | None = None
    shown: bytes | None = None
    # A session that is resumed brings the certificate of its first handshake, which is not verified again (RFC 8446
    # §4.6.1): the authorities may be others by now.
    if connection.server_side and not connection.session_reused:
        shown = connection.getpeercert(binary_form=True)
    if isinstance(connection, ServerSslObject):
        name = connection.server_name
        if connection.shown and (connection.is_shown_for_certain or not connection.session_reused):
            binding = connection.shown.channel_binding
    else:
        name = server_hostname
        certificate = None if connection.server_side else connection.getpeercert(binary_form=True)
        binding = None if certificate is None else end_point_binding(certificate)
    return TlsFacts(version, cipher[0], cipher[2], name, binding, shown)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason is not None:
            return error.reason.replace("_", " ").lower()
        return "not in PEM form"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


def peer_chain(connection: ssl.SSLObject) -> tuple[bytes, ...]:
    """The certificates that the peer showed, in DER form, its own first; none when it showed none."""
    get: Callable[[], Sequence[Any]] | None = getattr(connection, "get_unverified_chain", None)
    if get is None:  # public since Python 3.13
        get = getattr(getattr(connection, "_sslobj", None), "get_unverified_chain", None)
    chain = (get() or ()) if get is not None else ()
    # What the private method gives are objects of OpenSSL; their default form is PEM.
    found = tuple(bytes(one) if isinstance(one, bytes) else one.public_bytes(_DER) for one in chain)
    if found:
        return found
    leaf = connection.getpeercert(binary_form=True)
    return () if leaf is None else (leaf,)


def handshake_error(error: ssl.SSLError) -> TlsError:
    """The failure of a handshake as what this room raises: CertificateRefused where the certificate was to blame."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return TlsError(_reason(error))
    if error.verify_code in _EXPIRED:
        return CertificateRefused(CertificateFault.EXPIRED, error.verify_message)
    fault = CertificateFault.NAME if error.verify_code in _MISMATCHED else CertificateFault.UNTRUSTED
    return CertificateRefused(fault, error.verify_message)
