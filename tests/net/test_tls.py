"""Server certificates, their reload, and channel bindings."""

from __future__ import annotations

import hashlib
import shutil
import ssl
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from tests.net.certificates import certify

from estafeta.net.authority import Issued, issue
from estafeta.net.errors import ConnectionLost, TlsError
from estafeta.net.listener import listen
from estafeta.net.stream import SocketStream, connect
from estafeta.net.tls import (
    CertificateFault,
    CertificateRefused,
    MinimumTls,
    ServerTls,
    client_context,
    end_point_binding,
    matching_name,
)

Run = Callable[[Coroutine[Any, Any, None]], None]
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def self_signed(key: Key, algorithm: hashes.SHA256 | hashes.SHA384 | None) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(7)
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.public_key(key.public_key()).sign(key, algorithm)


def copied(issued: Issued, folder: Path) -> ServerTls:
    shutil.copy(issued.certificate, folder / "server.pem")
    shutil.copy(issued.key, folder / "server.key")
    return ServerTls(folder / "server.pem", folder / "server.key")


async def greet(stream: SocketStream) -> None:
    stream.send(b"220")
    await stream.receive()


def test_the_facts_are_the_certificates(issued: Issued) -> None:
    tls = ServerTls(issued.certificate, issued.key)
    assert tls.names == ("localhost", "mail.example.org", "127.0.0.1", "::1")
    assert tls.not_after > datetime.now(UTC) + timedelta(days=300)
    leaf = x509.load_pem_x509_certificate(issued.certificate.read_bytes())
    der = leaf.public_bytes(serialization.Encoding.DER)
    assert tls.channel_binding == hashlib.sha256(der).digest() == end_point_binding(der)


@pytest.mark.rfc("5929 §4.1", "The binding uses the hash function of the certificate's signature.")
def test_the_binding_uses_the_hash_of_the_signature() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    der = self_signed(key, hashes.SHA384()).public_bytes(serialization.Encoding.DER)
    assert end_point_binding(der) == hashlib.sha384(der).digest()


def test_no_binding_is_defined_for_a_signature_without_a_hash() -> None:
    der = self_signed(ed25519.Ed25519PrivateKey.generate(), None).public_bytes(serialization.Encoding.DER)
    assert end_point_binding(der) is None
    assert end_point_binding(b"no certificate") is None


def test_a_reload_shows_the_new_certificate_through_the_same_context(run: Run, issued: Issued, tmp_path: Path) -> None:
    async def main() -> None:
        tls = copied(issued, tmp_path)
        context = tls.context
        listener = await listen("127.0.0.1", 0, greet, tls=tls)
        trust = client_context(verify=False)
        before = await connect("127.0.0.1", listener.port, context=trust, timeout=5)
        assert before.tls is not None and before.tls.channel_binding == tls.channel_binding

        # another kind of key, so that the old one must be gone and not only joined
        key = rsa.generate_private_key(65537, 2048)
        certificate = self_signed(key, hashes.SHA256())
        tls.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        tls.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        tls.reload()
        assert tls.context is context
        after = await connect("127.0.0.1", listener.port, context=trust, timeout=5)
        assert after.tls is not None
        der = certificate.public_bytes(serialization.Encoding.DER)
        assert after.tls.channel_binding == tls.channel_binding == hashlib.sha256(der).digest()
        assert after.tls.channel_binding != before.tls.channel_binding
        await before.close()
        await after.close()
        assert await listener.drain(5)

    run(main())


@pytest.mark.parametrize("broken", ["certificate", "key", "missing", "mismatch"])
def test_a_bad_new_pair_is_named_and_leaves_the_old_one(broken: str, issued: Issued, tmp_path: Path) -> None:
    tls = copied(issued, tmp_path)
    binding = tls.channel_binding
    if broken == "certificate":
        tls.certificate.write_text("nonsense")
        expected = rf"certificate file {tls.certificate}: no certificate in PEM form"
    elif broken == "key":
        tls.key.write_text("nonsense")
        expected = rf"key file {tls.key} with certificate .*: \S"
    elif broken == "missing":
        tls.key.unlink()
        expected = rf"key file {tls.key}: No such file or directory"
    else:
        other = issue(tmp_path / "other", ["localhost"])
        shutil.copy(other.key, tls.key)
        expected = rf"key file {tls.key} with certificate .*: key values mismatch"
    with pytest.raises(TlsError, match=expected):
        tls.reload()
    assert tls.channel_binding == binding
    with pytest.raises(TlsError):
        ServerTls(tls.certificate, tls.key)


