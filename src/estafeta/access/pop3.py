"""POP3 sessions over streams and the store (RFC 1939); the protocol itself is in wire.pop3.

`Pop3Service` makes the server of each listener and ends its sessions. A session removes messages at QUIT and
at no other ending: lost, too late, cut off by the server's own end, all leave the maildrop as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from estafeta.access.login import Logins, Say
from estafeta.access.maildrop import MaildropInUse, MaildropLocks, OpenMaildrop, open_maildrop
from estafeta.access.tally import AccessTally
from estafeta.mail.address import Address
from estafeta.mail.value import value
from estafeta.net.errors import ConnectionLost, DeadlinePassed, NetError
from estafeta.net.narrator import speak_of
from estafeta.net.stream import Stream
from estafeta.net.tls import ServerTls
from estafeta.policy.login import Authenticator, LoginAccepted, LoginRefused, RefusalReason
from estafeta.store import journal
from estafeta.store.errors import Damaged, NotFound, StoreError
from estafeta.store.records import Account, EntryKind, Instant, JournalEntry, SessionId
from estafeta.store.store import Store
from estafeta.wire import sasl
from estafeta.wire.pop3 import events
from estafeta.wire.pop3.message import end_of_header, end_of_top
from estafeta.wire.pop3.server import Limits, ServerEngine
from estafeta.wire.pop3.session import Code, Offer, State

_log = structlog.get_logger("estafeta.access.pop3")

# Octets of a message that are encoded and sent at once: what is in memory twice.
_PIECE = 64 * 1024

TOO_MANY_CONNECTIONS = b"-ERR [SYS/TEMP] too many connections, try again later\r\n"
"""What a client over a listener's limits is told."""

OVERLOADED = b"-ERR [SYS/TEMP] too busy for new connections, try again later\r\n"
"""What a client is told who comes while new connections are refused."""

_REFUSED = ("authentication failed", Code.AUTH)
_REFUSALS = {
    # RFC 3206 §5: AUTH for what the user must see to, so that clients ask for the password again ...
    RefusalReason.BAD_CREDENTIALS: _REFUSED,
    RefusalReason.DISABLED: _REFUSED,
    RefusalReason.TRANSITION: ("a password transition is needed: log in once with USER and PASS", Code.AUTH),
    RefusalReason.TOO_WEAK: ("this account needs a mechanism that does not send the password", Code.AUTH),
    # ... and others for what time mends, so that they do not. RFC 2449 §8.1.1 has LOGIN-DELAY for logins that
    # come too soon.
    RefusalReason.LOCKED: ("too many failed logins, try again later", Code.LOGIN_DELAY),
    RefusalReason.TEMPORARY: ("authentication is not possible for now, try again later", Code.SYS_TEMP),
}


class UndeclaredUtf8(StrEnum):
    """What a client that did not say UTF8 gets for a message with UTF-8 in its header section."""

    DELIVER = "deliver"
    """The message as it is."""
    REFUSE = "refuse"
    """-ERR [UTF8] (RFC 6856 §5)."""


@dataclass(frozen=True, slots=True)
class Pop3Settings:
    """How POP3 listeners treat their clients; sizes in octets, durations in seconds."""

    # Departs from RFC 8314 §3.1: clients on loopback may log in without TLS, others where a setting lets them.
    allow_plaintext_login: bool = False
    """Offer logins that show the password before TLS to every client; else only to clients on loopback."""
    utf8: bool = True
    """Offer UTF8 with USER (RFC 6856): UTF-8 in account names, passwords and messages."""
    # Departs from RFC 6856 §2.1: a message with UTF-8 in its header goes as it is to clients that did not say UTF8,
    # unless a setting refuses it. No surrogates are made.
    undeclared_utf8: UndeclaredUtf8 = UndeclaredUtf8.DELIVER
    """Messages with UTF-8 in their header section for clients that did not say UTF8: `deliver` them as they
    are, which RFC 6856 §2.1 forbids and clients of every kind expect, or `refuse` them."""
    retrieved_is_seen: bool = False
    """Set \\Seen on what was retrieved whole, when the session ends with QUIT. Off, because POP3 clients often fetch
    all that is there: what nobody has read yet stays new for the same user's IMAP clients."""
    command_line: int = 255
    """One command line with its CRLF (RFC 2449 §4)."""
    auth_line: int = 12_288
    """One line of an authentication exchange with its CRLF (the limit of RFC 4954 §4; RFC 5034 has none)."""
    faults: int = 20
    """Commands refused for their form or their state before the session is ended."""
    login_failures: int = 5
    """Failed logins before the session is ended; the delay before each answer is the login guard's."""
    autologout_after: float = 600.0
    """The wait for a command once logged in; at least 10 minutes by RFC 1939 §3."""
    login_after: float = 180.0
    """The wait for a command before login; shorter, because anyone at all can hold such a connection."""
    send_after: float = 300.0
    """The wait for a client that does not read what it asked for."""


