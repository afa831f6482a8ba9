"""SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS (RFC 4314 §3)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@value
class SetAcl(Request):
    """Give or take rights."""

    mailbox: str
    identifier: str
    rights: str
    """Letters, `+` or `-` before them for a change."""


@value
class DeleteAcl(Request):
    """Take an entry away."""

    mailbox: str
    identifier: str


@value
class GetAcl(Request):
    """All entries."""

    mailbox: str


@value
class ListRights(Request):
    """Which rights can be given."""

    mailbox: str
    identifier: str


@value
class MyRights(Request):
    """Which one has."""

    mailbox: str


# setacl = "SETACL" SP mailbox SP identifier SP mod-rights
def _read_set(reader: Reader) -> SetAcl:
    reader.sp()
    mailbox = reader.mailbox()
    reader.sp()
    identifier = reader.text()
    reader.sp()
    rights = reader.text()
    reader.end()
    return SetAcl(mailbox, identifier, rights)


# deleteacl = "DELETEACL" SP mailbox SP identifier
def _read_two(reader: Reader) -> tuple[str, str]:
    reader.sp()
    mailbox = reader.mailbox()
    reader.sp()
    identifier = reader.text()
    reader.end()
    return mailbox, identifier


# getacl = "GETACL" SP mailbox
def _read_mailbox(reader: Reader) -> str:
    reader.sp()
    mailbox = reader.mailbox()
    reader.end()
    return mailbox


SETACL = Command("SETACL", AUTHENTICATED, _read_set, "ACL")
DELETEACL = Command("DELETEACL", AUTHENTICATED, lambda reader: DeleteAcl(*_read_two(reader)), "ACL")
GETACL = Command("GETACL", AUTHENTICATED, lambda reader: GetAcl(_read_mailbox(reader)), "ACL")
LISTRIGHTS = Command("LISTRIGHTS", AUTHENTICATED, lambda reader: ListRights(*_read_two(reader)), "ACL")
MYRIGHTS = Command("MYRIGHTS", AUTHENTICATED, lambda reader: MyRights(_read_mailbox(reader)), "ACL")
