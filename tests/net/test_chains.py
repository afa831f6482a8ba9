"""Chains up to an authority: accepted and refused as OpenSSL does it in a handshake."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.net.certificates import PEM, Certified, certify, rsa_key

from estafeta.net.certificates import client_certificate
from estafeta.net.chains import Authorities
from estafeta.net.dane import check_tlsa
from estafeta.net.dns import TlsaRecord
from estafeta.net.errors import TlsError
from estafeta.net.tls import CertificateFault, CertificateRefused, client_context, end_point_binding, handshake_error

NOW = datetime.now(UTC)
MX = "mx.example.org"
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)

ROOT = certify("root", is_authority=True, signs=True, now=NOW)
STRANGER = certify("stranger", is_authority=True, signs=True, now=NOW)
EXPIRED_ROOT = certify("expired", is_authority=True, now=NOW, days=(-9, -1))
TRUSTED = (ROOT, EXPIRED_ROOT)

MIDDLE = certify("middle", ROOT, is_authority=True, path_length=0, signs=True, now=NOW)
DEEPER = certify("deeper", MIDDLE, is_authority=True, now=NOW)
NO_AUTHORITY = certify("no authority", ROOT, now=NOW)
EXPIRED = certify("expired middle", ROOT, is_authority=True, now=NOW, days=(-9, -1))
ELSEWHERE = certify("elsewhere", ROOT, is_authority=True, now=NOW, permitted=("example.net",))
HERE = certify("here", ROOT, is_authority=True, now=NOW, permitted=("example.org",), excluded=("no.example.org",))
FORGED = certify("", is_authority=True, now=NOW, subject=ROOT.certificate.subject)


def leaf(issuer: Certified | None, *names: str, days: tuple[float, float] = (-1, 9), client: bool = False) -> Certified:
    usages = (ExtendedKeyUsageOID.CLIENT_AUTH,) if client else SERVER
    return certify("leaf", issuer, names=names or (MX,), usages=usages, now=NOW, days=days)


GOOD = {
    "below the root": (leaf(ROOT),),
    "the root is shown": (leaf(ROOT), ROOT),
    "with one between": (leaf(MIDDLE), MIDDLE),
    "a stranger beside": (leaf(MIDDLE), STRANGER, MIDDLE),
    "a wildcard": (leaf(ROOT, "*.example.org"),),
    "one of several names": (leaf(ROOT, "a.example", MX, "192.0.2.1"),),
    "within its constraints": (leaf(HERE), HERE),
    "an RSA key": (certify("rsa", ROOT, names=(MX,), key=rsa_key(), now=NOW),),
}

BAD = {
    "by a stranger": ((leaf(STRANGER),), CertificateFault.UNTRUSTED),
    "a stranger who is shown": ((leaf(STRANGER), STRANGER), CertificateFault.UNTRUSTED),
    "by itself": ((leaf(None),), CertificateFault.UNTRUSTED),
    "what is between is missing": ((leaf(MIDDLE),), CertificateFault.UNTRUSTED),
    "a forged signature": ((leaf(FORGED),), CertificateFault.UNTRUSTED),
    "signed by a leaf": ((leaf(NO_AUTHORITY), NO_AUTHORITY), CertificateFault.UNTRUSTED),
    "too deep": ((leaf(DEEPER), DEEPER, MIDDLE), CertificateFault.UNTRUSTED),
    "expired": ((leaf(ROOT, days=(-9, -1)),), CertificateFault.EXPIRED),
    "not yet valid": ((leaf(ROOT, days=(1, 9)),), CertificateFault.EXPIRED),
    "expired between": ((leaf(EXPIRED), EXPIRED), CertificateFault.EXPIRED),
    "expired above": ((leaf(EXPIRED_ROOT),), CertificateFault.EXPIRED),
    "another name": ((leaf(ROOT, "other.example"),), CertificateFault.NAME),
    "a wildcard too high": ((leaf(ROOT, "*.org"),), CertificateFault.NAME),
    "a wildcard in part": ((leaf(ROOT, "m*.example.org"),), CertificateFault.NAME),
    "an address": ((leaf(ROOT, "192.0.2.1"),), CertificateFault.NAME),
    "for clients": ((leaf(ROOT, client=True),), CertificateFault.UNTRUSTED),
    "outside its constraints": ((leaf(ELSEWHERE), ELSEWHERE), CertificateFault.UNTRUSTED),
}


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file: Path = tmp_path_factory.mktemp("authorities") / "authorities.pem"
    file.write_bytes(b"".join(one.certificate.public_bytes(PEM) for one in TRUSTED))
    return file


def handshake(folder: Path, ca_file: Path, chain: tuple[Certified, ...]) -> TlsError | None:
    """What OpenSSL says of the chain."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*chain[0].write(folder, *chain[1:]))
    ways = [ssl.MemoryBIO(), ssl.MemoryBIO()]
    client = client_context(ca_file).wrap_bio(ways[0], ways[1], server_hostname=MX)
    server = serving.wrap_bio(ways[1], ways[0], server_side=True)
    for _ in range(5):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return handshake_error(error)
    assert client.version() is not None
    return None