class Ended(StrEnum):
    """How a session ended, as the journal says it."""

    QUIT = "quit"
    LOST = "lost"
    TIMEOUT = "timeout"
    FAULTS = "too-many-faults"
    LOGINS = "too-many-logins"
    TLS_FAILED = "tls-failed"
    CLOSING = "closing"
    FAILED = "failed"


@value
class Pop3Environment:
    """What POP3 sessions need from outside; one for the whole process."""

    hostname: str
    store: Store
    authenticator: Authenticator
    locks: MaildropLocks
    settings: Pop3Settings
    clock: Callable[[], float]
    nonce: Callable[[], str]
    """For SCRAM: printable ASCII without comma, new and not to be guessed each time."""
    tally: AccessTally = field(default_factory=AccessTally)
    """Where sessions count."""
    say: Say | None = None
    """The log's lines of logins; None where there are none."""
    say_of_sessions: Say | None = None
    """Those of sessions that have ended."""


class Pop3Service:
    """Makes sessions, and ends them."""

    def __init__(self, environment: Pop3Environment) -> None:
        self.environment = environment
        self.is_closing = False
        self._sessions: set[Pop3Session] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def replace(self, environment: Pop3Environment) -> None:
        """New settings: for sessions that begin from now on."""
        self.environment = environment

    def server(self, name: str, tls: ServerTls | None) -> Callable[[Stream], Awaitable[None]]:
        """The coroutine function that serves one connection of a listener.

        `name` is the listener's in the journal; `tls` is for STLS: TLS from the start is the listener's.
        """

        async def serve(stream: Stream) -> None:
            session = Pop3Session(self, name, tls, stream)
            self._sessions.add(session)
            self._empty.clear()
            try:
                await session.run()
            finally:
                self._sessions.discard(session)
                if not self._sessions:
                    self._empty.set()

        return serve

    @property
    def sessions(self) -> tuple[Pop3Session, ...]:
        """The sessions that are open now."""
        return tuple(self._sessions)

    def close_idle(self) -> None:
        """Begin to end: sessions that wait for a command end now, the others after the one they are at."""
        self.is_closing = True
        for session in self.sessions:
            session.close_if_idle()

    async def drain(self) -> None:
        """End all sessions as `close_idle` does; returns when all have ended."""
        self.close_idle()
        await self._empty.wait()


