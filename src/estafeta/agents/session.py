"""One SMTP or LMTP session: each event of the engine is decided and answered.

The steps: an event comes, the settings, the login and the routes decide, the decision goes into the journal's
row, the reply goes to the engine. Transactions are in `transaction.py`, TLS and logins in `logging_in.py`, mail on
demand in `ondemand.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from secrets import token_hex
from typing import Any

import structlog

from estafeta.agents import burl, lines, logging_in, ondemand, speaking, transaction
from estafeta.agents.chronicle import Decision, Decisions, Reason
from estafeta.agents.draft import Draft
from estafeta.agents.environment import Environment, ListenerFacts
from estafeta.agents.lookup import expand, in_ascii, verify
from estafeta.agents.opening import Pace, open_session
from estafeta.agents.peer import Peer
from estafeta.mail.address import Address
from estafeta.mail.catalogue import clients, connections, lookups
from estafeta.mail.reply import Reply
from estafeta.net.errors import ConnectionLost, DeadlinePassed, NetError
from estafeta.net.narrator import speak_of
from estafeta.net.stream import Stream
from estafeta.store import journal
from estafeta.store.records import EntryKind, Instant, JournalEntry
from estafeta.wire.sasl import ServerMechanism
from estafeta.wire.smtp import events
from estafeta.wire.smtp.server import ServerEngine
from estafeta.wire.smtp.session import ServerOptions

log = structlog.get_logger("estafeta.agents.session")

# Replies that are handed on before the next command is looked at: a client that does not read them is waited for, and
# what it has sent ahead makes no heap of replies.
_REPLIES_AT_ONCE = 256


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
        self._began_at = environment.monotonic()
        self.engine = ServerEngine(options, is_secure=stream.tls is not None, replies=environment.tally.replies)
        self.peer = Peer(environment, listener, stream, self.engine)
        self.draft: Draft | None = None
        self.decisions = Decisions()
        self.mechanism: ServerMechanism | None = None
        self.certified: Address | None = None
        """The account that the client's certificate names."""
        self.accepted = 0
        """Messages that are ours now."""
        self.transactions = 0
        self.faults = 0
        self.refusals = 0
        """Commands refused; too many end the session."""
        self.ended = "lost"
        """How the session ended: `quit`, `turned`, `lost`, or the reason for ending it."""
        self.handed_over: dict[str, int] = {}
        """Recipients that were tried for a customer after the roles were turned, by domain."""
        self.is_waiting = False
        """It waits for the client, and nothing of it is under way."""

    # The loop.

    async def run(self) -> None:
        """From the greeting to the end, whatever the end is."""
        speak_of(self)
        try:
            await self._converse()
        except DeadlinePassed:
            self._end_with(connections.TIMEOUT, Reason.TIMEOUT)
        except ConnectionLost:
            pass
        except asyncio.CancelledError:
            self._end_with(connections.CLOSING, Reason.CLOSING)
            raise
        except Exception:
            incident = token_hex(4)
            log.exception("session failed", incident=incident)
            self._end_with(connections.FAILURE.with_(incident=incident), Reason.STORE_FAILED)
        finally:
            self.drop_draft()
            self._record_session()

    async def _converse(self) -> None:
        engine, stream, limits = self.engine, self.stream, self.environment.limits
        clock = self.environment.monotonic
        pace, ends_at, next_event = Pace(limits), self._began_at + limits.session_after, engine.next_event
        is_data = is_part = False
        octets = await open_session(self)
        while octets:
            engine.feed(octets)
            count, was_part = 0, is_part
            while (event := next_event()) is not None:
                await _HANDLERS[type(event)](self, event)
                if self.faults > limits.faults or self.refusals > limits.refusals:
                    self._end_with(connections.TOO_MANY_FAULTS, Reason.TOO_MANY)
                count += 1
                if not count % _REPLIES_AT_ONCE:
                    await self._give_way()
            is_part = not count and not is_data  # nothing whole has come
            was_data, is_data = is_data, engine.is_reading_data
            output, now = engine.take_output(), clock()
            if output:
                stream.send(output)
            if engine.is_ended:
                pass
            elif now > ends_at:
                self._end_with(connections.TIMEOUT, Reason.TIMEOUT)
            elif is_data:
                stream.set_deadline(limits.data_after)
                if output or not was_data:
                    pace.begin(now)
                elif pace.is_too_slow(now, len(octets)):
                    self._end_with(clients.TOO_SLOW, Reason.TOO_SLOW)
            elif self.is_closing():
                self._end_with(connections.CLOSING, Reason.CLOSING)
            elif not is_part:
                stream.set_deadline(limits.command_after)
            elif not was_part:  # RFC 5321 §4.5.3.2.7 is about the wait for a command, not about its length
                stream.set_deadline(limits.command_line_after)
            if output:
                await stream.drain()
            if engine.is_ended:
                return
            self.is_waiting = True
            octets = await stream.receive()
            self.is_waiting = False

    async def _give_way(self) -> None:
        """So much was answered that the client is to read it first, and others have their turn."""
        self.stream.set_deadline(self.environment.limits.command_after)
        if output := self.engine.take_output():
            self.stream.send(output)
        await self.stream.drain()
        await asyncio.sleep(0)

    def close_if_idle(self) -> None:
        """The server is closing: unless mail data is arriving, this session ends now."""
        if self.is_waiting and not self.engine.is_reading_data:
            self._end_with(connections.CLOSING, Reason.CLOSING)
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

    def log_facts(self) -> dict[str, object]:
        """Whom lines of the log are about that are written in this session."""
        facts = dict(self.peer.said_of())
        if self.peer.account is not None:
            facts["account"] = str(self.peer.account)
        if self.draft is not None:
            facts["message"] = self.draft.queue_id
        return facts

    def decide(self, stage: str, subject: str, reply: Reply, reason: Reason, detail: str = "") -> None:
        """Answer the pending event and keep the decision."""
        self.note(stage, subject, reply, reason, detail)
        self.engine.answer(reply)

    def note(self, stage: str, subject: str, reply: Reply, reason: Reason, detail: str = "") -> None:
        """Keep a decision that answers no event."""
        environment, draft = self.environment, self.draft
        decision = Decision(environment.clock(), stage, subject, reply, reason, detail)
        environment.tally.decided(reply, reason)
        is_kept = (draft.decisions if draft is not None else self.decisions).add(decision)
        if environment.say is not None and is_kept:
            event = _LINES.get(stage) if not reply.is_positive else "login accepted" if stage == "auth" else None
            if event is not None:
                environment.say(event, lines.decided(self.peer, draft, stage, subject, reply, reason, detail))

    def end(self, how: str) -> None:
        """Read no more; what was answered still goes out."""
        self.ended = how
        self.engine.end()

    # Handlers, one for each event.

    async def on_hello(self, event: events.Hello) -> None:
        self.drop_draft()
        self.engine.answer(self.engine.hello_reply(f"{self.environment.hostname} at your service"))

    async def on_faulty(self, event: events.Faulty) -> None:
        self.faults += 1
        self.decide("command", event.command or "?", event.reply, Reason.PROTOCOL)
        if event.out_of_step:
            self.end(Reason.PROTOCOL.value)

    async def on_noop(self, event: events.Noop) -> None:
        self.engine.answer(connections.OK)

    async def on_rset(self, event: events.Rset) -> None:
        self.drop_draft()
        self.engine.answer(connections.OK)

    async def on_quit(self, event: events.Quit) -> None:
        self.drop_draft()
        self.ended = "quit"
        self.engine.answer(connections.BYE)

    async def on_help(self, event: events.Help) -> None:
        self.engine.answer(self.engine.help_reply(event.topic))

    async def on_vrfy(self, event: events.Vrfy) -> None:
        self.engine.answer(in_ascii(await verify(self.environment, event.text), smtputf8=event.smtputf8))

    async def on_expn(self, event: events.Expn) -> None:
        if self.peer.account is None and not self.peer.is_trusted:
            self.decide("expn", event.text, lookups.EXPN_NEEDS_LOGIN, Reason.LOGIN_NEEDED)
        else:
            self.engine.answer(in_ascii(await expand(self.environment, event.text), smtputf8=event.smtputf8))

    # The journal.

    def drop_draft(self) -> None:
        """A transaction ends without acceptance; what was decided in it is kept."""
        draft, self.draft = self.draft, None
        if self.peer.forwarded:  # said of one transaction
            self.peer.forwarded = {}
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
        facts["transactions"] = self.transactions
        facts["accepted"] = self.accepted
        facts["ended"] = self.ended
        if self.handed_over:
            facts["handed_over"] = self.handed_over
        facts["seconds"] = round(self.environment.monotonic() - self._began_at, 3)
        self.environment.tally.sessions[str(facts["protocol"]), self.ended] += 1
        if self.environment.say_of_sessions is not None:
            self.environment.say_of_sessions("session ended", {"session": self.peer.session_id} | facts)
        self.decisions.add_to(facts)
        keys = (str(self.peer.account).lower(),) if self.peer.account is not None else ()
        self._record(JournalEntry(EntryKind.SESSION, Instant(self.started_at), self.peer.session_id, None, facts, keys))

    def _record(self, entry: JournalEntry) -> None:
        self.environment.store.write_later(lambda tx: journal.record(tx, entry))


