"""From accepted recipients to what the store takes: mailboxes, and envelopes under which the content goes on.

Most recipients go on under the envelope that came. Where an address of ours forwards to elsewhere the
reverse-path is rewritten (SRS), and a list's mail goes on in the name of its owner (RFC 5321 §3.9.2): each of
these is another envelope with the same content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from estafeta.agents.outbound.notifier import Notifier
from estafeta.agents.promises import deadline, hold_request, released_at
from estafeta.mail.address import Address, ReversePath
from estafeta.mail.envelope import Notify, OriginalRecipient, Recipient, Sender
from estafeta.mail.lists import is_from_list, list_fields
from estafeta.mail.trace import return_path
from estafeta.mail.value import value
from estafeta.routing.destinations import LATER, Destination, DestinationKind
from estafeta.routing.routes import Expansion, Listed, Route, ToHost, ToMailbox
from estafeta.store.ids import IdSource
from estafeta.store.records import (
    ContentId,
    Delivery,
    HolderId,
    Instant,
    MailboxId,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
)


class Dispatching(Protocol):
    """Who tries what was accepted for elsewhere."""

    def room_for(self, destination: str, message: QueuedMessage) -> HolderId | None:
        """Whether a message for the destination is tried at once, and by whom: it is to be queued as claimed then."""

    def accepted(self, recipients: Sequence[QueuedRecipient], content: bytes | None) -> None:
        """Take what a commit has queued; `content` without prefix, None when it is in a file."""

    def adopt(self, recipients: Sequence[QueuedRecipient]) -> None:
        """Give back what may have been queued by a commit whose end nobody saw."""


@value
class Outward:
    """How mail for other hosts is queued; one for the whole process."""

    forward: Callable[[ReversePath, Address], ReversePath]
    """The reverse-path with which an address of ours forwards to elsewhere."""
    dispatcher: Dispatching
    notifier: Notifier
    first_review_after: float
    lifetime: float
    """Seconds until a recipient has failed for its age."""


@value
class Addressed:
    """All ends of one mail object."""

    deliveries: tuple[Delivery, ...]
    queued: tuple[QueuedRecipient, ...]
    loops: tuple[Address, ...]
    """Lists that the message has been through already: it does not go through them again."""

    def without(self, mailboxes: frozenset[MailboxId]) -> Addressed:
        """The same without the mailboxes whose owners have read it on their screens."""
        return replace(self, deliveries=tuple(each for each in self.deliveries if each.mailbox_id not in mailboxes))


class Addressing:
    """Gathers the ends of one mail object: every mailbox, and every address elsewhere, once."""

    def __init__(
        self,
        outward: Outward,
        ids: IdSource,
        sender: Sender,
        *,
        message_id: MessageId,
        account: Address | None,
        size: int,
        head: bytes,
        is_ours: bool,
        at: float,
        said_at: float | None = None,
        priority: int = 0,
        released: QueuedMessage | None = None,
    ) -> None:
        """`head` is the header section, `is_ours` says that the reverse-path is of one of our own domains.

        `said_at` is when MAIL came, from which what it asked for counts; `released` is the envelope as it was queued
        when the message was held until now.
        """
        self._outward = outward
        self._ids = ids
        self._sender = sender
        self._head = head
        self._is_ours = is_ours
        self._loops: dict[Address, bool] = {}
        self._at = Instant(at)
        self._deliveries: dict[int, Delivery] = {}
        self._queued: dict[tuple[str, str], QueuedRecipient] = {}
        self._message_id = message_id
        self._account = account
        self._size = size
        self._said_at = at if said_at is None else said_at
        self._priority = priority
        self._released = released
        self._made: QueuedMessage | None = None
        self._is_held = released is None and sender.hold is not None and self._base.begins_at > self._at
        self._others: dict[object, QueuedMessage] = {}

    @property
    def _base(self) -> QueuedMessage:
        """The envelope that came; made when it is asked for, as what goes into mailboxes here needs none."""
        base = self._made
        if base is None:
            base = self._made = self._make_base()
        return base

    def _make_base(self) -> QueuedMessage:
        sender = self._sender
        if self._released is not None:
            return replace(self._released, release_at=self._at)
        return QueuedMessage(
            message_id=self._message_id,
            content_id=ContentId(self._message_id),
            reverse_path=sender.reverse_path,
            accepted_at=self._at,
            size=self._size,
            account=None if self._account is None else str(self._account),
            smtputf8=sender.smtputf8,
            body=sender.body.value if sender.body else None,
            envid=sender.envid,
            ret=sender.ret,
            requires_tls=sender.requires_tls,
            priority=self._priority,
            deliver_by=deadline(sender, self._said_at),
            hold=hold_request(sender),
            release_at=released_at(sender, self._said_at),
        )

    def add(self, recipient: Recipient, route: Route) -> None:
        """The ends of one recipient; of a message that is held they are found when it is released."""
        if self._is_held:
            self._hold(recipient)
            return
        ends: Iterable[ToMailbox | ToHost]
        if isinstance(route, Expansion):
            if len(route.ends) > 1 and recipient.notify and Notify.SUCCESS in recipient.notify:
                # RFC 3461 §5.2.7.3 (c): the sender is told that the alias was expanded, and no more of success.
                recipient = replace(recipient, notify=recipient.notify - {Notify.SUCCESS} or frozenset({Notify.NEVER}))
            ends = (end for end in route.ends if isinstance(end, ToMailbox | ToHost))
        else:
            ends = (route,) if isinstance(route, ToMailbox | ToHost) else ()
        for end in ends:
            if end.listed is not None and self._is_loop(end.listed):
                continue
            if isinstance(end, ToMailbox):
                self._deliver(recipient, end)
            else:
                self._queue(recipient, end)

    def ends(self) -> Addressed:
        """All of them."""
        loops = tuple(address for address, is_loop in self._loops.items() if is_loop)
        return Addressed(tuple(self._deliveries.values()), tuple(self._queued.values()), loops)

    def _is_loop(self, listed: Listed) -> bool:
        known = self._loops.get(listed.address)
        if known is None:
            known = self._loops[listed.address] = is_from_list(self._head, listed)
        return known

    def _deliver(self, recipient: Recipient, end: ToMailbox) -> None:
        if end.mailbox_id in self._deliveries:
            return
        if end.listed is None:
            prefix = return_path(self._sender.reverse_path)
        else:
            prefix = return_path(self._owner(end.listed)) + list_fields(end.listed)
        self._deliveries[end.mailbox_id] = Delivery(end.mailbox_id, recipient.forward_path, prefix)

    def _hold(self, recipient: Recipient) -> None:
        release_at = self._base.begins_at
        self._queued[str(recipient.forward_path), LATER] = QueuedRecipient(
            recipient_id=RecipientId(self._ids.next_id()),
            message=self._base,
            forward_path=recipient.forward_path,
            destination=LATER,
            status=QueueStatus.ACTIVE,
            next_attempt_at=release_at,
            review_at=self._first_review(self._base),
            original=recipient.original,
            notify=recipient.notify,
        )

    def _first_review(self, message: QueuedMessage) -> Instant:
        review_at = Instant(message.begins_at + self._outward.first_review_after)
        return review_at if message.deliver_by is None else min(review_at, message.deliver_by.at)

    def _queue(self, recipient: Recipient, end: ToHost) -> None:
        key = (str(end.address), end.destination)
        if key in self._queued:
            return
        message = self._message(end)
        is_on_demand = Destination.parse(end.destination).kind is DestinationKind.ON_DEMAND
        holder = None if is_on_demand else self._outward.dispatcher.room_for(end.destination, message)
        is_promised = message.deliver_by is not None or message.release_at is not None
        original = recipient.original
        if original is None and end.address != recipient.forward_path:
            # So that a notification names the address that the sender knows (RFC 3461 §4.2).
            address = str(recipient.forward_path)
            original = OriginalRecipient("rfc822" if address.isascii() else "utf-8", address)
        self._queued[key] = QueuedRecipient(
            recipient_id=RecipientId(self._ids.next_id()),
            message=message,
            forward_path=end.address,
            destination=end.destination,
            status=QueueStatus.ACTIVE,
            # A customer's mail is not tried before he calls.
            next_attempt_at=Instant(self._at + self._outward.lifetime) if is_on_demand else self._at,
            review_at=None if holder is not None and not is_promised else self._first_review(message),
            # RFC 3461 §5.2.7.3: a list's mail is the list's own, and so are its notifications.
            original=None if end.listed is not None else original,
            notify=None if end.listed is not None else recipient.notify,
            holder=holder,
            # RFC 2852 §4.1.3: who sent it on when its time was over has told of that.
            is_by_told=message.deliver_by is not None and message.deliver_by.at <= self._at,
        )

    def _message(self, end: ToHost) -> QueuedMessage:
        """The envelope under which an end is reached."""
        if end.listed is not None:
            return self._listed(end.listed)
        if end.alias is None or self._is_ours:  # SPF holds for our own domains from here
            return self._base
        reverse_path = self._outward.forward(self._sender.reverse_path, end.alias)
        if reverse_path == self._sender.reverse_path:
            return self._base
        return self._other(reverse_path, replace(self._base, reverse_path=reverse_path))

    def _listed(self, listed: Listed) -> QueuedMessage:
        prefix = list_fields(listed)
        return self._other(
            listed,
            replace(
                self._base,
                reverse_path=self._owner_from_here(listed),
                prefix=prefix,
                size=self._base.size + len(prefix),
                envid=None,
                ret=None,
                # The list has it, and has its own times.
                accepted_at=self._at,
                deliver_by=None,
                hold=None,
                release_at=None,
            ),
        )

    def _owner(self, listed: Listed) -> ReversePath:
        """In whose name a list's mail goes on; a notification that was posted to it must not cause another."""
        return self._sender.reverse_path if self._sender.reverse_path.is_null else ReversePath(listed.owner)

    def _owner_from_here(self, listed: Listed) -> ReversePath:
        """The owner, towards other hosts: an owner of another domain is written so that SPF holds for ours."""
        owner = self._owner(listed)
        if listed.owner.domain == listed.address.domain:
            return owner
        return self._outward.forward(owner, listed.address)

    def _other(self, key: object, message: QueuedMessage) -> QueuedMessage:
        known = self._others.get(key)
        if known is None:
            known = self._others[key] = replace(message, message_id=MessageId(self._ids.next_id()))
        return known
