"""The client engine in dialogues, fed whole and octet by octet. Lines are given without CRLF."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.address import NULL_REVERSE_PATH, Address, ForwardPath, ReversePath
from estafeta.mail.envelope import Body, Octets, Recipient, Sender
from estafeta.mail.reply import EnhancedStatusCode, Reply
from estafeta.wire.errors import ExtensionMissing, LocalProtocolError, RemoteProtocolError
from estafeta.wire.octets import ReceiveBuffer
from estafeta.wire.sasl import ClientMechanism, SaslError, client_mechanism
from estafeta.wire.smtp.client import ClientEngine
from estafeta.wire.smtp.content import stuff_dots
from estafeta.wire.smtp.data import DataReader
from estafeta.wire.smtp.dialogue import (
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
from estafeta.wire.smtp.replies import MAX_LINE, MAX_LINES, Capabilities, ReplyReader

SENDER = Sender(ReversePath(Address("from", "example.org")))
FOREIGN = Recipient(ForwardPath(Address("пошта", "example.org")))
ANN, BEN, CAT = (Recipient(ForwardPath(Address(name, "example.net"))) for name in ("ann", "ben", "cat"))

Feed = Callable[[ClientEngine, str], list[Event]]


def events(engine: ClientEngine) -> list[Event]:
    found: list[Event] = []
    while (event := engine.next_event()) is not None:
        found.append(event)
    return found


def feed_whole(engine: ClientEngine, text: str) -> list[Event]:
    engine.feed(text.encode().replace(b"\n", b"\r\n"))
    return events(engine)


def feed_octet_by_octet(engine: ClientEngine, text: str) -> list[Event]:
    found: list[Event] = []
    for octet in text.encode().replace(b"\n", b"\r\n"):
        engine.feed(bytes([octet]))
        found += events(engine)
    return found


@pytest.fixture(params=[feed_whole, feed_octet_by_octet], ids=["whole", "octets"])
def feed(request: pytest.FixtureRequest) -> Feed:
    function: Feed = request.param
    return function


def ready(*keywords: str, lmtp: bool = False) -> ClientEngine:
    """An engine that was greeted and has said EHLO."""
    engine = ClientEngine(lmtp)
    feed_whole(engine, "220 mx.example.net ESMTP\n")
    engine.ehlo("client.example.org")
    lines = ["mx.example.net", *keywords]
    feed_whole(engine, "".join(f"250-{line}\n" for line in lines[:-1]) + f"250 {lines[-1]}\n")
    return engine


def codes(found: Iterable[Event]) -> list[tuple[Verb, int]]:
    return [(event.command.verb, event.reply.code) for event in found if isinstance(event, Answered)]


def grouped(engine: ClientEngine, *recipients: Recipient) -> bytes:
    return engine.mail(SENDER) + b"".join(engine.rcpt(each) for each in recipients) + engine.data()


# A session


def test_a_message_goes_one_command_at_a_time(feed: Feed) -> None:
    engine = ClientEngine()
    (greeted,) = feed(engine, "220 mx.example.net ESMTP\n")
    assert isinstance(greeted, Greeted)
    assert engine.ehlo("client.example.org") == b"EHLO client.example.org\r\n"
    assert codes(feed(engine, "250-mx.example.net\n250 SIZE 1000\n")) == [(Verb.EHLO, 250)]
    assert engine.mail(SENDER) == b"MAIL FROM:<from@example.org>\r\n"
    assert codes(feed(engine, "250 2.1.0 OK\n")) == [(Verb.MAIL, 250)]
    assert engine.rcpt(ANN) == b"RCPT TO:<ann@example.net>\r\n"
    assert codes(feed(engine, "250 2.1.5 OK\n")) == [(Verb.RCPT, 250)]
    assert engine.data() == b"DATA\r\n"
    assert codes(feed(engine, "354 go on\n")) == [(Verb.DATA, 354)]
    assert engine.expects_content
    assert engine.content(b".a\r\n.\r\nb") == b"..a\r\n..\r\nb\r\n.\r\n"
    (answered,) = feed(engine, "250 2.0.0 queued as 1\n")
    assert isinstance(answered, Answered)
    assert answered.command == Command(Verb.CONTENT)
    assert answered.reply.status == EnhancedStatusCode(2, 0, 0)
    assert answered.reply.text == "queued as 1"
    assert engine.quit() == b"QUIT\r\n"
    assert codes(feed(engine, "221 bye\n")) == [(Verb.QUIT, 221)]
    assert engine.phase is Phase.CLOSED
    engine.feed(b"")
    assert events(engine) == []


def test_a_group_goes_at_once_and_each_reply_finds_its_command(feed: Feed) -> None:
    engine = ready("PIPELINING")
    assert grouped(engine, ANN, BEN, CAT) == (
        b"MAIL FROM:<from@example.org>\r\nRCPT TO:<ann@example.net>\r\nRCPT TO:<ben@example.net>\r\n"
        b"RCPT TO:<cat@example.net>\r\nDATA\r\n"
    )
    found = feed(engine, "250 OK\n250 OK\n550-5.1.1 no\n550 5.1.1 such\n450 later\n354 go on\n")
    assert [(event.command.recipient, event.reply.code) for event in found if isinstance(event, Answered)] == [
        (None, 250),
        (ANN, 250),
        (BEN, 550),
        (CAT, 450),
        (None, 354),
    ]
    assert engine.accepted == (ANN,)
    assert engine.content(b"") == b".\r\n"


def test_the_next_transaction_may_begin_in_the_group_of_the_content(feed: Feed) -> None:
    # RFC 2920 §3.1
    engine = ready("PIPELINING")
    grouped(engine, ANN)
    feed(engine, "250 OK\n250 OK\n354 go on\n")
    engine.content(b"first\r\n")
    grouped(engine, BEN)
    assert codes(feed(engine, "554 no\n250 OK\n250 OK\n354 go on\n")) == [
        (Verb.CONTENT, 554),
        (Verb.MAIL, 250),
        (Verb.RCPT, 250),
        (Verb.DATA, 354),
    ]
    assert engine.accepted == (BEN,)
    engine.content(b"second\r\n")
    assert codes(feed(engine, "250 OK\n")) == [(Verb.CONTENT, 250)]


def test_without_pipelining_a_second_command_waits() -> None:
    engine = ready("8BITMIME")
    engine.mail(SENDER)
    with pytest.raises(LocalProtocolError):
        engine.rcpt(ANN)


def test_a_command_that_ends_a_group_is_the_last_one() -> None:
    engine = ready("PIPELINING")
    engine.noop()
    with pytest.raises(LocalProtocolError):
        engine.mail(SENDER)


@pytest.mark.rfc("5321 §3.2", "A server that refuses EHLO with 5yz is asked with HELO.")
def test_a_server_without_ehlo_is_asked_with_helo(feed: Feed) -> None:
    engine = ClientEngine()
    feed(engine, "220 old\n")
    engine.ehlo("client.example.org")
    feed(engine, "500 what?\n")
    assert engine.capabilities is None
    assert engine.helo("client.example.org") == b"HELO client.example.org\r\n"
    feed(engine, "250 old.example.net hello\n")
    assert engine.capabilities == Capabilities.none(feed_reply("250 old.example.net\n"))
    engine.mail(SENDER)


def feed_reply(text: str) -> Reply:
    reader = ReplyReader()
    reader.feed(text.encode().replace(b"\n", b"\r\n"))
    reply = reader.next_reply()
    assert reply is not None
    return reply


@pytest.mark.rfc("5321 §3.1", "After a greeting that refuses, the client may only say QUIT.")
def test_after_a_refusing_greeting_only_quit_is_left(feed: Feed) -> None:
    engine = ClientEngine()
    feed(engine, "554 no service\n")
    with pytest.raises(LocalProtocolError):
        engine.ehlo("client.example.org")
    assert engine.quit() == b"QUIT\r\n"


def test_nothing_is_said_before_the_greeting() -> None:
    with pytest.raises(LocalProtocolError):
        ClientEngine().ehlo("client.example.org")


@pytest.mark.parametrize("command", ["ehlo", "vrfy", "expn", "help"])
def test_no_line_end_gets_into_a_command(command: str) -> None:
    engine = ready("PIPELINING")
    for text in ("x\r\nQUIT", "x\ny", "x\ry", "x\0y"):
        with pytest.raises(LocalProtocolError):
            getattr(engine, command)(text)
    assert engine.waiting == ()


def test_no_line_end_gets_in_through_an_address() -> None:
    engine = ready("PIPELINING")
    with pytest.raises(LocalProtocolError):
        engine.mail(Sender(ReversePath(Address("a\r\nRSET\r\n", "example.org"))))
    engine.mail(SENDER)
    with pytest.raises(LocalProtocolError):
        engine.rcpt(Recipient(ForwardPath(Address("a\n", "example.org"))))


# What becomes of transactions


def test_a_refused_mail_opens_no_transaction(feed: Feed) -> None:
    engine = ready("PIPELINING")
    grouped(engine, ANN)
    feed(engine, "550 no\n503 no\n503 no\n")
    assert not engine.has_open_transaction
    assert engine.abandon() == b""
    engine.mail(SENDER)


def test_no_accepted_recipient_and_refused_data_is_reset(feed: Feed) -> None:
    engine = ready("PIPELINING")
    grouped(engine, ANN)
    feed(engine, "250 OK\n550 no\n554 no valid recipients\n")
    assert engine.abandon() == b"RSET\r\n"
    assert engine.mail(SENDER)
    assert codes(feed(engine, "250 OK\n250 OK\n")) == [(Verb.RSET, 250), (Verb.MAIL, 250)]


@pytest.mark.rfc("2920 §3.1", "A server that says 354 without a recipient gets a lone dot.")
@pytest.mark.parametrize("replies", ["250 OK\n550 no\n354 go on\n", "550 no\n250 OK\n354 go on\n"])
def test_354_without_a_recipient_gets_a_lone_dot(feed: Feed, replies: str) -> None:
    # RFC 2920 §3.1
    engine = ready("PIPELINING")
    grouped(engine, ANN)
    feed(engine, replies)
    with pytest.raises(LocalProtocolError):
        engine.content(b"text\r\n")
    assert engine.abandon() == b".\r\n"
    assert codes(feed(engine, "554 nothing\n")) == [(Verb.CONTENT, 554)]
    assert not engine.has_open_transaction


def test_a_message_that_the_server_waits_for_cannot_be_abandoned(feed: Feed) -> None:
    engine = ready("PIPELINING")
    grouped(engine, ANN)
    feed(engine, "250 OK\n250 OK\n354 go on\n")
    with pytest.raises(LocalProtocolError):
        engine.abandon()
    with pytest.raises(LocalProtocolError):
        engine.quit()


@pytest.mark.rfc("5321 §3.3", "The client says no DATA without a recipient.")
def test_data_needs_a_recipient(feed: Feed) -> None:
    engine = ready()
    with pytest.raises(LocalProtocolError):
        engine.data()
    engine.mail(SENDER)
    feed(engine, "250 OK\n")
    engine.rcpt(ANN)
    feed(engine, "550 no\n")
    with pytest.raises(LocalProtocolError):
        engine.data()
    engine.rcpt(BEN)
    feed(engine, "250 OK\n")
    engine.data()


def test_refused_data_may_be_followed_by_quit(feed: Feed) -> None:
    engine = ready("PIPELINING")
    grouped(engine, ANN)
    feed(engine, "250 OK\n250 OK\n451 later\n")
    engine.quit()
    assert codes(feed(engine, "221 bye\n")) == [(Verb.QUIT, 221)]


@pytest.mark.rfc("5321 §2.3.8", "The client refuses to send bare line ends.")
def test_bare_line_ends_are_no_content(feed: Feed) -> None:
    engine = ready("PIPELINING")
    grouped(engine, ANN)
    feed(engine, "250 OK\n250 OK\n354 go on\n")
    for octets in (b"a\n.\r\nb", b"a\r.\r\n", b"a\r\r\n", b"\n"):
        with pytest.raises(LocalProtocolError):
            engine.content(octets)
    engine.content(b"a\r\n")


@pytest.mark.rfc("5321 §4.5.2", "The client doubles dots so that the server gets the same content.")
@given(
    lines=st.lists(st.binary(max_size=6).map(lambda line: line.translate(None, b"\r\n\0"))),
    dotted=st.booleans(),
)
def test_stuffed_content_comes_out_at_the_server_as_it_was(lines: list[bytes], dotted: bool) -> None:
    content = b"".join((b"." + line if dotted else line) + b"\r\n" for line in lines)
    buffer, reader = ReceiveBuffer(), DataReader()
    buffer.feed(stuff_dots(content) + b".\r\nNOOP\r\n")
    taken = b""
    while not reader.is_complete:
        taken += reader.take(buffer)
    assert taken == content
    assert buffer.take_line(100) == b"NOOP"


# Parameters


def test_parameters_are_sent_where_they_were_announced() -> None:
    sender = Sender(SENDER.reverse_path, Octets(70), Body.EIGHT_BIT, True, "a+b=c ä")
    assert ready().mail(sender) == b"MAIL FROM:<from@example.org>\r\n"
    assert ready("SIZE", "8BITMIME", "SMTPUTF8", "AUTH PLAIN").mail(sender) == (
        b"MAIL FROM:<from@example.org> SIZE=70 AUTH=a+2Bb+3Dc+20+C3+A4 BODY=8BITMIME SMTPUTF8\r\n"
    )
    null = Sender(NULL_REVERSE_PATH, auth="")
    assert ready("AUTH PLAIN").mail(null) == b"MAIL FROM:<> AUTH=<>\r\n"


@pytest.mark.rfc("6531 §3.4", "An address in UTF-8 is not sent to a server without SMTPUTF8.")
def test_an_address_in_utf8_is_refused_before_anything_is_sent() -> None:
    engine = ready("PIPELINING")
    with pytest.raises(ExtensionMissing) as missing:
        engine.mail(Sender(ReversePath(FOREIGN.forward_path.address)))
    assert missing.value.keyword == "SMTPUTF8"
    engine.mail(SENDER)
    with pytest.raises(ExtensionMissing):
        engine.rcpt(FOREIGN)
    assert engine.waiting == (Command(Verb.MAIL),)


def test_an_address_in_utf8_goes_where_it_is_understood() -> None:
    engine = ready("PIPELINING", "SMTPUTF8")
    assert engine.mail(Sender(ReversePath(FOREIGN.forward_path.address))).endswith(b"@example.org> SMTPUTF8\r\n")
    assert engine.rcpt(FOREIGN) == "RCPT TO:<пошта@example.org>\r\n".encode()
    engine.rset()
    engine.mail(SENDER)
    with pytest.raises(LocalProtocolError):
        engine.rcpt(FOREIGN)


# Capabilities


@pytest.mark.rfc("2554", "The client reads AUTH= in the reply to EHLO, as old servers write it.")
def test_capabilities_are_read() -> None:
    capabilities = ready(
        "SIZE 35882577", "auth plain LOGIN", "AUTH=LOGIN SCRAM-SHA-256", "X-ODD", "pipelining"
    ).capabilities
    assert capabilities is not None
    assert capabilities.server == "mx.example.net"
    assert capabilities.size == 35882577
    assert capabilities.auth_mechanisms == ("PLAIN", "LOGIN", "SCRAM-SHA-256")
    assert capabilities.has("PIPELINING")
    assert not capabilities.has("SMTPUTF8")


@pytest.mark.rfc("1870 §3", "SIZE without a number, or with 0, is no limit.")
@pytest.mark.parametrize("line", ["SIZE", "SIZE 0", "SIZE many", "SIZE -1", "SIZE " + "9" * 30])
def test_a_size_that_says_nothing_is_no_limit(line: str) -> None:
    capabilities = ready(line).capabilities
    assert capabilities is not None
    assert capabilities.size is None
    assert capabilities.has("SIZE")


# LMTP


@pytest.mark.rfc("2033 §4.2", "The client reads a reply for each accepted recipient.")
def test_lmtp_has_one_reply_for_each_accepted_recipient(feed: Feed) -> None:
    # RFC 2033 §4.2
    engine = ClientEngine(lmtp=True)
    feed(engine, "220 store.example.net LMTP\n")
    assert engine.ehlo("client.example.org") == b"LHLO client.example.org\r\n"
    feed(engine, "250-store.example.net\n250 PIPELINING\n")
    grouped(engine, ANN, BEN, CAT)
    feed(engine, "250 OK\n250 OK\n550 no\n250 OK\n354 go on\n")
    engine.content(b"text\r\n")
    found = feed(engine, "250 OK\n452 full\n")
    assert [(event.command, event.reply.code) for event in found if isinstance(event, Answered)] == [
        (Command(Verb.CONTENT, ANN), 250),
        (Command(Verb.CONTENT, CAT), 452),
    ]
    assert engine.waiting == ()


@pytest.mark.rfc("2033 §4.1", "The client has no HELO with LMTP.")
def test_lmtp_has_no_helo() -> None:
    with pytest.raises(LocalProtocolError):
        ready(lmtp=True).helo("client.example.org")


def test_lmtp_354_without_recipients_is_an_error(feed: Feed) -> None:
    engine = ready("PIPELINING", lmtp=True)
    grouped(engine, ANN)
    with pytest.raises(RemoteProtocolError):
        feed(engine, "250 OK\n550 no\n354 go on\n")


# Ends


def test_421_ends_everything(feed: Feed) -> None:
    engine = ready("PIPELINING")
    grouped(engine, ANN)
    found = feed(engine, "250 OK\n421 4.3.2 going down\n250 OK\n")
    assert codes(found) == [(Verb.MAIL, 250)]
    assert isinstance(found[-1], Closing)
    assert found[-1].unanswered == (Command(Verb.RCPT, ANN), Command(Verb.DATA))
    assert found[-1].reply.status == EnhancedStatusCode(4, 3, 2)
    assert engine.phase is Phase.CLOSED
    with pytest.raises(LocalProtocolError):
        engine.noop()


@pytest.mark.rfc("5321 §3.8", "The client takes 421 at any time, and as greeting.")
def test_421_may_come_unasked_and_as_greeting(feed: Feed) -> None:
    assert isinstance(feed(ready(), "421 idle too long\n")[0], Closing)
    assert isinstance(feed(ClientEngine(), "421 too many connections\n")[0], Closing)


def test_the_end_of_the_octets_names_what_was_not_answered() -> None:
    engine = ready("PIPELINING")
    grouped(engine, ANN)
    engine.feed(b"250 OK\r\n250 O")
    engine.feed(b"")
    assert events(engine)[-1] == Ended((Command(Verb.RCPT, ANN), Command(Verb.DATA)))


# Replies of the world's servers


@pytest.mark.rfc("5321 §4.2", "The client reads replies of one line and of several.")
@pytest.mark.parametrize(
    ("octets", "code", "lines"),
    [
        (b"250\r\n", 250, ("",)),
        (b"250 \r\n", 250, ("",)),
        (b"250 OK\n", 250, ("OK",)),
        (b"250OK\r\n", 250, ("OK",)),
        (b"250-a\r\n250\r\n", 250, ("a", "")),
        (b"250-a\n251-b\n550 c\n", 550, ("a", "b", "c")),
        (b"250-a\r\nlost its code\r\n250 c\r\n", 250, ("a", "lost its code", "c")),
        (b"250 \xe4\r\n", 250, ("\ufffd",)),
        (b"250 a\x1bb\x00c\rd\r\n", 250, ("a?b?c?d",)),
        (b"550-5.1.1 no\r\n550 5.1.1 such\r\n", 550, ("no", "such")),
        (b"250 5.1.1 of another class\r\n", 250, ("5.1.1 of another class",)),
        (b"550 5.1.1\r\n", 550, ("",)),
        (b"550 192.0.2.1 is listed\r\n", 550, ("192.0.2.1 is listed",)),
    ],
)
def test_replies_are_read_as_they_come(octets: bytes, code: int, lines: tuple[str, ...]) -> None:
    reader = ReplyReader()
    reader.feed(octets)
    reply = reader.next_reply()
    assert reply is not None
    assert (reply.code, reply.lines) == (code, lines)
    assert reader.is_empty


@pytest.mark.rfc("2034 §4", "The client finds the status code in any line of a reply.")
def test_a_status_code_is_found_in_any_line() -> None:
    assert feed_reply("550-hello\n550 5.7.1 no\n").status == EnhancedStatusCode(5, 7, 1)


@pytest.mark.rfc("5321 §4.2", "What is no reply ends the session with an error.")
@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n",
        b"\r\n",
        b"199 no\r\n",
        b"650 no\r\n",
        b"2500 no\r\n",
        b"25\r\n",
        b"250 " + b"x" * MAX_LINE,
        b"250-x\r\n" * (MAX_LINES + 1),
        "２５０ ok\r\n".encode(),
    ],
)
def test_what_is_no_reply_is_an_error(octets: bytes) -> None:
    reader = ReplyReader()
    reader.feed(octets)
    with pytest.raises(RemoteProtocolError):
        reader.next_reply()


@pytest.mark.rfc("5321 §4.5.3.1.5", "The client reads replies of more than 512 octets a line.")
def test_the_longest_reply_is_read() -> None:
    reader = ReplyReader()
    line = b"x" * (MAX_LINE - 6) + b"\r\n"
    reader.feed((b"250-" + line) * (MAX_LINES - 1) + b"250 " + line)
    reply = reader.next_reply()
    assert reply is not None
    assert len(reply.lines) == MAX_LINES


@pytest.mark.parametrize("reply", ["250 OK\n", "334 go\n", "399 hm\n"])
def test_data_is_answered_with_354_or_not_at_all(feed: Feed, reply: str) -> None:
    engine = ready("PIPELINING")
    grouped(engine, ANN)
    with pytest.raises(RemoteProtocolError):
        feed(engine, "250 OK\n250 OK\n" + reply)
    assert engine.phase is Phase.CLOSED


def test_a_reply_to_nothing_is_an_error(feed: Feed) -> None:
    with pytest.raises(RemoteProtocolError):
        feed(ready(), "250 OK\n")
    engine = ready()
    engine.noop()
    with pytest.raises(RemoteProtocolError):
        feed(engine, "354 go on\n")


@given(octets=st.binary(max_size=200), before=st.sampled_from([b"", b"220 x\r\n", b"220-x\r\n"]))
def test_no_octets_make_the_engine_raise_anything_else(octets: bytes, before: bytes) -> None:
    engine = ClientEngine()
    engine.feed(before + octets)
    engine.feed(b"")
    try:
        found = events(engine)
    except RemoteProtocolError:
        return
    assert isinstance(found[-1], Ended | Closing)


# TLS


@pytest.mark.rfc("3207 §4.2", "After TLS the client forgets what was known and says EHLO again.")
def test_starttls_forgets_what_was_known(feed: Feed) -> None:
    engine = ready("STARTTLS", "AUTH PLAIN")
    assert engine.starttls() == b"STARTTLS\r\n"
    feed(engine, "220 go on\n")
    with pytest.raises(LocalProtocolError):
        engine.noop()
    engine.tls_started()
    assert engine.capabilities is None
    with pytest.raises(LocalProtocolError):
        engine.mail(SENDER)
    assert engine.ehlo("client.example.org") == b"EHLO client.example.org\r\n"


def test_octets_between_starttls_and_tls_are_an_error() -> None:
    for injected in ("250-evil\n", "2"):
        engine = ready("STARTTLS")
        engine.starttls()
        with pytest.raises(RemoteProtocolError):
            feed_whole(engine, "220 go on\n" + injected)


@pytest.mark.rfc("3207 §4", "The client says STARTTLS where it was announced, and takes a refusal.")
def test_starttls_must_be_announced_and_accepted(feed: Feed) -> None:
    with pytest.raises(ExtensionMissing):
        ready().starttls()
    engine = ready("STARTTLS")
    engine.starttls()
    feed(engine, "454 not now\n")
    with pytest.raises(LocalProtocolError):
        engine.tls_started()
    engine.mail(SENDER)


# AUTH


def plain(password: str = "pencil") -> ClientMechanism:
    return client_mechanism("PLAIN", "user", password, nonce="n", channel_binding=None)


@pytest.mark.rfc("4954 §4", "The client sends an initial response where it fits.")
def test_plain_goes_with_its_initial_response(feed: Feed) -> None:
    engine = ready("AUTH PLAIN")
    assert engine.auth(plain()) == b"AUTH PLAIN " + base64.b64encode(b"\0user\0pencil") + b"\r\n"
    assert codes(feed(engine, "235 2.7.0 OK\n")) == [(Verb.AUTH, 235)]
    assert engine.is_authenticated
    with pytest.raises(LocalProtocolError):
        engine.auth(plain())


@pytest.mark.rfc("5321 §4.5.3.1.4", "A long initial response waits for the challenge, so that no line is too long.")
def test_an_initial_response_that_is_too_long_waits_for_the_challenge(feed: Feed) -> None:
    # RFC 4954 §4
    engine = ready("AUTH PLAIN")
    assert engine.auth(plain("x" * 600)) == b"AUTH PLAIN\r\n"
    assert feed(engine, "334 \n") == [Challenged()]
    assert engine.answer() == base64.b64encode(b"\0user\0" + b"x" * 600) + b"\r\n"
    assert codes(feed(engine, "535 5.7.8 no\n")) == [(Verb.AUTH, 535)]
    assert not engine.is_authenticated
    engine.auth(plain())


@pytest.mark.parametrize("prompts", [("334 VXNlcm5hbWU6\n", "334 UGFzc3dvcmQ6\n"), ("334 User?\n", "334\n")])
def test_login_answers_whatever_the_prompts_say(feed: Feed, prompts: tuple[str, str]) -> None:
    engine = ready("AUTH LOGIN")
    engine.auth(client_mechanism("LOGIN", "user", "pencil", nonce="n", channel_binding=None))
    feed(engine, prompts[0])
    assert engine.answer() == b"dXNlcg==\r\n"
    feed(engine, prompts[1])
    assert engine.answer() == b"cGVuY2ls\r\n"
    feed(engine, "235 OK\n")
    assert engine.is_authenticated


def test_a_success_before_the_server_proved_itself_is_an_error(feed: Feed) -> None:
    engine = ready("AUTH SCRAM-SHA-256")
    engine.auth(client_mechanism("SCRAM-SHA-256", "user", "pencil", nonce="n", channel_binding=None))
    with pytest.raises(RemoteProtocolError):
        feed(engine, "235 OK\n")
    assert not engine.is_authenticated


def test_a_challenge_that_the_mechanism_refuses_is_cancelled(feed: Feed) -> None:
    engine = ready("AUTH SCRAM-SHA-256")
    engine.auth(client_mechanism("SCRAM-SHA-256", "user", "pencil", nonce="n", channel_binding=None))
    feed(engine, "334 not base64!\n")
    with pytest.raises(SaslError):
        engine.answer()
    assert engine.cancel_auth() == b"*\r\n"
    assert codes(feed(engine, "501 cancelled\n")) == [(Verb.AUTH, 501)]
    engine.mail(SENDER)


@pytest.mark.rfc("4954 §3", "AUTH is said where it was announced.")
def test_auth_must_be_announced() -> None:
    with pytest.raises(ExtensionMissing):
        ready().auth(plain())
