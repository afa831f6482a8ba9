"""GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208 §4)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.reading import MAX_MODSEQ, Reader
from estafeta.wire.imap.request import Request


@value
class GetQuota(Request):
    """The limits of a root."""

    root: str


@value
class GetQuotaRoot(Request):
    """The roots of a mailbox."""

    mailbox: str


@value
class SetQuota(Request):
    """Other limits."""

    root: str
    limits: tuple[tuple[str, int], ...]


# getquota = "GETQUOTA" SP quota-root-name
def _read_quota(reader: Reader) -> GetQuota:
    reader.sp()
    root = reader.text()
    reader.end()
    return GetQuota(root)


# getquotaroot = "GETQUOTAROOT" SP mailbox
def _read_root(reader: Reader) -> GetQuotaRoot:
    reader.sp()
    mailbox = reader.mailbox()
    reader.end()
    return GetQuotaRoot(mailbox)


# setquota = "SETQUOTA" SP quota-root-name SP setquota-list
def _read_set(reader: Reader) -> SetQuota:
    reader.sp()
    root = reader.text()
    reader.sp()
    reader.expect(b"(")
    limits: list[tuple[str, int]] = []
    while not reader.skip(b")"):
        if limits:
            reader.sp()
        resource = reader.keyword()
        reader.sp()
        limits.append((resource, reader.number(MAX_MODSEQ)))
        if len(limits) > 10:
            break
    reader.end()
    return SetQuota(root, tuple(limits))


GETQUOTA = Command("GETQUOTA", AUTHENTICATED, _read_quota, "QUOTA")
GETQUOTAROOT = Command("GETQUOTAROOT", AUTHENTICATED, _read_root, "QUOTA")
SETQUOTA = Command("SETQUOTA", AUTHENTICATED, _read_set, "QUOTA")