_LINES = {
    "connect": "connection refused",
    "mail": "sender refused",
    "rcpt": "recipient refused",
    "data": "message refused",
    "bdat": "message refused",
    "burl": "message refused",
    "auth": "login refused",
    "starttls": "TLS failed",
    "xclient": "client not changed",
}
"""What the log says of decisions that are no positive replies, by their stage; of faulty commands it says nothing."""

Handler = Callable[[Session, Any], Awaitable[None]]

_HANDLERS: dict[type, Handler] = {
    events.Hello: Session.on_hello,
    events.Mail: transaction.on_mail,
    events.Rcpt: transaction.on_rcpt,
    events.Data: transaction.on_data,
    events.Bdat: transaction.on_bdat,
    events.Burl: burl.on_burl,
    events.Content: transaction.on_content,
    events.EndOfChunk: transaction.on_end_of_chunk,
    events.EndOfData: transaction.on_end_of_data,
    events.FalseEndOfData: transaction.on_false_end_of_data,
    events.Rset: Session.on_rset,
    events.Noop: Session.on_noop,
    events.Quit: Session.on_quit,
    events.Vrfy: Session.on_vrfy,
    events.Expn: Session.on_expn,
    events.Help: Session.on_help,
    events.StartTls: logging_in.on_starttls,
    events.Auth: logging_in.on_auth,
    events.AuthResponse: logging_in.on_auth_response,
    events.Etrn: ondemand.on_etrn,
    events.Atrn: ondemand.on_atrn,
    events.Turn: ondemand.on_turn,
    events.Xclient: speaking.on_xclient,
    events.Xforward: speaking.on_xforward,
    events.Faulty: Session.on_faulty,
}