class Pop3Session:
    """Serves one connection."""

    def __init__(self, service: Pop3Service, listener: str, tls: ServerTls | None, stream: Stream) -> None:
        self.environment = environment = service.environment
        self.settings = environment.settings
        self.session_id = SessionId(environment.store.ids.next_id())
        self.started_at = environment.clock()
        self._began_at = asyncio.get_running_loop().time()
        self.account: Address | None = None
        self._service = service
        self._listener = listener
        self._tls = tls
        self._stream = stream
        self._logins = Logins(environment.authenticator, environment.nonce, stream, environment.say)
        self._engine = self._make_engine()
        self._maildrop: OpenMaildrop | None = None
        self._retrieved = 0
        self._seen: set[int] = set()
        self._ended = Ended.LOST
        self._is_waiting = False
        self._is_answered = False

    def _make_engine(self) -> ServerEngine:
        settings = self.settings
        limits = Limits(settings.command_line, settings.auth_line, settings.faults)
        replies = self.environment.tally.pop3_replies
        return ServerEngine(self._offer(), is_secure=self._stream.tls is not None, limits=limits, replies=replies)

    def _offer(self) -> Offer:
        """What the client is offered now; no password where others could read it (RFC 8314 §3)."""
        in_the_clear = self.settings.allow_plaintext_login
        return Offer(
            mechanisms=self._logins.mechanisms(in_the_clear=in_the_clear),
            user=self._logins.may_say_password(in_the_clear=in_the_clear),
            stls=self._tls is not None,
            utf8=self.settings.utf8,
        )

    async def run(self) -> None:
        """From the greeting to the end, whatever the end is."""
        speak_of(self)
        try:
            await self._converse()
        except DeadlinePassed:
            # RFC 1939 §3: the autologout closes without any response.
            self._ended = Ended.TIMEOUT
            if not self._is_waiting:
                self._stream.abort()  # it does not read, so it would not see a goodbye
        except ConnectionLost:
            self._ended = Ended.LOST
        except asyncio.CancelledError:
            self._end_with("server is stopping", Ended.CLOSING)
            raise
        except Exception:
            incident = self._id_text
            _log.exception("session failed", incident=incident)
            self._end_with(f"internal error {incident}, try again later", Ended.FAILED)
        finally:
            if self._maildrop is not None:
                self._maildrop.close()
            await self._record()
            await self._stream.close()

    async def _converse(self) -> None:
        if await self._logins.recognize():
            self._engine = self._make_engine()
        engine, stream = self._engine, self._stream
        if not self._service.is_closing:
            engine.greet(f"{self.environment.hostname} POP3 ready")
        while True:
            if self._service.is_closing and not engine.is_ended:
                self._ended = Ended.CLOSING
                engine.fail("server is stopping, try again soon")
            await self._flush()
            if engine.is_ended:
                return
            if self._is_answered:
                # Whole commands only: octets that trickle in do not keep a session alive.
                self._is_answered = False
                is_known = engine.state is State.TRANSACTION
                stream.set_deadline(self.settings.autologout_after if is_known else self.settings.login_after)
            self._is_waiting = True
            octets = await stream.receive()
            self._is_waiting = False
            if not octets:
                if self._service.is_closing:
                    continue
                return
            engine.feed(octets)
            while (event := engine.next_event()) is not None:
                await self._handle(event)
                if self._service.is_closing:
                    break

    async def _flush(self) -> None:
        """Send what waits, if anything does."""
        octets = self._engine.take()
        if octets:
            self._is_answered = True
            self._stream.set_deadline(self.settings.send_after)
            self._stream.send(octets)
            await self._stream.drain()

    def close_if_idle(self) -> None:
        """The server is closing: a session that waits for a command ends now."""
        if self._is_waiting:
            self._stream.end_receiving()

    def _end_with(self, text: str, ended: Ended) -> None:
        """Say why and end; a client that is gone does not matter."""
        self._ended = ended
        self._engine.fail(text)
        with suppress(NetError):
            self._stream.send(self._engine.take())

    def log_facts(self) -> dict[str, object]:
        """Whom lines of the log are about that are written in this session."""
        facts: dict[str, object] = {
            "session": self._id_text,
            "protocol": "pop3",
            "listener": self._listener,
            "peer": str(self._stream.peer),
        }
        if self.account is not None:
            facts["account"] = str(self.account)
        return facts

    @property
    def _id_text(self) -> str:
        return self.environment.store.ids.text(self.session_id)

    # What the events ask for.

    async def _handle(self, event: events.Event) -> None:
        match event:
            case events.Retrieve(number, lines):
                await self._retrieve(number, lines)
            case events.Login(user, password):
                # So SASLprep (RFC 6856 §2.2) is done as for a mechanism.
                await self._decide_login(await self._logins.password("USER", user, password))
            case events.Authenticate(mechanism, initial):
                await self._decide_login(await self._logins.begin(mechanism, initial))
            case events.AuthenticationResponse(octets):
                await self._decide_login(await self._logins.step(octets))
            case events.AuthenticationEnded():
                self._logins.give_up()
            case events.StartTls():
                await self._start_tls()
            case events.Quit(deleted):
                await self._quit(deleted)
            case events.TooManyFaults():
                self._ended = Ended.FAULTS
            case events.AnswersWaiting():
                await self._flush()

    async def _start_tls(self) -> None:
        assert self._tls is not None
        await self._flush()
        try:
            await self._stream.start_tls(self._tls.context, server_side=True)
        except NetError:
            self._ended = Ended.TLS_FAILED
            self._engine.fail("")
            return
        await self._logins.recognize()
        self._engine.tls_started(self._offer())

    async def _decide_login(self, result: sasl.Challenge | LoginAccepted | LoginRefused) -> None:
        if isinstance(result, sasl.Challenge):
            self._engine.challenge(result.octets)
        elif isinstance(result, LoginAccepted):
            await self._open(result.account)
        else:
            text, code = _REFUSALS[result.reason]
            self._refuse_login(text, code, result.reason.value)

    def _refuse_login(self, text: str, code: Code, reason: str) -> None:
        self._engine.refuse(text, code)
        self._logins.failures.append(reason)
        if len(self._logins.failures) >= self.settings.login_failures:
            self._ended = Ended.LOGINS
            self._engine.hang_up()

    async def _open(self, account: Account) -> None:
        environment = self.environment
        self.account = account.address
        try:
            self._maildrop = await open_maildrop(environment.store, environment.locks, account.account_id)
        except MaildropInUse:
            # RFC 2449 §8.1.2: the client waits and tries again, and does not ask for another password.
            self._refuse_login("another session has this maildrop open", Code.IN_USE, "in-use")
            return
        except Damaged as error:
            _log.error("maildrop not opened", incident=self._id_text, reason=str(error))
            self._engine.refuse(f"not possible now (incident {self._id_text}), try again later", Code.SYS_TEMP)
            return
        self._engine.logged_in(self._maildrop.entries)

    async def _retrieve(self, number: int, lines: int | None) -> None:
        engine, maildrop = self._engine, self._maildrop
        assert maildrop is not None
        try:
            octets = await maildrop.read(number)
        except NotFound:
            engine.refuse("message was removed by another access")
            return
        except Damaged as error:
            _log.error("message not read", incident=self._id_text, reason=str(error))
            engine.refuse(f"not possible now (incident {self._id_text}), try again later", Code.SYS_TEMP)
            return
        is_strict = self.settings.undeclared_utf8 is UndeclaredUtf8.REFUSE and not engine.is_utf8
        if is_strict and not octets[: end_of_header(octets)].isascii():
            engine.refuse("message needs a client that says UTF8", Code.UTF8)
            return
        if lines is None:
            self._retrieved += 1
            self._seen.add(number)
            end = len(octets)
            text = f"{end} octets"
        else:
            end = end_of_top(octets, lines)
            text = ""
        if end <= _PIECE:
            engine.give_message(text, octets[:end])
            return
        engine.begin_message(text)
        for start in range(0, end, _PIECE):
            if start:
                await self._flush()
            engine.message_octets(octets[start : min(start + _PIECE, end)])
        engine.end_message()

    async def _quit(self, deleted: tuple[int, ...]) -> None:
        self._ended = Ended.QUIT
        if self._maildrop is None:
            self._engine.farewell()
            return
        try:
            if self.settings.retrieved_is_seen:
                await self._maildrop.mark_seen(self._seen.difference(deleted))
            await self._maildrop.remove(deleted)
        except StoreError as error:
            _log.error("messages not removed", reason=str(error))
            self._engine.farewell(removed=False)
            return
        # RFC 1939 §6: the lock goes before the answer, so that the client may come back at once.
        self._maildrop.close()
        self._engine.farewell()

    # The journal.

    async def _record(self) -> None:
        stream = self._stream
        facts: dict[str, object] = {"protocol": "pop3", "listener": self._listener, "peer": str(stream.peer)}
        if stream.tls is not None:
            facts["tls"] = f"{stream.tls.version} {stream.tls.cipher}"
        if self.account is not None:
            facts["account"] = str(self.account)
            facts["mechanism"] = self._logins.mechanism_name
        if self._logins.failures:
            facts["login_failures"] = self._logins.failures
        facts["retrieved"] = self._retrieved
        facts["deleted"] = self._maildrop.removed if self._maildrop is not None else 0
        facts["ended"] = self._ended.value
        facts["seconds"] = round(asyncio.get_running_loop().time() - self._began_at, 3)
        self.environment.tally.sessions["pop3", self._ended.value] += 1
        if self.environment.say_of_sessions is not None:
            self.environment.say_of_sessions("session ended", {"session": self.session_id} | facts)
        keys = (str(self.account).lower(),) if self.account is not None else ()
        entry = JournalEntry(EntryKind.SESSION, Instant(self.started_at), self.session_id, None, facts, keys)
        try:
            await self.environment.store.write(lambda tx: journal.record(tx, entry))
        except StoreError as error:
            _log.error("session not recorded", reason=str(error))
