"""The end of mail data: the last checks, then one commit that delivers, queues and records.

A reply of 250 leaves here only after the store has said that all of it is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from estafeta.agents.chronicle import Decision, Reason, Verdict
from estafeta.agents.draft import Draft, RoutedRecipient
from estafeta.agents.envelopes import Addressed, Addressing
from estafeta.agents.environment import Role
from estafeta.agents.peer import Peer
from estafeta.agents.submission import foreign_author, made_message_id
from estafeta.mail.envelope import Body, Notify
from estafeta.mail.header import HeaderFacts
from estafeta.mail.reply import EnhancedStatusCode, Reply
from estafeta.routing.routes import Expansion
from estafeta.store import acceptance
from estafeta.store.errors import DirectoryChanged, DiskFull, OverQuota, StoreError
from estafeta.store.records import Acceptance, Content, EntryKind, Instant, JournalEntry
from estafeta.store.store import Transaction
from estafeta.wire.smtp.events import EndOfData

_ACCEPTED = EnhancedStatusCode(2, 0, 0)
_TOO_LARGE = Reply.of(552, "message larger than this server takes", "5.3.4")
_HEADER_TOO_LARGE = Reply.of(552, "header section larger than this server takes", "5.3.4")
_BAD_DATA = {
    "bare CR or LF in mail data": Reply.of(550, "bare CR or LF in mail data: lines end in CRLF", "5.6.0"),
    "NUL in mail data": Reply.of(550, "NUL in mail data", "5.6.0"),
}
_UNANNOUNCED = Reply.of(554, "8-bit mail data without BODY=8BITMIME", "5.6.1")
_LOOP = Reply.of(554, "too many hops, this message loops", "5.4.6")
NOT_OWN = Reply.of(550, "this address is not yours to send from", "5.7.1")
_NOT_OWN_AUTHOR = Reply.of(550, "the From field names an address that is not yours", "5.7.1")
_CHANGED = Reply.of(451, "recipients changed meanwhile, try again", "4.3.0")
OVER_QUOTA = Reply.of(452, "mailbox full", "4.2.2")
_DISK_FULL = Reply.of(452, "no room for mail at the moment, try again later", "4.3.1")
_TRY_LATER = Reply.of(451, "local error, try again later", "4.3.0")


@dataclass(frozen=True, slots=True)
class AcceptanceOutcome:
    """The reply to the final dot, and why."""

    reply: Reply
    reason: Reason
    detail: str = ""

    @property
    def is_accepted(self) -> bool:
        """The message is ours now."""
        return self.reply.is_positive


async def accept(peer: Peer, draft: Draft, event: EndOfData) -> AcceptanceOutcome:
    """Check and commit the message; what is refused is kept in the draft's decisions."""
    incoming = draft.incoming
    assert incoming is not None
    if incoming.is_too_large:
        outcome = AcceptanceOutcome(_TOO_LARGE, Reason.TOO_LARGE)
    else:
        facts = incoming.end()
        if incoming.failure is not None:
            outcome = _failure(incoming.failure)
        else:
            refusal = await _refusal(peer, draft, event, facts)
            outcome = refusal or await _commit(peer, draft, facts)
    if not outcome.is_accepted:
        at = peer.environment.clock()
        draft.decisions.add(Decision(at, "data", "", outcome.reply, outcome.reason, outcome.detail))
    return outcome


async def _refusal(peer: Peer, draft: Draft, event: EndOfData, facts: HeaderFacts) -> AcceptanceOutcome | None:
    """What is wrong with the content itself."""
    settings, limits = peer.environment.settings, peer.environment.limits
    assert draft.incoming is not None
    if event.fault is not None:
        return AcceptanceOutcome(_BAD_DATA[event.fault.value], Reason.BAD_DATA, event.fault.value)
    is_announced = draft.sender.body is Body.EIGHT_BIT or draft.sender.smtputf8
    if event.has_8bit and settings.refuse_unannounced_8bit and not is_announced:
        return AcceptanceOutcome(_UNANNOUNCED, Reason.UNANNOUNCED_8BIT)
    if facts.size > limits.header_octets:
        return AcceptanceOutcome(_HEADER_TOO_LARGE, Reason.HEADER_TOO_LARGE)
    if facts.hops >= limits.hops:  # RFC 5321 §6.3
        return AcceptanceOutcome(_LOOP, Reason.LOOP, f"{facts.hops} Received fields")
    return await _identity_refusal(peer, draft, draft.incoming.head)


