"""Whatever a server answers, in whatever cuts, and whatever its owner asks for: the SMTP client engine raises nothing
but declared errors, says only whole commands without line ends inside them, and tells the same events."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.inputs import OCTETS, WHOLE, Input, Program, pieces

from estafeta.mail.address import NULL_REVERSE_PATH, Address, ForwardPath, ReversePath
from estafeta.mail.envelope import Body, Notify, Octets, OriginalRecipient, Recipient, Ret, Sender
from estafeta.wire.errors import LocalProtocolError, RemoteProtocolError
from estafeta.wire.sasl import SaslError, client_mechanism
from estafeta.wire.smtp.client import ClientEngine
from estafeta.wire.smtp.dialogue import Answered, Phase, Verb

SENDERS = (
    Sender(ReversePath(Address("ana", "example.org"))),
    Sender(NULL_REVERSE_PATH, Octets(10), Body.BINARY),
    Sender(ReversePath(Address("añá", "example.org")), body=Body.EIGHT_BIT, smtputf8=True, requires_tls=True),
    Sender(ReversePath(Address("a\nb", "example.org")), auth="x y\r\n", ret=Ret.HDRS, envid="e+1\r\n"),
)
RECIPIENTS = (
    Recipient(ForwardPath(Address("luis", "example.net"))),
    Recipient(ForwardPath(Address("ñ", "example.net")), frozenset({Notify.SUCCESS})),
    Recipient(ForwardPath(Address("x", "example.net")), None, OriginalRecipient("rfc822", "a\r\nb@example.net")),
    Recipient(ForwardPath(Address("x", "example.net")), None, OriginalRecipient("utf-8", "ñ\u2028@example.net")),
)
CONTENTS = (b"", b".\r\nx\r\n", b"x", b"\r\n.\r\nMAIL FROM:<>\r\n", b"a\nb", b"\r.\r")
TEXTS = ("", "client.example.org", "ñ", "a\r\nRSET", "@example.org", "#q")
MECHANISMS = ("PLAIN", "LOGIN", "SCRAM-SHA-256")

EHLO = (
    b"250-mx\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-SMTPUTF8\r\n250-8BITMIME\r\n"
    b"250-AUTH PLAIN LOGIN SCRAM-SHA-256\r\n250-STARTTLS\r\n250-DSN\r\n250-REQUIRETLS\r\n250-ETRN\r\n250-ATRN\r\n"
    b"250-LIMITS MAILMAX=2 RCPTMAX=3\r\n250 HELP\r\n"
)
CANNED = (
    b"",
    b"220 mx\r\n",
    EHLO,
    b"250-mx\r\n250 CHUNKING\r\n",
    b"250 2.0.0 ok\r\n",
    b"250 ok\r\n" * 3,
    b"354 go on\r\n",
    b"334 \r\n",
    b"334 VXNlcm5hbWU6\r\n",
    b"235 2.7.0 welcome\r\n",
    b"421 4.3.2 closing\r\n",
    b"452 4.5.3 too many\r\n",
    b"550-5.1.1 no\r\n550 5.1.1 such mailbox\r\n",
    b"503 no\r\n",
    b"221 bye\r\n",
)


def _operations(engine: ClientEngine, number: int) -> tuple[Callable[[], bytes], ...]:
    def text() -> str:
        return TEXTS[number % len(TEXTS)]

    def content() -> bytes:
        return CONTENTS[number % len(CONTENTS)]

    def mechanism() -> bytes:
        name = MECHANISMS[number % len(MECHANISMS)]
        return engine.auth(client_mechanism(name, "user", "pencil", nonce="nonce", channel_binding=None))

    return (
        lambda: b"",
        lambda: engine.ehlo(text()),
        lambda: engine.mail(SENDERS[number % len(SENDERS)]),
        lambda: engine.rcpt(RECIPIENTS[number % len(RECIPIENTS)]),
        engine.data,
        lambda: engine.helo(text()),
        engine.starttls,
        mechanism,
        engine.answer,
        engine.cancel_auth,
        engine.abandon,
        engine.rset,
        engine.noop,
        lambda: engine.vrfy(text()),
        lambda: engine.expn(text()),
        lambda: engine.help(text()),
        lambda: engine.etrn(text()),
        lambda: engine.atrn((text(),)),
        engine.turn,
        engine.quit,
        engine.tls_started_octets if isinstance(engine, _Securing) else lambda: b"",
        lambda: engine.bdat(content(), last=False),
        lambda: engine.bdat(content(), last=True),
        lambda: engine.content(content()),
    )


class _Securing(ClientEngine):
    """Lets the end of the handshake be one operation among the others."""

    def tls_started_octets(self) -> bytes:
        self.tls_started()
        return b""


_CONTENT_OPERATIONS = 3


def talk(given: Input, cut: int) -> list[str]:
    """What happened, step by step: an operation, then what the server answers to it."""
    engine = _Securing(given.has(0))
    program = Program(given.octets)
    told: list[str] = []
    said = heard = 0
    while program and not engine.is_closed:
        operation, number, canned = program.number(), program.number(), program.number()
        known = _operations(engine, number)
        index = operation % len(known)
        before = (engine.phase, engine.waiting)
        try:
            octets = known[index]()
        except (LocalProtocolError, SaslError) as error:
            told.append(type(error).__name__)
            if isinstance(error, LocalProtocolError):
                assert (engine.phase, engine.waiting) == before
        else:
            told.append(repr(octets))
            said += bool(octets)
            if index < len(known) - _CONTENT_OPERATIONS:
                assert not octets or (octets.endswith(b"\r\n") and not set(octets[:-2]) & set(b"\r\n\0")), octets
        arriving = CANNED[canned] if canned < len(CANNED) else program.octets(canned - len(CANNED))
        for piece in [b""] if canned == 255 else pieces(arriving, cut):
            engine.feed(piece)
            while not engine.is_closed:
                try:
                    event = engine.next_event()
                except RemoteProtocolError as error:
                    told.append(f"RemoteProtocolError {error}")
                    assert engine.is_closed and engine.phase is Phase.CLOSED
                    break
                if event is None:
                    break
                told.append(repr(event))
                heard += 1
                if isinstance(event, Answered) and event.command.verb is Verb.STARTTLS and event.reply.is_positive:
                    return told  # what comes behind it is refused at once, or when it is read: by the cut
        assert len(engine.waiting) <= said * (1 + len(engine.accepted)) + said
    if engine.is_closed:
        assert engine.next_event() is None
    return told


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    told = talk(given, given.cut)
    for other in {WHOLE, OCTETS} - {given.cut}:
        again = talk(given, other)
        assert again == told or _is_starttls(told, again), (told, again)


def _is_starttls(told: list[str], again: list[str]) -> bool:
    """Octets behind the reply to STARTTLS are a fault of the server's, found with the reply or behind it."""
    return any("octets after the reply to STARTTLS" in last for last in (*told[-1:], *again[-1:]))
