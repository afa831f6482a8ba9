"""Certificates that log an account in (SASL EXTERNAL), by their SHA-256 fingerprints."""

from __future__ import annotations

from collections.abc import Iterable

from estafeta.mail.address import Address, AddressError
from estafeta.mail.value import value
from estafeta.store import accounts
from estafeta.store.addresses import address_of, key_of
from estafeta.store.engine import Transaction
from estafeta.store.errors import AlreadyExists, NotFound
from estafeta.store.records import Instant
from estafeta.store.statements import Statements

_sql = Statements("certificates")


@value
class KeptCertificate:
    """One certificate of an account."""

    fingerprint: str
    """SHA-256, in hexadecimal digits of lower case."""
    subject: str
    """Whose it says it is; empty for one that was added by its fingerprint."""
    added_at: Instant


def add(tx: Transaction, address: Address, fingerprint: str, *, subject: str, now: Instant) -> KeptCertificate:
    """Let the certificate log the account in. Raises NotFound, and AlreadyExists where it logs one in already."""
    if accounts.find(tx, address) is None:
        raise NotFound(f"there is no account {key_of(address)}")
    row = tx.one(_sql.find_certificate, fingerprint=fingerprint)
    if row is not None:
        raise AlreadyExists(f"the certificate is that of {row[0]} already")
    tx.do(_sql.add_certificate, fingerprint=fingerprint, address=key_of(address), subject=subject, now=now)
    return KeptCertificate(fingerprint, subject, now)


def list_of(tx: Transaction, address: Address) -> list[KeptCertificate]:
    """The certificates of an account, the oldest first."""
    rows = tx.run(_sql.list_certificates, address=key_of(address))
    return [KeptCertificate(fingerprint, subject, added_at) for fingerprint, subject, added_at in rows]


def remove(tx: Transaction, address: Address, fingerprint: str) -> None:
    """The certificate logs nobody in any more. Raises NotFound."""
    if not tx.do(_sql.remove_certificate, fingerprint=fingerprint, address=key_of(address)):
        raise NotFound(f"{key_of(address)} has no certificate {fingerprint}")


def account_of(tx: Transaction, fingerprint: str, mailboxes: Iterable[str]) -> Address | None:
    """The account of a certificate: by its fingerprint, else the first of its mail addresses that is an account's."""
    row = tx.one(_sql.find_certificate, fingerprint=fingerprint)
    if row is not None:
        return address_of(row[0])
    for mailbox in mailboxes:
        try:
            address = Address.parse(mailbox)
        except AddressError:
            continue
        account = accounts.find(tx, address)
        if account is not None:
            return account.address
    return None
