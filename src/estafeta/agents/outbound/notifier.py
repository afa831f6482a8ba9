"""Notifications to senders: which outcomes they hear of (RFC 3461 §5.2), in which language, and where it goes.

One notification tells of all recipients of a message that are due one. It is an acceptance like any other, from the
null reverse-path, for the same commit in which the outcomes are settled: so none is lost, and none sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from estafeta.agents.chronicle import Verdict
from estafeta.agents.draft import RoutedRecipient
from estafeta.agents.outbound.outcome import Outcome
from estafeta.mail.address import NULL_REVERSE_PATH, Address, ForwardPath
from estafeta.mail.envelope import Notify, Ret, Sender
from estafeta.mail.header import header_size
from estafeta.mail.notification import Action, ComposedNotification, Language, Report, ReportedRecipient, compose
from estafeta.mail.reply import EnhancedStatusCode
from estafeta.mail.report import Relaying
from estafeta.mail.trace import return_path
from estafeta.mail.value import value
from estafeta.routing.destinations import Destination, DestinationKind
from estafeta.routing.directory import Directory
from estafeta.routing.routes import End, Expansion, Refused, Route, ToHost, ToMailbox, ToNowhere
from estafeta.store.records import (
    Acceptance,
    Content,
    ContentId,
    Delivery,
    EntryKind,
    Fate,
    Instant,
    JournalEntry,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
)
from estafeta.store.store import Store

MAX_HEADER = 65_536
"""Octets of a header section that come back; larger ones are cut, for nobody needs more of them to see what it was."""

_DEFERRED, _RELAYED, _PLAIN = Fate.DEFERRED, Fate.RELAYED, Relaying.PLAIN
_WANTED_IF_UNSAID = (Notify.FAILURE, Notify.DELAY)  # RFC 3461 §4.1


@dataclass(frozen=True, slots=True)
class NotificationSettings:
    """`[notifications]`: how senders are told what became of their mail."""

    language: Language = Language.EN
    """The language of notifications: en or es."""
    languages: dict[str, Language] = field(default_factory=dict)
    """Other languages by sender: an address, or @domain for all of a domain."""
    full_up_to: int = 51_200
    """Octets up to which a message that failed is returned whole, unless its sender asked for the header (RET=HDRS)."""
    author: str = ""
    """The address in From, which answers go to; postmaster@hostname when empty."""


@value
class Notices:
    """What there is to accept, and what leads nowhere."""

    acceptances: tuple[Acceptance, ...] = ()
    undeliverable: tuple[str, ...] = ()
    """For each notification that cannot be delivered: the reverse-path, and why not."""


@value
class _Original:
    """What a notification must know of the message that it is about."""

    message_id: MessageId
    """By which the journal tells of it."""
    sender: Address
    account: str | None
    arrived_at: float
    content: bytes
    is_full: bool
    envid: str | None = None
    received_from: str | None = None
    requires_tls: bool = False
    priority: int = 0
    tried_since: float | None = None
    deliver_by_at: float | None = None
    hold: str | None = None


class Notifier:
    """Makes notifications; commits none of them."""

    def __init__(
        self,
        hostname: str,
        store: Store,
        directory: Directory,
        settings: NotificationSettings,
        *,
        clock: Callable[[], float],
        lifetime: float,
        review_after: float,
    ) -> None:
        """`lifetime` and `review_after` are those of the schedule: seconds after which mail has failed for its age, and
        after which a notification in the queue is looked at."""
        self._hostname = hostname
        self._store = store
        self._directory = directory
        self._settings = settings
        self._clock = clock
        self._lifetime = lifetime
        self._review_after = review_after
        self._author = Address.parse(settings.author) if settings.author else Address("postmaster", hostname)
        self._languages = {sender.lower(): language for sender, language in settings.languages.items()}

    def is_due(self, outcome: Outcome, *, is_review: bool = False) -> bool:
        """Whether the sender hears of the outcome; of what is deferred only at a review, and once of each reason."""
        if outcome.fate is _DEFERRED:
            recipient = outcome.recipient
            is_told = recipient.is_by_told if outcome.is_overdue else recipient.is_delay_told
            if is_told or not is_review:
                return False
        return not outcome.recipient.message.reverse_path.is_null and _action(outcome) is not None

    async def notices(self, outcomes: Sequence[Outcome], content: bytes) -> Notices:
        """The notification of those outcomes, all of one message, that `is_due` named; `content` has its prefix.

        Raises StoreError. When the commit fails with DirectoryChanged or OverQuota, make it again.
        """
        told = [self._reported(outcome, action) for outcome in outcomes if (action := _action(outcome)) is not None]
        if not told:
            return Notices()
        message = outcomes[0].recipient.message
        sender = message.reverse_path.address
        if sender is None:  # RFC 3461 §5.2: never for a null reverse-path
            return Notices()
        # RFC 3461 §6.2: the message comes back with failures alone. RFC 8689 §5: not one that went by REQUIRETLS.
        is_full = (
            any(each.action is Action.FAILED for each in told)
            and message.ret is not Ret.HDRS
            and not message.requires_tls
            and len(content) <= self._settings.full_up_to
        )
        original = _Original(
            message_id=MessageId(message.content_id),
            sender=sender,
            account=message.account,
            arrived_at=message.accepted_at,
            content=content if is_full else _header(content),
            is_full=is_full,
            envid=message.envid,
            requires_tls=message.requires_tls,
            priority=message.priority,
            tried_since=message.release_at,
            deliver_by_at=message.deliver_by.at if message.deliver_by is not None else None,
            hold=message.hold,
        )
        return await self._notify(original, tuple(told))

    async def of_delivery(
        self,
        sender: Sender,
        recipients: Sequence[RoutedRecipient],
        content: Content,
        *,
        message_id: MessageId,
        account: Address | None,
        hello: str | None,
        priority: int = 0,
        released: QueuedMessage | None = None,
    ) -> tuple[Acceptance, ...]:
        """The notification of what is delivered or distributed at acceptance, for recipients that asked for it.

        `hello` is what the client called itself; `released` is the message when it was held before. Raises StoreError.
        """
        address = sender.reverse_path.address
        if address is None:
            return ()
        told = tuple(
            ReportedRecipient(each.forward_path, action, EnhancedStatusCode(2, 1, 5), each.recipient.original)
            for each in recipients
            if Notify.SUCCESS in (each.recipient.notify or ()) and (action := _action_here(each.route)) is not None
        )
        if not told:
            return ()
        octets = content.octets
        if octets is None:
            assert content.file is not None
            octets = await asyncio.to_thread(self._store.content.read, content.file)
        arrived_at = self._clock() if released is None else released.accepted_at
        by_at = None if sender.deliver_by is None else arrived_at + sender.deliver_by.seconds
        if released is not None and released.deliver_by is not None:
            by_at = released.deliver_by.at
        original = _Original(
            message_id=message_id,
            sender=address,
            account=None if account is None else str(account),
            arrived_at=arrived_at,
            content=_header(octets),
            is_full=False,
            envid=sender.envid,
            received_from=hello,
            requires_tls=sender.requires_tls,
            priority=priority,
            deliver_by_at=by_at,
            hold=None if released is None else released.hold,
        )
        return (await self._notify(original, told)).acceptances

    def discard(self, acceptances: Sequence[Acceptance]) -> None:
        """Notifications that were made and not accepted: forget what was written of them."""
        for acceptance in acceptances:
            if acceptance.content.file is not None:
                self._store.content.remove(acceptance.content.file)

    def language_of(self, account: str | None, sender: Address) -> Language:
        """What the sender is told in: by the account that handed the message in, by the reverse-path otherwise."""
        address = (account or str(sender)).lower()
        domain = f"@{address.rpartition('@')[2]}"
        return self._languages.get(address) or self._languages.get(domain) or self._settings.language

    # How it is made.

    def _reported(self, outcome: Outcome, action: Action) -> ReportedRecipient:
        recipient, host = outcome.recipient, outcome.host
        return ReportedRecipient(
            final=recipient.forward_path,
            action=action,
            status=outcome.status,
            original=recipient.original,
            remote_host=None if host is None else host.name,
            reply=outcome.reply,
            is_remote=outcome.is_remote,
            stage=outcome.stage,
            is_expired=outcome.fate is Fate.EXPIRED,
            is_overdue=outcome.is_overdue,
            relaying=outcome.relaying,
            # What is only looked at was not tried now, and no host was talked to.
            last_attempt_at=None if host is None else self._clock(),
            will_retry_until=self._tried_until(recipient.message) if action is Action.DELAYED else None,
        )

    def _tried_until(self, message: QueuedMessage) -> float:
        by = message.deliver_by
        expires_at = message.begins_at + self._lifetime
        return min(expires_at, by.at) if by is not None and by.returns else expires_at

    async def _notify(self, original: _Original, told: tuple[ReportedRecipient, ...]) -> Notices:
        path = ForwardPath(original.sender)
        # Found anew each time: what is remembered may be what the commit was refused for.
        route = await self._directory.resolve(path)
        version = self._directory.version
        message_id = MessageId(self._store.ids.next_id())
        report = self._report(original, told, self._store.ids.text(message_id))
        # Some milliseconds for each recipient of whom a host says much.
        composed = await asyncio.to_thread(compose, report)
        ends, reason = await self._ends(route, len(composed.octets))
        if reason:
            return Notices(undeliverable=(f"<{path}>: {reason}",))
        spool = self._store.content.spool()
        spool.write(composed.octets)
        content = await spool.finish()
        now = Instant(self._clock())
        acceptance = Acceptance(
            message_id=message_id,
            accepted_at=now,
            content=content,
            deliveries=tuple(
                Delivery(end.mailbox_id, path, return_path(NULL_REVERSE_PATH))
                for end in ends
                if isinstance(end, ToMailbox)
            ),
            queued=self._queued(
                [end for end in ends if isinstance(end, ToHost)],
                QueuedMessage(
                    message_id,
                    ContentId(message_id),
                    NULL_REVERSE_PATH,  # RFC 3461 §6.1
                    now,
                    content.size,
                    smtputf8=composed.smtputf8,
                    body=composed.body.value,
                    requires_tls=original.requires_tls,  # RFC 8689 §5
                    priority=original.priority,  # RFC 6710 §4.6
                ),
            ),
            directory_version=version,
            entry=self._entry(original, told, path, route, composed, message_id, now),
        )
        return Notices(acceptances=(acceptance,))

    def _report(self, original: _Original, told: tuple[ReportedRecipient, ...], notification_id: str) -> Report:
        return Report(
            notification_id=notification_id,
            at=self._clock(),
            to=original.sender,
            author=self._author,
            reporting_host=self._hostname,
            language=self.language_of(original.account, original.sender),
            arrived_at=original.arrived_at,
            recipients=told,
            returned=original.content,
            is_full=original.is_full,
            envid=original.envid,
            received_from=original.received_from,
            queue_id=self._store.ids.text(original.message_id),
            tried_since=original.tried_since,
            deliver_by_at=original.deliver_by_at,
            hold=original.hold,
        )

    async def _ends(self, route: Route, size: int) -> tuple[Sequence[End], str]:
        """Where it goes; and why it goes nowhere, if it does."""
        if isinstance(route, Refused):
            return (), f"{route.reply} ({route.reason})"
        ends: list[End] = []
        reason = ""
        for end in route.ends if isinstance(route, Expansion) else (route,):
            if not isinstance(end, ToNowhere) and end.listed is not None:
                reason = f"{end.listed.address} is a list, and a notification is no post"
            elif isinstance(end, ToMailbox) and end.has_quota and not await self._directory.has_room(end.account, size):
                reason = f"the mailbox of {end.account} is full"
            else:
                ends.append(end)
        return ends, "" if ends else reason

    def _queued(self, ends: Sequence[ToHost], message: QueuedMessage) -> tuple[QueuedRecipient, ...]:
        """One recipient for each address elsewhere; all wait in the store until they are claimed."""
        queued = {}
        for end in ends:
            # A customer's mail is not tried before he calls.
            waits = Destination.parse(end.destination).kind is DestinationKind.ON_DEMAND
            queued[end.address, end.destination] = QueuedRecipient(
                RecipientId(self._store.ids.next_id()),
                message,
                end.address,
                end.destination,
                QueueStatus.ACTIVE,
                next_attempt_at=Instant(message.accepted_at + (self._lifetime if waits else 0)),
                review_at=Instant(message.accepted_at + self._review_after),
                notify=frozenset({Notify.NEVER}),  # RFC 3461 §6.1
            )
        return tuple(queued.values())

    def _entry(
        self,
        original: _Original,
        told: Sequence[ReportedRecipient],
        path: ForwardPath,
        route: Route,
        composed: ComposedNotification,
        message_id: MessageId,
        now: Instant,
    ) -> JournalEntry:
        """The journal's row, as that of a message from outside."""
        actions = {each.action for each in told}
        facts: dict[str, object] = {
            "reverse_path": "",
            "recipients": [{"forward_path": str(path), "route": route.text, "reason": route.reason}],
            "notification_of": self._store.ids.text(original.message_id),
            "action": ", ".join(action.value for action in Action if action in actions),
            "size": len(composed.octets),
            "verdict": Verdict.ACCEPT.value,
            "ended": "accepted",
            "message_id_field": composed.message_id,
        }
        keys = (str(path).lower(), composed.message_id.lower())
        return JournalEntry(EntryKind.TRANSACTION, now, None, message_id, facts, keys)


