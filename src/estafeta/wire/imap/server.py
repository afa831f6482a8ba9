"""IMAP for a server, without any I/O: feed octets, ask for events, answer them, take octets to send.

One command is open at a time; what the client sends ahead waits. Faults of grammar and of state are answered here. A
command is gathered with its literals before it is read; only the messages of APPEND and REPLACE pass through.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections import Counter
from dataclasses import dataclass

from estafeta.wire.imap import events
from estafeta.wire.imap.appending import Announced, AppendReader
from estafeta.wire.imap.capabilities import capabilities
from estafeta.wire.imap.commands import BY_NAME
from estafeta.wire.imap.commands.append import Append, Replace
from estafeta.wire.imap.commands.authenticate import Authenticate, decode
from estafeta.wire.imap.commands.compress import Compress
from estafeta.wire.imap.commands.idle import Idle
from estafeta.wire.imap.commands.logout import Logout
from estafeta.wire.imap.commands.starttls import StartTls
from estafeta.wire.imap.completion import Completion, Status, bad, no
from estafeta.wire.imap.compression import Compression, CompressionError
from estafeta.wire.imap.events import Event
from estafeta.wire.imap.reading import GrammarError, Reader
from estafeta.wire.imap.receiving import CommandBuffer
from estafeta.wire.imap.request import Request
from estafeta.wire.imap.session import Offer, Session, State
from estafeta.wire.octets import LineFault

ANSWERS_HIGH = 64 * 1024
"""Octets of answers that wait before the owner is asked to send them."""
PIECE = 64 * 1024
"""Octets of a message that are given at once."""
LITERALS = 1000
"""In one command."""
INFLATIONS = 16
"""Steps of decompression, of up to 256 KiB each, that one event takes."""
MOST_SWALLOWED = 256 * 1024 * 1024
"""Octets of a literal that nobody wants, and that is passed over; the session is ended for a larger one."""
BEFORE_LOGIN = 36_864
"""Octets of a command and its literals of a client that is not known yet: an ID of the largest size (RFC 2971 §3.3)."""
_AUTHENTICATION = 12_288
"""One line of an exchange (the limit of RFC 4954 §4; RFC 9051 has none)."""

# tag = 1*<any ASTRING-CHAR except "+">; command names are atoms, here with the name behind UID
_COMMAND = re.compile(rb"([^\x00-\x20\x7f-\xff(){%*\"\\+]{1,255}) ((?i:UID) [A-Za-z]{1,30}|[A-Za-z]{1,30})")
_TAG = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\+]{1,255}(?= |\Z)")
_ANNOUNCED = re.compile(rb"(~?)\{(\d{1,20})(\+?)\}$")
_BY_NUMBER = frozenset(("FETCH", "STORE", "COPY", "MOVE", "SEARCH", "SORT", "THREAD", "REPLACE"))
_NOT_A_FAULT = frozenset(("PRIVACYREQUIRED", "USEATTR", "COMPRESSIONACTIVE", "LIMIT", "METADATA TOOMANY"))
"""Response codes of NO."""
_STREAMED = frozenset(("APPEND", "REPLACE", "UID REPLACE"))


class LocalProtocolError(Exception):
    """The owner did what the state does not allow."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may send; sizes in octets."""

    command: int = 65_536
    """A command without its literals."""
    literal: int = 65_536
    """All literals of a command together; messages have the limit of the offer."""
    faults: int = 20
    """Commands one after the other that are answered BAD before the session is ended."""


