"""SEND, SOML and SAML on the wire: they open what MAIL opens, where they are offered."""

from __future__ import annotations

import pytest

from estafeta.mail.envelope import Body, Opening
from estafeta.mail.reply import Reply
from estafeta.wire.smtp import events
from estafeta.wire.smtp.server import ServerEngine
from estafeta.wire.smtp.session import Phase, ServerOptions

WITH_SCREENS = ServerOptions("mx.example.org", screens=True)
VERBS = pytest.mark.parametrize("verb", ["SEND", "SOML", "SAML"])


def say(engine: ServerEngine, line: str) -> tuple[events.Event, str]:
    """The event of a line, and the reply of an owner who agrees with everything that is in order."""
    engine.feed(line.encode() + b"\r\n")
    event = engine.next_event()
    assert event is not None
    match event:
        case events.Hello():
            engine.answer(engine.hello_reply("mx.example.org"))
        case events.Faulty(reply=reply):
            engine.answer(reply)
        case events.Help(topic):
            engine.answer(engine.help_reply(topic))
        case _:
            engine.answer(Reply.of(250, "ok", "2.0.0"))
    return event, engine.take_output().decode()


def greeted(options: ServerOptions = WITH_SCREENS) -> ServerEngine:
    engine = ServerEngine(options)
    say(engine, "EHLO client.example.net")
    return engine


@pytest.mark.rfc("821 §3.4", "SEND, SOML and SAML begin a transaction in place of MAIL, and say where it is to appear.")
@pytest.mark.rfc("821 §4.1.1", "Each takes a reverse-path as MAIL does, and stands where MAIL may stand.")
@VERBS
def test_it_opens_a_transaction_as_mail_does(verb: str) -> None:
    engine = greeted()
    event, reply = say(engine, f"{verb} FROM:<ana@example.net> BODY=8BITMIME")
    assert isinstance(event, events.Mail) and reply.startswith("250 ")
    assert event.sender.opening is Opening(verb) and event.sender.body is Body.EIGHT_BIT
    assert str(event.sender.reverse_path) == "ana@example.net"
    assert engine.phase is Phase.MAIL
    assert engine.transaction is not None and engine.transaction.sender.opening is Opening(verb)
    assert say(engine, "MAIL FROM:<>")[1].startswith("503 ")
    assert say(engine, f"{verb} FROM:<>")[1].startswith("503 ")
    say(engine, "RSET")
    event, _ = say(engine, "MAIL FROM:<ana@example.net>")
    assert isinstance(event, events.Mail) and event.sender.opening is Opening.MAIL


@VERBS
@pytest.mark.parametrize(
    ("argument", "code"),
    [("", 501), (" TO:<a@example.net>", 501), (" FROM:<a>", 501), (" FROM:<a@example.net> XYZZY=1", 555)],
)
def test_what_mail_would_not_take_it_does_not_take(verb: str, argument: str, code: int) -> None:
    engine = greeted()
    assert say(engine, verb + argument)[1].startswith(f"{code} ")
    assert engine.phase is Phase.READY


@pytest.mark.rfc("5321 appendix F.6", "A server with SEND, SOML and SAML names them in its reply to EHLO.")
@pytest.mark.rfc("1869 §5", "SEND, SOML and SAML are keywords of EHLO, without parameters.")
@VERBS
def test_it_is_announced_where_it_is_offered_and_else_not_known(verb: str) -> None:
    _, hello = say(ServerEngine(WITH_SCREENS), "EHLO client.example.net")
    assert verb in [line[4:].rstrip() for line in hello.splitlines()]
    without = ServerOptions("mx.example.org")
    _, hello = say(ServerEngine(without), "EHLO client.example.net")
    assert verb not in hello
    assert say(greeted(without), f"{verb} FROM:<>")[1] == "502 5.5.1 command not implemented\r\n"
    assert verb in say(greeted(), "HELP")[1] and verb not in say(greeted(without), "HELP")[1]
    assert say(greeted(), f"HELP {verb}")[1].startswith(f"214-2.0.0 {verb} FROM:<")
