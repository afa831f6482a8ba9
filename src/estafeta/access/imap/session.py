"""One IMAP session as its handlers see it (RFC 9051): octets to send, events to wait for, the open mailbox.

One task reads, carries out and answers (`conversation`). While nothing is being carried out a second, short one tells
what is new, and only where the client wants that: in IDLE, and after NOTIFY.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from estafeta.access.imap import news
from estafeta.access.imap.environment import ImapEnvironment
from estafeta.access.imap.selected import Selected, Update
from estafeta.access.imap.settings import ImapSettings
from estafeta.access.login import Logins
from estafeta.net.errors import ConnectionLost, DeadlinePassed, NetError
from estafeta.net.stream import Stream
from estafeta.net.tls import ServerTls
from estafeta.store import accounts, acl, mailboxes
from estafeta.store.addresses import key_of
from estafeta.store.engine import Transaction
from estafeta.store.errors import NotFound, StoreError
from estafeta.store.records import Account, SessionId
from estafeta.wire.imap import events
from estafeta.wire.imap.capabilities import capabilities
from estafeta.wire.imap.commands.delete import Delete
from estafeta.wire.imap.commands.fetch import Fetch
from estafeta.wire.imap.completion import Completion
from estafeta.wire.imap.numbers import NumberSet
from estafeta.wire.imap.request import Request
from estafeta.wire.imap.server import Limits, ServerEngine
from estafeta.wire.imap.session import Offer, State

if TYPE_CHECKING:
    from estafeta.access.imap.watching import Watching

Handler = Callable[["Session", Any], Awaitable[Completion | None]]
"""Carries one kind of request out; None says that the request is completed already."""

SENT_AT_ONCE = 64 * 1024
"""Octets that wait to be sent before a handler waits for the client to take them."""
ADVANCED_AT_ONCE = 5_000
"""Changed messages up to which the view is brought up to date here; some milliseconds."""
PROGRESS_AFTER = 5.0
"""Seconds between two tellings of how far a command is."""


class Ended(StrEnum):
    """How a session ended, as the journal says it."""

    LOGOUT = "logout"
    LOST = "lost"
    TIMEOUT = "timeout"
    FAULTS = "too-many-faults"
    LOGINS = "too-many-logins"
    TLS_FAILED = "tls-failed"
    EXPELLED = "expelled"
    CLOSING = "closing"
    FAILED = "failed"


class Bye(Exception):
    """The session is ended from this side, and the client told why."""

    def __init__(self, text: str, ended: Ended, code: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.ended = ended
        self.code = code


class Follower(Protocol):
    """Follows the open mailbox, as the searches do that are kept up to date (RFC 5267 §4.3)."""

    async def expunging(self, update: Update) -> None:
        """Before the client is told of what is gone."""

    async def told(self, update: Update) -> None:
        """After it was told of everything."""


class Keeper(Protocol):
    """Who keeps the sessions."""

    environment: ImapEnvironment
    is_closing: bool
    """The server is ending."""
    handlers: Mapping[type[Request], Handler]


class Session:
    """One connection."""

    __slots__ = (
        "_account_is_stale",
        "_deadline_is_due",
        "_end_watching_account",
        "_has_news",
        "_is_waiting",
        "_keeper",
        "_progress_at",
        "_teller",
        "_tls",
        "account",
        "annotating",
        "engine",
        "environment",
        "followers",
        "is_idling",
        "logins",
        "own_changes",
        "own_entries",
        "request",
        "selected",
        "session_id",
        "stream",
        "watching",
    )

    def __init__(self, keeper: Keeper, tls: ServerTls | None, stream: Stream) -> None:
        """`tls` is for STARTTLS."""
        self.environment = environment = keeper.environment
        self.stream = stream
        self.session_id = SessionId(environment.store.ids.next_id())
        self.account: Account | None = None
        """Who is logged in."""
        self.selected: Selected | None = None
        """The open mailbox."""
        self.request: Request | None = None
        """What is being carried out."""
        self.is_idling = False
        self.annotating: Watching | None = None
        """Annotations that others change, after ENABLE METADATA; NOTIFY takes its place."""
        self.watching: Watching | None = None
        """What NOTIFY asked for."""
        self.own_changes: set[str] = set()
        """Names that this session changed, which NOTIFY does not tell it of."""
        self.own_entries: set[tuple[str, str]] = set()
        """Annotations that it changed: mailbox and entry."""
        self.followers: list[Follower] = []
        """Told of the open mailbox's updates; they leave with it."""
        self._keeper = keeper
        self._tls = tls
        self._end_watching_account: Callable[[], None] | None = None
        self._account_is_stale = False
        self._has_news = False
        self._is_waiting = False
        self._deadline_is_due = True
        self._teller: asyncio.Task[None] | None = None
        self._progress_at = 0.0
        self.logins = Logins(environment.authenticator, environment.nonce, stream, environment.say)
        settings = environment.settings
        limits = Limits(command=settings.command_line, literal=settings.literal, faults=settings.faults)
        replies = environment.tally.imap_replies
        self.engine = ServerEngine(self.offer(), is_secure=stream.tls is not None, limits=limits, replies=replies)

    @property
    def settings(self) -> ImapSettings:
        """Limits and deadlines, as they were when the session began."""
        return self.environment.settings

    @property
    def enabled(self) -> set[str]:
        """What the client enabled, in upper case."""
        return self.engine.session.enabled

    @property
    def shows_recent(self) -> bool:
        """Whether the client knows \\Recent, which IMAP4rev2 has no more (RFC 9051 App. E)."""
        return not self.engine.session.is_rev2

    def capabilities(self) -> str:
        """The word CAPABILITY, and what is offered now."""
        return capabilities(self.engine.session)

    def offer(self) -> Offer:
        """What the client is offered now; no password where others could read it (RFC 8314 §3)."""
        settings, logins = self.settings, self.logins
        in_the_clear = settings.allow_plaintext_login
        return Offer(
            mechanisms=logins.mechanisms(in_the_clear=in_the_clear),
            login=logins.may_say_password(in_the_clear=in_the_clear),
            starttls=self._tls is not None and self.stream.tls is None,
            compress=settings.compress,
            append_limit=settings.message_size,
            message_limit=settings.message_limit or None,
        )

    # Sending.

    def send(self, octets: bytes) -> None:
        """Untagged responses, whole, with CRLF; or a piece of one, when nothing else is sent before its end."""
        self.engine.send(octets)

    async def flush(self) -> None:
        """Wait for a client that has much to read. To be called between pieces of a long answer."""
        if self.engine.waiting >= SENT_AT_ONCE:
            await self.flush_all()
            await asyncio.sleep(0)  # others get their turn even where the socket takes everything at once

    async def flush_all(self) -> None:
        """Send what waits, if anything does. Raises ConnectionLost, DeadlinePassed."""
        octets = self.engine.take()
        if octets:
            self._deadline_is_due = True
            self.stream.set_deadline(self.settings.send_after)
            self.stream.send(octets)
            await self.stream.drain()

    def progress(self, done: int, goal: int) -> None:
        """Tell how far a long command is, now and then (RFC 9585 §4)."""
        now = asyncio.get_running_loop().time()
        if not self._progress_at:
            self._progress_at = now
        elif now - self._progress_at >= PROGRESS_AFTER:
            self._progress_at = now
            tag = self.engine.tag
            self.send(b'* OK [INPROGRESS ("%b" %d %d)] Still at it\r\n' % (tag.encode(), done, goal))

    # Receiving.

    def begin(self, request: Request) -> None:
        """The request is being carried out from now on."""
        self.request = request
        self._progress_at = 0.0

    async def next_event(self) -> events.Event:
        """The next event: a request, or what belongs to the one that is being carried out.

        Raises ConnectionLost, DeadlinePassed, Bye.
        """
        engine = self.engine
        while True:
            if self._is_to_end:
                raise Bye("Server is stopping, try again soon", Ended.CLOSING, "UNAVAILABLE")
            event = engine.next_event()
            if isinstance(event, events.TooManyFaults):
                raise Bye("", Ended.FAULTS)  # the engine has said so
            if event is not None and not isinstance(event, events.AnswersWaiting):
                self._deadline_is_due = True
                return event
            await self.flush_all()
            if event is not None:
                await asyncio.sleep(0)
                continue
            octets = await self._receive()
            if octets:
                engine.feed(octets)
            elif octets is not None and not self._is_to_end:
                raise ConnectionLost

    @property
    def _is_to_end(self) -> bool:
        """Whether the server is closing, and nothing is under way here that it waits for."""
        return self._keeper.is_closing and (self.request is None or self.is_idling)

    async def _receive(self) -> bytes | None:
        """Wait for octets; meanwhile what is new may be told. None when it is time to say something in IDLE."""
        stream, settings = self.stream, self.settings
        if self._deadline_is_due:
            # Whole commands only: octets that trickle in do not keep a session alive.
            self._deadline_is_due = False
            if self.is_idling:
                stream.set_deadline(settings.still_here_after)
            else:
                stream.set_deadline(settings.login_after if self.account is None else settings.autologout_after)
        self._is_waiting = True
        if self._has_news or self._account_is_stale:
            self._start_telling()
        try:
            return await stream.receive()
        except DeadlinePassed:
            if not self.is_idling or self._teller is not None:
                raise
        except asyncio.CancelledError:
            if self._teller is not None:
                self._teller.cancel()
            raise
        finally:
            self._is_waiting = False
            if self._teller is not None:
                await self._teller
        # It keeps the connection open on its way, and finds out whether anybody is there (RFC 9051 §6.3.13).
        self.send(b"* OK Still here\r\n")
        await self.catch_up(expunges=True, is_fresh=True)
        return None

    def close_if_idle(self) -> None:
        """The server is closing: a session that waits for a command ends now."""
        if self._is_waiting and self._is_to_end:
            self.stream.end_receiving()

    # What is new.

    def wake(self, _touched: int = 0) -> None:
        """Something that is watched has changed."""
        self._has_news = True
        if self._is_waiting:
            self._start_telling()

    def _start_telling(self) -> None:
        tells_now = self.is_idling or (self.request is None and self.watching is not None)
        if self._teller is None and (tells_now or self._account_is_stale):
            self._teller = asyncio.ensure_future(self._tell())

    async def _tell(self) -> None:
        """Tell what is new while the client has no command open, or is in IDLE."""
        try:
            await self.check_account()
            while self._has_news and (self.is_idling or self.watching is not None):
                self._has_news = False
                await self._tell_at_once()
                await self.flush_all()
            self._teller = None
        except BaseException:
            # The task that waits for octets wakes up, and finds out.
            self.stream.end_receiving()
            raise

    async def _tell_at_once(self) -> None:
        watching = self.watching
        if watching is None:
            await self.catch_up(expunges=True)
            return
        events_wanted = watching.selected.events
        if self.selected is not None and events_wanted:
            # RFC 5465 §6.1.2: with SELECTED-DELAYED numbers stay until a command may change them.
            expunges = self.is_idling or ("MessageExpunge" in events_wanted and not watching.selected.is_delayed)
            await self._tell_watched(expunges=expunges)
        if watching.is_due:
            await watching.tell()

    async def _tell_watched(self, *, expunges: bool, is_fresh: bool = False) -> None:
        """News of the open mailbox as NOTIFY asked for them: with items of messages that are new (RFC 5465 §5.2)."""
        assert self.watching is not None
        wanted = self.watching.selected
        flags = "FlagChange" in wanted.events
        update = await self.catch_up(expunges=expunges, is_fresh=is_fresh, flags=flags)
        if update is not None and update.added and wanted.items:
            uids = update.added_uids
            numbers = NumberSet(((uids[0], uids[-1]),))
            await self._keeper.handlers[Fetch](self, Fetch(numbers, is_uid=True, items=wanted.items))

    async def tell_news(self, *, expunges: bool, is_fresh: bool = False) -> None:
        """What is new since the last command, as far as NOTIFY does not forbid it (RFC 5465 §3.1)."""
        if self.annotating is not None and self.annotating.is_due:
            await self.annotating.tell()
        if self.watching is None:
            await self.catch_up(expunges=expunges, is_fresh=is_fresh)
        elif self.watching.selected.events:
            await self._tell_watched(expunges=expunges, is_fresh=is_fresh)

    async def catch_up(
        self,
        *,
        expunges: bool,
        silent: Mapping[int, int] | None = None,
        is_fresh: bool = False,
        flags: bool = True,
    ) -> Update | None:
        """Make the newest snapshot the view, and tell the client what that changes; None when nothing.

        Without `expunges` message numbers stay. Flags that are as `silent` has them by UID are not told, nor are any
        without `flags`. With `is_fresh` the store is asked in any case. Raises Bye when the mailbox is gone.
        """
        selected = self.selected
        if selected is None:
            return None
        try:
            newest = await self.environment.snapshots.current(selected.view.mailbox_id, is_fresh=is_fresh)
        except NotFound:
            self.leave()
            if isinstance(self.request, Delete):
                return None  # it was this session's own doing
            # RFC 2180 §3.3: the others are cut off.
            raise Bye("The mailbox was deleted", Ended.EXPELLED) from None
        if not selected.is_behind(newest, expunges=expunges):
            return None
        if selected.lags_by(newest) > ADVANCED_AT_ONCE:
            update = await asyncio.to_thread(selected.advance, newest, expunges=expunges, silent=silent)
        else:
            update = selected.advance(newest, expunges=expunges, silent=silent)
        if update.expunged:
            for follower in self.followers:
                await follower.expunging(update)
        await self._send_update(selected, update, flags=flags)
        for follower in self.followers:
            await follower.told(update)
        return update

    async def _send_update(self, selected: Selected, update: Update, *, flags: bool) -> None:
        enabled, is_uid_only = self.enabled, self.engine.session.is_uid_only
        if update.has_new_keywords:
            self.send(news.flags(selected, update.view))
        for piece in news.expunged(update, vanished=is_uid_only or "QRESYNC" in enabled):
            self.send(piece)
            await self.flush()
        if update.added:
            self.send(b"* %d EXISTS\r\n" % len(update.view))
            if self.shows_recent:
                await self.claim_recent(selected)
                self.send(b"* %d RECENT\r\n" % selected.recent)
        if flags and update.changed:
            has_modseq = "CONDSTORE" in enabled
            for piece in news.changed(
                selected,
                update,
                is_uid_only=is_uid_only,
                # RFC 7162 §3.2.4: with UIDs for clients that keep MODSEQs; RFC 9051 §7.5.2: and for those of rev2
                has_uid=has_modseq or not self.shows_recent,
                has_modseq=has_modseq,
                has_recent=self.shows_recent,
            ):
                self.send(piece)
                await self.flush()

    async def claim_recent(self, selected: Selected) -> None:
        """Be the session that is told of new messages as \\Recent, where no other was; after EXAMINE only look."""
        snapshots, view = self.environment.snapshots, selected.view
        with suppress(StoreError):  # they are not \Recent then; nothing depends on it
            if selected.is_read_only:
                row = await self.environment.store.read(lambda tx: mailboxes.get(tx, view.mailbox_id))
                told_until = selected.recent_uids[-1].stop if selected.recent_uids else 0
                selected.add_recent(range(max(row.recent_uid, told_until), view.uid_next))
            else:
                selected.add_recent(await snapshots.claim_recent(view))

    # What the session is at.

    def log_in(self, account: Account) -> None:
        """The client is who it says; from now on it is known when the account goes or is disabled."""
        self.account = account
        self.engine.session.state = State.AUTHENTICATED
        self._end_watching_account = self.environment.store.changes.watch(account.account_id, self._account_touched)

    def _account_touched(self, _touched: int) -> None:
        self._account_is_stale = True
        if self._is_waiting:
            self._start_telling()

    async def check_account(self) -> None:
        """Look at the account again when it may have changed. Raises Bye when it may not be used any more."""
        account = self.account
        if not self._account_is_stale or account is None:
            return
        self._account_is_stale = False
        address, account_id, selected = account.address, account.account_id, self.selected

        def query(tx: Transaction) -> tuple[Account | None, str]:
            mailbox = None if selected is None else selected.mailbox
            rights = "" if mailbox is None else acl.rights_of(tx, mailbox, account_id, key_of(address))
            return accounts.find(tx, address), rights

        now, rights = await self.environment.store.read(query)
        if now is None or now.account_id != account_id or not now.is_enabled:
            raise Bye("The account cannot be used any more", Ended.EXPELLED)
        self.account = now
        if selected is not None and rights != selected.rights:
            if "r" not in rights:
                raise Bye("The mailbox may not be read any more", Ended.EXPELLED)
            selected.rights = rights

    def select(self, selected: Selected) -> None:
        """A mailbox is open now; none was."""
        self.selected = selected
        self.environment.snapshots.hold(selected.view.mailbox_id)
        self.engine.session.state = State.SELECTED
        if self.watching is not None:
            self.watching.follow_selected()

    def leave(self) -> None:
        """No mailbox is open any more."""
        selected, self.selected = self.selected, None
        if selected is not None:
            self.environment.snapshots.release(selected.view.mailbox_id)
            self.engine.session.state = State.AUTHENTICATED
            if self.watching is not None:
                self.watching.follow_selected()
        self.followers.clear()

    def forget(self) -> None:
        """Leave the mailbox and the account, and watch nothing any more: at the end, and at UNAUTHENTICATE."""
        self.leave()
        for watching in (self.watching, self.annotating):
            if watching is not None:
                watching.close()
        self.watching = self.annotating = None
        if self._end_watching_account is not None:
            self._end_watching_account()
            self._end_watching_account = None
        self.account = None
        self._account_is_stale = self._has_news = False
        self.own_changes.clear()
        self.own_entries.clear()

    def enable_condstore(self) -> None:
        """MODSEQ is told from now on (RFC 7162 §3.1)."""
        if "CONDSTORE" in self.enabled:
            return
        self.enabled.add("CONDSTORE")
        if self.selected is not None:
            # RFC 7162 §3.1: the first such command in a mailbox makes the server say so.
            self.send(b"* OK [HIGHESTMODSEQ %d] Highest\r\n" % self.selected.view.modseq)

    @contextmanager
    def idling(self) -> Iterator[None]:
        """What is new is told at once."""
        selected, end = self.selected, None
        if selected is not None:
            end = self.environment.store.changes.watch(selected.view.mailbox_id, self.wake)
        self.is_idling = True
        try:
            yield
        finally:
            self.is_idling = False
            if end is not None:
                end()

    async def start_tls(self) -> None:
        """Secure the connection; what was offered before counts no more. Raises Bye."""
        assert self._tls is not None
        try:
            await self.stream.start_tls(self._tls.context, server_side=True)
        except NetError:
            raise Bye("", Ended.TLS_FAILED) from None
        await self.logins.recognize()
        self.engine.tls_started(self.offer())
