"""SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3; RFC 7162)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.numbers import STAR, NumberSet
from estafeta.wire.imap.reading import MAX_MODSEQ, GrammarError, Reader
from estafeta.wire.imap.request import Request


@value
class QResync:
    """What the client knows of the mailbox (RFC 7162 §3.2.5)."""

    uid_validity: int
    modseq: int
    known_uids: NumberSet | None = None
    known_numbers: NumberSet | None = None
    """Message numbers with their UIDs in `matching_uids`, of the same length."""
    matching_uids: NumberSet | None = None


@value
class Select(Request):
    """Open a mailbox."""

    mailbox: str
    is_read_only: bool
    """EXAMINE."""
    condstore: bool = False
    qresync: QResync | None = None


# select = "SELECT" SP mailbox [SP "(" select-param *(SP select-param) ")"]
def _read(reader: Reader, is_read_only: bool) -> Select:
    reader.sp()
    mailbox = reader.mailbox()
    condstore = False
    qresync: QResync | None = None
    if not reader.at_end():
        reader.sp()
        reader.expect(b"(")
        while True:
            name = reader.keyword()
            if name == "CONDSTORE":
                condstore = True
            elif name == "QRESYNC" and qresync is None:
                # RFC 7162 §3.2.5: only after ENABLE
                if "QRESYNC" not in reader.session.enabled:
                    raise GrammarError("QRESYNC is not enabled")
                reader.sp()
                qresync = _qresync(reader)
            else:
                raise GrammarError("no such parameter of SELECT")
            if reader.skip(b")"):
                break
            reader.sp()
    reader.end()
    return Select(mailbox, is_read_only, condstore, qresync)


# "QRESYNC" SP "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"
def _qresync(reader: Reader) -> QResync:
    reader.expect(b"(")
    validity = reader.nz_number()
    reader.sp()
    modseq = reader.nz_number(MAX_MODSEQ)
    known: NumberSet | None = None
    numbers: NumberSet | None = None
    uids: NumberSet | None = None
    if reader.skip(b" ") and not reader.looks_at(b"("):
        known = _known(reader)
        if not reader.looks_at(b")"):
            reader.sp()
    if reader.skip(b"("):
        numbers = _known(reader)
        reader.sp()
        uids = _known(reader)
        reader.expect(b")")
    reader.expect(b")")
    return QResync(validity, modseq, known, numbers, uids)


# RFC 7162 §7: known-uids, known-sequence-set and known-uid-set have no "*"
def _known(reader: Reader) -> NumberSet:
    numbers = reader.sequence_set()
    if numbers.is_saved or any(STAR in ends for ends in numbers.ranges):
        raise GrammarError("what is known has no * and no $")
    return numbers


SELECT = Command("SELECT", AUTHENTICATED, lambda reader: _read(reader, False))
EXAMINE = Command("EXAMINE", AUTHENTICATED, lambda reader: _read(reader, True))
