"""One session on the client's side, moved on by what the server answers (RFC 5321, 2033, 3030).

Its state is derived from the open transaction and from the commands that wait for their replies: each reply
is that of the oldest of them. `ClientEngine` adds what is said.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from estafeta.mail.envelope import Recipient
from estafeta.mail.reply import Reply
from estafeta.wire.errors import RemoteProtocolError
from estafeta.wire.sasl import ClientMechanism
from estafeta.wire.smtp.dialogue import Answered, Challenged, Closing, Command, Ended, Event, Greeted, Phase, Verb
from estafeta.wire.smtp.outgoing import OutgoingTransaction
from estafeta.wire.smtp.replies import Capabilities, ReplyReader

Answer: TypeAlias = Callable[[Command, Reply], None]


class ClientSession:
    """What was said and heard so far. `next_event` raises RemoteProtocolError; then only closing is left."""

    def __init__(self, lmtp: bool = False) -> None:
        self.is_lmtp = lmtp
        self.capabilities: Capabilities | None = None
        """What the last EHLO said; None before it, and after TLS began."""
        self.is_authenticated = False
        self.has_turned = False
        """ATRN or TURN was taken: this side is the server now, and this engine is at its end."""
        self.is_closed = False
        """Nothing more is said or heard here."""
        self._reader = ReplyReader()
        self.unanswered: deque[tuple[Command, OutgoingTransaction | None, Answer]] = deque()
        """The commands without a reply, the oldest first, each with what its reply changes; only to be looked at."""
        self._transaction: OutgoingTransaction | None = None
        self._mechanism: ClientMechanism | None = None
        self._initial: bytes | None = None
        self._challenge: bytes | None = None
        self._is_greeted = False
        self._is_refused = False
        self._is_securing = False
        self._has_ended = False

    # What there is

    @property
    def phase(self) -> Phase:
        """Where the session stands, derived."""
        if self.is_closed:
            return Phase.CLOSED
        transaction = self._transaction
        if transaction is not None:
            if transaction.is_chunked:
                return Phase.SENT if transaction.is_last_sent else Phase.CHUNKS
            return Phase.CONTENT if transaction.is_data_open else Phase.TRANSACTION
        if not self._is_greeted:
            return Phase.CONNECTED
        if self._is_securing:
            return Phase.SECURING
        return Phase.GREETED if self.capabilities is None else Phase.READY

    @property
    def waiting(self) -> tuple[Command, ...]:
        """The commands without a reply, the oldest first."""
        return tuple(command for command, _, _ in self.unanswered)

    @property
    def awaited(self) -> Verb | None:
        """What the next reply answers."""
        return self.unanswered[0][0].verb if self.unanswered else None

    @property
    def accepted(self) -> tuple[Recipient, ...]:
        """The recipients accepted so far in the open transaction."""
        return tuple(self._transaction.deliverable) if self._transaction else ()

    @property
    def has_open_transaction(self) -> bool:
        """Whether `abandon` or the content is due before another MAIL."""
        return self._transaction is not None

    @property
    def expects_content(self) -> bool:
        """Whether DATA was answered with 354 and the content, or a lone dot, must follow."""
        transaction = self._transaction
        return transaction is not None and transaction.data is not None and transaction.data.is_positive

    def can(self, keyword: str) -> bool:
        """Whether an extension was announced; the keyword in upper case."""
        return self.capabilities is not None and keyword in self.capabilities.keywords

    # What arrives

    def feed(self, octets: bytes) -> None:
        """Take what arrived; b"" when nothing will come any more."""
        if octets:
            self._reader.feed(octets)
        else:
            self._has_ended = True

    @property
    def has_unread(self) -> bool:
        """Whether `next_event` may give something: octets that were fed are not read, or their end was told."""
        return self._has_ended or not self._reader.is_empty

    def take_rest(self) -> bytes:
        """The octets that arrived behind the last reply: after `has_turned` they are for this side's server."""
        return self._reader.take_rest()

    def next_event(self) -> Event | None:
        """What happened next; None until more octets are fed. Raises RemoteProtocolError."""
        if self.is_closed:
            return None
        try:
            reply = self._reader.next_reply()
            if reply is not None:
                return self._event(reply)
        except RemoteProtocolError:
            self.is_closed = True
            raise
        if not self._has_ended:
            return None
        return Ended(self._close())

    def _event(self, reply: Reply) -> Event:
        code = reply.code
        if code == 421:  # RFC 5321 §3.8: at any time
            return Closing(reply, self._close())
        if self.unanswered and not 300 <= code < 400:
            return self._answers(reply)
        if not self._is_greeted:
            self._is_greeted = True
            self._is_refused = not 200 <= code < 300
            return Greeted(reply)
        if not self.unanswered:
            raise RemoteProtocolError(f"a reply to nothing: {reply}")
        verb = self.unanswered[0][0].verb
        if verb is Verb.AUTH and code == 334:
            return self._challenged(reply)
        if verb is not Verb.DATA or code != 354:
            raise RemoteProtocolError(f"{code} in answer to {verb}")
        return self._answers(reply)

    def _answers(self, reply: Reply) -> Answered:
        """The reply to the oldest command."""
        command, transaction, answered = self.unanswered[0]
        if transaction is None:
            self.unanswered.popleft()
            answered(command, reply)
        else:
            answered(command, reply)
            self.unanswered.popleft()
            transaction.replies_waiting -= 1
            if not transaction.replies_waiting and transaction is self._transaction and transaction.is_over:
                self._transaction = None
        return Answered(command, reply)

    def _challenged(self, reply: Reply) -> Challenged:
        text = reply.lines[0].strip()
        try:
            self._challenge = base64.b64decode(text, validate=True)
        except ValueError:
            # Servers exist that put words where RFC 4954 §4 has base64; as mere prompts they will do.
            self._challenge = b"" if self._initial is not None else text.encode()
        return Challenged()

    def _answered(self, command: Command, reply: Reply) -> None:
        """Move the session on, as the reply says; one rule for each verb outside of transactions."""
        match command.verb:
            case Verb.EHLO | Verb.LHLO:
                if reply.is_positive:
                    self.capabilities = Capabilities.of(reply)
            case Verb.HELO:
                if reply.is_positive:
                    self.capabilities = Capabilities.none(reply)
            case Verb.STARTTLS:
                self._starttls_answered(reply)
            case Verb.AUTH:
                self._auth_answered(reply)
            case Verb.ATRN | Verb.TURN:
                if reply.is_positive:
                    self.has_turned = True
                    self._close()
            case Verb.XCLIENT:
                if reply.is_positive:  # another session has begun: EHLO must follow
                    self.capabilities = None
                    self.is_authenticated = False
            case Verb.QUIT:
                self._close()

    def _starttls_answered(self, reply: Reply) -> None:
        self._is_securing = reply.is_positive
        # What comes before TLS and would be read after it was put there by somebody else.
        if reply.is_positive and not self._reader.is_empty:
            raise RemoteProtocolError("octets after the reply to STARTTLS, before TLS")

    def _auth_answered(self, reply: Reply) -> None:
        mechanism, self._mechanism = self._mechanism, None
        self._initial = self._challenge = None
        assert mechanism is not None
        if not reply.is_positive:
            return
        if not mechanism.is_complete:
            raise RemoteProtocolError(f"{mechanism.name} succeeded before the server proved itself")
        self.is_authenticated = True

    def _close(self) -> tuple[Command, ...]:
        unanswered = self.waiting
        self.unanswered.clear()
        self._transaction = self._mechanism = None
        self.is_closed = True
        return unanswered
