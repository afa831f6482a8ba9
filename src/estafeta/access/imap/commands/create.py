"""CREATE, with special uses and the id of the mailbox (RFC 9051 §6.3.4, RFC 6154 §3, RFC 8474 §4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.access.imap import naming
from estafeta.access.imap.listing import listed_as
from estafeta.store import acl, mailboxes
from estafeta.store.engine import Transaction
from estafeta.store.records import AccountId, Instant, Mailbox
from estafeta.wire.imap.commands.create import Create
from estafeta.wire.imap.completion import Completion, Refused, ok

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session

SPECIAL_USES = (r"\Archive", r"\Drafts", r"\Junk", r"\Sent", r"\Trash")
"""Uses that a mailbox can have; `\\All` and `\\Flagged` would be views of other mailboxes (RFC 6154 §2)."""


async def create(session: Session, request: Create) -> Completion:
    """Make a mailbox and those above it."""
    account = session.account
    assert account is not None
    said = request.mailbox.removesuffix(naming.SEPARATOR)
    now = Instant(session.environment.clock())

    def change(tx: Transaction) -> tuple[naming.Place, Mailbox]:
        there, _ = naming.for_new(tx, account, said)
        assert there.account_id is not None
        if mailboxes.find(tx, there.account_id, there.name) is not None:
            raise Refused("There is a mailbox of this name already", "ALREADYEXISTS")
        use = special_use(tx, there, request.special_uses)
        return there, make(tx, there.account_id, there.name, now=now, use=use)

    naming.note_own(session, naming.normal(said), *naming.superiors(naming.normal(said)))
    there, mailbox = await session.environment.store.write(change)
    if there.said != said:
        # RFC 9051 §6.3.4: it has another name than the one that was said.
        session.send(listed_as(session, there.said, said))
    return ok("Created", f"MAILBOXID ({mailboxes.object_id(mailbox.mailbox_id)})")


def make(tx: Transaction, account_id: AccountId, name: str, *, now: Instant, use: str | None = None) -> Mailbox:
    """Make a mailbox and those above it that are not there; each has the rights of the one above (RFC 4314 §4).

    Raises Refused when the account has too many.
    """
    parent: Mailbox | None = None
    missing = [name]
    for above in naming.superiors(name):
        parent = mailboxes.find(tx, account_id, above)
        if parent is not None:
            break
        missing.append(above)
    if mailboxes.count(tx, account_id) + len(missing) > naming.MOST_MAILBOXES:
        raise Refused("There are too many mailboxes", "OVERQUOTA")  # RFC 9208 §5.3: MAILBOX
    made: Mailbox | None = parent
    for each in reversed(missing):
        made = mailboxes.add(tx, account_id, each, special_use=use if each == name else None, now=now)
        if parent is not None:
            acl.inherit(tx, parent.mailbox_id, made.mailbox_id)
    assert made is not None
    return made


def special_use(tx: Transaction, there: naming.Place, uses: tuple[str, ...]) -> str | None:
    """The use that a mailbox shall have. Raises Refused with USEATTR when it cannot (RFC 6154 §3)."""
    if not uses:
        return None
    assert there.account_id is not None
    known = {use.lower(): use for use in SPECIAL_USES}
    use = known.get(uses[0].lower())
    if use is None or len(set(uses)) > 1 or there.owner is not None:
        raise Refused("The mailbox cannot have this use", "USEATTR")
    if any(mailbox.special_use == use for mailbox in mailboxes.list_of(tx, there.account_id)):
        raise Refused("Another mailbox has this use", "USEATTR")
    return use
