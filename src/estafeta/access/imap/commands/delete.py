"""DELETE: a mailbox goes with its messages; what is below it stays (RFC 9051 §6.3.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.access.imap import naming
from estafeta.access.imap.listing import listed_as
from estafeta.store import mailboxes
from estafeta.store.engine import Transaction
from estafeta.wire.imap.commands.delete import Delete
from estafeta.wire.imap.completion import Completion, Refused, ok

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session


async def delete(session: Session, request: Delete) -> Completion:
    """Remove a mailbox. A name with mailboxes below it stays as a level, \\NonExistent."""
    account = session.account
    assert account is not None
    said = request.mailbox.removesuffix(naming.SEPARATOR)
    name = naming.normal(said)
    if name == naming.INBOX:
        raise Refused("INBOX cannot be deleted", "CANNOT")

    def change(tx: Transaction) -> None:
        found = naming.find(tx, account, name)
        if found is None:
            if naming.has_inferiors(tx, account, name):
                # RFC 9051 §6.3.5: an error for a level that is no mailbox
                raise Refused("There are only mailboxes below this name", "HASCHILDREN")
            raise naming.missing()
        naming.require(found.rights, "x")  # RFC 4314 §4
        if found.mailbox.name == naming.INBOX:
            raise Refused("INBOX cannot be deleted", "CANNOT")
        mailboxes.remove(tx, found.mailbox)

    naming.note_own(session, name, *naming.superiors(name))
    await session.environment.store.write(change)
    if name != said:
        session.send(listed_as(session, name, said, is_there=False))
    return ok("Deleted")
