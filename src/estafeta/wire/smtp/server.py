"""The server's side of SMTP and LMTP as a state machine (RFC 5321, RFC 2033).

Feed what arrives, ask for the next event, answer it, send the output. Commands that are wrong in form or
order come out as `Faulty` with the reply that fits. One rule for all verbs: a positive reply moves the
session on, any other leaves it where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from estafeta.mail.envelope import Recipient
from estafeta.mail.reply import Reply
from estafeta.wire.errors import LocalProtocolError
from estafeta.wire.octets import LineFault, ReceiveBuffer
from estafeta.wire.smtp.events import (
    Content,
    EndOfData,
    Event,
    FalseEndOfData,
    Faulty,
    Hello,
)
from estafeta.wire.smtp.extensions import EXTENSIONS
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Phase, ServerOptions, Session, Transaction, Verb
from estafeta.wire.smtp.verbs import KNOWN_ELSEWHERE, VERBS
from estafeta.wire.smtp.verbs import auth as auth_verb
from estafeta.wire.smtp.verbs.auth import AUTH

_BY_NAME = {verb.name.encode("ascii"): verb for verb in VERBS}
_KNOWN_ELSEWHERE = frozenset(name.encode("ascii") for name in KNOWN_ELSEWHERE)

_GREETINGS = frozenset((b"HELO", b"EHLO", b"LHLO"))

_OUT_OF_STEP = Reply.of(554, "commands sent before the reply they must wait for", "5.5.0")
_HELLO_FIRST = Reply.of(503, "say EHLO first", "5.5.1")
_LHLO_FIRST = Reply.of(503, "say LHLO first", "5.5.1")
_OUT_OF_ORDER = {
    Phase.GREETED: _HELLO_FIRST,
    Phase.READY: Reply.of(503, "say MAIL first", "5.5.1"),
    Phase.MAIL: Reply.of(503, "a transaction is open", "5.5.1"),
    Phase.RCPT: Reply.of(503, "a transaction is open", "5.5.1"),
}


@lru_cache(maxsize=64)
def _hello_reply(text: str, options: ServerOptions, is_secure: bool, is_authenticated: bool) -> Reply:
    """The reply to EHLO: it depends on nothing else of a session."""
    session = Session(options, is_secure=is_secure, is_authenticated=is_authenticated)
    offers = (extension.offer(session) for extension in EXTENSIONS)
    return Reply(250, None, (text, *(offer for offer in offers if offer is not None)))


class ServerEngine:
    """One session. `options` may be exchanged between sessions, never within one."""

    __slots__ = ("_buffer", "_output", "_pending", "_session", "_verb")

    def __init__(self, options: ServerOptions, *, is_secure: bool = False) -> None:
        self._session = Session(options, is_secure=is_secure)
        self._buffer = ReceiveBuffer()
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
        """Between 354 and the final dot."""
        transaction = self._session.transaction
        return transaction is not None and transaction.data is not None

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
        transaction = session.transaction
        if transaction is not None and transaction.data is not None:
            return self._next_content(transaction)
        options = session.options
        line = self._buffer.take_line(options.auth_line if session.reads_auth else options.command_line)
        if line is None:
            return None
        self._pending = event = self._read(line)
        return event

    def _next_content(self, transaction: Transaction) -> Event | None:
        reader = transaction.data
        assert reader is not None
        if not reader.is_complete:
            octets = reader.take(self._buffer)
            if octets:
                return Content(octets)
            if reader.has_false_end:
                self._verb, self._pending = None, FalseEndOfData()
                return self._pending
            if not reader.is_complete:
                return None
        self._verb, self._pending = None, EndOfData(reader.size, reader.has_8bit, reader.fault)
        return self._pending

    def _read(self, line: bytes | LineFault) -> Event:
        session = self._session
        self._verb = None
        if isinstance(line, LineFault):
            # RFC 4954 §6 has a status code of its own for a response that is too long.
            status = "5.5.6" if line is LineFault.TOO_LONG and session.reads_auth else "5.5.2"
            session.reads_auth = False
            return Faulty("", Reply.of(500, line.value, status))
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
            return self._unknown(name.rstrip().upper(), is_known=verb is not None)
        if verb.ends_group and self._buffer and (session.options.refuse_early_commands or verb.turns_roles):
            return Faulty(verb.name, _OUT_OF_STEP, out_of_step=True)
        if session.phase not in verb.phases:
            return Faulty(verb.name, self._out_of_order(verb))
        try:
            event = verb.parse(session, argument.strip(b" \t"))
        except Fault as fault:
            return Faulty(verb.name, fault.reply)
        self._verb = verb
        return event

    def _unknown(self, name: bytes, *, is_known: bool) -> Event:
        if name in _GREETINGS:  # RFC 2033 §4.1: LMTP does not know HELO and EHLO, nor SMTP LHLO
            return Faulty(name.decode("ascii"), Reply.of(500, "command not known in this protocol", "5.5.1"))
        if is_known or name in _KNOWN_ELSEWHERE:
            return Faulty(name.decode("ascii"), Reply.of(502, "command not implemented", "5.5.1"))
        return Faulty(name[:32].decode("ascii", "replace"), Reply.of(500, "command not known", "5.5.2"))

    def _out_of_order(self, verb: Verb) -> Reply:
        session = self._session
        if session.options.lmtp and session.phase is Phase.GREETED:
            return _LHLO_FIRST
        return verb.out_of_order or _OUT_OF_ORDER[session.phase]

    # Replies.

    def greet(self, reply: Reply) -> None:
        """The greeting, or the refusal in its place; it carries no enhanced status code (RFC 2034 §4)."""
        self._output.append(reply.encode(with_status=False))

    def answer(self, reply: Reply) -> None:
        """Answer the last event; a positive reply moves the session on."""
        event, verb = self._pending, self._verb
        if event is None:
            raise LocalProtocolError("nothing to answer")
        self._pending = None
        session = self._session
        # RFC 2034 §4: no status codes in the replies to the greeting, HELO, EHLO and LHLO.
        self._output.append(reply.encode(with_status=type(event) is not Hello))
        if verb is not None:
            if reply.code == 334:
                session.reads_auth = True
            elif reply.code < 400:
                verb.proceed(session, event)
        elif not isinstance(event, Faulty):  # the end of data, true or false
            session.transaction = None

    def answer_each(self, replies: Sequence[Reply]) -> None:
        """LMTP's answer to the final dot: a reply for each accepted recipient, in order (RFC 2033 §4.2)."""
        transaction = self._session.transaction
        if not isinstance(self._pending, EndOfData) or transaction is None:
            raise LocalProtocolError("only the end of data is answered for each recipient")
        if len(replies) != len(transaction.recipients):
            raise LocalProtocolError("a reply for each accepted recipient is needed")
        self._pending = None
        self._output.extend(reply.encode() for reply in replies)
        self._session.transaction = None

    def hello_reply(self, text: str) -> Reply:
        """The positive reply to the pending Hello: with EHLO and LHLO, the extensions offered now."""
        event = self._pending
        assert isinstance(event, Hello)
        if event.verb == "HELO":
            return Reply.of(250, text)
        session = self._session
        return _hello_reply(text, session.options, session.is_secure, session.is_authenticated)

    def help_reply(self, topic: str) -> Reply:
        """What HELP says: the verbs known now, or the syntax of one."""
        offered = [verb for verb in VERBS if verb.is_offered is None or verb.is_offered(self._session)]
        for verb in offered:
            if verb.name == topic:
                return Reply.of(214, verb.syntax, "2.0.0")
        if topic:
            return Reply.of(504, "no help on this topic", "5.5.4")
        names = " ".join(verb.name for verb in offered)
        return Reply.of(214, f"Commands: {names}\nHELP <command> shows its syntax", "2.0.0")

    def notify(self, reply: Reply) -> None:
        """A reply that answers no command: 421 before we close (RFC 5321 §3.8)."""
        self._output.append(reply.encode())
        self.end()

    def end(self) -> None:
        """Read no more."""
        self._session.is_ended = True
        self._pending = None

    def tls_started(self) -> None:
        """TLS is on: what was said before counts no more (RFC 3207 §4.2)."""
        self._buffer.clear()
        options = self._session.options
        self._session = Session(options, is_secure=True)

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
