"""A transaction, from MAIL to the end of data: who may send, to whom, and what becomes of it (RFC 5321 §3.3).

The settings, the login and the routes decide; what a message needs to be accepted is in `acceptance.py`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from estafeta.agents import promises
from estafeta.agents.acceptance import accept, no_room, so_far
from estafeta.agents.chronicle import Reason
from estafeta.agents.draft import Draft, IncomingContent, RoutedRecipient
from estafeta.agents.environment import Role
from estafeta.agents.live.showing import refused_opening, refused_recipient
from estafeta.agents.lookup import moved_reply, shown_to
from estafeta.agents.solicitation import UNWANTED, unwanted
from estafeta.mail.address import Address, ForwardPath
from estafeta.mail.catalogue import connections, contents, recipients, senders
from estafeta.mail.envelope import Opening, Sender
from estafeta.mail.reply import Reply
from estafeta.net.dns import Resolver
from estafeta.routing.destinations import Destination, DestinationKind
from estafeta.routing.hosts import why_no_mail
from estafeta.routing.routes import Expansion, Refused, Route, ToHost, ToMailbox, ToNowhere
from estafeta.store.errors import StoreError
from estafeta.store.records import MessageId
from estafeta.wire.smtp import events

if TYPE_CHECKING:
    from estafeta.agents.session import Session


# What is asked of each message is found once: a member of an enum costs 0.1 us where its class is asked for it.
_LMTP, _SUBMITTING = Role.LMTP, (Role.SUBMISSION, Role.ODMR)
_MAIL, _SEND = Opening.MAIL, Opening.SEND

DNS_AFTER = 3.0
"""Seconds that a client waits at RCPT for what the DNS says of a domain."""


async def on_mail(session: Session, event: events.Mail) -> None:
    """Who may send here, and as whom (RFC 5321 §4.1.1.2)."""
    reverse_path = event.sender.reverse_path
    refusal = _mail_refusal(session) or session.environment.pressure.refusal(event.sender.size)
    if refusal is None and session.peer.account is not None:
        refusal = await _identity_refusal(session, session.peer.account, reverse_path.address)
    if refusal is None and event.sender.solicit:
        kind = unwanted(session.environment.settings, event.sender.solicit)
        refusal = None if kind is None else (UNWANTED, Reason.SOLICITATION)
    if refusal is None and event.sender.opening is not _MAIL:
        refusal = refused_opening(session.peer, event.sender)
    now = session.environment.clock()
    if refusal is None and event.sender.hold is not None:
        refusal = await _hold_refusal(session, event.sender, now)
    if refusal is not None:
        reply, reason = refusal
        session.refusals += 1
        session.decide("mail", str(reverse_path), reply, reason)
        if reply.code == 421:
            session.end(reason.value)
        return
    session.transactions += 1
    ids = session.environment.store.ids
    message_id = MessageId(ids.next_id())
    session.draft = draft = Draft(event.sender, message_id, ids.text(message_id), now)
    lowered: Reply | None = None
    if (asked := event.sender.priority) is not None:
        draft.priority = min(asked, session.peer.highest_priority)
        lowered = promises.lowering_reply(draft.priority) if draft.priority < asked else None
    session.engine.answer(lowered or senders.ACCEPTED)


async def _hold_refusal(session: Session, sender: Sender, now: float) -> tuple[Reply, Reason] | None:
    environment = session.environment
    try:
        return await promises.refusal(environment.promises, environment.store, sender, session.peer.account, now)
    except StoreError:
        return recipients.TRY_LATER, Reason.STORE_FAILED


def _mail_refusal(session: Session) -> tuple[Reply, Reason] | None:
    settings, role = session.environment.settings, session.listener.role
    if session.is_closing():
        return connections.CLOSING, Reason.CLOSING
    if session.transactions >= session.environment.limits.transactions:
        return senders.TOO_MANY_MESSAGES, Reason.TOO_MANY
    if role is _LMTP and not (session.peer.is_trusted or session.stream.peer.is_loopback):
        return senders.NOT_LOCAL_CLIENT, Reason.NOT_LOCAL_CLIENT
    if role in _SUBMITTING and not session.peer.is_trusted:
        if settings.require_tls_for_submission and not session.engine.is_secure:
            return senders.TLS_NEEDED, Reason.TLS_NEEDED
        if session.peer.account is None:
            return senders.LOGIN_NEEDED, Reason.LOGIN_NEEDED
    return None


async def _identity_refusal(session: Session, account: Address, address: Address | None) -> tuple[Reply, Reason] | None:
    """Users send as themselves, or with the null reverse-path."""
    if address is None or await session.environment.directory.may_send_as(account, address):
        return None
    return senders.NOT_OWN_ADDRESS, Reason.NOT_OWN_ADDRESS


async def on_rcpt(session: Session, event: events.Rcpt) -> None:
    """Where the recipient's mail goes, and whether it goes there (RFC 5321 §4.1.1.3)."""
    draft = session.draft
    assert draft is not None
    path = event.recipient.forward_path
    if len(draft.recipients) >= session.environment.limits.recipients:
        session.decide("rcpt", str(path), recipients.TOO_MANY, Reason.TOO_MANY)
        return
    directory = session.environment.directory
    route = directory.remembered(path, session.peer.account)
    if route is None:
        try:
            route = await directory.resolve(path, session.peer.account)
        except StoreError as error:
            _refuse_recipient(session, draft, path, recipients.TRY_LATER, Reason.STORE_FAILED, str(error))
            return
    refusal = _route_refusal(session, route)
    if refusal is None and draft.sender.opening is _SEND:
        refusal = await refused_recipient(session.peer, route)
    elif refusal is None and isinstance(route, ToMailbox) and route.has_quota:
        refusal = await _quota_refusal(session, draft, route)
    elif refusal is None and session.environment.resolver is not None and isinstance(route, ToHost):
        refusal = await _domain_refusal(session, session.environment.resolver, route)
    if refusal is not None:
        _refuse_recipient(session, draft, path, *refusal)
        return
    draft.recipients.append(RoutedRecipient(event.recipient, route, directory.version))
    if isinstance(route, Expansion) and (moved := moved_reply(route)) is not None:
        session.engine.answer(shown_to(moved, smtputf8=draft.sender.smtputf8))
    else:
        session.engine.answer(recipients.ACCEPTED)


