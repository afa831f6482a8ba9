"""The POP3 server as an engine without I/O: feed octets, ask for events, answer them, take octets to send.

Commands that need only the maildrop are answered inside; what needs the world comes out as an event, and the
engine reads on when that is answered. After a fatal fault or QUIT it is ended and takes no more.
"""

from __future__ import annotations

import binascii
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from estafeta.wire.octets import LineFault, ReceiveBuffer
from estafeta.wire.pop3 import events, grammar
from estafeta.wire.pop3.commands import BY_NAME
from estafeta.wire.pop3.commands.auth import decode
from estafeta.wire.pop3.events import Event
from estafeta.wire.pop3.maildrop import Entry, Maildrop, NoSuchMessage
from estafeta.wire.pop3.message import DotStuffer, stuffed
from estafeta.wire.pop3.session import Answer, Code, Negative, Offer, Positive, Session, State

# Answers that wait before the owner is asked to send: more than one wake-up's pipelined commands make, so
# small ones cost one write, and far less than pipelined LISTs of a large maildrop would take.
ANSWERS_HIGH = 64 * 1024

# As tuples: a union would be made anew for each command.
_ANSWERS = (Positive, Negative)
_ENDS = (events.AuthenticationEnded, events.TooManyFaults)


class LocalProtocolError(Exception):
    """The owner answered what was not asked."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one session; sizes in octets, CRLF counted."""

    command_line: int = 255
    auth_line: int = 12_288
    faults: int = 20


