"""What the certificate of a client says of its owner: mail addresses (RFC 5280 §4.2.1.6, RFC 9598), fingerprint."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from estafeta.mail.value import value
from estafeta.net.errors import TlsError

# RFC 9598 §3: id-on-SmtpUTF8Mailbox
_SMTP_UTF8_MAILBOX: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")
_UTF8_STRING: Final = 0x0C
_MAX_MAILBOXES: Final = 20
_MAX_SUBJECT: Final = 500
_MAX_FILE: Final = 1024 * 1024

UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises for a certificate that it cannot read, or for a part of it that is read when it is asked."""


@value
class ClientCertificate:
    """What is known of a client that showed it."""

    fingerprint: str
    """SHA-256 of the certificate, in hexadecimal digits of lower case."""
    mailboxes: tuple[str, ...]
    """The mail addresses of its subject alternative name, as they stand there."""
    subject: str
    """Its subject, for people (RFC 4514)."""


def client_certificate(der: bytes) -> ClientCertificate:
    """Read a certificate in DER form; one whose names cannot be read has none."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        mailboxes, subject = _mailboxes(certificate), certificate.subject.rfc4514_string()[:_MAX_SUBJECT]
    except UNREADABLE:
        mailboxes, subject = (), ""
    return ClientCertificate(hashlib.sha256(der).hexdigest(), mailboxes, subject)


def certificate_in(file: Path) -> bytes:
    """The first certificate of a PEM file, in DER form; raises TlsError naming the file."""
    try:
        with file.open("rb") as opened:
            octets = opened.read(_MAX_FILE)
        return x509.load_pem_x509_certificate(octets).public_bytes(Encoding.DER)
    except OSError as error:
        raise TlsError(f"certificate file {file}: {error.strerror}") from error
    except UNREADABLE as error:
        raise TlsError(f"certificate file {file}: no certificate in PEM form") from error


def fingerprint_of(text: str) -> str | None:
    """A SHA-256 fingerprint as people write it, with colons or in upper case; None when it is none."""
    digits = text.replace(":", "").lower()
    return digits if re.fullmatch(r"[0-9a-f]{64}", digits) else None


def _mailboxes(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    found = list(names.get_values_for_type(x509.RFC822Name))
    for other in names.get_values_for_type(x509.OtherName):
        if other.type_id == _SMTP_UTF8_MAILBOX and (text := _utf8_string(other.value)) is not None:
            found.append(text)
    return tuple(found[:_MAX_MAILBOXES])


def _utf8_string(der: bytes) -> str | None:
    """The text of a UTF8String; an address needs no more than two octets of length."""
    if len(der) < 2 or der[0] != _UTF8_STRING:
        return None
    at, size = 2, der[1]
    if size in (0x81, 0x82):
        at += size - 0x80
        size = int.from_bytes(der[2:at])
    if size != len(der) - at:
        return None
    try:
        return der[at:].decode("utf-8")
    except UnicodeDecodeError:
        return None
