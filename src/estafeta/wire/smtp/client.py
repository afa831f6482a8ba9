"""The client's side of SMTP and LMTP without I/O (RFC 5321, 2033, 2920, 3030, 3207, 4954).

Methods give the octets to send; `feed` takes what arrived and `next_event` says what it means, each reply
with the command that it answers. Where pipelining was announced (RFC 2920), commands may be sent before
earlier ones are answered; without, a second command raises LocalProtocolError.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from estafeta.mail.envelope import Recipient, Sender
from estafeta.mail.xtext import to_xtext
from estafeta.wire.errors import ExtensionMissing, LocalProtocolError
from estafeta.wire.sasl import ClientMechanism
from estafeta.wire.smtp.client_session import Answer, ClientSession
from estafeta.wire.smtp.content import FINAL_DOT, WireContent, stuff_dots
from estafeta.wire.smtp.dialogue import GROUPABLE, HELLOS, LEGAL, Command, Verb
from estafeta.wire.smtp.outgoing import OutgoingTransaction, mail_argument, rcpt_argument

# RFC 5321 §4.5.3.1.4, with CRLF. Longer initial responses are sent after the first challenge (RFC 4954 §4).
_MAX_COMMAND: Final = 512
_FORBIDDEN: Final = re.compile(r"[\r\n\0]")
_COMMANDS: Final = {verb: Command(verb) for verb in Verb}
_MAIL: Final = _COMMANDS[Verb.MAIL]
_CONTENT: Final = _COMMANDS[Verb.CONTENT]
# To reach for a member of an enum costs a call in Python 3.11.
_RCPT: Final = Verb.RCPT


class ClientEngine(ClientSession):
    """One session.

    Methods that send raise LocalProtocolError when it is not the time for it; then nothing was changed.
    `next_event` raises RemoteProtocolError; then only closing the connection is left.
    """

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
        """MAIL with those parameters that were announced.

        Raises ExtensionMissing for a non-ASCII address, and for REQUIRETLS with a reverse-path.
        """
        self._check_legal(Verb.MAIL)
        assert self.capabilities is not None
        argument, is_utf8 = mail_argument(sender, self.capabilities)
        transaction = OutgoingTransaction(is_utf8, self.is_lmtp)
        octets = _line("MAIL " + argument)
        self._await(_MAIL, transaction, transaction.mail_answered)
        self._transaction = transaction
        return octets

    def envelope(self, sender: Sender, recipients: Iterable[Recipient]) -> bytes:
        """MAIL and RCPT in one group (RFC 2920); raises as `mail` and `rcpt` do, and then none of it may be sent."""
        octets = self.mail(sender)
        if not self.can("PIPELINING"):
            raise LocalProtocolError("RCPT before MAIL was answered")
        return octets + b"".join(map(self._rcpt, recipients))

    def rcpt(self, recipient: Recipient) -> bytes:
        """RCPT; raises ExtensionMissing for a non-ASCII address where SMTPUTF8 was not announced."""
        if not recipient.forward_path.address.is_ascii:
            self._need("SMTPUTF8", f"the address {recipient.forward_path.address}")
        self._check_legal(Verb.RCPT)
        return self._rcpt(recipient)

    def _rcpt(self, recipient: Recipient) -> bytes:
        transaction, address = self._transaction, recipient.forward_path.address
        if not address.is_ascii:
            self._need("SMTPUTF8", f"the address {address}")
            if transaction is not None and not transaction.is_utf8:
                # RFC 6531 §3.4
                raise LocalProtocolError(f"the address {address} in a transaction without SMTPUTF8")
        assert transaction is not None and self.capabilities is not None
        octets = _line("RCPT " + rcpt_argument(recipient, self.capabilities, is_utf8=transaction.is_utf8))
        self._await(Command(_RCPT, recipient), transaction, transaction.rcpt_answered)
        transaction.recipients_waiting += 1
        return octets

    def data(self) -> bytes:
        """DATA; needs a recipient that is accepted, or not yet answered."""
        self._check_legal(Verb.DATA)
        transaction = self._with_recipients()
        self._await(_COMMANDS[Verb.DATA], transaction, transaction.data_answered)
        transaction.is_data_sent = True
        transaction.data = None
        return b"DATA\r\n"

    def bdat(self, octets: bytes, last: bool) -> bytes:
        """BDAT with a chunk of content, as it is (RFC 3030 §2); needs a recipient as DATA does.

        With LMTP the last chunk is answered once for each accepted recipient, and not at all when there is
        none: all must be answered before it (RFC 2033 §4.3).
        """
        self._need("CHUNKING", "content in chunks")
        self._check_legal(Verb.CONTENT if last else Verb.BDAT)
        transaction = self._with_recipients()
        if transaction.is_chunk_refused:
            raise LocalProtocolError("a chunk was refused")
        if last and self.is_lmtp and transaction.recipients_waiting:
            raise LocalProtocolError("the last chunk before the recipients were answered")
        transaction.is_chunked = True
        if not last:
            self._await(_COMMANDS[Verb.BDAT], transaction, transaction.chunk_answered)
            return b"BDAT %d\r\n%b" % (len(octets), octets)
        transaction.is_last_sent = True
        self._await_content(transaction)
        return b"BDAT %d LAST\r\n%b" % (len(octets), octets)

    def content(self, content: bytes | WireContent) -> bytes:
        """The content after 354, dots doubled, and the final dot.

        Octets must have CRLF line ends and nothing else; a missing last one is added. With LMTP the
        final dot is answered once for each accepted recipient (RFC 2033 §4.2).
        """
        known = content if isinstance(content, WireContent) else WireContent.of(content)
        transaction = self._expecting_content()
        if not transaction.deliverable:
            raise LocalProtocolError("no recipient was accepted")
        self._end_content(transaction)
        return stuff_dots(known.octets) + FINAL_DOT

    def abandon(self) -> bytes:
        """End the open transaction without a message: nothing, a lone dot, or RSET.

        RFC 2920 §3.1: a server that answers 354 though it accepted no recipient gets a lone dot. Where
        recipients were accepted and 354 came, only closing the connection helps: raises LocalProtocolError.
        """
        if self._transaction is None:
            return b""
        if not self.expects_content:
            return self.rset()  # RFC 3030 §2: due after a refused chunk too
        transaction = self._expecting_content()
        if transaction.deliverable:
            raise LocalProtocolError("the server waits for the content of an accepted message")
        self._end_content(transaction)
        return FINAL_DOT

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

    def etrn(self, name: str) -> bytes:
        """ETRN: have the mail sent that waits for a host, for `@domain` or in `#queue` (RFC 1985 §5)."""
        self._need("ETRN", f"the mail for {name}")
        if not name:
            raise LocalProtocolError("ETRN without a name")
        return self._command(Verb.ETRN, name)

    def atrn(self, domains: Sequence[str] = ()) -> bytes:
        """ATRN: turn the roles to take the mail for these domains, or for all of ours (RFC 2645 §5.2.1)."""
        self._need("ATRN", "turning the roles")
        if not all(domains) or any("," in domain or " " in domain for domain in domains):
            raise LocalProtocolError("not the name of a domain")
        return self._command(Verb.ATRN, ",".join(domains))

    def turn(self) -> bytes:
        """TURN: turn the roles (RFC 821 §3.8)."""
        return self._command(Verb.TURN)

    def xclient(self, told: Mapping[str, str | None]) -> bytes:
        """XCLIENT: say for which client we speak; after a positive reply EHLO must follow (Postfix XCLIENT_README).

        The attributes by their names (NAME, ADDR, PORT, PROTO, HELO, LOGIN, DESTADDR, DESTPORT); None for what is
        not known. An IPv6 address is written as it is.
        """
        return self._tell(Verb.XCLIENT, told)

    def xforward(self, told: Mapping[str, str | None]) -> bytes:
        """XFORWARD: say where the next message came from (Postfix XFORWARD_README); also IDENT and SOURCE."""
        return self._tell(Verb.XFORWARD, told)

    def quit(self) -> bytes:
        """QUIT; legal until DATA is taken."""
        return self._command(Verb.QUIT)

    # How it is done

    def _need(self, keyword: str, what: str) -> None:
        if not self.can(keyword):
            raise ExtensionMissing(keyword, what)

    def _check_legal(self, verb: Verb) -> None:
        phase = self.phase
        if phase not in LEGAL[verb] or (self._is_refused and verb is not Verb.QUIT):
            where = "after a refusal" if self._is_refused else phase.value
            raise LocalProtocolError(f"{verb} {where}")
        if not self.unanswered:
            return
        last = self.unanswered[-1][0].verb
        if not self.can("PIPELINING"):
            raise LocalProtocolError(f"{verb} before {last} was answered")
        # RFC 2920 §3.1, and RFC 3207 §4, RFC 4954 §4 for their commands
        if last not in GROUPABLE:
            raise LocalProtocolError(f"{verb} in one group after {last}")
        if verb in HELLOS:
            raise LocalProtocolError(f"{verb} before earlier commands were answered")

    def _command(self, verb: Verb, argument: str = "") -> bytes:
        """A command outside of transactions."""
        self._check_legal(verb)
        octets = _line(f"{verb.value} {argument}" if argument else verb.value)
        self.unanswered.append((_COMMANDS[verb], None, self._answered))
        return octets

    def _tell(self, verb: Verb, told: Mapping[str, str | None]) -> bytes:
        self._need(verb.value, "to speak for others")
        assert self.capabilities is not None
        offered = self.capabilities.keywords[verb.value]
        words = []
        for name, value in told.items():
            if name.upper() not in offered:
                raise ExtensionMissing(f"{verb} {name.upper()}", f"{name} of a client")
            if value is None:
                words.append(f"{name.upper()}=[UNAVAILABLE]")
            else:
                prefix = "IPV6:" if name.upper() in ("ADDR", "DESTADDR") and ":" in value else ""
                words.append(f"{name.upper()}={to_xtext(prefix + value)}")
        argument = " ".join(words)
        if not words or len(verb) + len(argument) + len(" \r\n") > _MAX_COMMAND:
            raise LocalProtocolError(f"{verb} with nothing to tell, or too much")
        return self._command(verb, argument)

    def _lookup(self, verb: Verb, text: str) -> bytes:
        if not text.isascii():
            self._need("SMTPUTF8", f"{verb} {text}")
            text = f"{text} SMTPUTF8"  # RFC 6531 §3.7.4.2
        return self._command(verb, text)

    def _with_recipients(self) -> OutgoingTransaction:
        transaction = self._transaction
        assert transaction is not None
        if not transaction.may_have_recipients:
            raise LocalProtocolError("no recipient was accepted")
        return transaction

    def _expecting_content(self) -> OutgoingTransaction:
        transaction = self._transaction
        if transaction is None or not self.expects_content:
            raise LocalProtocolError("content before 354")
        return transaction

    def _end_content(self, transaction: OutgoingTransaction) -> None:
        # RFC 2920 §3.1: the next transaction may begin in the same group, so this one is no longer open.
        self._transaction = None
        self._await_content(transaction)

    def _await_content(self, transaction: OutgoingTransaction) -> None:
        if not self.is_lmtp:
            self._await(_CONTENT, transaction, transaction.content_answered)
            return
        for recipient in transaction.deliverable:  # RFC 2033 §4.2, §4.3: one reply for each
            self._await(Command(Verb.CONTENT, recipient), transaction, transaction.content_answered)

    def _await(self, command: Command, transaction: OutgoingTransaction, answer: Answer) -> None:
        self.unanswered.append((command, transaction, answer))
        transaction.replies_waiting += 1


def _line(text: str) -> bytes:
    if not text.isprintable() and _FORBIDDEN.search(text):
        raise LocalProtocolError(f"CR, LF or NUL in {text[:4]}")
    try:
        return text.encode() + b"\r\n"
    except UnicodeEncodeError:
        raise LocalProtocolError(f"{text[:4]} cannot be said in UTF-8") from None
