"""The authority of one's own and the certificates it issues."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from estafeta.net.authority import RENEW_BEFORE, SERVER_LIFE, issue
from estafeta.net.errors import TlsError
from estafeta.net.tls import ServerTls

NAMES = ["mail.example.org", "localhost", "127.0.0.1", "::1"]


@pytest.mark.rfc("5280 §4.2", "The trial's certificates pass a strict verifier.")
def test_the_strict_verifier_of_cryptography_accepts_the_chain(tmp_path: Path) -> None:
    issued = issue(tmp_path, NAMES)
    leaf, authority = x509.load_pem_x509_certificates(issued.certificate.read_bytes())
    builder = PolicyBuilder().store(Store([authority]))
    builder.build_server_verifier(x509.DNSName("mail.example.org")).verify(leaf, [])
    builder.build_server_verifier(x509.IPAddress(ipaddress.ip_address("::1"))).verify(leaf, [])


@pytest.mark.parametrize("name", NAMES)
def test_openssl_accepts_the_chain_strictly(name: str, tmp_path: Path) -> None:
    issued = issue(tmp_path, NAMES)
    tls = ServerTls(issued.certificate, issued.key)
    context = ssl.create_default_context(cafile=str(issued.authority))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with tls.context.wrap_socket(theirs, server_side=True) as server:
            server.sendall(b"220")

    thread = threading.Thread(target=serve)
    thread.start()
    with context.wrap_socket(ours, server_hostname=name) as client:
        assert client.recv(10) == b"220"
    thread.join()


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    issued = issue(tmp_path / "tls", NAMES)
    for file in (issued.key, tmp_path / "tls" / "authority.key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700


def test_what_still_fits_is_kept(tmp_path: Path) -> None:
    first = issue(tmp_path, NAMES).certificate.read_bytes()
    assert issue(tmp_path, NAMES).certificate.read_bytes() == first


def test_other_names_get_another_certificate_from_the_same_authority(tmp_path: Path) -> None:
    before = issue(tmp_path, NAMES)
    authority, certificate = before.authority.read_bytes(), before.certificate.read_bytes()
    after = issue(tmp_path, ["other.example.org"])
    assert after.authority.read_bytes() == authority
    assert after.certificate.read_bytes() != certificate
    assert ServerTls(after.certificate, after.key).names == ("other.example.org",)


def test_a_certificate_about_to_expire_is_made_anew(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    first = issue(tmp_path, NAMES, now=now).certificate.read_bytes()
    soon = now + SERVER_LIFE - RENEW_BEFORE
    assert issue(tmp_path, NAMES, now=soon - timedelta(hours=1)).certificate.read_bytes() == first
    assert issue(tmp_path, NAMES, now=soon).certificate.read_bytes() != first


def test_files_that_do_not_belong_together_are_replaced(tmp_path: Path) -> None:
    issued = issue(tmp_path, NAMES)
    issued.key.write_text("nonsense")
    again = issue(tmp_path, NAMES)
    assert ServerTls(again.certificate, again.key).names == tuple(NAMES)


@pytest.mark.parametrize("names", [[], ["bücher.example"]])
def test_names_that_no_certificate_can_have_are_refused(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(TlsError):
        issue(tmp_path, names)
