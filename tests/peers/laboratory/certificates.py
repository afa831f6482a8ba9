"""Certificates of the laboratory's hosts, and the TLSA records that speak of them."""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from tests.peers.laboratory.isolation import Laboratory

from estafeta.net.authority import Issued, issue


def authority(laboratory: Laboratory) -> Path:
    """The certificate of the laboratory's one authority, which is three years old."""
    folder = laboratory.folder / "authority"
    if not folder.exists():
        issue(folder, ["authority.example"], now=datetime.now(UTC) - timedelta(days=1100))
    return folder / "authority.pem"


def certificate_for(laboratory: Laboratory, *names: str, is_expired: bool = False) -> Issued:
    """A certificate of the laboratory's authority."""
    now = datetime.now(UTC)
    folder = laboratory.make_folder("tls")
    for file in ("authority.pem", "authority.key"):
        shutil.copy(authority(laboratory).with_name(file), folder / file)
    return issue(folder, names, now=now - timedelta(days=500) if is_expired else now)


def tlsa(issued: Issued, usage: int = 3) -> str:
    """The data of a TLSA record for the public key of the host (usage 3) or of its authority (2): RFC 6698 §2.1."""
    file = issued.authority if usage == 2 else issued.certificate
    key = x509.load_pem_x509_certificates(file.read_bytes())[0].public_key()
    octets = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"{usage} 1 1 {hashlib.sha256(octets).hexdigest()}"