def test_a_key_with_a_password_is_an_error_and_not_a_question(issued: Issued, tmp_path: Path) -> None:
    tls = copied(issued, tmp_path)
    key = serialization.load_pem_private_key(tls.key.read_bytes(), None)
    tls.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(TlsError, match="protected by a password"):
        tls.reload()


@pytest.mark.rfc("8314 §4.1", "The oldest version of the settings holds.")
@pytest.mark.parametrize(("minimum", "works"), [("1.2", True), ("1.3", False)])
def test_the_minimum_version_holds(run: Run, issued: Issued, minimum: MinimumTls, works: bool) -> None:
    async def main() -> None:
        tls = ServerTls(issued.certificate, issued.key, minimum)
        listener = await listen("127.0.0.1", 0, greet, tls=tls)
        context = client_context(issued.authority)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        if works:
            stream = await connect("127.0.0.1", listener.port, context=context, timeout=5)
            assert stream.tls is not None and stream.tls.version == "TLSv1.2"
            assert stream.tls.cipher.startswith("ECDHE-ECDSA-")
            await stream.close()
        else:
            with pytest.raises((TlsError, ConnectionLost)):  # the alert may be overtaken by the close
                await connect("127.0.0.1", listener.port, context=context, timeout=5)
        assert await listener.drain(5)

    run(main())


def test_an_authority_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(TlsError, match=rf"authority file {tmp_path}/none\.pem: No such file"):
        client_context(tmp_path / "none.pem")


@pytest.mark.rfc("6125 §6.4.3", "A wildcard stands for one whole label.")
@pytest.mark.parametrize(
    ("has", "wanted", "fits"),
    [
        (("mx.example.org",), ("mx.example.org",), True),
        (("MX.example.org",), ("mx.EXAMPLE.org",), True),
        (("*.example.org",), ("mx.example.org",), True),
        (("*.example.org",), ("a.mx.example.org",), False),
        (("*.example.org",), ("example.org",), False),
        (("*.example.org",), (".example.org",), True),
        (("a.b.example.org",), (".example.org",), True),
        (("example.org",), (".example.org",), False),
        (("badexample.org",), (".example.org",), False),
        (("192.0.2.1",), ("192.0.2.1",), True),
        (("2001:db8::1",), ("2001:db8::1",), True),
        (("*.0.2.1",), ("192.0.2.1",), False),
        (("192.0.2.1",), ("mx.example.org",), False),
        (("a.example", "b.example"), ("c.example", "b.example"), True),
        ((), ("leaf",), False),
    ],
)
def test_a_certificate_is_for_the_names_in_it(has: tuple[str, ...], wanted: tuple[str, ...], fits: bool) -> None:
    leaf = certify("leaf", names=has).certificate
    if fits:
        assert matching_name(leaf, wanted) in has
    else:
        with pytest.raises(CertificateRefused) as refused:
            matching_name(leaf, wanted)
        assert refused.value.fault is CertificateFault.NAME


@pytest.mark.rfc("6125 §6.4.4", "The common name counts only without other names, and where it is asked for.")
def test_the_common_name_counts_only_where_asked_for_and_without_other_names() -> None:
    bare = certify("mx.example.org").certificate
    assert matching_name(bare, ["mx.example.org"], common_name=True) == "mx.example.org"
    with pytest.raises(CertificateRefused):
        matching_name(bare, ["mx.example.org"])
    named = certify("mx.example.org", names=("other.example",)).certificate
    with pytest.raises(CertificateRefused):
        matching_name(named, ["mx.example.org"], common_name=True)


def test_a_client_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    certificate, key = certify("a").write(tmp_path)
    assert client_context(verify=False, certificate=certificate, key=key)
    certify("b").write(tmp_path)
    certificate.write_bytes(certify("c").certificate.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(TlsError, match=r"client certificate .*made\.pem with key .*made\.key: "):
        client_context(verify=False, certificate=certificate, key=key)
    with pytest.raises(TlsError, match=r"client certificate .*none\.pem: No such file"):
        client_context(verify=False, certificate=tmp_path / "none.pem")
