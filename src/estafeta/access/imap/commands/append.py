"""APPEND, of several messages and of pieces, and REPLACE (RFC 9051 §6.3.12, RFC 3502, RFC 4469, RFC 8508).

What comes goes to the store's spool, piece by piece; all messages of a command are one change, durable before the OK.
The octets are kept as they come: line ends are not mended, so that what a client reads is what it wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from estafeta.access.imap import naming
from estafeta.access.imap.commands.copy import refused, target_of
from estafeta.access.imap.naming import Found
from estafeta.access.imap.rights import permitted
from estafeta.store import accounts, links, mailboxes, messages
from estafeta.store.content import Spool
from estafeta.store.engine import Transaction
from estafeta.store.errors import NotFound, StoreError
from estafeta.store.links import Asker, LinkFailed
from estafeta.store.messages import Appended, Draft
from estafeta.store.records import Instant, MailboxId, Uid
from estafeta.wire.imap import events
from estafeta.wire.imap.commands.append import Append, Replace
from estafeta.wire.imap.completion import Completion, Refused, no, ok
from estafeta.wire.imap.numbers import NumberSet
from estafeta.wire.imap.url import BadUrl, parse
from estafeta.wire.imap.writing import number_set

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session


_MOST_OF_URL = 500
"""Letters of a URL that are said back."""


class _Gone(Exception):
    """The message to be replaced is not there any more."""


@dataclass(slots=True)
class _Incoming:
    """One message on its way in."""

    spool: Spool
    flags: tuple[str, ...]
    internal_at: float


async def append(session: Session, request: Append) -> Completion:
    """Put new messages into a mailbox, all or none."""
    target = await target_of(session, request.mailbox)
    mailbox_id = target.mailbox.mailbox_id

    def change(drafts: list[Draft], now: Instant) -> Callable[[Transaction], Appended]:
        return lambda tx: messages.append(tx, mailbox_id, drafts, now=now)

    appended = await _Receiving(session, target).run(change)
    return ok("Append completed", _appended_uids(target, appended))


async def replace(session: Session, request: Replace) -> Completion:
    """Put a new message into a mailbox, and take another away here, in one change."""
    selected = session.selected
    assert selected is not None
    if selected.is_read_only:
        return no("The mailbox is open for reading only", "READ-ONLY")
    if not set("te") <= set(selected.rights):
        return no("You have no right to remove messages from this mailbox", "NOPERM")  # RFC 8508 §4.1
    found = selected.positions(NumberSet(((request.number, request.number),)), is_uid=request.is_uid)
    if not found:
        return no("There is no such message", "NONEXISTENT")
    source_id, uid = selected.view.mailbox_id, selected.view.uids[found[0]]
    target = await target_of(session, request.mailbox)
    try:
        appended = await _Receiving(session, target, replaces=True).run(_replacing(source_id, uid, target))
    except _Gone:
        return no("The message was expunged meanwhile", "EXPUNGEISSUED")
    code = _appended_uids(target, appended)
    if code:
        # RFC 8508 §4.3: before the client learns that the old message is gone.
        session.send(f"* OK [{code}] Replaced\r\n".encode())
    await session.catch_up(expunges=True)
    return ok("Replace completed")


def _replacing(
    source_id: MailboxId, uid: int, target: Found
) -> Callable[[list[Draft], Instant], Callable[[Transaction], Appended]]:
    def change(drafts: list[Draft], now: Instant) -> Callable[[Transaction], Appended]:
        def step(tx: Transaction) -> Appended:
            # RFC 8508 §3.4: the quota is that of what is left in the end.
            if not messages.expunge(tx, source_id, [Uid(uid)]):
                raise _Gone
            return messages.append(tx, target.mailbox.mailbox_id, drafts, now=now)

        return step

    return change


def _appended_uids(target: Found, appended: Appended) -> str:
    """The response code (RFC 4315 §3); nothing for who may not open the mailbox (RFC 9051 §6.3.12)."""
    if "r" not in target.rights:
        return ""
    return f"APPENDUID {appended.uid_validity} {number_set(appended.uids).decode()}"


@dataclass(slots=True)
class _Receiving:
    """The messages of one command as they come."""

    session: Session
    target: Found
    replaces: bool = False
    """Another message leaves, and its room is not known here."""
    incoming: list[_Incoming] = field(default_factory=list)

    async def run(self, change: Callable[[list[Draft], Instant], Callable[[Transaction], Appended]]) -> Appended:
        """Take what comes, and have it committed. Raises Refused; the engine passes over what still comes then."""
        environment = self.session.environment
        await self._need_room(1)
        self.session.engine.go_on()
        try:
            while not isinstance(event := await self.session.next_event(), events.AppendEnd):
                await self._take(event)
            if not event.is_whole:
                raise Refused("The command cannot be read")  # the engine answers it itself
            now = Instant(environment.clock())
            drafts = [Draft(await each.spool.finish(), each.flags, Instant(each.internal_at)) for each in self.incoming]
            return await environment.store.write(change(drafts, now))
        except BaseException as error:
            for each in self.incoming:
                each.spool.discard()
            if isinstance(error, StoreError):
                raise refused(error) from error
            raise

    async def _need_room(self, octets: int) -> None:
        """Refuse at once what will not fit, instead of letting it come; the change itself has the last word."""
        account = self.session.account
        if account is None or not self.target.is_own or self.replaces:
            return
        if account.quota_octets is None and account.quota_messages is None:
            return
        address = account.address
        now = await self.session.environment.store.read(lambda tx: accounts.find(tx, address))
        if now is None:
            return
        # RFC 9208 §4.3.1
        is_full = now.quota_messages is not None and now.used_messages >= now.quota_messages
        if is_full or (now.quota_octets is not None and now.used_octets + octets > now.quota_octets):
            raise Refused("There is no room left", "OVERQUOTA")

    async def _take(self, event: events.Event) -> None:
        if isinstance(event, events.AppendMessage):
            await self._need_room(event.size or 1)
            at = self.session.environment.clock() if event.internal_at is None else event.internal_at
            spool = self.session.environment.store.content.spool()
            self.incoming.append(_Incoming(spool, permitted(event.flags, self.target.rights), at))
        elif isinstance(event, events.AppendOctets):
            # Departs from RFC 6855 §4: 8-bit header fields are taken from clients that did not say UTF8=ACCEPT, too.
            # A message that arrived so could not be copied from one account to another otherwise.
            self._write(event.octets)
        elif isinstance(event, events.AppendUrl):
            self._write(await self._linked(event.url))
        elif isinstance(event, events.AppendMessageEnd) and not self.incoming[-1].spool.size:
            raise Refused("A message without octets is not taken")  # RFC 3502 §6.3.11

    def _write(self, octets: bytes) -> None:
        spool = self.incoming[-1].spool
        # RFC 7889 §4, RFC 4469 §4.2: the whole may be too large where its pieces are not.
        if spool.size + len(octets) > self.session.settings.message_size:
            raise Refused("The message is larger than this server takes", "TOOBIG")
        spool.write(octets)

    async def _linked(self, text: str) -> bytes:
        """What a URL of CATENATE names (RFC 4469 §3). Raises Refused."""
        session = self.session
        store, account, selected = session.environment.store, session.account, session.selected
        assert account is not None

        def query(tx: Transaction) -> bytes:
            url = parse(text)
            if url.host is not None:
                asker = Asker(account, session.environment.hostname, session.environment.clock())
                return links.look(tx, store.content, text, asker, most=session.settings.message_size).octets
            # RFC 4469 §3: relative URLs are seen from the mailbox that is open.
            if url.mailbox or selected is None:
                mailbox = naming.resolve_in(tx, account, url.mailbox, "r").mailbox
            else:
                mailbox = mailboxes.get(tx, selected.view.mailbox_id)
            return links.read(tx, store.content, mailbox, url, most=session.settings.message_size).octets

        try:
            return await store.read(query)
        except links.TooLarge:
            raise Refused("The message is larger than this server takes", "TOOBIG") from None
        except (BadUrl, Refused, LinkFailed, NotFound):
            # RFC 4469 §4.1: the first URL that cannot be used.
            said = "".join(letter if "!" <= letter <= "~" and letter != "]" else "?" for letter in text)
            raise Refused("The URL names nothing of yours", f"BADURL {said[:_MOST_OF_URL]}") from None