async def _identity_refusal(peer: Peer, draft: Draft, head: bytes) -> AcceptanceOutcome | None:
    """Users send as themselves; asked again at the end, because the directory may have changed since MAIL."""
    account, directory = peer.account, peer.environment.directory
    if account is None:
        return None
    address = draft.sender.reverse_path.address
    if address is not None and not await directory.may_send_as(account, address):
        return AcceptanceOutcome(NOT_OWN, Reason.NOT_OWN_ADDRESS, str(address))
    if peer.environment.settings.check_author:
        author = await foreign_author(directory, account, head)
        if author is not None:
            return AcceptanceOutcome(_NOT_OWN_AUTHOR, Reason.NOT_OWN_ADDRESS, author)
    return None


async def _commit(peer: Peer, draft: Draft, facts: HeaderFacts) -> AcceptanceOutcome:
    """Content, deliveries, queue and journal in one transaction of the store."""
    incoming = draft.incoming
    assert incoming is not None
    try:
        content = await incoming.finish()
    except StoreError as error:
        return _failure(error)
    # From here on a commit may name the content, even when this session is cut meanwhile or told of a failure:
    # it is discarded only where the store has said that nothing was done, and swept later otherwise.
    draft.incoming = None
    try:
        outcome = await _offer(peer, draft, facts, content, incoming.head)
    except (OverQuota, DiskFull) as error:
        outcome = _failure(error)
    except StoreError as error:
        return _failure(error)
    if not outcome.is_accepted:
        incoming.discard()
    return outcome


def _failure(error: StoreError) -> AcceptanceOutcome:
    """What a client is told of a store that could not take the message."""
    if isinstance(error, OverQuota):
        return AcceptanceOutcome(OVER_QUOTA, Reason.OVER_QUOTA, str(error))
    if isinstance(error, DiskFull):
        return AcceptanceOutcome(_DISK_FULL, Reason.DISK_FULL, str(error))
    return AcceptanceOutcome(_TRY_LATER, Reason.STORE_FAILED, str(error))


async def _offer(peer: Peer, draft: Draft, facts: HeaderFacts, content: Content, head: bytes) -> AcceptanceOutcome:
    """Offer the message to the store until the directory stands still; raises StoreError."""
    environment = peer.environment
    # The directory may change under us, and each time the routes are found anew; an LMTP client is told of each
    # recipient, so that those without room are left out and the others get their mail.
    for _ in range(3 + len(draft.recipients)):
        if not await _routes_stand(peer, draft):
            break
        addressed = await _addressed(peer, draft, content, head)
        if addressed.loops and not (addressed.deliveries or addressed.queued):
            return AcceptanceOutcome(_LOOP, Reason.LOOP, f"a post of the list {addressed.loops[0]} comes back to it")
        prepared = _acceptance(peer, draft, facts, content, addressed)
        notices = await _notices(peer, draft, content)
        try:
            await environment.store.write(partial(_take, prepared=prepared, notices=notices))
        except asyncio.CancelledError:  # the session is cut, but the commit goes its way
            environment.outward.dispatcher.adopt(addressed.queued)
            raise
        except DirectoryChanged:
            environment.directory.forget()
            refusal = await _identity_refusal(peer, draft, head)
            if refusal is not None:
                return refusal
        except OverQuota as error:
            if peer.listener.role is not Role.LMTP or not draft.leave_out(error.address):
                raise
        else:
            if addressed.queued:
                environment.outward.dispatcher.accepted(addressed.queued, content.octets)
            return AcceptanceOutcome(Reply(250, _ACCEPTED, (f"accepted as {draft.queue_id}",)), Reason.ROUTED)
    return AcceptanceOutcome(_CHANGED, Reason.DIRECTORY_CHANGED)


