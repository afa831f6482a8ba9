"""`estafeta account certificate`: the certificates that log an account in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from estafeta.cli import options
from estafeta.cli.faults import CommandFault
from estafeta.cli.opening import opened
from estafeta.cli.options import config_option, json_option
from estafeta.cli.output import answer, document, instant, moment, table
from estafeta.mail.address import Address

if TYPE_CHECKING:
    from estafeta.store.certificates import KeptCertificate


@click.group("certificate")
def command() -> None:
    """Certificates that log an account in (SASL EXTERNAL).

    They have to be of an authority in tls.client_authorities, or in that file themselves. One that has the account's
    address among its names needs no entry here.
    """


@command.command("add")
@click.argument("address", type=options.address)
@click.argument("certificate", metavar="FILE|FINGERPRINT")
@config_option
@json_option
def add(address: Address, certificate: str, config: Path | None, as_json: bool) -> None:
    """Let a certificate log the account ADDRESS in: the first of a PEM file, or that of a fingerprint (SHA-256)."""
    from estafeta.store import certificates

    fingerprint, subject = _certificate(certificate)
    with opened(config) as store:
        now = store.now()
        kept = store.write(lambda tx: certificates.add(tx, address, fingerprint, subject=subject, now=now))
    answer(as_json, _record(kept), f"{address}: certificate {kept.fingerprint} added")


@command.command("list")
@click.argument("address", type=options.address)
@config_option
@json_option
def list_(address: Address, config: Path | None, as_json: bool) -> None:
    """List the certificates that were added for the account ADDRESS."""
    from estafeta.store import accounts, certificates

    with opened(config) as store:
        if store.read(lambda tx: accounts.find(tx, address)) is None:
            raise CommandFault(f"there is no account {address}")
        found = store.read(lambda tx: certificates.list_of(tx, address))
    if as_json:
        document([_record(kept) for kept in found])
        return
    table(
        ("FINGERPRINT", "SUBJECT", "ADDED"),
        ((kept.fingerprint, kept.subject, moment(kept.added_at)) for kept in found),
    )


@command.command("remove")
@click.argument("address", type=options.address)
@click.argument("certificate", metavar="FILE|FINGERPRINT")
@config_option
@json_option
def remove(address: Address, certificate: str, config: Path | None, as_json: bool) -> None:
    """Let a certificate that was added for the account ADDRESS log it in no more."""
    from estafeta.store import certificates

    fingerprint, _ = _certificate(certificate)
    with opened(config) as store:
        store.write(lambda tx: certificates.remove(tx, address, fingerprint))
    answer(
        as_json,
        {"address": address, "fingerprint": fingerprint, "removed": True},
        f"{address}: certificate {fingerprint} removed",
    )


def _certificate(text: str) -> tuple[str, str]:
    """Fingerprint and subject of what was named."""
    from estafeta.net.certificates import certificate_in, client_certificate, fingerprint_of
    from estafeta.net.errors import TlsError

    fingerprint = fingerprint_of(text)
    if fingerprint is not None:
        return fingerprint, ""
    try:
        certificate = client_certificate(certificate_in(Path(text)))
    except TlsError as error:
        raise CommandFault(str(error)) from error
    return certificate.fingerprint, certificate.subject


def _record(kept: KeptCertificate) -> dict[str, object]:
    return {"fingerprint": kept.fingerprint, "subject": kept.subject, "added_at": instant(kept.added_at)}
