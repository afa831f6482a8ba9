"""Carries one IMAP session from the greeting to its end: requests to their handlers, faults to completions.

What a handler cannot do is a NO, with a code of RFC 5530 where one fits. What breaks in the server is told by the
number of an incident, under which the log has the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import structlog

from estafeta.access.imap.selected import BadNumbers
from estafeta.access.imap.session import Bye, Ended, Handler, Keeper, Session
from estafeta.net.errors import ConnectionLost, DeadlinePassed, NetError
from estafeta.net.narrator import speak_of
from estafeta.net.stream import Stream
from estafeta.net.tls import ServerTls
from estafeta.store import journal
from estafeta.store.errors import NotFound, OverQuota, StoreError
from estafeta.store.records import Account, EntryKind, Instant, JournalEntry
from estafeta.wire.imap.commands.fetch import Fetch
from estafeta.wire.imap.commands.logout import Logout
from estafeta.wire.imap.commands.search import Search, Sort, Thread
from estafeta.wire.imap.commands.store import Store
from estafeta.wire.imap.completion import Completion, Refused, bad, no
from estafeta.wire.imap.request import Request

_log = structlog.get_logger("estafeta.access.imap")

TOGETHER = 50
"""Commands sent ahead that are carried out before other sessions have their turn: a millisecond or two."""

_BY_NUMBER = (Fetch, Store, Search, Sort, Thread)
"""While one of these is answered by message numbers, the numbers stay (RFC 9051 §7.5.1)."""


class Conversation:
    """Serves one connection."""

    def __init__(self, keeper: Keeper, listener: str, tls: ServerTls | None, stream: Stream) -> None:
        self.session = Session(keeper, tls, stream)
        self._handlers: Mapping[type[Request], Handler] = keeper.handlers
        self._keeper = keeper
        self._listener = listener
        self._started_at = keeper.environment.clock()
        self._began_at = asyncio.get_running_loop().time()
        self._ended = Ended.LOST
        self._account: Account | None = None
        """Who was logged in last."""
        self._commands = 0

    async def run(self) -> None:
        """From the greeting to the end, whatever the end is."""
        session = self.session
        speak_of(self)
        try:
            await self._converse()
        except Bye as bye:
            self._end_with(bye.text, bye.ended, bye.code)
        except DeadlinePassed:
            self._end_with("Autologout; nothing was said for too long", Ended.TIMEOUT)  # RFC 9051 §5.4
        except ConnectionLost:
            self._ended = Ended.LOST
        except BaseException as error:
            if not isinstance(error, Exception):
                self._end_with("Server is stopping", Ended.CLOSING, "UNAVAILABLE")
                raise
            _log.exception("session failed", incident=self._id_text)
            self._end_with(f"Internal error {self._id_text}, try again later", Ended.FAILED, "SERVERBUG")
        finally:
            session.forget()
            await self._record()
            await session.stream.close()

    async def _converse(self) -> None:
        session, engine = self.session, self.session.engine
        if await session.logins.recognize():
            engine.session.offer = session.offer()
        if not self._keeper.is_closing:
            engine.greet(f"{session.environment.hostname} ready")
        while not engine.is_ended:
            request = await session.next_event()
            assert isinstance(request, Request)
            await self._carry_out(request)
            if self._commands % TOGETHER == 0:
                await asyncio.sleep(0)  # who sends thousands of commands ahead does not hold the others up
        await session.flush_all()

    async def _carry_out(self, request: Request) -> None:
        session = self.session
        await session.check_account()
        session.begin(request)
        self._commands += 1
        session.environment.tally.commands[type(request).__name__] += 1
        completion = await self._completed(request)
        if completion is not None:
            expunges = not isinstance(request, _BY_NUMBER) or request.is_uid
            try:
                await session.tell_news(expunges=expunges)
            except StoreError as error:
                _log.error("news not told", incident=self._id_text, reason=str(error))  # a later command tells them
            session.engine.complete(completion)
        session.request = None
        self._account = session.account or self._account
        if isinstance(request, Logout):
            self._ended = Ended.LOGOUT

    async def _completed(self, request: Request) -> Completion | None:
        handler = self._handlers[type(request)]
        try:
            return await handler(self.session, request)
        except Refused as refused:
            return refused.completion
        except BadNumbers:
            return bad("There is no message of that number")
        except (NetError, Bye):
            raise
        except OverQuota:
            return no("There is no room left", "OVERQUOTA")
        except NotFound:
            return no("It is gone", "NONEXISTENT")
        except StoreError as error:
            _log.error("command failed", incident=self._id_text, command=type(request).__name__, reason=str(error))
            return no(f"Not possible now (incident {self._id_text}), try again later", "UNAVAILABLE")
        except Exception:
            _log.exception("command failed", incident=self._id_text, command=type(request).__name__)
            return no(f"Internal error {self._id_text}", "SERVERBUG")

    def _end_with(self, text: str, ended: Ended, code: str = "") -> None:
        """Say why and end; a client that is gone does not matter."""
        self._ended = ended
        engine, stream = self.session.engine, self.session.stream
        if text:
            engine.bye(text, code)
        with suppress(NetError):
            stream.send(engine.take())

    def log_facts(self) -> dict[str, object]:
        """Whom lines of the log are about that are written in this session."""
        account = self.session.account or self._account
        facts: dict[str, object] = {
            "session": self._id_text,
            "protocol": "imap",
            "listener": self._listener,
            "peer": str(self.session.stream.peer),
        }
        if account is not None:
            facts["account"] = str(account.address)
        return facts

    @property
    def _id_text(self) -> str:
        session = self.session
        return session.environment.store.ids.text(session.session_id)

    async def _record(self) -> None:
        """The journal's entry."""
        session, stream = self.session, self.session.stream
        facts: dict[str, object] = {"protocol": "imap", "listener": self._listener, "peer": str(stream.peer)}
        if stream.tls is not None:
            facts["tls"] = f"{stream.tls.version} {stream.tls.cipher}"
        if self._account is not None:
            facts["account"] = str(self._account.address)
            facts["mechanism"] = session.logins.mechanism_name
        if session.logins.failures:
            facts["login_failures"] = session.logins.failures
        facts["commands"] = self._commands
        facts["ended"] = self._ended.value
        facts["seconds"] = round(asyncio.get_running_loop().time() - self._began_at, 3)
        environment = session.environment
        environment.tally.sessions["imap", self._ended.value] += 1
        if environment.say_of_sessions is not None:
            environment.say_of_sessions("session ended", {"session": session.session_id} | facts)
        keys = (str(self._account.address).lower(),) if self._account is not None else ()
        entry = JournalEntry(EntryKind.SESSION, Instant(self._started_at), session.session_id, None, facts, keys)
        try:
            await session.environment.store.write(lambda tx: journal.record(tx, entry))
        except StoreError as error:
            _log.error("session not recorded", reason=str(error))