def _action(outcome: Outcome) -> Action | None:
    """What the sender is told of an outcome, by what it asked for with NOTIFY (RFC 3461 §5.2)."""
    notify = outcome.recipient.notify
    if notify is None and outcome.fate is _RELAYED and outcome.relaying is _PLAIN:
        return None  # what is mostly asked about, without reaching for the members of enums below
    wanted = _WANTED_IF_UNSAID if notify is None else notify
    match outcome.fate:
        case Fate.FAILED | Fate.EXPIRED:
            return Action.FAILED if Notify.FAILURE in wanted else None  # §5.2.6
        case Fate.DEFERRED:
            return Action.DELAYED if Notify.DELAY in wanted else None  # §5.2.5
        case Fate.DELIVERED:
            return Action.DELIVERED if Notify.SUCCESS in wanted else None  # §5.2.3
        case Fate.RELAYED:
            # RFC 2852 §4.1.4: of these all hear that did not say NEVER.
            if outcome.relaying is not Relaying.PLAIN and Notify.NEVER not in wanted:
                return Action.RELAYED
            # §5.2.2 (b); a host that knows DSN tells of it itself (§5.2.1).
            return Action.RELAYED if Notify.SUCCESS in wanted and not outcome.takes_dsn else None
        case Fate.RELEASED:
            return None  # told of where it was released


def _action_here(route: Route) -> Action | None:
    """What acceptance did for a recipient at once; None where the outcome is yet to come."""
    if isinstance(route, Expansion):
        # RFC 3461 §5.2.7.1: a list that has the message is its last recipient.
        if any(not isinstance(end, ToNowhere) and end.listed is not None for end in route.ends):
            return Action.DELIVERED
        if len(route.ends) > 1:
            return Action.EXPANDED  # §5.2.7.3 (c)
        return _action_here(route.ends[0])  # §5.2.7.2
    return Action.DELIVERED if isinstance(route, ToMailbox | ToNowhere) else None


def _header(content: bytes) -> bytes:
    """The header section, cut behind a line where it is too large."""
    size = header_size(content)
    if size <= MAX_HEADER:
        return content[:size]
    end = content.rfind(b"\r\n", 0, MAX_HEADER)
    return content[: end + 2] if end >= 0 else b""
