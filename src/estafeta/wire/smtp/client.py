"""The client's side of SMTP and LMTP without I/O (RFC 5321, 2033, 2920, 4954, 3207).

Methods give the octets to send; `feed` takes what arrived and `next_event` says what it means, each reply
with the command that it answers. The state is derived from the open transaction and from the commands
that wait for their replies. Where pipelining was announced (RFC 2920), commands may be sent before
earlier ones are answered; without, a second command raises LocalProtocolError.
"""

from __future__ import annotations

import base64
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from estafeta.mail.address import ForwardPath
from estafeta.mail.envelope import Body, Sender
from estafeta.mail.reply import Reply
from estafeta.wire.errors import ExtensionMissing, LocalProtocolError, RemoteProtocolError
from estafeta.wire.sasl import ClientMechanism
from estafeta.wire.smtp.dialogue import (
    GROUPABLE,
    HELLOS,
    LEGAL,
    Answered,
    Challenged,
    Closing,
    Command,
    Ended,
    Event,
    Greeted,
    Phase,
    Verb,
)
from estafeta.wire.smtp.replies import Capabilities, ReplyReader

# RFC 5321 §4.5.3.1.4, with CRLF. Longer initial responses are sent after the first challenge (RFC 4954 §4).
_MAX_COMMAND: Final = 512
# RFC 5321 §4.1.1.4
_FINAL_DOT: Final = b".\r\n"
# RFC 3461 §4: xtext = *( xchar / hexchar )
_NOT_XCHAR: Final = re.compile(r"[^!-*,-<>-~]")


