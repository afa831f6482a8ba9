"""What certificates of clients say, and what they do not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from tests.net.certificates import DER, NOW, PEM, certify

from estafeta.net.certificates import certificate_in, client_certificate, fingerprint_of
from estafeta.net.errors import TlsError


@pytest.mark.rfc("5280 §4.2.1.6", "Mail addresses stand in the subject alternative name; other names are none.")
def test_mail_addresses_are_found_among_the_names() -> None:
    made = certify(
        "Ana", names=("ana.example.org", "192.0.2.1", "ana@example.org", "josé@example.org", "Ana@Example.net")
    )
    found = client_certificate(made.der)
    assert sorted(found.mailboxes) == ["Ana@Example.net", "ana@example.org", "josé@example.org"]
    assert found.fingerprint == hashlib.sha256(made.der).hexdigest()
    assert found.subject == "CN=Ana"


def test_the_common_name_is_no_address() -> None:
    assert client_certificate(certify("ana@example.org").der).mailboxes == ()


def _with_other_name(value: bytes) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    # The library writes no value that is not well formed: one of the same length is written, and replaced.
    size = len(value) - (2 if len(value) < 130 else 4)
    stand_in = b"\x16" + (bytes((size,)) if size < 128 else b"\x82" + size.to_bytes(2)) + b"x" * size
    mailbox = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), stand_in)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW)
        .add_extension(x509.SubjectAlternativeName([mailbox]), critical=True)
    )
    made = builder.sign(key, hashes.SHA256()).public_bytes(DER)
    at = made.index(stand_in, made.index(b"\x2b\x06\x01\x05\x05\x07\x08\x09"))  # behind the OID
    return made[:at] + value + made[at + len(value) :]


@pytest.mark.rfc("9598 §3", "A SmtpUTF8Mailbox is a UTF8String.")
@pytest.mark.parametrize(
    ("value", "mailboxes"),
    [
        (b"\x0c\x03a@b", ("a@b",)),
        (b"\x0c\x7f" + b"a" * 125 + b"@b", ("a" * 125 + "@b",)),
        (b"\x0c\x82\x01\x00" + b"a" * 254 + b"@b", ("a" * 254 + "@b",)),
        (b"\x16\x03a@b", ()),
        (b"\x0c\x04a@b", ()),
        (b"\x0c\x02a@b", ()),
        (b"\x0c\x83\x00\x00\x03a@b", ()),
        (b"\x0c\x80", ()),
        (b"\x0c\x02\xc3\x28", ()),
        (b"\x0c\x00", ("",)),
        (b"\x05\x00", ()),
    ],
)
def test_other_names_are_read_strictly(value: bytes, mailboxes: tuple[str, ...]) -> None:
    assert client_certificate(_with_other_name(value)).mailboxes == mailboxes


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"\xff" * 2000])
def test_what_is_no_certificate_names_nobody(der: bytes) -> None:
    found = client_certificate(der)
    assert (found.mailboxes, found.subject) == ((), "")


def test_a_file_gives_its_first_certificate(tmp_path: Path) -> None:
    first, second = certify("First"), certify("Second")
    file = tmp_path / "both.pem"
    file.write_bytes(first.certificate.public_bytes(PEM) + second.certificate.public_bytes(PEM))
    assert certificate_in(file) == first.der
    file.write_bytes(b"nothing")
    with pytest.raises(TlsError, match=r"file .*both"):
        certificate_in(file)
    with pytest.raises(TlsError, match=r"file .*none"):
        certificate_in(tmp_path / "none.pem")


@pytest.mark.parametrize(
    ("text", "fingerprint"),
    [
        ("0a" * 32, "0a" * 32),
        (":".join(["0A"] * 32), "0a" * 32),
        ("0a" * 31, None),
        ("0g" * 32, None),
        ("laptop.pem", None),
    ],
)
def test_fingerprints_are_read_as_people_write_them(text: str, fingerprint: str | None) -> None:
    assert fingerprint_of(text) == fingerprint
