"""A transaction, from MAIL to the end of data: who may send, to whom, and what becomes of it (RFC 5321 §3.3).

The settings, the login and the routes decide; what a message needs to be accepted is in `acceptance.py`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from estafeta.agents.acceptance import NOT_OWN, OVER_QUOTA, accept
from estafeta.agents.chronicle import Reason
from estafeta.agents.draft import Draft, IncomingContent, RoutedRecipient
from estafeta.agents.environment import Role
from estafeta.mail.address import Address, ForwardPath
from estafeta.mail.reply import Reply
from estafeta.routing.routes import Refused, Route, ToHost, ToMailbox, ToNowhere
from estafeta.store.errors import StoreError
from estafeta.store.records import MessageId
from estafeta.wire.smtp import events

if TYPE_CHECKING:
    from estafeta.agents.session import Session

_SENDER_OK = Reply.of(250, "sender ok", "2.1.0")
_RECIPIENT_OK = Reply.of(250, "recipient ok", "2.1.5")
_SEND_DATA = Reply.of(354, "send the message, end with a line with a single dot")
_CLOSING = Reply.of(421, "closing for now, try again soon", "4.3.2")
_TOO_MANY_MESSAGES = Reply.of(421, "too many messages in one session, connect again", "4.7.0")
_TOO_MANY_RECIPIENTS = Reply.of(452, "too many recipients, send the rest in another transaction", "4.5.3")
_LOGIN_NEEDED = Reply.of(530, "authentication needed", "5.7.0")
_TLS_NEEDED = Reply.of(530, "say STARTTLS first", "5.7.0")
_RELAY_DENIED = Reply.of(550, "relaying denied: this server takes mail for its own domains", "5.7.1")
_NOT_LOCAL = Reply.of(550, "this client may not deliver here", "5.7.1")
_OUT_OF_STEP = Reply.of(550, "mail data is not ended by CRLF, dot, CRLF; closing", "5.6.0")
_TRY_LATER = Reply.of(451, "local error, try again later", "4.3.0")


async def on_mail(session: Session, event: events.Mail) -> None:
    reverse_path = event.sender.reverse_path
    refusal = _mail_refusal(session)
    if refusal is None and session.peer.account is not None:
        refusal = await _identity_refusal(session, session.peer.account, reverse_path.address)
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
    session.draft = Draft(event.sender, message_id, ids.text(message_id), session.environment.clock())
    session.engine.answer(_SENDER_OK)


def _mail_refusal(session: Session) -> tuple[Reply, Reason] | None:
    settings, role = session.environment.settings, session.listener.role
    if session.is_closing():
        return _CLOSING, Reason.CLOSING
    if session.transactions >= session.environment.limits.transactions:
        return _TOO_MANY_MESSAGES, Reason.TOO_MANY
    if role is Role.LMTP and not (session.peer.is_trusted or session.stream.peer.is_loopback):
        return _NOT_LOCAL, Reason.NOT_LOCAL_CLIENT
    if role in (Role.SUBMISSION, Role.ODMR) and not session.peer.is_trusted:
        if settings.require_tls_for_submission and not session.engine.is_secure:
            return _TLS_NEEDED, Reason.TLS_NEEDED
        if session.peer.account is None:
            return _LOGIN_NEEDED, Reason.LOGIN_NEEDED
    return None


async def _identity_refusal(session: Session, account: Address, address: Address | None) -> tuple[Reply, Reason] | None:
    """Users send as themselves, or with the null reverse-path."""
    if address is None or await session.environment.directory.may_send_as(account, address):
        return None
    return NOT_OWN, Reason.NOT_OWN_ADDRESS


async def on_rcpt(session: Session, event: events.Rcpt) -> None:
    draft = session.draft
    assert draft is not None
    path = event.recipient.forward_path
    if len(draft.recipients) >= session.environment.limits.recipients:
        session.decide("rcpt", str(path), _TOO_MANY_RECIPIENTS, Reason.TOO_MANY)
        return
    directory = session.environment.directory
    route = directory.remembered(path, session.peer.account)
    if route is None:
        try:
            route = await directory.resolve(path, session.peer.account)
        except StoreError as error:
            _refuse_recipient(session, draft, path, _TRY_LATER, Reason.STORE_FAILED, str(error))
            return
    refusal = _route_refusal(session, route)
    if refusal is None and isinstance(route, ToMailbox) and route.has_quota:
        refusal = await _quota_refusal(session, draft, route)
    if refusal is not None:
        _refuse_recipient(session, draft, path, *refusal)
        return
    draft.recipients.append(RoutedRecipient(event.recipient, route, directory.version))
    session.engine.answer(_RECIPIENT_OK)


def _route_refusal(session: Session, route: Route) -> tuple[Reply, Reason, str] | None:
    if isinstance(route, Refused):
        return route.reply, Reason.UNKNOWN_RECIPIENT, route.reason
    leaves = (isinstance(route, ToHost | ToNowhere) and not route.for_anyone) or (
        isinstance(route, ToMailbox) and route.is_relaying
    )
    if leaves and not session.peer.is_submission:
        return _RELAY_DENIED, Reason.RELAY_DENIED, route.reason
    return None


async def _quota_refusal(session: Session, draft: Draft, route: ToMailbox) -> tuple[Reply, Reason, str] | None:
    """What is known now: the size that MAIL declared. The commit has the last word."""
    if await session.environment.directory.has_room(route.account, draft.sender.size or 0):
        return None
    return OVER_QUOTA, Reason.OVER_QUOTA, f"quota of {route.account}"


def _refuse_recipient(
    session: Session, draft: Draft, path: ForwardPath, reply: Reply, reason: Reason, detail: str
) -> None:
    session.refusals += 1
    if len(draft.refused_paths) < 100:
        draft.refused_paths.append(str(path).lower())
    session.decide("rcpt", str(path), reply, reason, detail)


async def on_data(session: Session, event: events.Data) -> None:
    draft, limits = session.draft, session.environment.limits
    assert draft is not None
    draft.incoming = IncomingContent(
        session.environment.store.content.spool(),
        header_limit=limits.header_octets,
        size_limit=limits.message_size,
        fields_before=partial(session.peer.fields_before, draft),
    )
    session.engine.answer(_SEND_DATA)


async def on_content(session: Session, event: events.Content) -> None:
    draft = session.draft
    assert draft is not None and draft.incoming is not None
    draft.incoming.write(event.octets)


async def on_end_of_data(session: Session, event: events.EndOfData) -> None:
    draft = session.draft
    assert draft is not None
    outcome = await accept(session.peer, draft, event)
    if outcome.is_accepted:
        session.accepted += 1
        session.draft = None
    if session.listener.role is Role.LMTP:
        full = draft.full_paths
        paths = [recipient.forward_path for recipient in session.engine.recipients]
        session.engine.answer_each([OVER_QUOTA if path in full else outcome.reply for path in paths])
    else:
        session.engine.answer(outcome.reply)
    session.drop_draft()


async def on_false_end_of_data(session: Session, event: events.FalseEndOfData) -> None:
    session.decide("data", "", _OUT_OF_STEP, Reason.BAD_DATA)
    session.end(Reason.PROTOCOL.value)