def _route_refusal(session: Session, route: Route) -> tuple[Reply, Reason, str] | None:
    if isinstance(route, Refused):
        reply = route.reply
        if reply.code == 551:
            assert session.draft is not None
            reply = shown_to(reply, smtputf8=session.draft.sender.smtputf8)
        return reply, Reason.UNKNOWN_RECIPIENT, route.reason
    leaves = (isinstance(route, ToHost | ToNowhere) and not route.for_anyone) or (
        isinstance(route, ToMailbox) and route.is_relaying
    )
    if leaves and not session.peer.is_submission:
        return recipients.RELAY_DENIED, Reason.RELAY_DENIED, route.reason
    return None


async def _domain_refusal(session: Session, resolver: Resolver, route: ToHost) -> tuple[Reply, Reason, str] | None:
    """What the DNS says of a domain that one of ours writes to; its failures say nothing."""
    destination = Destination.parse(route.destination)
    is_name = destination.kind is DestinationKind.DOMAIN and not destination.name.startswith("[")
    if not is_name or not session.peer.is_submission:
        return None
    try:
        async with asyncio.timeout(DNS_AFTER):
            reply = await why_no_mail(destination.name, resolver)
    except TimeoutError:
        return None
    return None if reply is None else (reply, Reason.NO_SUCH_DOMAIN, route.reason)


async def _quota_refusal(session: Session, draft: Draft, route: ToMailbox) -> tuple[Reply, Reason, str] | None:
    """What is known now: the size that MAIL declared. The commit has the last word."""
    if await session.environment.directory.has_room(route.account, draft.sender.size or 0):
        return None
    return no_room(session.environment.settings), Reason.OVER_QUOTA, f"quota of {route.account}"


def _refuse_recipient(
    session: Session, draft: Draft, path: ForwardPath, reply: Reply, reason: Reason, detail: str
) -> None:
    session.refusals += 1
    if len(draft.refused_paths) < 100:
        draft.refused_paths.append(str(path).lower())
    session.decide("rcpt", str(path), reply, reason, detail)


async def on_data(session: Session, event: events.Data) -> None:
    """The content may come (RFC 5321 §4.1.1.4)."""
    draft = session.draft
    assert draft is not None
    draft.incoming = _incoming(session, draft)
    session.engine.answer(contents.SEND_IT)


def _incoming(session: Session, draft: Draft) -> IncomingContent:
    limits = session.environment.limits
    return IncomingContent(
        session.environment.store.content.spool(),
        header_limit=limits.header_octets,
        size_limit=limits.message_size,
        fields_before=partial(session.peer.fields_before, draft),
    )


def incoming_of(session: Session, draft: Draft) -> IncomingContent:
    """What takes the content of a draft that comes in pieces; made with the first of them."""
    if draft.incoming is None:
        draft.incoming = _incoming(session, draft)
    return draft.incoming


async def on_bdat(session: Session, event: events.Bdat) -> None:
    """A chunk of the content comes (RFC 3030 §2)."""
    draft = session.draft
    assert draft is not None
    incoming_of(session, draft)


async def on_end_of_chunk(session: Session, event: events.EndOfChunk, taken: Reply = contents.CHUNK_TAKEN) -> None:
    """A chunk has come: whether there is room for more."""
    draft = session.draft
    assert draft is not None and draft.incoming is not None
    refusal = so_far(draft.incoming)
    if refusal is None:
        session.engine.answer(taken)
    else:
        session.decide("bdat", "", refusal.reply, refusal.reason, refusal.detail)


async def on_content(session: Session, event: events.Content) -> None:
    """A run of the content."""
    draft = session.draft
    assert draft is not None and draft.incoming is not None
    draft.incoming.write(event.octets)


async def on_end_of_data(session: Session, event: events.EndOfData) -> None:
    """The content is whole: accepted, or not (RFC 5321 §4.1.1.4, RFC 2033 §4.2)."""
    draft = session.draft
    assert draft is not None
    outcome = await accept(session.peer, draft, event)
    if outcome.is_accepted:
        session.accepted += 1
        session.draft = None
    if session.listener.role is _LMTP:
        full = draft.full_paths
        paths = [recipient.forward_path for recipient in session.engine.recipients]
        no_room_left = no_room(session.environment.settings)
        session.engine.answer_each([no_room_left if path in full else outcome.reply for path in paths])
    else:
        session.engine.answer(outcome.reply)
    session.drop_draft()


async def on_false_end_of_data(session: Session, event: events.FalseEndOfData) -> None:
    """There is no way back into step: refused, and closed."""
    session.decide("data", "", contents.FALSE_END, Reason.BAD_DATA)
    session.end(Reason.PROTOCOL.value)
