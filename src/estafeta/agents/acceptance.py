"""The end of mail data: the last checks, then one commit that delivers, queues and records.

A reply of 250 leaves here only after the store has said that all of it is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from estafeta.agents import lines
from estafeta.agents.chronicle import Decision, Reason, Verdict
from estafeta.agents.draft import Draft, IncomingContent, RoutedRecipient
from estafeta.agents.envelopes import Addressed, Addressing
from estafeta.agents.environment import Role
from estafeta.agents.live.showing import notices_of_gone, show_after, show_first
from estafeta.agents.peer import Peer
from estafeta.agents.promises import TOO_LATE, field_priority, is_too_late
from estafeta.agents.settings import ReceptionSettings, WhenFull
from estafeta.agents.solicitation import UNWANTED, in_header, unwanted
from estafeta.agents.submission import foreign_author, made_message_id
from estafeta.mail.catalogue import contents, recipients, senders
from estafeta.mail.envelope import Body, Notify, Opening
from estafeta.mail.header import HeaderFacts
from estafeta.mail.reply import Reply
from estafeta.mail.value import value
from estafeta.routing.routes import Expansion
from estafeta.store import acceptance
from estafeta.store.errors import DirectoryChanged, DiskFull, OverQuota, StoreError
from estafeta.store.records import Acceptance, Content, EntryKind, Instant, JournalEntry
from estafeta.store.store import Transaction
from estafeta.wire.smtp.events import EndOfData

# What is asked of each message is found once: a member of an enum costs 0.1 us where its class is asked for it.
_LMTP, _MAIL, _EIGHT_BIT = Role.LMTP, Opening.MAIL, (Body.EIGHT_BIT, Body.BINARY)
_TRANSACTION, _ROUTED, _ACCEPT = EntryKind.TRANSACTION, Reason.ROUTED, Verdict.ACCEPT.value


@value
class AcceptanceOutcome:
    """The reply to the final dot, and why."""

    reply: Reply
    reason: Reason
    detail: str = ""

    @property
    def is_accepted(self) -> bool:
        """The message is ours now."""
        return self.reply.is_positive


def so_far(incoming: IncomingContent) -> AcceptanceOutcome | None:
    """What is wrong with content before it is whole: then its rest need not come."""
    if incoming.is_too_large:
        return AcceptanceOutcome(contents.TOO_LARGE, Reason.TOO_LARGE)
    return None if incoming.failure is None else _failure(incoming.failure)


async def accept(peer: Peer, draft: Draft, event: EndOfData) -> AcceptanceOutcome:
    """Check and commit the message; what is refused is kept in the draft's decisions."""
    incoming = draft.incoming
    assert incoming is not None
    outcome = so_far(incoming)
    if outcome is None:
        facts = incoming.end()  # what was held until now is written here, so the disk is asked once more
        outcome = so_far(incoming) or await _refusal(peer, draft, event, facts) or await _commit(peer, draft, facts)
    if not outcome.is_accepted:
        environment, reply, reason = peer.environment, outcome.reply, outcome.reason
        draft.decisions.add(Decision(environment.clock(), "data", "", reply, reason, outcome.detail))
        environment.tally.decided(reply, reason)
        if environment.say is not None:
            told = lines.decided(peer, draft, "data", "", reply, reason, outcome.detail)
            environment.say("message refused", told)
    return outcome


async def _refusal(peer: Peer, draft: Draft, event: EndOfData, facts: HeaderFacts) -> AcceptanceOutcome | None:
    """What is wrong with the content itself."""
    settings, limits = peer.environment.settings, peer.environment.limits
    assert draft.incoming is not None
    if event.fault is not None and event.refusal is not None:
        return AcceptanceOutcome(event.refusal, Reason.BAD_DATA, event.fault.value)
    is_announced = draft.sender.body in _EIGHT_BIT or draft.sender.smtputf8
    if event.has_8bit and settings.refuse_unannounced_8bit and not is_announced:
        return AcceptanceOutcome(contents.UNANNOUNCED_8BIT, Reason.UNANNOUNCED_8BIT)
    if facts.size > limits.header_octets:
        return AcceptanceOutcome(contents.HEADER_TOO_LARGE, Reason.HEADER_TOO_LARGE)
    if facts.hops >= limits.hops:  # RFC 5321 §6.3
        return AcceptanceOutcome(contents.LOOP, Reason.LOOP, f"{facts.hops} Received fields")
    if settings.no_soliciting and (kind := unwanted(settings, in_header(draft.incoming.head))) is not None:
        return AcceptanceOutcome(UNWANTED, Reason.SOLICITATION, kind)
    by = draft.sender.deliver_by
    if by is not None and is_too_late(
        by, draft.started_at, peer.environment.clock()
    ):  # RFC 2852 §3: here at the latest
        return AcceptanceOutcome(TOO_LATE, Reason.NOT_PROMISED)
    if draft.sender.priority is None and peer.environment.promises.believe_priority_field:
        draft.priority = field_priority(draft.incoming.head, peer.highest_priority)
    return None if peer.account is None else await _identity_refusal(peer, draft, draft.incoming.head)


