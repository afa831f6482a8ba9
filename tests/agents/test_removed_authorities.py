"""A certificate authority that is taken out of the file: its clients come in no more, nor by older sessions."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.agents.conftest import NO_DNS, populate

from estafeta.app import PostOffice, new_event_loop
from estafeta.config.settings import Listen, ListenerKind, Settings, TlsSettings
from estafeta.net.authority import Issued

COMMANDS = (b"EHLO client.example.net", b"AUTH EXTERNAL =")


def certificate(
    subject: str, authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """An authority, or one of its clients whose mail address is the subject."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    issuer, signer = (authority[0].subject, authority[1]) if authority else (name, key)
    builder = x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
    if authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.RFC822Name(subject)]), critical=False)
    return builder.sign(signer, hashes.SHA256()), key


def talk(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> tuple[str, ssl.SSLSession | None]:
    """The last reply, empty where the handshake failed; and what the next connection can resume."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as stream,
            stream.makefile("rb") as lines,
        ):
            reply = lines.readline()
            for command in COMMANDS:
                stream.sendall(command + b"\r\n")
                while (reply := lines.readline())[3:4] == b"-":
                    pass
            return reply.decode(), stream.session
    except OSError:
        return "", None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_of_before_does_not_bring_back_a_certificate(
    tmp_path: Path, issued: Issued, version: ssl.TLSVersion
) -> None:
    first, second = certificate("First", None), certificate("Second", None)
    shown, key = certificate("ana@example.org", first)
    own, trusted = tmp_path / "ana.pem", tmp_path / "authorities.pem"
    own.write_bytes(
        shown.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    trusted.write_bytes(first[0].public_bytes(Encoding.PEM))
    settings = Settings(
        hostname="mx.example.org",
        data=tmp_path / "data",
        listen=(Listen(kind=ListenerKind.SUBMISSIONS, address="127.0.0.1", port=0),),
        tls=TlsSettings(certificate=issued.certificate, key=issued.key, client_authorities=trusted),
        dns=NO_DNS,
    )
    context = ssl.create_default_context(cafile=issued.authority)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(own)

    async def main() -> None:
        async with PostOffice(settings) as office:
            await office.store.write(populate)
            port = office.port(ListenerKind.SUBMISSIONS)
            reply, session = await asyncio.to_thread(talk, port, context, None)
            assert reply.startswith("235 ")
            trusted.write_bytes(second[0].public_bytes(Encoding.PEM))
            await office.reload(settings)
            reply, _ = await asyncio.to_thread(talk, port, context, session)
            assert not reply.startswith("235 ")

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