@dataclass(slots=True)
class _Transaction:
    """From MAIL to the final dot, or to RSET."""

    is_utf8: bool
    mail: Reply | None = None
    accepted: list[ForwardPath] = field(default_factory=list)
    recipients_waiting: int = 0
    is_data_sent: bool = False
    data: Reply | None = None

    @property
    def is_data_open(self) -> bool:
        """DATA was sent and is not refused."""
        return self.is_data_sent and (self.data is None or self.data.is_positive)

    @property
    def may_have_recipients(self) -> bool:
        return bool(self.recipients_waiting or self.deliverable)

    @property
    def is_refused(self) -> bool:
        return self.mail is not None and not self.mail.is_positive

    @property
    def deliverable(self) -> list[ForwardPath]:
        """A recipient counts only in a transaction that was accepted."""
        return [] if self.is_refused else self.accepted


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A command without a reply, and the transaction that it belongs to."""

    command: Command
    transaction: _Transaction | None


class ClientEngine:
    """One session.

    Methods that send raise LocalProtocolError when it is not the time for it; then nothing was changed.
    `next_event` raises RemoteProtocolError; then only closing the connection is left.
    """

    def __init__(self, lmtp: bool = False) -> None:
        self.is_lmtp = lmtp
        self.capabilities: Capabilities | None = None
        """What the last EHLO said; None before it, and after TLS began."""
        self.is_authenticated = False
        self._reader = ReplyReader()
        self._waiting: deque[_Waiting] = deque()
        self._transaction: _Transaction | None = None
        self._mechanism: ClientMechanism | None = None
        self._initial: bytes | None = None
        self._challenge: bytes | None = None
        self._is_greeted = False
        self._is_refused = False
        self._is_securing = False
        self._is_closed = False
        self._has_ended = False

    # What there is

    @property
    def phase(self) -> Phase:
        """Where the session stands, derived."""
        if self._is_closed:
            return Phase.CLOSED
        if not self._is_greeted:
            return Phase.CONNECTED
        if self._is_securing:
            return Phase.SECURING
        if self._transaction is not None:
            return Phase.CONTENT if self._transaction.is_data_open else Phase.TRANSACTION
        return Phase.GREETED if self.capabilities is None else Phase.READY

    @property
    def waiting(self) -> tuple[Command, ...]:
        """The commands without a reply, the oldest first."""
        return tuple(waiting.command for waiting in self._waiting)

    @property
    def accepted(self) -> tuple[ForwardPath, ...]:
        """The recipients accepted so far in the open transaction."""
        return tuple(self._transaction.deliverable) if self._transaction else ()

    @property
    def has_open_transaction(self) -> bool:
        """Whether `abandon` or `content` is due before another MAIL."""
        return self._transaction is not None

    @property
    def expects_content(self) -> bool:
        """Whether DATA was answered with 354 and the content, or a lone dot, must follow."""
        transaction = self._transaction
        return transaction is not None and transaction.data is not None and transaction.data.is_positive

    def can(self, keyword: str) -> bool:
        """Whether an extension was announced."""
        return self.capabilities is not None and self.capabilities.has(keyword)

    # What is sent

    def ehlo(self, name: str) -> bytes:
        """EHLO, or LHLO with LMTP (RFC 2033 §4.1)."""
        return self._command(Verb.LHLO if self.is_lmtp else Verb.EHLO, name)

    def helo(self, name: str) -> bytes:
        """HELO, for a server that refused EHLO with 5yz (RFC 5321 §3.2)."""
        if self.is_lmtp:
            raise LocalProtocolError("LMTP has no HELO")  # RFC 2033 §4.1
        return self._command(Verb.HELO, name)

    def starttls(self) -> bytes:
        """STARTTLS (RFC 3207 §4); after a positive reply do the handshake, then call `tls_started`."""
        self._need("STARTTLS", "TLS")
        return self._command(Verb.STARTTLS)

    def tls_started(self) -> None:
        """TLS is on: what was known before is forgotten, EHLO must follow (RFC 3207 §4.2)."""
        if not self._is_securing:
            raise LocalProtocolError("STARTTLS was not accepted")
        self._is_securing = False
        self.is_authenticated = False
        self.capabilities = None

    def auth(self, mechanism: ClientMechanism) -> bytes:
        """AUTH (RFC 4954 §4), with the initial response where it fits."""
        self._need("AUTH", "a login")
        if self.is_authenticated:
            raise LocalProtocolError("already authenticated")  # RFC 4954 §4
        self._check_legal(Verb.AUTH)
        initial = mechanism.initial()
        argument = mechanism.name
        if initial is not None:
            # RFC 4954 §4: an initial response of no octets is said as "=".
            with_initial = f"{argument} {base64.b64encode(initial).decode() or '='}"
            if len(with_initial) + len("AUTH \r\n") <= _MAX_COMMAND:
                argument, initial = with_initial, None
        line = self._command(Verb.AUTH, argument)
        self._mechanism, self._initial = mechanism, initial
        return line

    def answer(self) -> bytes:
        """The response to a challenge; raises SaslError, after which `cancel_auth` is due.

        SCRAM may compute for some time here.
        """
        if self._mechanism is None or self._challenge is None:
            raise LocalProtocolError("no challenge is open")
        if self._initial is not None and not self._challenge:
            response, self._initial = self._initial, None
        else:
            response = self._mechanism.step(self._challenge)
        self._challenge = None
        return base64.b64encode(response) + b"\r\n"

    def cancel_auth(self) -> bytes:
        """Give a challenge no response (RFC 4954 §4); the reply to AUTH still comes."""
        if self._challenge is None:
            raise LocalProtocolError("no challenge is open")
        self._challenge = None
        return b"*\r\n"

    def mail(self, sender: Sender) -> bytes:
        """MAIL with those parameters that were announced; raises ExtensionMissing for a non-ASCII address."""
        path = sender.reverse_path
        needs_utf8 = path.address is not None and not path.address.is_ascii
        if needs_utf8:
            self._need("SMTPUTF8", f"the address {path}")
        words = [f"FROM:<{path}>"]
        if sender.size is not None and self.can("SIZE"):
            words.append(f"SIZE={sender.size}")  # RFC 1870 §6
        if sender.body is not None and self.can("8BITMIME"):
            words.append(f"BODY={Body(sender.body)}")  # RFC 6152 §2
        is_utf8 = (sender.smtputf8 or needs_utf8) and self.can("SMTPUTF8")
        if is_utf8:
            words.append("SMTPUTF8")  # RFC 6531 §3.4
        if sender.auth is not None and self.can("AUTH"):
            words.append(f"AUTH={_xtext(sender.auth) or '<>'}")  # RFC 4954 §5
        transaction = _Transaction(is_utf8)
        line = self._command(Verb.MAIL, " ".join(words), transaction=transaction)
        self._transaction = transaction
        return line

    def rcpt(self, forward_path: ForwardPath) -> bytes:
        """RCPT; raises ExtensionMissing for a non-ASCII address where SMTPUTF8 was not announced."""
        if not forward_path.address.is_ascii:
            self._need("SMTPUTF8", f"the address {forward_path}")
            if self._transaction is not None and not self._transaction.is_utf8:
                # RFC 6531 §3.4
                raise LocalProtocolError(f"the address {forward_path} in a transaction without SMTPUTF8")
        line = self._command(Verb.RCPT, f"TO:<{forward_path}>", forward_path)
        assert self._transaction is not None
        self._transaction.recipients_waiting += 1
        return line

    def data(self) -> bytes:
        """DATA; needs a recipient that is accepted, or not yet answered."""
        self._check_legal(Verb.DATA)
        assert self._transaction is not None
        if not self._transaction.may_have_recipients:
            raise LocalProtocolError("no recipient was accepted")
        line = self._command(Verb.DATA)
        self._transaction.is_data_sent = True
        self._transaction.data = None
        return line

    def content(self, octets: bytes) -> bytes:
        """The content after 354, dots doubled, and the final dot.

        The octets must have CRLF line ends and nothing else; a missing last one is added. With LMTP the
        final dot is answered once for each accepted recipient (RFC 2033 §4.2).
        """
        if not is_wire_form(octets):
            raise LocalProtocolError("bare CR or LF in content")  # RFC 5321 §2.3.8
        transaction = self._expecting_content()
        if not transaction.deliverable:
            raise LocalProtocolError("no recipient was accepted")
        self._send_content(transaction)
        return stuff_dots(octets) + _FINAL_DOT

    def abandon(self) -> bytes:
        """End the open transaction without a message: nothing, a lone dot, or RSET.

        RFC 2920 §3.1: a server that answers 354 though it accepted no recipient gets a lone dot. Where
        recipients were accepted and 354 came, only closing the connection helps: raises LocalProtocolError.
        """
        if self._transaction is None:
            return b""
        if not self.expects_content:
            return self.rset()
        transaction = self._expecting_content()
        if transaction.deliverable:
            raise LocalProtocolError("the server waits for the content of an accepted message")
        self._send_content(transaction)
        return _FINAL_DOT

    def rset(self) -> bytes:
        """RSET; legal until DATA is taken."""
        line = self._command(Verb.RSET)
        self._transaction = None
        return line

    def noop(self) -> bytes:
        """NOOP."""
        return self._command(Verb.NOOP)

    def vrfy(self, text: str) -> bytes:
        """VRFY."""
        return self._lookup(Verb.VRFY, text)

    def expn(self, text: str) -> bytes:
        """EXPN."""
        return self._lookup(Verb.EXPN, text)

    def help(self, topic: str = "") -> bytes:
        """HELP."""
        return self._command(Verb.HELP, topic)

    def quit(self) -> bytes:
        """QUIT; legal until DATA is taken."""
        return self._command(Verb.QUIT)

    # What arrives

    def feed(self, octets: bytes) -> None:
        """Take what arrived; b"" when nothing will come any more."""
        if octets:
            self._reader.feed(octets)
        else:
            self._has_ended = True

    def next_event(self) -> Event | None:
        """What happened next; None until more octets are fed. Raises RemoteProtocolError."""
        if self._is_closed:
            return None
        try:
            reply = self._reader.next_reply()
            if reply is not None:
                return self._event(reply)
        except RemoteProtocolError:
            self._is_closed = True
            raise
        if not self._has_ended:
            return None
        return Ended(self._close())

    def _event(self, reply: Reply) -> Event:
        if reply.code == 421:  # RFC 5321 §3.8: at any time
            return Closing(reply, self._close())
        if not self._is_greeted:
            self._is_greeted = True
            self._is_refused = not 200 <= reply.code < 300
            return Greeted(reply)
        if not self._waiting:
            raise RemoteProtocolError(f"a reply to nothing: {reply}")
        command = self._waiting[0].command
        if command.verb is Verb.AUTH and reply.code == 334:
            return self._challenged(reply)
        if 300 <= reply.code < 400 and not (command.verb is Verb.DATA and reply.code == 354):
            raise RemoteProtocolError(f"{reply.code} in answer to {command.verb}")
        if command.verb is Verb.DATA and 200 <= reply.code < 300:
            raise RemoteProtocolError(f"{reply.code} in answer to DATA")
        self._proceed(self._waiting.popleft(), reply)
        return Answered(command, reply)

    def _challenged(self, reply: Reply) -> Challenged:
        text = reply.lines[0].strip()
        try:
            self._challenge = base64.b64decode(text, validate=True)
        except ValueError:
            # Servers exist that put words where RFC 4954 §4 has base64; as mere prompts they will do.
            self._challenge = b"" if self._initial is not None else text.encode()
        return Challenged()

    def _proceed(self, answered: _Waiting, reply: Reply) -> None:
        """Move the session on, as the reply says; one rule for each verb."""
        match answered.command.verb:
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
            case Verb.QUIT:
                self._close()
        if answered.transaction is not None:
            self._transaction_answered(answered.command, answered.transaction, reply)

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

    def _transaction_answered(self, command: Command, transaction: _Transaction, reply: Reply) -> None:
        match command.verb:
            case Verb.MAIL:
                transaction.mail = reply
            case Verb.RCPT:
                transaction.recipients_waiting -= 1
                if reply.is_positive and command.forward_path is not None:
                    transaction.accepted.append(command.forward_path)
            case Verb.DATA:
                transaction.data = reply
                # RFC 2033 §4.2: DATA fails without recipients; there a lone dot would have no reply.
                if self.is_lmtp and reply.is_positive and not transaction.deliverable:
                    raise RemoteProtocolError("354 though no recipient was accepted")
        # A refused MAIL opened nothing, once the rest of its group is refused too.
        is_whole = all(waiting.transaction is not transaction for waiting in self._waiting)
        if transaction is self._transaction and transaction.is_refused and is_whole and not self.expects_content:
            self._transaction = None

    # How it is done

    def _close(self) -> tuple[Command, ...]:
        unanswered = self.waiting
        self._waiting.clear()
        self._transaction = self._mechanism = None
        self._is_closed = True
        return unanswered

    def _need(self, keyword: str, what: str) -> None:
        if not self.can(keyword):
            raise ExtensionMissing(keyword, what)

    def _check_legal(self, verb: Verb) -> None:
        phase = self.phase
        if phase not in LEGAL[verb] or (self._is_refused and verb is not Verb.QUIT):
            where = "after a refusal" if self._is_refused else phase.value
            raise LocalProtocolError(f"{verb} {where}")
        if not self._waiting:
            return
        last = self._waiting[-1].command.verb
        if not self.can("PIPELINING"):
            raise LocalProtocolError(f"{verb} before {last} was answered")
        # RFC 2920 §3.1, and RFC 3207 §4, RFC 4954 §4 for their commands
        if last not in GROUPABLE:
            raise LocalProtocolError(f"{verb} in one group after {last}")
        if verb in HELLOS:
            raise LocalProtocolError(f"{verb} before earlier commands were answered")

    def _command(
        self,
        verb: Verb,
        argument: str = "",
        forward_path: ForwardPath | None = None,
        transaction: _Transaction | None = None,
    ) -> bytes:
        self._check_legal(verb)
        line = f"{verb} {argument}" if argument else verb.value
        if any(forbidden in line for forbidden in "\r\n\0"):
            raise LocalProtocolError(f"CR, LF or NUL in {verb}")
        try:
            octets = line.encode() + b"\r\n"
        except UnicodeEncodeError:
            raise LocalProtocolError(f"{verb} cannot be said in UTF-8") from None
        if verb in (Verb.RCPT, Verb.DATA):
            transaction = self._transaction
        self._waiting.append(_Waiting(Command(verb, forward_path), transaction))
        return octets

    def _lookup(self, verb: Verb, text: str) -> bytes:
        if not text.isascii():
            self._need("SMTPUTF8", f"{verb} {text}")
            text = f"{text} SMTPUTF8"  # RFC 6531 §3.7.4.2
        return self._command(verb, text)

    def _expecting_content(self) -> _Transaction:
        transaction = self._transaction
        if transaction is None or not self.expects_content:
            raise LocalProtocolError("content before 354")
        return transaction

    def _send_content(self, transaction: _Transaction) -> None:
        # RFC 2920 §3.1: the next transaction may begin in the same group, so this one is no longer open.
        self._transaction = None
        # RFC 2033 §4.2: one reply for each accepted recipient
        paths = transaction.deliverable if self.is_lmtp else [None]
        self._waiting.extend(_Waiting(Command(Verb.CONTENT, path), transaction) for path in paths)


def is_wire_form(octets: bytes) -> bool:
    """Whether each CR and each LF is part of a CRLF."""
    line_ends = octets.count(b"\r\n")
    return octets.count(b"\n") == line_ends and octets.count(b"\r") == line_ends


def stuff_dots(octets: bytes) -> bytes:
    """Content as it goes over the wire, up to the final dot: leading dots doubled, ended by CRLF."""
    # RFC 5321 §4.5.2
    if octets.startswith(b"."):
        octets = b"." + octets
    octets = octets.replace(b"\r\n.", b"\r\n..")
    return octets if not octets or octets.endswith(b"\r\n") else octets + b"\r\n"


def _xtext(text: str) -> str:
    """RFC 3461 §4, for the value of AUTH; UTF-8 is said octet by octet."""
    return _NOT_XCHAR.sub(lambda match: "".join(f"+{octet:02X}" for octet in match[0].encode()), text)
