"""One SMTP or LMTP session: each event of the engine is decided here and answered.

The steps: an event comes, the settings, the login and the routes decide, the decision goes into the journal's
row, the reply goes to the engine. What a message needs to be accepted is in `acceptance.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache, partial
from secrets import token_hex
from typing import Any

import structlog

from estafeta.agents import ondemand
from estafeta.agents.acceptance import NOT_OWN, OVER_QUOTA, accept
from estafeta.agents.chronicle import Decision, Decisions, Reason
from estafeta.agents.draft import Draft, IncomingContent, RoutedRecipient
from estafeta.agents.environment import Environment, ListenerFacts, Role
from estafeta.agents.lookup import expand, in_ascii, verify
from estafeta.agents.peer import Peer
from estafeta.mail.address import Address, ForwardPath
from estafeta.mail.reply import Reply
from estafeta.net.errors import ConnectionLost, DeadlinePassed, NetError
from estafeta.net.stream import Stream
from estafeta.policy.login import LoginAccepted, RefusalReason
from estafeta.routing.routes import Refused, Route, ToHost, ToMailbox, ToNowhere
from estafeta.store import journal
from estafeta.store.errors import StoreError
from estafeta.store.records import EntryKind, Instant, JournalEntry, MessageId
from estafeta.wire.sasl import Challenge, SaslError, ServerMechanism, server_mechanism
from estafeta.wire.smtp import events
from estafeta.wire.smtp.server import ServerEngine
from estafeta.wire.smtp.session import ServerOptions
from estafeta.wire.smtp.verbs.auth import challenge

log = structlog.get_logger("estafeta.agents.session")

_OK = Reply.of(250, "ok", "2.0.0")
_SENDER_OK = Reply.of(250, "sender ok", "2.1.0")
_RECIPIENT_OK = Reply.of(250, "recipient ok", "2.1.5")
_SEND_DATA = Reply.of(354, "send the message, end with a line with a single dot")
_READY_FOR_TLS = Reply.of(220, "start TLS now", "2.0.0")
_TLS_FAILED = Reply.of(454, "TLS failed", "4.7.0")
_BYE = Reply.of(221, "goodbye", "2.0.0")
_CLOSING = Reply.of(421, "closing for now, try again soon", "4.3.2")
_TIMEOUT = Reply.of(421, "waited too long, closing", "4.4.2")
_TOO_MANY_FAULTS = Reply.of(421, "too many errors, closing", "4.7.0")
_TOO_MANY_MESSAGES = Reply.of(421, "too many messages in one session, connect again", "4.7.0")
_TOO_MANY_RECIPIENTS = Reply.of(452, "too many recipients, send the rest in another transaction", "4.5.3")
_LOGIN_NEEDED = Reply.of(530, "authentication needed", "5.7.0")
_TLS_NEEDED = Reply.of(530, "say STARTTLS first", "5.7.0")
_RELAY_DENIED = Reply.of(550, "relaying denied: this server takes mail for its own domains", "5.7.1")
_NOT_LOCAL = Reply.of(550, "this client may not deliver here", "5.7.1")
_LOGGED_IN = Reply.of(235, "authenticated", "2.7.0")
_LOGIN_REFUSED = Reply.of(535, "authentication failed", "5.7.8")
_LOGIN_LATER = Reply.of(454, "authentication is not possible for now, try again later", "4.7.0")
_LOGIN_CANCELLED = Reply.of(501, "authentication cancelled", "5.7.0")
_OUT_OF_STEP = Reply.of(550, "mail data is not ended by CRLF, dot, CRLF; closing", "5.6.0")
_TRY_LATER = Reply.of(451, "local error, try again later", "4.3.0")


@lru_cache(maxsize=16)
def _greeting(hostname: str, *, is_lmtp: bool) -> Reply:
    return Reply.of(220, f"{hostname} {'LMTP' if is_lmtp else 'ESMTP'} Estafeta")


class Session:
    """Serves one connection, and leaves it to its owner to close it."""

    def __init__(
        self,
        environment: Environment,
        listener: ListenerFacts,
        stream: Stream,
        options: ServerOptions,
        is_closing: Callable[[], bool],
    ) -> None:
        self.environment = environment
        self.listener = listener
        self.stream = stream
        self.is_closing = is_closing
        """Whether the server is closing."""
        self.started_at = environment.clock()
        self.engine = ServerEngine(options, is_secure=stream.tls is not None)
        self.peer = Peer(environment, listener, stream, self.engine)
        self.draft: Draft | None = None
        self.decisions = Decisions()
        self._mechanism: ServerMechanism | None = None
        self.accepted = 0
        """Messages that are ours now."""
        self._transactions = 0
        self._faults = 0
        self.refusals = 0
        """Commands refused; too many end the session."""
        self.ended = "lost"
        """How the session ended: `quit`, `turned`, `lost`, or the reason for ending it."""
        self.handed_over: dict[str, int] = {}
        """Recipients that were tried for a customer after the roles were turned, by domain."""
        self._is_waiting = False

    # The loop.

    async def run(self) -> None:
        """From the greeting to the end, whatever the end is."""
        try:
            await self._converse()
        except DeadlinePassed:
            self._end_with(_TIMEOUT, Reason.TIMEOUT)
        except ConnectionLost:
            pass
        except asyncio.CancelledError:
            self._end_with(_CLOSING, Reason.CLOSING)
            raise
        except Exception:
            incident = token_hex(4)
            log.exception("session failed", incident=incident, session=self._id_text)
            self._end_with(Reply.of(421, f"local error {incident}, closing", "4.3.0"), Reason.STORE_FAILED)
        finally:
            self._drop_draft()
            self._record_session()

    async def _converse(self) -> None:
        engine, stream, limits = self.engine, self.stream, self.environment.limits
        deadline = self.started_at + limits.session_after
        if self.is_closing():
            engine.greet(_CLOSING)
            engine.end()
            self.ended = Reason.CLOSING.value
        else:
            engine.greet(_greeting(self.environment.hostname, is_lmtp=self.listener.role is Role.LMTP))
        stream.send(engine.take_output())
        while not engine.is_ended:
            stream.set_deadline(limits.data_after if engine.is_reading_data else limits.command_after)
            self._is_waiting = True
            octets = await stream.receive()
            self._is_waiting = False
            if not octets:
                return
            engine.feed(octets)
            while (event := engine.next_event()) is not None:
                await _HANDLERS[type(event)](self, event)
                if self._faults > limits.faults or self.refusals > limits.refusals:
                    self._end_with(_TOO_MANY_FAULTS, Reason.TOO_MANY)
            if not engine.is_ended and not engine.is_reading_data:
                if self.is_closing():
                    self._end_with(_CLOSING, Reason.CLOSING)
                elif self.environment.clock() > deadline:
                    self._end_with(_TIMEOUT, Reason.TIMEOUT)
            output = engine.take_output()
            if output:
                stream.send(output)
                await stream.drain()

    def close_if_idle(self) -> None:
        """The server is closing: unless mail data is arriving, this session ends now."""
        if self._is_waiting and not self.engine.is_reading_data:
            self._end_with(_CLOSING, Reason.CLOSING)
            self.stream.end_receiving()

    def _end_with(self, reply: Reply, reason: Reason) -> None:
        """Say why and end; a peer that is gone does not matter."""
        self.ended = reason.value
        if self.engine.has_turned:  # replies are the other side's now
            self.engine.end()
            return
        self.engine.notify(reply)
        with suppress(NetError):
            self.stream.send(self.engine.take_output())

    # Small things.

    @property
    def _id_text(self) -> str:
        return self.environment.store.ids.text(self.peer.session_id)

    def decide(self, stage: str, subject: str, reply: Reply, reason: Reason, detail: str = "") -> None:
        """Answer the pending event and keep the decision."""
        self.note(stage, subject, reply, reason, detail)
        self.engine.answer(reply)

    def note(self, stage: str, subject: str, reply: Reply, reason: Reason, detail: str = "") -> None:
        """Keep a decision that answers no event."""
        decision = Decision(self.environment.clock(), stage, subject, reply, reason, detail)
        (self.draft.decisions if self.draft is not None else self.decisions).add(decision)

    def end(self, how: str) -> None:
        """Read no more; what was answered still goes out."""
        self.ended = how
        self.engine.end()

    # Handlers, one for each event.

    async def on_hello(self, event: events.Hello) -> None:
        self._drop_draft()
        self.engine.answer(self.engine.hello_reply(f"{self.environment.hostname} at your service"))

    async def on_faulty(self, event: events.Faulty) -> None:
        self._faults += 1
        self.decide("command", event.command or "?", event.reply, Reason.PROTOCOL)
        if event.out_of_step:
            self.end(Reason.PROTOCOL.value)

    async def on_noop(self, event: events.Noop) -> None:
        self.engine.answer(_OK)

    async def on_rset(self, event: events.Rset) -> None:
        self._drop_draft()
        self.engine.answer(_OK)

    async def on_quit(self, event: events.Quit) -> None:
        self._drop_draft()
        self.ended = "quit"
        self.engine.answer(_BYE)

    async def on_help(self, event: events.Help) -> None:
        self.engine.answer(self.engine.help_reply(event.topic))

    async def on_vrfy(self, event: events.Vrfy) -> None:
        self.engine.answer(in_ascii(await verify(self.environment, event.text), smtputf8=event.smtputf8))

    async def on_expn(self, event: events.Expn) -> None:
        if self.peer.account is None and not self.peer.is_trusted:
            self.decide("expn", event.text, _LOGIN_NEEDED_FOR_EXPN, Reason.LOGIN_NEEDED)
        else:
            self.engine.answer(in_ascii(await expand(self.environment, event.text), smtputf8=event.smtputf8))

    async def on_starttls(self, event: events.StartTls) -> None:
        tls = self.listener.tls
        assert tls is not None
        self._drop_draft()
        self.engine.answer(_READY_FOR_TLS)
        self.stream.send(self.engine.take_output())
        try:
            await self.stream.start_tls(tls.context, server_side=True)
        except NetError as error:
            self.note("starttls", "", _TLS_FAILED, Reason.TLS_FAILED, str(error))
            self.end(Reason.TLS_FAILED.value)
            return
        self.engine.tls_started()
        self.peer.account = None

    async def on_auth(self, event: events.Auth) -> None:
        tls, environment = self.stream.tls, self.environment
        binding = tls.channel_binding if tls is not None and environment.authenticator.binds_channels else None
        try:
            self._mechanism = server_mechanism(event.mechanism, nonce=environment.nonce(), channel_binding=binding)
        except SaslError as error:  # a TLS session resumed over a change of the certificate has no binding
            self.decide("auth", "", _LOGIN_LATER, Reason.LOGIN_REFUSED, str(error))
            return
        await self._step_login(event.response)

    async def on_auth_response(self, event: events.AuthResponse) -> None:
        if event.response is None:
            self._mechanism = None
            self.decide("auth", "", _LOGIN_CANCELLED, Reason.LOGIN_CANCELLED)
        else:
            await self._step_login(event.response)

    async def _step_login(self, response: bytes | None) -> None:
        mechanism = self._mechanism
        assert mechanism is not None
        result = await self.environment.authenticator.resolve(mechanism.step(response), mechanism, self.stream.peer.ip)
        if isinstance(result, Challenge):
            self.engine.answer(challenge(result.octets))
            return
        self._mechanism = None
        if isinstance(result, LoginAccepted):
            self.peer.account = result.account.address
            self.decide("auth", str(self.peer.account), _LOGGED_IN, Reason.LOGIN_ACCEPTED, mechanism.name)
            return
        self._faults += 1
        is_later = result.reason in (RefusalReason.LOCKED, RefusalReason.TEMPORARY)
        reply = _LOGIN_LATER if is_later else _LOGIN_REFUSED
        detail = result.explanation or result.reason.value
        self.decide("auth", result.identity, reply, Reason.LOGIN_REFUSED, detail)

    async def on_mail(self, event: events.Mail) -> None:
        reverse_path = event.sender.reverse_path
        refusal = self._mail_refusal()
        if refusal is None and self.peer.account is not None:
            refusal = await self._identity_refusal(self.peer.account, reverse_path.address)
        if refusal is not None:
            reply, reason = refusal
            self.refusals += 1
            self.decide("mail", str(reverse_path), reply, reason)
            if reply.code == 421:
                self.end(reason.value)
            return
        self._transactions += 1
        ids = self.environment.store.ids
        message_id = MessageId(ids.next_id())
        self.draft = Draft(event.sender, message_id, ids.text(message_id), self.environment.clock())
        self.engine.answer(_SENDER_OK)

    def _mail_refusal(self) -> tuple[Reply, Reason] | None:
        settings, role = self.environment.settings, self.listener.role
        if self.is_closing():
            return _CLOSING, Reason.CLOSING
        if self._transactions >= self.environment.limits.transactions:
            return _TOO_MANY_MESSAGES, Reason.TOO_MANY
        if role is Role.LMTP and not (self.peer.is_trusted or self.stream.peer.is_loopback):
            return _NOT_LOCAL, Reason.NOT_LOCAL_CLIENT
        if role in (Role.SUBMISSION, Role.ODMR) and not self.peer.is_trusted:
            if settings.require_tls_for_submission and not self.engine.is_secure:
                return _TLS_NEEDED, Reason.TLS_NEEDED
            if self.peer.account is None:
                return _LOGIN_NEEDED, Reason.LOGIN_NEEDED
        return None

    async def _identity_refusal(self, account: Address, address: Address | None) -> tuple[Reply, Reason] | None:
        """Users send as themselves, or with the null reverse-path."""
        if address is None or await self.environment.directory.may_send_as(account, address):
            return None
        return NOT_OWN, Reason.NOT_OWN_ADDRESS

    async def on_rcpt(self, event: events.Rcpt) -> None:
        draft = self.draft
        assert draft is not None
        path = event.recipient.forward_path
        if len(draft.recipients) >= self.environment.limits.recipients:
            self.decide("rcpt", str(path), _TOO_MANY_RECIPIENTS, Reason.TOO_MANY)
            return
        directory = self.environment.directory
        route = directory.remembered(path, self.peer.account)
        if route is None:
            try:
                route = await directory.resolve(path, self.peer.account)
            except StoreError as error:
                self._refuse_recipient(draft, path, _TRY_LATER, Reason.STORE_FAILED, str(error))
                return
        refusal = self._route_refusal(route)
        if refusal is None and isinstance(route, ToMailbox) and route.has_quota:
            refusal = await self._quota_refusal(draft, route)
        if refusal is not None:
            self._refuse_recipient(draft, path, *refusal)
            return
        draft.recipients.append(RoutedRecipient(event.recipient, route, directory.version))
        self.engine.answer(_RECIPIENT_OK)

    def _route_refusal(self, route: Route) -> tuple[Reply, Reason, str] | None:
        if isinstance(route, Refused):
            return route.reply, Reason.UNKNOWN_RECIPIENT, route.reason
        leaves = (isinstance(route, ToHost | ToNowhere) and not route.for_anyone) or (
            isinstance(route, ToMailbox) and route.is_relaying
        )
        if leaves and not self.peer.is_submission:
            return _RELAY_DENIED, Reason.RELAY_DENIED, route.reason
        return None

    async def _quota_refusal(self, draft: Draft, route: ToMailbox) -> tuple[Reply, Reason, str] | None:
        """What is known now: the size that MAIL declared. The commit has the last word."""
        if await self.environment.directory.has_room(route.account, draft.sender.size or 0):
            return None
        return OVER_QUOTA, Reason.OVER_QUOTA, f"quota of {route.account}"

    def _refuse_recipient(self, draft: Draft, path: ForwardPath, reply: Reply, reason: Reason, detail: str) -> None:
        self.refusals += 1
        if len(draft.refused_paths) < 100:
            draft.refused_paths.append(str(path).lower())
        self.decide("rcpt", str(path), reply, reason, detail)

    async def on_data(self, event: events.Data) -> None:
        draft, limits = self.draft, self.environment.limits
        assert draft is not None
        draft.incoming = IncomingContent(
            self.environment.store.content.spool(),
            header_limit=limits.header_octets,
            size_limit=limits.message_size,
            fields_before=partial(self.peer.fields_before, draft),
        )
        self.engine.answer(_SEND_DATA)

    async def on_content(self, event: events.Content) -> None:
        draft = self.draft
        assert draft is not None and draft.incoming is not None
        draft.incoming.write(event.octets)

    async def on_end_of_data(self, event: events.EndOfData) -> None:
        draft = self.draft
        assert draft is not None
        outcome = await accept(self.peer, draft, event)
        if outcome.is_accepted:
            self.accepted += 1
            self.draft = None
        if self.listener.role is Role.LMTP:
            full = draft.full_paths
            paths = [recipient.forward_path for recipient in self.engine.recipients]
            self.engine.answer_each([OVER_QUOTA if path in full else outcome.reply for path in paths])
        else:
            self.engine.answer(outcome.reply)
        self._drop_draft()

    async def on_false_end_of_data(self, event: events.FalseEndOfData) -> None:
        self.decide("data", "", _OUT_OF_STEP, Reason.BAD_DATA)
        self.end(Reason.PROTOCOL.value)

    # The journal.

    def _drop_draft(self) -> None:
        """A transaction ends without acceptance; what was decided in it is kept."""
        draft, self.draft = self.draft, None
        if draft is None:
            return
        if draft.incoming is not None:
            draft.incoming.discard()
        if draft.decisions:
            self._record(
                JournalEntry(
                    EntryKind.TRANSACTION,
                    Instant(draft.started_at),
                    self.peer.session_id,
                    None,
                    self.peer.transaction_facts(draft) | {"ended": "refused"},
                    tuple({str(draft.sender.reverse_path).lower(), *draft.refused_paths} - {""}),
                )
            )

    def _record_session(self) -> None:
        facts = self.peer.facts()
        facts["transactions"] = self._transactions
        facts["accepted"] = self.accepted
        facts["ended"] = self.ended
        if self.handed_over:
            facts["handed_over"] = self.handed_over
        facts["seconds"] = round(self.environment.clock() - self.started_at, 3)
        self.decisions.add_to(facts)
        keys = (str(self.peer.account).lower(),) if self.peer.account is not None else ()
        self._record(JournalEntry(EntryKind.SESSION, Instant(self.started_at), self.peer.session_id, None, facts, keys))

    def _record(self, entry: JournalEntry) -> None:
        self.environment.store.write_later(lambda tx: journal.record(tx, entry))


_LOGIN_NEEDED_FOR_EXPN = Reply.of(550, "EXPN is for authenticated users", "5.7.1")

Handler = Callable[[Session, Any], Awaitable[None]]

_HANDLERS: dict[type, Handler] = {
    events.Hello: Session.on_hello,
    events.Mail: Session.on_mail,
    events.Rcpt: Session.on_rcpt,
    events.Data: Session.on_data,
    events.Content: Session.on_content,
    events.EndOfData: Session.on_end_of_data,
    events.FalseEndOfData: Session.on_false_end_of_data,
    events.Rset: Session.on_rset,
    events.Noop: Session.on_noop,
    events.Quit: Session.on_quit,
    events.Vrfy: Session.on_vrfy,
    events.Expn: Session.on_expn,
    events.Help: Session.on_help,
    events.StartTls: Session.on_starttls,
    events.Auth: Session.on_auth,
    events.AuthResponse: Session.on_auth_response,
    events.Etrn: ondemand.on_etrn,
    events.Atrn: ondemand.on_atrn,
    events.Turn: ondemand.on_turn,
    events.Faulty: Session.on_faulty,
}
