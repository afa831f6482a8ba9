"""A transaction that SEND, SOML or SAML opened: who may, whether somebody is there, and showing it (RFC 821 §3.4).

SEND is shown or refused, and never in a mailbox. SOML is shown before the commit, which puts it into the mailboxes of
those who were not; SAML is in the mailbox first and then shown. So what was answered with 250 is always somewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from estafeta.agents.chronicle import Reason
from estafeta.agents.live.settings import Senders
from estafeta.agents.outbound.outcome import Outcome
from estafeta.mail.address import Address
from estafeta.mail.catalogue import screens
from estafeta.mail.envelope import Opening, Recipient, Sender
from estafeta.mail.readable import MAX_OCTETS, readable
from estafeta.mail.reply import Reply
from estafeta.mail.screen import Screenful, screenful
from estafeta.routing.routes import End, Expansion, Refused, Route, ToMailbox
from estafeta.store import journal
from estafeta.store.errors import StoreError
from estafeta.store.records import (
    Acceptance,
    Content,
    ContentId,
    EntryKind,
    Fate,
    Instant,
    JournalEntry,
    MailboxId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
)

if TYPE_CHECKING:
    from estafeta.agents.draft import Draft
    from estafeta.agents.live.screens import Screens
    from estafeta.agents.peer import Peer

Refusal = tuple[Reply, Reason, str]


@dataclass(slots=True)
class Showing:
    """What became of a message on screens."""

    shown: dict[Address, tuple[str, ...]]
    """By account, the places that took it."""
    ended: frozenset[MailboxId] = frozenset()
    """Mailboxes that do not get it: it came to its end on a screen."""
    gone: tuple[Recipient, ...] = ()
    """Recipients of SEND that were there when RCPT was answered, and are not any more."""

    def facts(self) -> list[dict[str, object]]:
        """As the journal tells it."""
        return [{"account": str(account), "on": ", ".join(places)} for account, places in self.shown.items()]


def refused_opening(peer: Peer, sender: Sender) -> tuple[Reply, Reason] | None:
    """Why SEND, SOML or SAML is not taken from this client."""
    live = _live(peer)
    # LMTP's clients are hosts of ours that speak for others; the verbs are not offered there.
    if live.settings.senders is Senders.AUTHENTICATED and not peer.is_submission:
        return screens.LOGIN_NEEDED, Reason.LOGIN_NEEDED
    if sender.hold is not None:
        return screens.NOT_HELD, Reason.PROTOCOL
    if not live.may_send(_name(peer)):
        return screens.TOO_OFTEN, Reason.TOO_MANY
    return None


async def refused_recipient(peer: Peer, route: Route) -> Refusal | None:
    """Why a recipient of SEND is not taken: nobody is there, or could be.

    RFC 1123 §5.2.4 would let mail for other hosts go on as mail (251); who wants that says SOML.
    """
    ends = _ends(route)
    if not ends or not all(isinstance(end, ToMailbox) and end.listed is None for end in ends):
        return screens.NO_SCREEN, Reason.NO_SCREEN, "" if isinstance(route, Refused) else route.reason
    live = _live(peer)
    for end in ends:
        if isinstance(end, ToMailbox) and await live.is_there(end.account):
            return None
    return screens.NOT_ACTIVE, Reason.NOT_ACTIVE, route.text  # RFC 821 §3.4


async def show_first(peer: Peer, draft: Draft, content: Content) -> Refusal | None:
    """Show SEND and SOML, before the commit; what of it needs no mailbox any more stands in the draft.

    When the commit fails after it the client tries again, and it is shown again: better twice than not at all.
    Raises StoreError.
    """
    opening = draft.sender.opening
    if opening not in (Opening.SEND, Opening.SOML):
        return None
    message = await _message(peer, draft, content)
    settings = _live(peer).settings
    if opening is Opening.SEND and not message.is_whole:
        return screens.DOES_NOT_FIT.with_(lines=str(settings.lines)), Reason.TOO_LARGE, "for a screen"
    draft.showing = showing = await _show(peer, draft, message)
    if opening is Opening.SOML:
        if message.is_whole:  # else its rest is only in the mailbox
            showing.ended = frozenset(end.mailbox_id for end in _ends_here(draft) if end.account in showing.shown)
        return None
    if not showing.shown:
        return screens.NOT_ACTIVE, Reason.NOT_ACTIVE, "all recipients went away"
    showing.ended = frozenset(end.mailbox_id for end in _ends_here(draft))
    showing.gone = tuple(
        each.recipient
        for each in draft.recipients
        if not any(isinstance(end, ToMailbox) and end.account in showing.shown for end in _ends(each.route))
    )
    return None


async def show_after(peer: Peer, draft: Draft, content: Content) -> None:
    """Show SAML, whose message is in the mailbox by now."""
    if draft.sender.opening is not Opening.SAML:
        return
    try:
        message = await _message(peer, draft, content)
    except StoreError:  # its reader was faster, and has deleted it
        return
    began = peer.environment.clock()
    showing = await _show(peer, draft, message)
    accounts = dict.fromkeys(end.account for end in _ends_here(draft))
    facts: dict[str, object] = {
        "destination": "screens",
        "reverse_path": str(draft.sender.reverse_path),
        "recipients": [
            {
                "forward_path": str(account),
                "fate": "shown" if account in showing.shown else "not shown",
                "stage": "SAML",
                "reply": ", ".join(showing.shown.get(account, ("nobody is there",))),
            }
            for account in accounts
        ],
    }
    entry = JournalEntry(EntryKind.ATTEMPT, Instant(began), peer.session_id, draft.message_id, facts, ())
    peer.environment.store.write_later(lambda tx: journal.record(tx, entry))


async def notices_of_gone(peer: Peer, draft: Draft, content: Content) -> Sequence[Acceptance]:
    """The notification for recipients of SEND that went away while others were shown the message. Raises StoreError."""
    assert draft.showing is not None
    environment, sender = peer.environment, draft.sender
    now = Instant(environment.clock())
    message = QueuedMessage(
        message_id=draft.message_id,
        content_id=ContentId(draft.message_id),
        reverse_path=sender.reverse_path,
        accepted_at=now,
        size=content.size,
        account=None if peer.account is None else str(peer.account),
        smtputf8=sender.smtputf8,
        envid=sender.envid,
        ret=sender.ret,
        requires_tls=sender.requires_tls,
    )
    outcomes = [
        Outcome(
            QueuedRecipient(
                recipient_id=RecipientId(environment.store.ids.next_id()),
                message=message,
                forward_path=each.forward_path,
                destination="screens",
                status=QueueStatus.ACTIVE,
                next_attempt_at=now,
                review_at=None,
                original=each.original,
                notify=each.notify,
            ),
            Fate.FAILED,
            screens.GONE,
        )
        for each in draft.showing.gone
    ]
    notifier = environment.outward.notifier
    due = [outcome for outcome in outcomes if notifier.is_due(outcome)]
    if not due:
        return ()
    return (await notifier.notices(due, await _octets(peer, content))).acceptances


def _live(peer: Peer) -> Screens:
    live = peer.environment.screens
    assert live is not None  # the verbs are offered only where there is one
    return live


def _name(peer: Peer) -> str:
    """Who the sender is, for how often."""
    return str(peer.account) if peer.account is not None else peer.stream.peer.ip


def _ends(route: Route) -> tuple[End, ...]:
    if isinstance(route, Refused):
        return ()
    return route.ends if isinstance(route, Expansion) else (route,)


def _ends_here(draft: Draft) -> list[ToMailbox]:
    """Where it is to be shown; the post of a list is mail."""
    return [
        end
        for each in draft.recipients
        for end in _ends(each.route)
        if isinstance(end, ToMailbox) and end.listed is None
    ]


async def _show(peer: Peer, draft: Draft, message: Screenful) -> Showing:
    """Show it to all accounts at the same time."""
    live = _live(peer)
    accounts = list(dict.fromkeys(end.account for end in _ends_here(draft)))
    places = await asyncio.gather(*(live.show(account, message) for account in accounts))
    shown = {account: taken for account, taken in zip(accounts, places, strict=True) if taken}
    if shown:
        live.has_sent(_name(peer))
    return Showing(shown)


async def _message(peer: Peer, draft: Draft, content: Content) -> Screenful:
    settings = _live(peer).settings
    at = datetime.fromtimestamp(peer.environment.clock()).strftime("%H:%M")
    path = draft.sender.reverse_path
    if peer.account is not None:
        name = str(peer.account if path.is_null else path)
    else:  # what it calls itself is not proven
        name = f"{'nobody' if path.is_null else path} by way of {peer.stream.peer.ip}"
    octets = (await _octets(peer, content))[: MAX_OCTETS + 1]
    return screenful(f"Message from {name} at {at}", readable(octets), lines=settings.lines, columns=settings.columns)


async def _octets(peer: Peer, content: Content) -> bytes:
    if content.octets is not None:
        return content.octets
    assert content.file is not None
    return await asyncio.to_thread(peer.environment.store.content.read, content.file)
