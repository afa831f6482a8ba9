"""What the tests of the queue say again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from estafeta.mail.address import Address, ReversePath
from estafeta.store.acceptance import accept
from estafeta.store.records import (
    Acceptance,
    Account,
    Fate,
    HolderId,
    Instant,
    MessageId,
    QueuedRecipient,
    Settlement,
)
from estafeta.store.statements import Statement
from estafeta.store.store import Store, Transaction

Accept = Callable[..., Acceptance]
AddAccount = Callable[..., Account]

NOW = Instant(1_700_000_000.0)
LATER = Instant(1_800_000_000.0)
FAR = Instant(1_900_000_000.0)
ME, OTHER = HolderId(1), HolderId(2)
LEFT = Statement(
    "left",
    "how much there is of a message",
    "SELECT (SELECT count(*) FROM queued_recipients), (SELECT count(*) FROM queued_messages), "
    "(SELECT count(*) FROM contents)",
)


def write(store: Store, *changes: Callable[[Transaction], object]) -> list[object]:
    """The changes, in one group as far as they succeed."""

    async def scenario() -> list[object]:
        return await asyncio.gather(*[store.write(change) for change in changes])

    return asyncio.run(scenario())


def names(found: list[QueuedRecipient]) -> list[str]:
    return [str(one.forward_path) for one in found]


def relayed(*recipients: QueuedRecipient) -> list[Settlement]:
    return [Settlement(one.recipient_id, Fate.RELAYED, "250 2.0.0 ok") for one in recipients]


def deferred(recipient: QueuedRecipient, **more: object) -> Settlement:
    values = {"reply": "451 4.3.0 later", "next_attempt_at": LATER, "review_at": FAR, **more}
    return Settlement(recipient.recipient_id, Fate.DEFERRED, **values)  # type: ignore[arg-type]


def two_envelopes(acceptance: Accept, tx: Transaction, **more: object) -> Acceptance:
    """One content that goes to x under the envelope that came, and to y under another."""
    made = acceptance(tx, relay=("x@example.com", "y@example.com"), **more)
    first, second = made.queued
    other = replace(
        second.message,
        message_id=MessageId(tx.ids.next_id()),
        reverse_path=ReversePath(Address.parse("owner@example.org")),
        prefix=b"List-Id: <l.example.org>\r\n",
    )
    return replace(made, queued=(first, replace(second, message=other)))


def accepting(acceptance: Accept, *addresses: str, **more: object) -> Callable[[Transaction], Acceptance]:
    def change(tx: Transaction) -> Acceptance:
        made = acceptance(tx, relay=addresses, **more)
        accept(tx, made)
        return made

    return change