class ServerEngine:
    """One connection, from the greeting to its end."""

    def __init__(
        self,
        offer: Offer,
        *,
        is_secure: bool = False,
        limits: Limits | None = None,
        replies: Counter[str] | None = None,
    ) -> None:
        """`replies` counts tagged responses by their status: OK, NO, BAD."""
        self._replies = Counter() if replies is None else replies
        self.session = Session(offer, is_secure=is_secure)
        self.tag = ""
        """Of the command that is open, or was last."""
        self._limits = limits or Limits()
        self._input = CommandBuffer()
        self._output: list[bytes] = []
        self.waiting = 0
        """Octets that wait to be taken."""
        self._open: Event | None = None
        """The request that was given and is not completed."""
        self._gathered = bytearray()
        self._literal_left = 0
        """Octets of a literal that belong to the command that is gathered."""
        self._literals = 0
        self._literal_octets = 0
        self._swallowing = 0
        """Octets of a literal that nobody wants."""
        self._is_discarding = False
        """The rest of a command that is answered already is passed over."""
        self._append: AppendReader | None = None
        self._announced = Announced.NOTHING
        self._is_accepted = False
        """The owner wants the messages."""
        self._needs_go_on = False
        """The literal that comes is one that the client waits to be asked for."""
        self._url = bytearray()
        self._append_fault: Completion | None = None
        self._given: list[Event] = []
        """Events that are read and not given yet."""
        self._is_idling = False
        self._idle_fault = False
        self._reads_response = False
        self._faults = 0
        self._is_ended = False
        self._compression: Compression | None = None
        self._plain = b""
        """What goes before compressed octets as it is: the OK of COMPRESS."""
        self._deflated = b""

    @property
    def is_ended(self) -> bool:
        """Whether the last answer is given: send what waits, and close."""
        return self._is_ended

    # Octets.

    def feed(self, octets: bytes) -> None:
        """Octets from the client."""
        if self._is_ended:
            return
        if self._compression is None:
            self._input.feed(octets)
        else:
            self._deflated += octets

    def take(self) -> bytes:
        """Octets to send."""
        octets = self._output[0] if len(self._output) == 1 else b"".join(self._output)
        self._output.clear()
        self.waiting = 0
        if self._compression is not None:
            plain, self._plain = self._plain, b""
            return plain + self._compression.deflate(octets) if octets else plain
        return octets

    def send(self, octets: bytes) -> None:
        """Untagged responses, whole, with CRLF; or pieces of one after the other."""
        self._output.append(octets)
        self.waiting += len(octets)

    def _inflate(self) -> bool:
        """More of what came compressed; False when nothing is left."""
        if self._compression is None or not self._deflated:
            return False
        try:
            octets, self._deflated = self._compression.inflate(self._deflated)
        except CompressionError:
            self._end("What you send is not compressed as agreed")
            return False
        if octets:
            self._input.feed(octets)
        return bool(octets)

    # Reading.

    def next_event(self) -> Event | None:
        """Read on to what the owner must do; None when more input is needed, or a request is not completed."""
        inflated = 0
        while not self._is_ended:
            if self._given and (self._append is None or self._is_accepted or self._open is None):
                return self._next_given()
            if self.waiting >= ANSWERS_HIGH:
                return events.AnswersWaiting()
            if self._open is not None and not self._goes_on():
                return None
            before = len(self._input)
            event = self._read()
            if event is not None:
                return event
            if len(self._input) == before and not self._given:
                if inflated == INFLATIONS:
                    return events.AnswersWaiting()  # others have their turn between
                inflated += 1
                if not self._inflate() and not self._given:
                    return None
        if self._given:
            return self._next_given()
        return None

    def _goes_on(self) -> bool:
        """Whether the open request takes more from the client."""
        return self._is_idling or self._reads_response or (self._append is not None and self._is_accepted)

    def _next_given(self) -> Event:
        event = self._given.pop(0)
        if isinstance(event, Request):
            self._open = event
        elif isinstance(event, events.AppendEnd):
            self._append = None
            if event.is_whole:
                self._faults = 0
        return event

    def _read(self) -> Event | None:
        """Read a piece: a line, or of a literal what there is."""
        if self._swallowing:
            self._swallowing -= len(self._input.take(self._swallowing))
            return None
        if self._literal_left:
            return self._read_literal()
        if self._reads_response:
            return self._read_response()
        line = self._input.take_line(self._line_limit())
        if line is None:
            return None
        if self._is_idling:
            return self._read_done(line)
        if isinstance(line, LineFault):
            self._read_faulty(line)
            return None
        if self._is_discarding:
            self._discard(line)
            return None
        return self._read_line(line)

    def _line_limit(self) -> int:
        most = BEFORE_LOGIN if self.session.state is State.NOT_AUTHENTICATED else self._limits.command
        return max(most - len(self._gathered) + self._literal_octets, 2)

    def _read_faulty(self, fault: LineFault) -> None:
        # It may end in the announcement of a literal all the same, whose octets are no commands.
        end = self._input.end_of_line()
        if self._is_discarding:
            self._discard(end)
            return
        announced = _ANNOUNCED.search(end)
        text = str(fault)
        fault_of = bad(text[:1].upper() + text[1:])
        if self._append is not None:
            self._fail(self.tag, fault_of, announced)
            return
        tag = _TAG.match(self._gathered)
        self._fail(tag[0].decode() if tag else "*", fault_of, announced)

    def _read_line(self, line: bytes) -> Event | None:
        announced = _ANNOUNCED.search(line)
        if self._append is not None:
            self._read_fragment(line, announced)
            return None
        is_first = not self._gathered
        self._gathered += line
        if is_first and not self._is_command(announced):
            return None
        if self._begins_append():
            self._read_fragment(line, announced)
        elif announced is None:
            return self._read_command()
        else:
            self._announce(announced)
        return None

    def _is_command(self, announced: re.Match[bytes] | None) -> bool:
        """Whether it begins as a command of this state; else it is answered, without a look at the rest."""
        match = _COMMAND.match(self._gathered)
        if match is None:
            tag = _TAG.match(self._gathered)
            self._fail(tag[0].decode() if tag else "*", bad("Expected a tag and a command"), announced)
            return False
        self.tag = match[1].decode()
        name = match[2].decode().upper()
        command = BY_NAME.get(name)
        if command is None:
            self._fail(self.tag, bad(f"There is no command {name}"), announced)
            return False
        if self.session.state not in command.states:
            self._fail(self.tag, bad(f"{name} is not for the {self.session.state} state"), announced)
            return False
        if name == "LOGIN" and not self.session.offer.login:
            # Now, so that nobody is asked for the literal of a password.
            self._fail(self.tag, no("LOGIN is disabled here: use TLS", "PRIVACYREQUIRED"), announced)
            return False
        if name in _BY_NUMBER and self.session.is_uid_only:
            self._fail(self.tag, bad("Message numbers are not used any more", "UIDREQUIRED"), announced)
            return False
        return True

    def _read_command(self) -> Event | None:
        octets = bytes(self._gathered)
        match = _COMMAND.match(octets)
        assert match is not None
        self._forget_gathered()
        try:
            request = BY_NAME[match[2].decode().upper()].read(Reader(octets, self.session, match.end()))
        except GrammarError as error:
            self._fail(self.tag, _refusal(error))
            return None
        self._faults = 0
        if isinstance(request, StartTls):
            if not self.session.offer.starttls:
                self._fail(self.tag, bad("TLS is not offered, or is there already"))
                return None
            # RFC 9051 §6.2.1: the client sends nothing before the handshake; what is there is someone else's.
            self._input.clear()
        self._open = request
        return request

    # Literals.

    def _announce(self, announced: re.Match[bytes]) -> None:
        """A literal of an ordinary command: ask for it, or refuse the command."""
        size = int(announced[2])
        self._literals += 1
        self._literal_octets += size
        most = BEFORE_LOGIN if self.session.state is State.NOT_AUTHENTICATED else self._limits.literal
        if self._literals > LITERALS or self._literal_octets > most:
            # RFC 9051 §4.3, RFC 7888 §4
            self._fail(self.tag, no("The literal is too large", "TOOBIG"), announced)
            return
        self._gathered += b"\r\n"
        self._literal_octets += 2
        self._literal_left = size
        if not announced[3]:
            self.send(b"+ Go on\r\n")

    def _read_literal(self) -> Event | None:
        octets = self._input.take(min(self._literal_left, PIECE))
        if not octets:
            return None
        self._literal_left -= len(octets)
        if self._append is None:
            self._gathered += octets
            return None
        if self._announced is Announced.URL:
            self._url += octets
            if not self._literal_left:
                self._given.append(events.AppendUrl(self._url.decode("utf-8", "replace")))
                self._url.clear()
            return None
        return events.AppendOctets(octets)

    # Messages.

    def _begins_append(self) -> bool:
        """Whether a message comes; the name of its mailbox may be a literal itself, which is gathered."""
        match = _COMMAND.match(self._gathered)
        assert match is not None
        name = match[2].decode().upper()
        if name not in _STREAMED:
            return False
        before = self._gathered[match.end() :].split(b" ")
        # APPEND {5}, REPLACE 3 {5}: the mailbox
        return len(before) > (2 if name == "APPEND" else 3)

    def _read_fragment(self, line: bytes, announced: re.Match[bytes] | None) -> None:
        if self._append is None:
            match = _COMMAND.match(self._gathered)
            assert match is not None
            name = match[2].decode().upper()
            self._append = AppendReader(self.session, is_replace=name != "APPEND", is_uid=name.startswith("UID"))
            self._is_accepted = False
            line = bytes(self._gathered[match.end() :])
        self._forget_gathered()
        try:
            fragment = self._append.read(line)
        except GrammarError as error:
            self._fail(self.tag, _refusal(error), announced)
            return
        refusal = self._message_refusal(fragment.announced, announced)
        if refusal is not None:
            self._fail(self.tag, refusal, announced)
            return
        self._announced = fragment.announced
        self._needs_go_on = announced is not None and not announced[3]
        self._literal_left = int(announced[2]) if announced is not None else 0
        self._given += fragment.given
        if fragment.announced is Announced.URL and not self._literal_left:
            self._given.append(events.AppendUrl(""))  # a literal of no octets
        if self._open is not None and self._is_accepted:
            self._ask()

    def _message_refusal(self, what: Announced, announced: re.Match[bytes] | None) -> Completion | None:
        if announced is None:
            return None
        size = int(announced[2])
        most = self.session.offer.append_limit
        if what is Announced.URL:
            most = 8192
        if most is not None and size > most:
            return no("The message is larger than this server takes", "TOOBIG")
        if what is Announced.MESSAGE and size == 0:
            # RFC 3502 §6.3.11: a message without octets calls the command off.
            return no("A message without octets is not taken")
        return None

    def go_on(self) -> None:
        """Answer Append or Replace: the messages may come."""
        if not isinstance(self._open, Append | Replace):
            raise LocalProtocolError("no message is announced")
        self._is_accepted = True
        self._ask()

    def _ask(self) -> None:
        if self._needs_go_on:
            self._needs_go_on = False
            self.send(b"+ Go on\r\n")

    # Exchanges.

    def challenge(self, octets: bytes) -> None:
        """Answer Authenticate or AuthenticationResponse: go on with the exchange."""
        if not isinstance(self._open, Authenticate):
            raise LocalProtocolError("no exchange is open")
        self.send(b"+ " + b2a_base64(octets, newline=False) + b"\r\n")
        self._reads_response = True

    def _read_response(self) -> Event | None:
        line = self._input.take_line(_AUTHENTICATION)
        if line is None:
            return None
        self._reads_response = False
        try:
            if isinstance(line, LineFault):
                raise GrammarError(str(line))
            if line == b"*":
                raise GrammarError("exchange cancelled")  # RFC 9051 §6.2.2
            return events.AuthenticationResponse(decode(line))
        except GrammarError as error:
            self.complete(_refusal(error))
            return events.AuthenticationEnded()

    def idling(self) -> None:
        """Answer Idle: what is new is sent from now on, until Done."""
        if not isinstance(self._open, Idle):
            raise LocalProtocolError("the client does not wait")
        self._is_idling = True
        self._idle_fault = False
        self.send(b"+ idling\r\n")

    def _read_done(self, line: bytes | LineFault) -> Event:
        self._is_idling = False
        self._idle_fault = isinstance(line, LineFault) or line.upper() != b"DONE"
        return events.Done()

    # Answering.

    def greet(self, text: str) -> None:
        """The greeting, with what is offered."""
        self.send(f"* OK [{capabilities(self.session)}] {text}\r\n".encode())

    def complete(self, completion: Completion) -> None:
        """Answer the request that is open; of one that goes on the rest is passed over."""
        request = self._open
        if request is None:
            raise LocalProtocolError("no request is open")
        self._open = None
        self._reads_response = False
        if self._is_idling:
            self._is_idling = False
        if self._append_fault is not None:
            completion, self._append_fault = self._append_fault, None
            is_faulty = completion.status is Status.BAD
        else:
            is_faulty = self._idle_fault
        if self._idle_fault:
            self._idle_fault = False
            completion = bad("Expected DONE")
        if isinstance(request, Logout):
            self.send(b"* BYE Logging out\r\n")
            self._is_ended = True
        self._answer(self.tag, completion)
        if is_faulty:
            self._count_fault()
        if self._append is not None:
            self._abandon_append()
        if isinstance(request, Compress) and completion.status is Status.OK:
            self._compress()

    def bye(self, text: str, code: str = "") -> None:
        """End the session from this side."""
        if self._is_ended:
            return
        if text and not isinstance(self._open, StartTls):
            self.send(_line("*", Completion(Status.BYE, text, code)))
        self._is_ended = True
        self._open = None
        self._given.clear()

    def tls_started(self, offer: Offer) -> None:
        """The handshake is done; nothing that was said before it counts (RFC 9051 §11.1)."""
        self._input.clear()
        self.session.is_secure = True
        self.session.offer = offer

    def unauthenticated(self, offer: Offer) -> None:
        """Back to the state before login (RFC 8437 §3)."""
        self.session.state = State.NOT_AUTHENTICATED
        self.session.enabled.clear()
        self.session.offer = offer

    def _compress(self) -> None:
        self._plain = self.take()
        self.waiting = len(self._plain)
        self._compression = Compression()
        self.session.is_compressed = True
        self._deflated = self._input.take(len(self._input))

    def _abandon_append(self) -> None:
        """The command is answered before its end: pass over what of it is on its way."""
        is_waited_for = self._needs_go_on or (self._announced is Announced.NOTHING and not self._literal_left)
        self._append = None
        self._given.clear()
        self._url.clear()
        self._is_accepted = False
        left, self._literal_left = self._literal_left, 0
        self._needs_go_on = False
        if not is_waited_for:
            self._swallowing = left
            self._is_discarding = True

    def _discard(self, line: bytes) -> None:
        """A line of a command that is answered already."""
        announced = _ANNOUNCED.search(line)
        if announced is None:
            self._is_discarding = False
        elif announced[3]:
            self._swallow(int(announced[2]))
        else:
            self._is_discarding = False  # the client waits, and sees the answer instead

    def _fail(self, tag: str, completion: Completion, announced: re.Match[bytes] | None = None) -> None:
        """Answer a command that cannot be read or carried out; a literal that comes unasked is passed over."""
        self.tag = tag
        self._forget_gathered()
        self._append = None
        self._given.clear()
        self._url.clear()
        self._needs_go_on = self._is_accepted = False
        if self._open is not None:
            self._append_fault = completion  # of a command that its owner has begun
            self._given.append(events.AppendEnd(is_whole=False))
        else:
            self._answer(tag, completion)
            if completion.status is Status.BAD:
                self._count_fault()
        if announced is not None and announced[3]:
            self._is_discarding = True
            self._swallow(int(announced[2]))

    def _swallow(self, size: int) -> None:
        if size > MOST_SWALLOWED:
            self._end("The literal is too large", "TOOBIG")  # RFC 7888 §4
        self._swallowing = size

    def _count_fault(self) -> None:
        self._faults += 1
        if self._faults >= self._limits.faults:
            self._end("Too many faulty commands")

    def _end(self, text: str, code: str = "") -> None:
        """End the session for what the client did."""
        if self._is_ended:
            return
        if self._open is not None and self._append_fault is not None:
            self._answer(self.tag, self._append_fault)
        self.bye(text, code)
        self._given.append(events.TooManyFaults())

    def _answer(self, tag: str, completion: Completion) -> None:
        self._replies[completion.status.value] += 1
        self.send(_line(tag, completion))

    def _forget_gathered(self) -> None:
        self._gathered.clear()
        self._literals = self._literal_octets = self._literal_left = 0


def _refusal(error: GrammarError) -> Completion:
    text = str(error)
    text = text[:1].upper() + text[1:]
    if error.code == "NO":
        return no(text)
    if error.code in _NOT_A_FAULT or error.code.startswith("BADCHARSET"):
        return no(text, error.code)
    return bad(text, error.code)


def _line(tag: str, completion: Completion) -> bytes:
    code = f"[{completion.code}] " if completion.code else ""
    return f"{tag} {completion.status} {code}{completion.text}\r\n".encode()