async def _identity_refusal(peer: Peer, draft: Draft, head: bytes) -> AcceptanceOutcome | None:
    """Users send as themselves; asked again at the end, because the directory may have changed since MAIL."""
    account, directory = peer.account, peer.environment.directory
    if account is None:
        return None
    address = draft.sender.reverse_path.address
    if address is not None and not await directory.may_send_as(account, address):
        return AcceptanceOutcome(senders.NOT_OWN_ADDRESS, Reason.NOT_OWN_ADDRESS, str(address))
    if peer.environment.settings.check_author:
        author = await foreign_author(directory, account, head)
        if author is not None:
            return AcceptanceOutcome(contents.NOT_OWN_AUTHOR, Reason.NOT_OWN_ADDRESS, author)
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
    is_for_screens = draft.sender.opening is not _MAIL
    try:
        unshown = await show_first(peer, draft, content) if is_for_screens else None
        if unshown is not None:
            outcome = AcceptanceOutcome(*unshown)
        else:
            outcome = await _offer(peer, draft, facts, content, incoming.head)
    except OverQuota as error:
        outcome = AcceptanceOutcome(no_room(peer.environment.settings), Reason.OVER_QUOTA, str(error))
    except DiskFull as error:
        outcome = _failure(error)
    except StoreError as error:
        return _failure(error)
    if not outcome.is_accepted:
        incoming.discard()
    elif is_for_screens:
        await show_after(peer, draft, content)
    return outcome


def no_room(settings: ReceptionSettings) -> Reply:
    """What is said of an account whose quotas leave no room."""
    is_final = settings.when_full is WhenFull.REJECT
    return recipients.MAILBOX_FULL_FOR_GOOD if is_final else recipients.MAILBOX_FULL


def _failure(error: StoreError) -> AcceptanceOutcome:
    """What a client is told of a store that could not take the message."""
    if isinstance(error, DiskFull):
        return AcceptanceOutcome(contents.DISK_FULL, Reason.DISK_FULL, str(error))
    return AcceptanceOutcome(recipients.TRY_LATER, Reason.STORE_FAILED, str(error))


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
            detail = f"a post of the list {addressed.loops[0]} comes back to it"
            return AcceptanceOutcome(contents.LOOP, Reason.LOOP, detail)
        prepared = _acceptance(peer, draft, facts, content, addressed)
        notices = await _notices(peer, draft, content)
        if notices:
            prepared.entry.facts["notifications"] = [environment.store.ids.text(each.message_id) for each in notices]
        try:
            await environment.store.write(partial(_take, prepared, notices))
        except asyncio.CancelledError:  # the session is cut, but the commit goes its way
            environment.outward.dispatcher.adopt(addressed.queued)
            raise
        except DirectoryChanged:
            environment.directory.forget()
            refusal = await _identity_refusal(peer, draft, head)
            if refusal is not None:
                return refusal
        except OverQuota as error:
            if peer.listener.role is not _LMTP or not draft.leave_out(error.address):
                raise
        else:
            if addressed.queued:
                environment.outward.dispatcher.accepted(addressed.queued, content.octets)
            seconds = environment.clock() - prepared.accepted_at
            environment.tally.took(peer.listener.role, draft.recipients, content.size, seconds)
            if environment.say is not None:
                environment.say("message accepted", lines.accepted(peer, draft, content.size, seconds))
            return AcceptanceOutcome(contents.ACCEPTED.with_(queue_id=draft.queue_id), _ROUTED)
    return AcceptanceOutcome(contents.CHANGED, Reason.DIRECTORY_CHANGED)


async def _routes_stand(peer: Peer, draft: Draft) -> bool:
    """Whether the routes that RCPT was answered by still hold; brings them to the newest version."""
    directory = peer.environment.directory
    version = directory.version
    for recipient in draft.recipients:
        if recipient.version != version:
            break
    else:
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


def _take(prepared: Acceptance, notices: Sequence[Acceptance], tx: Transaction) -> None:
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
        said_at=draft.started_at,
        priority=draft.priority,
    )
    for recipient in draft.recipients:
        addressing.add(recipient.recipient, recipient.route)
    ends = addressing.ends()
    return ends if draft.showing is None else ends.without(draft.showing.ended)


async def _notices(peer: Peer, draft: Draft, content: Content) -> Sequence[Acceptance]:
    """Notifications of delivery, for those recipients here that asked for them (RFC 3461 §6.2), and of screens."""
    if draft.sender.reverse_path.is_null or draft.sender.hold is not None:  # told of when it is released
        return ()
    gone = draft.showing.gone if draft.showing is not None else ()
    told = await notices_of_gone(peer, draft, content) if gone else ()
    asking = [
        each
        for each in draft.recipients
        if each.recipient.notify and Notify.SUCCESS in each.recipient.notify and each.recipient not in gone
    ]
    if not asking:
        return told
    return *told, *await peer.environment.outward.notifier.of_delivery(
        draft.sender,
        asking,
        content,
        message_id=draft.message_id,
        account=peer.account,
        hello=peer.engine.hello,
        priority=draft.priority,
    )


def _acceptance(peer: Peer, draft: Draft, facts: HeaderFacts, content: Content, addressed: Addressed) -> Acceptance:
    """All that the 250 will promise."""
    environment = peer.environment
    field = facts.message_id
    if field is None and peer.is_submission:
        field = made_message_id(host=environment.hostname, queue_id=draft.queue_id)
    told = peer.transaction_facts(draft)
    told["size"] = content.size
    told["verdict"] = _ACCEPT
    told["ended"] = "accepted"
    if field is not None:
        told["message_id_field"] = field
    if addressed.loops:
        told["loops"] = [str(each) for each in addressed.loops]
    keys = {str(draft.sender.reverse_path).lower(), *draft.refused_paths}
    for recipient in draft.recipients:
        keys.add(str(recipient.forward_path).lower())
    for queued in addressed.queued:
        keys.add(str(queued.forward_path).lower())
    if field is not None:
        keys.add(field.lower())
    keys.discard("")
    now = Instant(environment.clock())
    started_at, message_id = Instant(draft.started_at), draft.message_id
    entry = JournalEntry(_TRANSACTION, started_at, peer.session_id, message_id, told, tuple(keys))
    version = environment.directory.version
    return Acceptance(message_id, now, content, addressed.deliveries, addressed.queued, version, entry)
