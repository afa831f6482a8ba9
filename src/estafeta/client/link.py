"""One connection and its engine: octets go out, replies come in, each within its time.

What breaks here leaves client and server out of step, so that only cutting the connection is left.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from estafeta.client.timeouts import ClientTimeouts
from estafeta.net.errors import ConnectionLost, DeadlinePassed, NetError
from estafeta.net.stream import Stream
from estafeta.wire.errors import LocalProtocolError, RemoteProtocolError
from estafeta.wire.sasl import SaslError
from estafeta.wire.smtp.client import ClientEngine
from estafeta.wire.smtp.dialogue import Answered, Challenged, Closing, Ended, Event, Verb

if TYPE_CHECKING:
    from estafeta.client.sending import Transaction

# One block of content between two looks at the deadline (RFC 5321 §4.5.3.2.5).
BLOCK: Final = 64 * 1024
# Seconds for which a server that spoke is taken to be there still. Servers close connections that are idle; what
# was handed to the network by then may be thought delivered.
_PRESENT_FOR: Final = 2.0
# Seconds for which a server that spoke, or was looked for, is taken to have said nothing since. To look means to ask
# the stream for octets that are not there, which had been done three times a message.
_SEEN_FOR: Final = 0.01


class Link:
    """What a client talks over. Its methods raise ConnectionLost, DeadlinePassed and RemoteProtocolError."""

    __slots__ = (
        "_heard_at",
        "_loop",
        "_seen_at",
        "begun",
        "domains",
        "engine",
        "is_all_handed",
        "last_words",
        "messages",
        "stage",
        "stream",
        "timeouts",
    )

    def __init__(self, stream: Stream, engine: ClientEngine, timeouts: ClientTimeouts) -> None:
        self.stream = stream
        self.engine = engine
        self.timeouts = timeouts
        self.stage: Verb | None = None
        """Whose reply was last waited for."""
        self.is_all_handed = False
        """Whether all that was to be sent last was handed to the network."""
        self.last_words = ""
        """What the server said unasked, or that it went."""
        self.messages = 0
        """Transactions begun."""
        self.begun: Transaction | None = None
        """Whose MAIL, RCPT and DATA went out with the content of the message before."""
        self.domains: set[str] = set()
        """Those of the recipients, where the server limits them (RFC 9422 §4.3)."""
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._seen_at = self._loop.time()

    @property
    def is_open(self) -> bool:
        """Whether another command can be tried."""
        return not self.engine.is_closed and not self.stream.is_lost

    @property
    def is_present(self) -> bool:
        """Whether the server was heard so lately that it will be there."""
        return self._loop.time() - self._heard_at < _PRESENT_FOR

    def look(self) -> bool:
        """Take in what came unasked, without waiting: a 421, or the end. Gives whether the connection is open."""
        engine = self.engine
        if engine.is_closed:
            return False
        octets = _arrived(self.stream)
        if octets is None:
            self._seen_at = self._loop.time()
            return True
        self.last_words = "octets from the server that nothing asked for"
        try:
            engine.feed(octets)
            while (event := engine.next_event()) is not None:
                self.last_words = str(event.reply) if isinstance(event, Closing) else "closed by the server"
        except RemoteProtocolError as error:
            self.last_words = str(error)
        self.abort()
        return False

    def look_again(self) -> bool:
        """The same, where it was not just done: a connection that ended since shows when the reply is read."""
        stream = self.stream
        if stream.pending or stream.is_lost or self._loop.time() - self._seen_at > _SEEN_FOR:
            return self.look()
        return not self.engine.is_closed

    async def exchange(self, octets: bytes) -> Event:
        """Send, and read until nothing waits for its reply; gives the last event."""
        self.say(octets)
        return await self.hear()

    def say(self, octets: bytes) -> None:
        """Send commands, or little content. Nobody waits until they are taken: the reply has its own deadline."""
        self.stage = self.engine.awaited
        self.is_all_handed = False
        # The server's last words, if any, say more than that it is gone; without, reading says that.
        with contextlib.suppress(ConnectionLost):
            self.stream.send(octets)
            self.is_all_handed = True

    async def hear(self, take: Callable[[Event], None] | None = None, left: int = 0) -> Event:
        """Read until no more than `left` commands wait for their replies, or a challenge is open.

        Gives the last event, and all to `take`.
        """
        next_event, unanswered = self.engine.next_event, self.engine.unanswered
        while True:
            event = next_event()
            if type(event) is not Answered:
                event = await self.next_event(event)
            if take is not None:
                take(event)
            if len(unanswered) <= left or isinstance(event, Challenged):
                return event

    async def transmit(self, octets: bytes, behind: bytes = b"") -> None:
        """Send much, no faster than it is taken, and little `behind` it with its last block.

        A connection that is lost shows when the reply is read.
        """
        stream, seconds, size = self.stream, self.timeouts.block, len(octets)
        self.stage = self.engine.awaited
        self.is_all_handed = False
        try:
            for start in range(0, size, BLOCK):
                stream.set_deadline(seconds)
                is_last = start + BLOCK >= size
                stream.send(octets[start : start + BLOCK] + behind if is_last else octets[start : start + BLOCK])
                self.is_all_handed = is_last
                await stream.drain()
        except ConnectionLost:
            return
        except DeadlinePassed:
            raise DeadlinePassed(f"a block of octets was not taken within {seconds:g} s") from None

    async def next_event(self, event: Event | None = None) -> Event:
        """What the server says next, to the oldest command without a reply, or its greeting; `event` when known."""
        engine, stream = self.engine, self.stream
        if event is None:
            self.stage = verb = engine.awaited
            seconds = self.timeouts.greeting if verb is None else self.timeouts.of(verb)
            stream.set_deadline(seconds)
            if engine.has_unread:
                event = engine.next_event()
            while event is None:
                try:
                    engine.feed(await stream.receive())
                except DeadlinePassed:
                    raise DeadlinePassed(f"no reply to {_awaited(verb)} within {seconds:g} s") from None
                event = engine.next_event()
            self._heard_at = self._seen_at = self._loop.time()
        if isinstance(event, Ended):
            raise ConnectionLost(f"closed by the server before its reply to {_awaited(self.stage)}")
        if isinstance(event, Closing):
            await stream.close()
        return event

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """What is not finished here leaves the connection out of step: cut it."""
        try:
            yield
        except SaslError:
            raise
        except BaseException:
            self.abort()
            raise

    async def quit(self) -> None:
        """Take leave and close; never raises because of the server or the connection."""
        if self.is_open:
            with contextlib.suppress(NetError, RemoteProtocolError, LocalProtocolError):
                await self.exchange(self.engine.quit())
        await self.stream.close()

    def abort(self) -> None:
        """Cut the connection at once."""
        self.stream.abort()
        self.engine.feed(b"")
        with contextlib.suppress(RemoteProtocolError):
            while self.engine.next_event() is not None:
                pass


def _awaited(verb: Verb | None) -> str:
    return "the connection" if verb is None else verb.value


def _arrived(stream: Stream) -> bytes | None:
    """What has arrived, b"" at the end of the stream; None when receive() would have to wait for it."""
    receiving = stream.receive()
    try:
        receiving.send(None)
    except StopIteration as done:
        octets: bytes = done.value
        return octets
    except DeadlinePassed:
        return None
    receiving.close()
    return None
