"""SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS (RFC 4314 §3). The owner has all rights, and keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.access.imap.commands.list_ import rights_line, with_obsolete
from estafeta.access.imap.naming import Found, resolve, resolve_in, written
from estafeta.store import acl
from estafeta.store.engine import Transaction
from estafeta.store.errors import NotFound
from estafeta.wire.imap.commands.acl import DeleteAcl, GetAcl, ListRights, MyRights, SetAcl
from estafeta.wire.imap.completion import Completion, Refused, bad, ok
from estafeta.wire.imap.writing import astring

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session

# RFC 4314 §2.1.1: what the rights of RFC 2086 stand for
_OBSOLETE = {"c": "kx", "d": "et"}


async def set_acl(session: Session, request: SetAcl) -> Completion:
    """Give rights to an account, or to anyone; take them from him with `-` before the identifier."""
    account = session.account
    assert account is not None
    mode = request.rights[:1] if request.rights[:1] in ("+", "-") else ""
    rights = "".join(_OBSOLETE.get(letter, letter) for letter in request.rights[len(mode) :])
    if not set(rights) <= set(acl.RIGHTS):  # RFC 4314 §3.1: never passed over
        return bad("There is no such right")

    def change(tx: Transaction) -> None:
        found = resolve_in(tx, account, request.mailbox, "a")
        try:
            acl.set_(tx, found.mailbox, request.identifier, rights, mode)
        except NotFound:
            raise Refused("There is no such account here", "CANNOT") from None
        except acl.OwnerKeepsRights:
            raise Refused("The owner has all rights, and keeps them", "CANNOT") from None
        except acl.TooManyEntries:
            raise Refused("The list is full", "LIMIT") from None

    await session.environment.store.write(change)
    return ok("Setacl completed")


async def delete_acl(session: Session, request: DeleteAcl) -> Completion:
    """Take an identifier off the list; one that is not on it is no error."""
    account = session.account
    assert account is not None
    await session.environment.store.write(
        lambda tx: acl.delete(tx, resolve_in(tx, account, request.mailbox, "a").mailbox, request.identifier)
    )
    return ok("Deleteacl completed")


async def get_acl(session: Session, request: GetAcl) -> Completion:
    """The list, the owner first."""
    account = session.account
    assert account is not None

    def query(tx: Transaction) -> tuple[Found, list[tuple[str, str]]]:
        found = resolve_in(tx, account, request.mailbox, "a")
        owner = acl.address_of(tx, found.mailbox.account_id) or ""
        return found, [(owner, acl.RIGHTS), *acl.entries(tx, found.mailbox.mailbox_id)]

    found, entries = await session.environment.store.read(query)
    pairs = b"".join(
        b" %s %s" % (astring(identifier), astring(with_obsolete(rights))) for identifier, rights in entries
    )
    session.send(b"* ACL %s%s\r\n" % (written(session, found.name), pairs))
    return ok("Getacl completed")


async def list_rights(session: Session, request: ListRights) -> Completion:
    """Each right can be given by itself; the owner has them all."""
    account = session.account
    assert account is not None

    def query(tx: Transaction) -> tuple[Found, str | None]:
        found = resolve_in(tx, account, request.mailbox, "a")
        return found, acl.address_of(tx, found.mailbox.account_id)

    found, owner = await session.environment.store.read(query)
    every = acl.RIGHTS + "cd"
    said = every if request.identifier.lower() == owner else '"" ' + " ".join(every)
    # RFC 4314 §3.4: the identifier as it was said
    session.send(
        b"* LISTRIGHTS %s %s %s\r\n" % (written(session, found.name), astring(request.identifier), said.encode("ascii"))
    )
    return ok("Listrights completed")


async def my_rights(session: Session, request: MyRights) -> Completion:
    """What the user may do."""
    found = await resolve(session, request.mailbox)
    session.send(rights_line(session, found.name, found.rights))
    return ok("Myrights completed")