class ServerEngine:
    """One session of a POP3 server."""

    def __init__(
        self,
        offer: Offer,
        *,
        is_secure: bool = False,
        limits: Limits | None = None,
        replies: Counter[str] | None = None,
    ) -> None:
        """`replies` counts answers by their status: OK, ERR."""
        self._replies = Counter() if replies is None else replies
        self._session = Session(offer, is_secure=is_secure)
        self._limits = limits or Limits()
        self._input = ReceiveBuffer()
        self._output: list[bytes] = []
        self._waiting = 0
        self._asked: Event | None = None
        self._reads_auth = False
        self._stuffer: DotStuffer | None = None
        self._faults = 0
        self._is_ended = False

    @property
    def state(self) -> State:
        """The state of RFC 1939 §3."""
        return self._session.state

    @property
    def is_utf8(self) -> bool:
        """Whether the client said UTF8 (RFC 6856 §2.1)."""
        return self._session.is_utf8

    @property
    def is_ended(self) -> bool:
        """Whether the last answer is given: send what waits, and close."""
        return self._is_ended

    def feed(self, octets: bytes) -> None:
        """Octets from the client."""
        if not self._is_ended:
            self._input.feed(octets)

    def take(self) -> bytes:
        """Octets to send."""
        octets = self._output[0] if len(self._output) == 1 else b"".join(self._output)
        self._output.clear()
        self._waiting = 0
        return octets

    # Reading.

    def next_event(self) -> Event | None:
        """Read on to what the owner must do; None when all is answered and more input is needed."""
        if self._asked is not None:
            raise LocalProtocolError(f"{type(self._asked).__name__} is not answered")
        while not self._is_ended:
            if self._waiting >= ANSWERS_HIGH:
                return events.AnswersWaiting()
            line = self._input.take_line(self._line_limit())
            if line is None:
                return None
            given = self._auth_line(line) if self._reads_auth else self._command_line(line)
            if isinstance(given, _ANSWERS):
                self._say(given)
                continue
            if isinstance(given, _ENDS):
                return given
            self._asked = given
            if isinstance(given, events.StartTls):
                # RFC 2595 §4: the client sends nothing before the handshake; what is there is someone else's.
                self._input.clear()
                self._say(Positive("begin TLS"))
            return given
        return None

    def _line_limit(self) -> int:
        # AUTH with a long initial response looks like any command until it is read.
        longer = self._session.state is State.AUTHORIZATION
        return self._limits.auth_line if longer else self._limits.command_line

    def _command_line(self, line: bytes | LineFault) -> Answer | Event:
        if isinstance(line, LineFault):
            return self._fault(str(line))
        parsed = grammar.command(line)
        if parsed is None:
            return self._fault("not a command")
        keyword, argument = parsed
        if len(line) + 2 > self._limits.command_line and keyword != "AUTH":
            return self._fault(str(LineFault.TOO_LONG))
        command = BY_NAME.get(keyword)
        if command is None:
            return self._fault("no such command")
        if self._session.state not in command.states:
            return self._fault(f"{keyword} is not for the {self._session.state} state")
        try:
            return command.read(self._session, argument)
        except grammar.GrammarError as error:
            return self._fault(str(error))
        except NoSuchMessage as error:
            return Negative(str(error))

    def _auth_line(self, line: bytes | LineFault) -> Answer | Event:
        self._reads_auth = False
        if line == b"*":
            return self._end_exchange(Negative("exchange cancelled"))  # RFC 5034 §4
        if isinstance(line, LineFault):
            return self._end_exchange(self._fault(str(line)))
        try:
            return events.AuthenticationResponse(decode(line))
        except grammar.GrammarError as error:
            return self._end_exchange(self._fault(str(error)))

    def _end_exchange(self, answer: Answer | Event) -> Event:
        if isinstance(answer, events.TooManyFaults):
            return answer
        assert isinstance(answer, Negative)
        self._say(answer)
        return events.AuthenticationEnded()

    def _fault(self, text: str) -> Negative | events.TooManyFaults:
        self._faults += 1
        if self._faults < self._limits.faults:
            return Negative(text)
        self._end(Negative("too many faults"))
        return events.TooManyFaults()

    # Answering.

    def greet(self, text: str) -> None:
        """The greeting (RFC 1939 §4); without a timestamp, for there is no APOP."""
        self._say(Positive(text))

    def refuse(self, text: str, code: Code | None = None) -> None:
        """Answer the event with -ERR; the session stays in its state."""
        self._answer(events.Login, events.Authenticate, events.AuthenticationResponse, events.Retrieve)
        self._say(Negative(text, code))

    def challenge(self, octets: bytes) -> None:
        """Go on with the SASL exchange (RFC 5034 §4)."""
        self._answer(events.Authenticate, events.AuthenticationResponse)
        self._send(b"+ " + binascii.b2a_base64(octets, newline=False) + b"\r\n")
        self._reads_auth = True

    def logged_in(self, entries: Sequence[Entry]) -> None:
        """Open the maildrop: from here on the numbers of its messages are fixed."""
        self._answer(events.Login, events.Authenticate, events.AuthenticationResponse)
        drop = self._session.maildrop = Maildrop(entries)
        self._session.state = State.TRANSACTION
        self._say(Positive(f"{drop.messages} messages ({drop.octets} octets)"))

    def tls_started(self, offer: Offer) -> None:
        """The handshake is done; nothing that was said before it counts (RFC 2595 §4)."""
        self._answer(events.StartTls)
        self._input.clear()
        self._session.is_secure = True
        self._session.user = None
        self._session.offer = offer

    def give_message(self, text: str, octets: bytes) -> None:
        """Answer Retrieve with a message that is here whole."""
        self._answer(events.Retrieve)
        self._say(Positive(text))
        self._send(stuffed(octets))

    def begin_message(self, text: str) -> None:
        """Answer Retrieve piece by piece: the octets follow by `message_octets`, then `end_message`."""
        self._answer(events.Retrieve)
        self._stuffer = DotStuffer()
        self._say(Positive(text))

    def message_octets(self, octets: bytes) -> None:
        """The next piece of the message; take what waits after each, to hold one piece at a time."""
        if self._stuffer is None:
            raise LocalProtocolError("no message was begun")
        self._send(self._stuffer.encode(octets))

    def end_message(self) -> None:
        """The message is whole."""
        if self._stuffer is None:
            raise LocalProtocolError("no message was begun")
        self._send(self._stuffer.end())
        self._stuffer = None

    def farewell(self, removed: bool = True) -> None:
        """Answer Quit; `removed` is False when some deleted messages could not be removed (RFC 1939 §6)."""
        self._answer(events.Quit)
        if removed:
            self._end(Positive("bye"))
        else:
            self._end(Negative("some deleted messages not removed", Code.SYS_TEMP))

    def hang_up(self) -> None:
        """End the session after what is answered already."""
        self._end(None)

    def fail(self, text: str, code: Code | None = Code.SYS_TEMP) -> None:
        """End the session from this side, whatever it does. Nothing is sent into the middle of a message."""
        if self._is_ended:
            return
        if self._stuffer is not None or isinstance(self._asked, events.StartTls):
            self._end(None)
        else:
            self._end(Negative(text, code))

    def _answer(self, *kinds: type[Event]) -> None:
        if not isinstance(self._asked, kinds):
            raise LocalProtocolError(f"this does not answer {type(self._asked).__name__}")
        self._asked = None

    def _say(self, answer: Answer) -> None:
        self._replies["OK" if isinstance(answer, Positive) else "ERR"] += 1
        self._send(answer.encode())

    def _send(self, octets: bytes) -> None:
        if octets:
            self._output.append(octets)
            self._waiting += len(octets)

    def _end(self, answer: Answer | None) -> None:
        if answer is not None:
            self._say(answer)
        self._is_ended = True
        self._reads_auth = False
        self._asked = None
        self._stuffer = None
        self._input.clear()
