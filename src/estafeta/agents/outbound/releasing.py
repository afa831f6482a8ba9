"""The release of mail that was held until its time (RFC 4865): where it goes is found then, and it goes there.

Mailboxes get it, and what goes on is queued, in the commit in which the held recipients leave the queue. So it is in
no mailbox before its time, accounts and aliases are those of the time, and a rewritten reverse-path is fresh.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from estafeta.agents.draft import RoutedRecipient
from estafeta.agents.envelopes import Addressed, Addressing, Outward
from estafeta.agents.outbound.lane import Job
from estafeta.agents.outbound.outcome import Outcome
from estafeta.agents.outbound.record import attempt_entry
from estafeta.agents.outbound.relay import Attempt
from estafeta.mail.address import Address, AddressError
from estafeta.mail.envelope import Body, Notify, Recipient, Sender
from estafeta.mail.header import header_size
from estafeta.mail.reply import Reply
from estafeta.mail.value import value
from estafeta.routing.directory import Directory
from estafeta.routing.routes import Refused
from estafeta.store import releasing
from estafeta.store.errors import DirectoryChanged, OverQuota
from estafeta.store.records import (
    Acceptance,
    Content,
    Fate,
    Instant,
    QueuedMessage,
    QueuedRecipient,
    RecipientId,
    Settlement,
)
from estafeta.store.releasing import ClaimsLost
from estafeta.store.store import Store

_MOST_TRIES = 5
_STAGE = "release"

_LOOP = Reply.of(554, "the message comes back to a list that it has been through", "5.4.6")
_FULL = Reply.of(452, "mailbox full", "4.2.2")
_CHANGED = Reply.of(451, "accounts change all the time, it is tried again", "4.3.0")


@value
class _Routed:
    """A held recipient and where it goes now."""

    queued: QueuedRecipient
    routed: RoutedRecipient

    @property
    def outcome(self) -> Outcome:
        reply = Reply.of(250, f"released: {self.routed.route.text}", "2.0.0")
        return Outcome(self.queued, Fate.RELEASED, reply, stage=_STAGE)


class Releaser:
    """Releases what is due. `directory` and `outward` are those of now."""

    def __init__(
        self,
        store: Store,
        directory: Callable[[], Directory],
        outward: Callable[[], Outward],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._directory = directory
        self._outward = outward
        self._clock = clock

    async def release(self, job: Job, content: bytes) -> Attempt:
        """Release the job's recipients; those that cannot be now, or ever, come with their reply. Raises StoreError."""
        left = list(job.recipients)
        others: list[Outcome] = []
        for _ in range(_MOST_TRIES + len(left)):
            routed, refused = await self._routes(left)
            if not routed:
                return _attempt([*others, *refused])
            ends = await self._ends(job.message, routed, content)
            if ends.loops and not (ends.deliveries or ends.queued):
                return _attempt([*others, *refused, *(_refused(each.queued, _LOOP) for each in routed)])
            try:
                await self._commit(job.message, routed, ends, content)
            except DirectoryChanged:
                self._directory().forget()
            except OverQuota as error:
                full = [each for each in routed if each.routed.leads_to(error.address)]
                others += [Outcome(each.queued, Fate.DEFERRED, _FULL, stage=_STAGE) for each in full]
                left = _without(left, full)
            except ClaimsLost as lost:
                left = [each for each in left if each.recipient_id in lost.kept or each in _of(refused)]
            else:
                return _attempt([*others, *refused, *(each.outcome for each in routed)])
        return _attempt([*others, *(Outcome(each, Fate.DEFERRED, _CHANGED, stage=_STAGE) for each in left)])

    async def _routes(self, recipients: Sequence[QueuedRecipient]) -> tuple[list[_Routed], list[Outcome]]:
        """Where each goes, by one version of the directory; and those that are refused now."""
        directory = self._directory()
        routed: list[_Routed] = []
        refused: list[Outcome] = []
        for each in recipients:
            route = await directory.resolve(each.forward_path, _account(each.message))
            if isinstance(route, Refused):
                refused.append(_refused(each, route.reply))
            else:
                recipient = Recipient(each.forward_path, each.notify, each.original)
                routed.append(_Routed(each, RoutedRecipient(recipient, route, directory.version)))
        return routed, refused

    async def _ends(self, message: QueuedMessage, routed: Sequence[_Routed], content: bytes) -> Addressed:
        address = message.reverse_path.address
        addressing = Addressing(
            self._outward(),
            self._store.ids,
            _sender(message),
            message_id=message.message_id,
            account=_account(message),
            size=message.size,
            head=content[: header_size(content)],
            is_ours=address is not None and await self._directory().is_ours(address.domain),
            at=self._clock(),
            released=message,
        )
        for each in routed:
            addressing.add(each.routed.recipient, each.routed.route)
        return addressing.ends()

    async def _commit(self, message: QueuedMessage, routed: Sequence[_Routed], ends: Addressed, content: bytes) -> None:
        """Raises DirectoryChanged, OverQuota, ClaimsLost, where nothing was done."""
        outward, holder = self._outward(), routed[0].queued.holder
        assert holder is not None, "what is in memory is claimed"
        now = Instant(self._clock())
        kept = Content(len(content), content)
        notices = await self._notices(message, routed, kept)
        outcomes = [each.outcome for each in routed]
        rows = [Settlement(each.queued.recipient_id, Fate.RELEASED) for each in routed]
        destination = routed[0].queued.destination
        entry = attempt_entry(destination, message, Attempt(outcomes), rows, seconds=0.0, at=now)
        if notices:
            entry.facts["notifications"] = [self._store.ids.text(each.message_id) for each in notices]
        released = Acceptance(
            message_id=message.message_id,
            accepted_at=now,
            content=kept,
            deliveries=ends.deliveries,
            queued=ends.queued,
            directory_version=min(each.routed.version for each in routed),
            entry=entry,
        )
        change = partial(
            releasing.release,
            released=released,
            held=message,
            holder=holder,
            recipient_ids=[each.queued.recipient_id for each in routed],
            notices=notices,
        )
        try:
            await self._store.write(change)
        except BaseException as error:
            if isinstance(error, DirectoryChanged | OverQuota | ClaimsLost):
                outward.notifier.discard(notices)
            else:  # nobody knows whether it was done
                outward.dispatcher.adopt(ends.queued)
            raise
        outward.dispatcher.accepted(ends.queued, content)

    async def _notices(
        self, message: QueuedMessage, routed: Sequence[_Routed], content: Content
    ) -> tuple[Acceptance, ...]:
        asking = [each.routed for each in routed if Notify.SUCCESS in (each.queued.notify or ())]
        if not asking or message.reverse_path.is_null:
            return ()
        return await self._outward().notifier.of_delivery(
            _sender(message),
            asking,
            content,
            message_id=message.message_id,
            account=_account(message),
            hello=None,
            priority=message.priority,
            released=message,
        )


def _attempt(outcomes: list[Outcome]) -> Attempt:
    return Attempt(outcomes, tells_nothing=True)


def _refused(recipient: QueuedRecipient, reply: Reply) -> Outcome:
    return Outcome(recipient, Fate.FAILED if reply.is_permanent else Fate.DEFERRED, reply, stage=_STAGE)


def _of(outcomes: Sequence[Outcome]) -> list[QueuedRecipient]:
    return [each.recipient for each in outcomes]


def _without(recipients: Sequence[QueuedRecipient], some: Sequence[_Routed]) -> list[QueuedRecipient]:
    gone: set[RecipientId] = {each.queued.recipient_id for each in some}
    return [each for each in recipients if each.recipient_id not in gone]


def _account(message: QueuedMessage) -> Address | None:
    if message.account is None:
        return None
    try:
        return Address.parse(message.account)
    except AddressError:
        return None


def _sender(message: QueuedMessage) -> Sender:
    """What MAIL said of it, as far as it counts here."""
    return Sender(
        message.reverse_path,
        body=Body(message.body) if message.body is not None else None,
        smtputf8=message.smtputf8,
        ret=message.ret,
        envid=message.envid,
        requires_tls=message.requires_tls,
    )
