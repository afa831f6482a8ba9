"""The server's side of SMTP and LMTP as a state machine (RFC 5321, RFC 2033).

Feed what arrives, ask for the next event, answer it, send the output. Commands that are wrong in form or
order come out as `Faulty` with the reply that fits. One rule for all verbs: a positive reply moves the
session on, any other leaves it where it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from estafeta.mail.catalogue import connections, logins, orders, syntax
from estafeta.mail.envelope import Recipient
from estafeta.mail.reply import Reply
from estafeta.wire.errors import LocalProtocolError
from estafeta.wire.octets import LineFault, ReceiveBuffer, RepairingBuffer
from estafeta.wire.smtp import guide
from estafeta.wire.smtp.data import ChunkReader, DataReader, Skipper
from estafeta.wire.smtp.events import (
    Burl,
    Content,
    EndOfChunk,
    EndOfData,
    Event,
    FalseEndOfData,
    Faulty,
    Hello,
    Rcpt,
)
from estafeta.wire.smtp.extensions import EXTENSIONS
from estafeta.wire.smtp.grammar import Fault, with_brackets
from estafeta.wire.smtp.session import Phase, ServerOptions, Session, Transaction, Verb
from estafeta.wire.smtp.verbs import VERBS
from estafeta.wire.smtp.verbs import auth as auth_verb
from estafeta.wire.smtp.verbs.auth import AUTH

_BY_NAME = {verb.name.encode("ascii"): verb for verb in VERBS}

_GREETINGS = frozenset((b"HELO", b"EHLO", b"LHLO"))

_OUT_OF_ORDER = {
    Phase.GREETED: orders.HELLO_FIRST,
    Phase.READY: orders.MAIL_FIRST,
    Phase.MAIL: orders.TRANSACTION_OPEN,
    Phase.RCPT: orders.TRANSACTION_OPEN,
    Phase.CHUNKS: orders.CONTENT_BEGUN,
}
_UNREADABLE = {
    LineFault.TOO_LONG: syntax.LINE_TOO_LONG,
    LineFault.BARE_LF: syntax.BARE_LF_IN_LINE,
    LineFault.BARE_CR: syntax.BARE_CR_IN_LINE,
    LineFault.NUL: syntax.NUL_IN_LINE,
}


def _hello_reply(
    text: str, options: ServerOptions, is_extended: bool, is_secure: bool, is_authenticated: bool
) -> Reply:
    """The reply to HELO or EHLO: it depends on nothing else of a session."""
    said = connections.HELLO.with_(hostname=options.hostname)
    if not is_extended:
        return Reply(250, None, (text,), said.key, said.values)
    session = Session(options, is_secure=is_secure, is_authenticated=is_authenticated)
    offers = (extension.offer(session) for extension in EXTENSIONS)
    return Reply(250, None, (text, *(offer for offer in offers if offer is not None)), said.key, said.values)


_remembered_hello_reply = lru_cache(maxsize=64)(_hello_reply)


class ServerEngine:
    """One session. `options` may be exchanged between sessions, never within one."""

    __slots__ = ("_buffer", "_output", "_pending", "_replies", "_session", "_verb")

    def __init__(self, options: ServerOptions, *, is_secure: bool = False, replies: Counter[int] | None = None) -> None:
        """`replies` counts replies by their code."""
        self._replies = Counter() if replies is None else replies
        self._session = Session(options, is_secure=is_secure)
        self._buffer = RepairingBuffer() if options.repairs_line_ends else ReceiveBuffer()
        self._output: list[bytes] = []
        self._pending: Event | None = None
        self._verb: Verb | None = None

    # What the owner reads.

    @property
    def phase(self) -> Phase:
        """Where the session stands."""
        return self._session.phase

    @property
    def transaction(self) -> Transaction | None:
        """The open transaction."""
        return self._session.transaction

    @property
    def hello(self) -> str | None:
        """The client's name of itself."""
        return self._session.hello

    @property
    def is_extended(self) -> bool:
        """EHLO or LHLO was said."""
        return self._session.is_extended

    @property
    def is_secure(self) -> bool:
        """TLS is on."""
        return self._session.is_secure

    @property
    def is_authenticated(self) -> bool:
        """AUTH succeeded."""
        return self._session.is_authenticated

    @property
    def has_turned(self) -> bool:
        """ATRN or TURN was answered with 250: the connection is the owner's, to be the client on (RFC 2645 §5.3)."""
        return self._session.has_turned

    @property
    def is_ended(self) -> bool:
        """QUIT was answered, or `end` was called."""
        return self._session.is_ended

    @property
    def is_reading_data(self) -> bool:
        """What arrives is no commands: between 354 and the final dot, or in a chunk."""
        return self._session.reader is not None

    # Octets in, events out.

    def feed(self, octets: bytes) -> None:
        """Octets from the client."""
        self._buffer.feed(octets)

    def next_event(self) -> Event | None:
        """The next event, to be answered before the next is asked; None when more octets are needed."""
        if self._pending is not None:
            raise LocalProtocolError(f"{type(self._pending).__name__} is not answered yet")
        session = self._session
        if session.is_ended or session.starts_tls or session.has_turned:
            return None
        if session.reader is not None:
            return self._next_content(session.reader)
        options = session.options
        line = self._buffer.take_line(options.auth_line if session.reads_auth else options.command_line)
        if line is None:
            return None
        event = self._read(line)
        if session.reader is not None:  # a chunk: answered when its octets are there
            return event or self._next_content(session.reader)
        self._pending = event
        return event

    def _next_content(self, reader: DataReader | ChunkReader | Skipper) -> Event | None:
        if not isinstance(reader, DataReader):
            return self._next_of_chunk(reader)
        if not reader.is_complete:
            octets = reader.take(self._buffer)
            if octets:
                return Content(octets)
        if reader.has_false_end:  # whatever comes behind it, wherever the octets are cut
            self._verb, self._pending = None, FalseEndOfData()
            return self._pending
        if not reader.is_complete:
            return None
        self._session.reader = self._verb = None
        self._pending = EndOfData(reader.size, reader.has_8bit, reader.fault)
        return self._pending

    def _next_of_chunk(self, reader: ChunkReader | Skipper) -> Event | None:
        octets = reader.take(self._buffer)
        if octets:
            return Content(octets)
        if not reader.is_complete:
            return None
        self._session.reader = self._verb = None
        if isinstance(reader, Skipper):
            self._pending = Faulty(reader.verb, reader.reply)
        elif reader.is_last:
            self._pending = EndOfData(reader.size, reader.has_8bit, reader.fault)
        else:
            self._pending = EndOfChunk(reader.size)
        return self._pending

    def _read(self, line: bytes | LineFault) -> Event | None:
        session = self._session
        self._verb = None
        if isinstance(line, LineFault):
            # RFC 4954 §6 has a status code of its own for a response that is too long.
            is_response = line is LineFault.TOO_LONG and session.reads_auth
            session.reads_auth = False
            return Faulty("", logins.RESPONSE_TOO_LONG if is_response else _UNREADABLE[line])
        if session.reads_auth:
            session.reads_auth = False
            self._verb = AUTH
            try:
                return auth_verb.read_response(line)
            except Fault as fault:
                self._verb = None
                return Faulty("AUTH", fault.reply)
        name, _, argument = line.partition(b" ")
        verb = _BY_NAME.get(name) or _BY_NAME.get(name.rstrip().upper())
        if verb is None or (verb.is_offered is not None and not verb.is_offered(session)):
            return self._unknown(name.rstrip().upper(), verb, argument.strip(b" \t"))
        if verb.ends_group and self._buffer and (session.options.refuse_early_commands or verb.turns_roles):
            return Faulty(verb.name, orders.OUT_OF_STEP, out_of_step=True)
        argument = argument.strip(b" \t")
        if session.phase not in verb.phases:
            return self._faulty(verb, argument, self._out_of_order(verb))
        try:
            event = verb.parse(session, argument)
        except Fault as fault:
            bracketed = with_brackets(argument) if session.options.bare_addresses else None
            if bracketed is None:
                return self._faulty(verb, argument, fault.reply)
            try:
                event = verb.parse(session, bracketed)
            except Fault:
                return self._faulty(verb, argument, fault.reply)
        self._verb = verb
        return event

    def _faulty(self, verb: Verb, argument: bytes, reply: Reply) -> Event | None:
        """A command that cannot be taken: what follows it is passed over first."""
        if verb.followed_by is None:
            return Faulty(verb.name, reply)
        size = verb.followed_by(argument)
        if size is None:
            return Faulty(verb.name, reply, out_of_step=True)
        self._session.reader = Skipper(verb.name, size, reply)
        return None

    def _unknown(self, name: bytes, verb: Verb | None, argument: bytes) -> Event | None:
        if name in _GREETINGS:  # RFC 2033 §4.1: LMTP does not know HELO and EHLO, nor SMTP LHLO
            return Faulty(name.decode("ascii"), syntax.COMMAND_OF_OTHER_PROTOCOL)
        if verb is not None:
            return self._faulty(verb, argument, syntax.COMMAND_NOT_IMPLEMENTED)
        return Faulty(name[:32].decode("ascii", "replace"), syntax.COMMAND_UNKNOWN)

    def _out_of_order(self, verb: Verb) -> Reply:
        session = self._session
        if session.options.lmtp and session.phase is Phase.GREETED:
            return orders.LHLO_FIRST
        return verb.out_of_order or _OUT_OF_ORDER[session.phase]

    # Replies.

    def greet(self, reply: Reply) -> None:
        """The greeting, or the refusal in its place; it carries no enhanced status code (RFC 2034 §4)."""
        self._replies[reply.code] += 1
        self._output.append(self._worded(reply).encode(with_status=False))

    def answer(self, reply: Reply) -> None:
        """Answer the last event; a positive reply moves the session on."""
        event, verb = self._pending, self._verb
        if event is None:
            raise LocalProtocolError("nothing to answer")
        self._pending = None
        session = self._session
        if session.options.wording is not None:
            reply = session.options.wording.of(reply)
        self._replies[reply.code] += 1
        # RFC 2034 §4: no status codes in the replies to the greeting, HELO, EHLO and LHLO.
        self._output.append(reply.encode(with_status=type(event) is not Hello))
        if verb is not None:
            if reply.code == 334:
                session.reads_auth = True
            elif reply.code < 400:
                verb.proceed(session, event)
            elif type(event) is Rcpt and session.transaction is not None:
                session.transaction.has_rejected |= reply.is_permanent
                session.transaction.has_deferred |= reply.is_transient
            elif type(event) is Burl:
                self._burl_refused(event)
        elif type(event) is EndOfChunk:
            if not reply.is_positive and session.transaction is not None and session.transaction.chunks is not None:
                session.transaction.chunks.is_refused = True  # RFC 3030 §2
        elif not isinstance(event, Faulty):  # the end of data, true or false
            session.transaction = session.reader = None

    def _burl_refused(self, event: Burl) -> None:
        """As with BDAT: after the last piece the transaction is over, else no other piece may follow."""
        transaction = self._session.transaction
        if event.is_last:
            self._session.transaction = None
        elif transaction is not None and transaction.chunks is not None:
            transaction.chunks.is_refused = True

    def supply(self, octets: bytes) -> EndOfChunk | EndOfData:
        """What the pending Burl names: a chunk of the content, whose end is pending now and to be answered."""
        event, transaction = self._pending, self._session.transaction
        if not isinstance(event, Burl) or transaction is None or transaction.chunks is None:
            raise LocalProtocolError("only BURL is answered with content")
        chunks = transaction.chunks
        chunks.add(octets, is_last=event.is_last)
        self._verb = None
        if event.is_last:
            end: EndOfChunk | EndOfData = EndOfData(chunks.size, chunks.has_8bit, chunks.fault)
        else:
            end = EndOfChunk(chunks.size)
        self._pending = end
        return end

    def answer_each(self, replies: Sequence[Reply]) -> None:
        """LMTP's answer to the final dot: a reply for each accepted recipient, in order (RFC 2033 §4.2)."""
        transaction = self._session.transaction
        if not isinstance(self._pending, EndOfData) or transaction is None:
            raise LocalProtocolError("only the end of data is answered for each recipient")
        if len(replies) != len(transaction.recipients):
            raise LocalProtocolError("a reply for each accepted recipient is needed")
        self._pending = None
        self._replies.update(reply.code for reply in replies)
        self._output.extend(self._worded(reply).encode() for reply in replies)
        self._session.transaction = None

    def hello_reply(self, text: str) -> Reply:
        """The positive reply to the pending Hello: with EHLO and LHLO, the extensions offered now."""
        event = self._pending
        assert isinstance(event, Hello)
        session = self._session
        options = session.options
        # RFC 4865 §3 (3): FUTURERELEASE names an instant, which moves with the clock.
        reply = _remembered_hello_reply if options.hold_until is None else _hello_reply
        return reply(text, options, event.verb != "HELO", session.is_secure, session.is_authenticated)

    def help_reply(self, topic: str) -> Reply:
        """What HELP says; the topic is in upper case, or empty."""
        return guide.help_reply(self._session, topic)

    def notify(self, reply: Reply) -> None:
        """A reply that answers no command: 421 before we close (RFC 5321 §3.8)."""
        self._replies[reply.code] += 1
        self._output.append(self._worded(reply).encode())
        self.end()

    def _worded(self, reply: Reply) -> Reply:
        wording = self._session.options.wording
        return reply if wording is None else wording.of(reply)

    def end(self) -> None:
        """Read no more."""
        self._session.is_ended = True
        self._pending = None

    def tls_started(self) -> None:
        """TLS is on: what was said before counts no more (RFC 3207 §4.2)."""
        self._buffer.clear()
        options = self._session.options
        self._session = Session(options, is_secure=True)

    def begin_again(
        self, options: ServerOptions, *, hello: str | None, is_extended: bool, is_authenticated: bool
    ) -> None:
        """The client is another one than it was (XCLIENT), of whom so much is known; a transaction is not open."""
        is_secure = self._session.is_secure
        self._session = Session(options, hello, is_extended, is_secure, is_authenticated)

    def take_output(self) -> bytes:
        """The octets to send now."""
        if not self._output:
            return b""
        octets = self._output[0] if len(self._output) == 1 else b"".join(self._output)
        self._output.clear()
        return octets

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """The accepted recipients of the open transaction."""
        transaction = self._session.transaction
        return tuple(transaction.recipients) if transaction is not None else ()