@pytest.mark.rfc("5280 §6", "A good chain is accepted here and by OpenSSL.")
@pytest.mark.parametrize("what", GOOD)
def test_a_good_chain_is_accepted_here_and_by_openssl(what: str, tmp_path: Path, ca_file: Path) -> None:
    chain = GOOD[what]
    assert handshake(tmp_path, ca_file, chain) is None
    name = Authorities(ca_file).check([one.der for one in chain], ["other.example", MX], NOW)
    assert name in (MX, "*.example.org")


@pytest.mark.rfc("5280 §6", "A chain with a fault is refused for it.")
@pytest.mark.parametrize("what", BAD)
def test_a_bad_chain_is_refused_for_the_fault_that_openssl_finds(what: str, tmp_path: Path, ca_file: Path) -> None:
    chain, fault = BAD[what]
    theirs = handshake(tmp_path, ca_file, chain)
    assert isinstance(theirs, CertificateRefused)
    with pytest.raises(CertificateRefused) as refused:
        Authorities(ca_file).check([one.der for one in chain], [MX], NOW)
    assert refused.value.fault is theirs.fault is fault
    assert str(refused.value).startswith("certificate not accepted: ")


def test_nothing_and_nonsense_are_refused(ca_file: Path) -> None:
    for chain in ([], [b"\x30\x03\x02\x01\x00"]):
        with pytest.raises(CertificateRefused):
            Authorities(ca_file).check(chain, [MX], NOW)


@pytest.mark.parametrize(
    ("part", "other"),
    [
        (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05"),  # a version that there is not
        (b"\x0c\x0emx.example.org", b"\x01\x0emx.example.org"),  # a name that is no text
        (b"\x0c\x0emx.example.org", b"\x03\x0e\0x.example.org"),  # a name that is bits
        (b"\x2a\x86\x48\xce\x3d\x04\x03\x02", b"\x2a\x86\x48\xce\x3d\x04\x03\x7f"),  # a signature nobody knows
    ],
)
def test_what_a_library_cannot_read_of_a_certificate_is_refused(ca_file: Path, part: bytes, other: bytes) -> None:
    der = certify("mx.example.org", names=("mx.example.org",)).der
    assert part in der
    odd = der.replace(part, other)
    with pytest.raises(CertificateRefused):
        Authorities(ca_file).check([odd], ["mx.example.org"], NOW)
    with pytest.raises(CertificateRefused):
        check_tlsa([TlsaRecord(2, 0, 0, der)], [odd, odd], ["mx.example.org"], NOW)
    with pytest.raises(CertificateRefused):
        check_tlsa([TlsaRecord(2, 0, 0, odd)], [der], ["mx.example.org"], NOW)
    assert client_certificate(odd).mailboxes == ()
    assert end_point_binding(odd) in (None, sha256(odd).digest())


def test_the_authorities_of_the_system_are_no_ones_of_a_test() -> None:
    with pytest.raises(CertificateRefused) as refused:
        Authorities().check([leaf(ROOT).der], [MX], NOW + timedelta(seconds=1))
    assert refused.value.fault is CertificateFault.UNTRUSTED


def test_a_file_that_is_missing_or_has_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing\n")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(TlsError, match=name):
            Authorities(tmp_path / name)
