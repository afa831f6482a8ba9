"""Mail that the house itself writes: it is accepted as any other, and goes where its recipients are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from estafeta.agents.envelopes import Addressing, Outward
from estafeta.mail.envelope import Recipient, Sender
from estafeta.mail.header import header_size
from estafeta.routing.directory import Directory
from estafeta.store import acceptance
from estafeta.store.errors import DirectoryChanged, OverQuota
from estafeta.store.records import Acceptance, EntryKind, Instant, JournalEntry, MessageId
from estafeta.store.store import Store

MOST_TRIES = 5


class HouseMail:
    """Hands mail in. `outward` tells how mail for elsewhere is queued now."""

    def __init__(
        self, store: Store, directory: Directory, outward: Callable[[], Outward], clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._directory = directory
        self._outward = outward
        self._clock = clock

    async def submit(self, sender: Sender, recipients: Sequence[Recipient], octets: bytes) -> None:
        """Accept a message with CRLF line ends; recipients that are refused are left out. Raises StoreError."""
        for left in reversed(range(MOST_TRIES)):
            try:
                return await self._submit(sender, recipients, octets)
            except DirectoryChanged:
                self._directory.forget()
                if not left:
                    raise

    async def _submit(self, sender: Sender, recipients: Sequence[Recipient], octets: bytes) -> None:
        now = Instant(self._clock())
        message_id = MessageId(self._store.ids.next_id())
        address = sender.reverse_path.address
        outward = self._outward()
        addressing = Addressing(
            outward,
            self._store.ids,
            sender,
            message_id=message_id,
            account=None,
            size=len(octets),
            head=octets[: header_size(octets)],
            is_ours=address is not None and await self._directory.is_ours(address.domain),
            at=now,
        )
        told = []
        versions = set()
        for recipient in recipients:
            route = await self._directory.resolve(recipient.forward_path)
            versions.add(self._directory.version)
            addressing.add(recipient, route)
            told.append({"forward_path": str(recipient.forward_path), "route": route.text, "reason": route.reason})
        if len(versions) > 1:
            raise DirectoryChanged("the directory changed while routes were found")
        addressed = addressing.ends()
        spool = self._store.content.spool()
        spool.write(octets)
        content = await spool.finish()
        facts: dict[str, object] = {
            "protocol": "local",
            "reverse_path": str(sender.reverse_path),
            "recipients": told,
            "size": len(octets),
            "ended": "accepted",
        }
        keys = {str(each.forward_path).lower() for each in recipients} | {str(sender.reverse_path).lower()}
        accepted = Acceptance(
            message_id=message_id,
            accepted_at=now,
            content=content,
            deliveries=addressed.deliveries,
            queued=addressed.queued,
            directory_version=versions.pop() if versions else self._directory.version,
            entry=JournalEntry(EntryKind.TRANSACTION, now, None, message_id, facts, tuple(keys - {""})),
        )
        try:
            await self._store.write(lambda tx: acceptance.accept(tx, accepted))
        except (DirectoryChanged, OverQuota):
            spool.discard()
            raise
        except BaseException:
            outward.dispatcher.adopt(addressed.queued)
            raise
        outward.dispatcher.accepted(addressed.queued, content.octets)