async def _routes_stand(peer: Peer, draft: Draft) -> bool:
    """Whether the routes that RCPT was answered by still hold; brings them to the newest version."""
    directory = peer.environment.directory
    if all(recipient.version == directory.version for recipient in draft.recipients):
        return True
    renewed = []
    for recipient in draft.recipients:
        route = directory.remembered(recipient.forward_path, peer.account)
        if route is None:
            route = await directory.resolve(recipient.forward_path, peer.account)
        renewed.append(RoutedRecipient(recipient.recipient, route, directory.version))
    stands = [each.route for each in renewed] == [each.route for each in draft.recipients]
    draft.recipients = renewed
    return stands


def _take(tx: Transaction, prepared: Acceptance, notices: Sequence[Acceptance]) -> None:
    """The mail object, and what its sender is told of it already, in one commit."""
    acceptance.accept(tx, prepared)
    for notice in notices:
        acceptance.accept(tx, notice)


async def _addressed(peer: Peer, draft: Draft, content: Content, head: bytes) -> Addressed:
    """All ends of the message; a list that its own mail comes back to has none."""
    environment = peer.environment
    address = draft.sender.reverse_path.address
    forwards = any(isinstance(recipient.route, Expansion) for recipient in draft.recipients)
    addressing = Addressing(
        environment.outward,
        environment.store.ids,
        draft.sender,
        message_id=draft.message_id,
        account=peer.account,
        size=content.size,
        head=head,
        is_ours=forwards and address is not None and await environment.directory.is_ours(address.domain),
        at=environment.clock(),
    )
    for recipient in draft.recipients:
        addressing.add(recipient.recipient, recipient.route)
    return addressing.ends()


async def _notices(peer: Peer, draft: Draft, content: Content) -> Sequence[Acceptance]:
    """Notifications of delivery, for those recipients here that asked for them (RFC 3461 §6.2)."""
    if draft.sender.reverse_path.is_null:
        return ()
    asking = [each for each in draft.recipients if each.recipient.notify and Notify.SUCCESS in each.recipient.notify]
    if not asking:
        return ()
    return await peer.environment.outward.notifier.of_delivery(
        draft.sender, asking, content, message_id=draft.message_id, account=peer.account, hello=peer.engine.hello
    )


def _acceptance(peer: Peer, draft: Draft, facts: HeaderFacts, content: Content, addressed: Addressed) -> Acceptance:
    """All that the 250 will promise."""
    environment = peer.environment
    field = facts.message_id
    if field is None and peer.is_submission:
        field = made_message_id(host=environment.hostname, queue_id=draft.queue_id)
    told = peer.transaction_facts(draft)
    told["size"] = content.size
    told["verdict"] = Verdict.ACCEPT.value
    told["ended"] = "accepted"
    if field is not None:
        told["message_id_field"] = field
    keys = {str(draft.sender.reverse_path).lower(), *draft.refused_paths}
    for recipient in draft.recipients:
        keys.add(str(recipient.forward_path).lower())
    for queued in addressed.queued:
        keys.add(str(queued.forward_path).lower())
    if field is not None:
        keys.add(field.lower())
    keys.discard("")
    now = Instant(environment.clock())
    return Acceptance(
        message_id=draft.message_id,
        accepted_at=now,
        content=content,
        deliveries=addressed.deliveries,
        queued=addressed.queued,
        directory_version=environment.directory.version,
        entry=JournalEntry(
            EntryKind.TRANSACTION,
            Instant(draft.started_at),
            peer.session_id,
            draft.message_id,
            told,
            tuple(keys),
        ),
    )
