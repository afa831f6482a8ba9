"""The client engine and the server engine talk to each other, octets cut anywhere; both tell one story."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import scramp
from hypothesis import given, settings
from hypothesis import strategies as st

from estafeta.mail.address import NULL_REVERSE_PATH, Address, ForwardPath, ReversePath
from estafeta.mail.envelope import Body, Octets, Recipient, Sender
from estafeta.mail.reply import Reply
from estafeta.wire import sasl
from estafeta.wire.sasl.cram import CramServer
from estafeta.wire.sasl.md5 import keyed_states
from estafeta.wire.smtp import events
from estafeta.wire.smtp.client import ClientEngine
from estafeta.wire.smtp.content import stuff_dots
from estafeta.wire.smtp.dialogue import Answered, Challenged, Event, Phase, Verb
from estafeta.wire.smtp.server import ServerEngine
from estafeta.wire.smtp.session import ServerOptions
from estafeta.wire.smtp.verbs.auth import challenge

BINDING = b"\x07" * 32
KEYS = {
    name: scramp.ScramMechanism(name).make_auth_info("pencil", 4096, b"0123456789abcdef")
    for name in ("SCRAM-SHA-256", "SCRAM-SHA-1")
}
OPTIONS = ServerOptions("mx.example.org", starttls=True, mechanisms=sasl.SERVER_MECHANISMS)
SENDER = Sender(ReversePath(Address("from", "example.org")))


def to(local_part: str) -> Recipient:
    return Recipient(ForwardPath(Address(local_part, "example.net")))


class Talk:
    """Both engines, an owner of the server that knows one password and no user called `nobody`."""

    def __init__(self, options: ServerOptions = OPTIONS, *, is_secure: bool = False, cut: int = 7) -> None:
        self.server = ServerEngine(options, is_secure=is_secure)
        self.client = ClientEngine(options.lmtp)
        self.is_lmtp = options.lmtp
        self.cut = cut
        self.messages: list[tuple[Sender, tuple[Recipient, ...], bytes]] = []
        self._content = b""
        self._mechanism: sasl.ServerMechanism | None = None
        self.server.greet(Reply.of(220, "mx.example.org"))
        self.say(b"")
        self.say(self.client.ehlo("client.example.org"))

    def say(self, octets: bytes) -> list[Event]:
        """The client sends; gives what it then hears."""
        heard: list[Event] = []
        for piece in self._pieces(octets):
            self.server.feed(piece)
            while (event := self.server.next_event()) is not None:
                self._answer(event)
        for piece in self._pieces(self.server.take_output()):
            self.client.feed(piece)
            while (told := self.client.next_event()) is not None:
                heard.append(told)
        return heard

    def _pieces(self, octets: bytes) -> Iterator[bytes]:
        for start in range(0, len(octets), self.cut):
            yield octets[start : start + self.cut]

    def _answer(self, event: events.Event) -> None:
        engine = self.server
        match event:
            case events.Content(octets):
                self._content += octets
            case events.Hello():
                engine.answer(engine.hello_reply("mx.example.org"))
            case events.Faulty(reply=reply):
                engine.answer(reply)
            case events.Rcpt(recipient) if recipient.forward_path.address.local_part == "nobody":
                engine.answer(Reply.of(550, "no such mailbox", "5.1.1"))
            case events.Data():
                self._content = b""
                engine.answer(Reply.of(354, "go on"))
            case events.EndOfData():
                assert event.fault is None
                assert engine.transaction is not None
                self.messages.append((engine.transaction.sender, engine.recipients, self._content))
                if self.is_lmtp:
                    engine.answer_each(
                        [
                            Reply.of(250, str(each.forward_path.address.local_part), "2.1.5")
                            for each in engine.recipients
                        ]
                    )
                else:
                    engine.answer(Reply.of(250, "queued", "2.0.0"))
            case events.Auth(name, response):
                self._mechanism = sasl.server_mechanism(name, nonce="server", channel_binding=BINDING)
                self._log_in(self._mechanism.step(response))
            case events.AuthResponse(None):
                engine.answer(Reply.of(501, "cancelled", "5.7.0"))
            case events.AuthResponse(response):
                assert self._mechanism is not None
                self._log_in(self._mechanism.step(response))
            case events.Quit():
                engine.answer(Reply.of(221, "bye", "2.0.0"))
            case events.StartTls():
                engine.answer(Reply.of(220, "go on", "2.0.0"))
            case _:
                engine.answer(Reply.of(250, "OK", "2.0.0"))

    def _log_in(self, step: sasl.Step) -> None:
        assert self._mechanism is not None
        match step:
            case sasl.CheckPassword(password=password):
                self._log_in(self._mechanism.password_checked(password == "pencil"))
            case sasl.FetchKeys():
                salt, stored_key, server_key, iterations = KEYS[self._mechanism.name.removesuffix("-PLUS")]
                self._log_in(self._mechanism.keys_found(salt, iterations, stored_key, server_key))
            case sasl.FetchCramKeys():
                assert isinstance(self._mechanism, CramServer)
                self._log_in(self._mechanism.cram_keys_found(keyed_states(b"pencil")))
            case sasl.Challenge(octets):
                self.server.answer(challenge(octets))
            case sasl.Success():
                self.server.answer(Reply.of(235, "OK", "2.7.0"))
            case sasl.Failure():
                self.server.answer(Reply.of(535, "no", "5.7.8"))

    def send(self, sender: Sender, recipients: list[Recipient], content: bytes) -> list[int]:
        """One message in one group; gives the reply codes of MAIL, RCPTs, DATA and the final dot."""
        client = self.client
        group = client.mail(sender) + b"".join(client.rcpt(each) for each in recipients) + client.data()
        heard = self.say(group)
        heard += self.say(client.content(content) if client.accepted else client.abandon())
        return [event.reply.code for event in heard if isinstance(event, Answered)]


def test_a_message_arrives_as_it_was_sent() -> None:
    talk = Talk()
    sender = Sender(SENDER.reverse_path, Octets(9), Body.EIGHT_BIT)
    assert talk.send(sender, [to("ann"), to("nobody")], b".\r\n..x\r\n\xff") == [250, 250, 550, 354, 250]
    assert talk.messages == [(sender, (to("ann"),), b".\r\n..x\r\n\xff\r\n")]


def test_a_message_for_nobody_leaves_the_session_usable() -> None:
    talk = Talk()
    assert talk.send(SENDER, [to("nobody")], b"")[:2] == [250, 550]
    assert talk.messages == []
    assert talk.send(Sender(NULL_REVERSE_PATH), [to("ann")], b"x\r\n") == [250, 250, 354, 250]
    talk.say(talk.client.quit())
    assert talk.client.phase is Phase.CLOSED
    assert talk.server.is_ended


def test_an_address_in_utf8_arrives_with_its_parameters() -> None:
    talk = Talk()
    sender = Sender(ReversePath(Address("отправитель", "example.org")), smtputf8=True)
    assert talk.send(sender, [to("пошта")], b"x\r\n") == [250, 250, 354, 250]
    assert talk.messages[0][:2] == (sender, (to("пошта"),))


def test_each_lmtp_recipient_has_its_own_reply() -> None:
    talk = Talk(ServerOptions("mx.example.org", lmtp=True))
    client = talk.client
    recipients = [to("ann"), to("nobody"), to("ben")]
    talk.say(client.mail(SENDER) + b"".join(client.rcpt(each) for each in recipients) + client.data())
    heard = talk.say(client.content(b"x\r\n"))
    assert [(event.command.recipient, event.reply.text) for event in heard if isinstance(event, Answered)] == [
        (to("ann"), "ann"),
        (to("ben"), "ben"),
    ]


def test_after_starttls_the_capabilities_are_those_of_tls() -> None:
    talk = Talk()
    assert talk.client.capabilities is not None
    assert not talk.client.capabilities.auth_mechanisms
    talk.say(talk.client.starttls())
    talk.server.tls_started()
    talk.client.tls_started()
    talk.say(talk.client.ehlo("client.example.org"))
    assert talk.client.capabilities is not None
    assert set(talk.client.capabilities.auth_mechanisms) == set(sasl.SERVER_MECHANISMS)
    assert not talk.client.can("STARTTLS")


@pytest.mark.parametrize("name", sasl.MECHANISMS)
@pytest.mark.parametrize(("password", "code"), [("pencil", 235), ("p" * 700, 535)])
def test_each_mechanism_logs_in_with_the_right_password_only(name: str, password: str, code: int) -> None:
    talk = Talk(is_secure=True)
    binding = BINDING if name == sasl.SCRAM_SHA_256_PLUS else None
    mechanism = sasl.client_mechanism(name, "user", password, nonce="client", channel_binding=binding)
    (event,) = talk.say(talk.client.auth(mechanism))
    while isinstance(event, Challenged):
        (event,) = talk.say(talk.client.answer())
    assert isinstance(event, Answered)
    assert (event.command.verb, event.reply.code) == (Verb.AUTH, code)
    assert talk.client.is_authenticated == talk.server.is_authenticated == (code == 235)


_LINE = st.binary(max_size=8).map(lambda octets: octets.translate(None, b"\r\n\0"))
_CONTENT = st.lists(st.tuples(st.sampled_from([b"", b".", b".."]), _LINE), max_size=6).map(
    lambda lines: b"".join(dots + line + b"\r\n" for dots, line in lines)
)


@settings(max_examples=60)
@given(contents=st.lists(_CONTENT, min_size=1, max_size=3), cut=st.integers(1, 40))
def test_any_contents_arrive_as_they_were_sent(contents: list[bytes], cut: int) -> None:
    talk = Talk(cut=cut)
    for content in contents:
        assert talk.send(SENDER, [to("ann")], content)[-1] == 250
    assert [content for _, _, content in talk.messages] == contents


def test_the_content_and_the_next_group_may_go_together() -> None:
    # RFC 2920 §3.1
    talk = Talk()
    client = talk.client
    talk.say(client.mail(SENDER) + client.rcpt(to("ann")) + client.data())
    octets = client.content(b"first\r\n")
    octets += client.mail(SENDER) + client.rcpt(to("ben")) + client.data()
    talk.say(octets)
    talk.say(client.content(b"second\r\n"))
    assert [content for _, _, content in talk.messages] == [b"first\r\n", b"second\r\n"]
    assert stuff_dots(b"first\r\n") in octets
