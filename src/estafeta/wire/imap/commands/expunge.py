"""EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import SELECTED, Command
from estafeta.wire.imap.numbers import NumberSet
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@value
class Expunge(Request):
    """Remove what is \\\\Deleted."""

    uids: NumberSet | None = None
    """Only these, for UID EXPUNGE."""


def _read(reader: Reader) -> Expunge:
    reader.end()
    return Expunge()


# "UID" SP "EXPUNGE" SP sequence-set
def _read_uid(reader: Reader) -> Expunge:
    reader.sp()
    uids = reader.sequence_set()
    reader.end()
    return Expunge(uids)


EXPUNGE = Command("EXPUNGE", SELECTED, _read)
UID_EXPUNGE = Command("UID EXPUNGE", SELECTED, _read_uid, "UIDPLUS")
