"""A server of the library as its programmer and its clients see it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from tests.server.dialogue import ENVELOPE, TEXT, Line, called, talk

from estafeta.client import send
from estafeta.mail.envelope import Recipient, Sender
from estafeta.mail.reply import Reply
from estafeta.net.listener import ConnectionLimits
from estafeta.server import Answer, Collector, Handler, Message, Server, ServerLimits, Session

NO = Reply.of(550, "no", "5.7.1")


class Refusing(Collector):
    """Refuses at one stage."""

    def __init__(self, stage: str, reply: Reply = NO) -> None:
        super().__init__()
        self.stage = stage
        self.reply = reply

    def at(self, stage: str) -> Reply | None:
        return self.reply if stage == self.stage else None

    async def on_connect(self, session: Session) -> Reply | None:
        return self.at("connect")

    async def on_hello(self, session: Session, name: str) -> Reply | None:
        return self.at("hello")

    async def on_mail(self, session: Session, sender: Sender) -> Reply | None:
        return self.at("mail")

    async def on_recipient(self, session: Session, recipient: Recipient) -> Reply | None:
        return self.at("recipient")

    async def on_data(self, session: Session) -> Reply | None:
        return self.at("data")

    async def on_verify(self, session: Session, text: str) -> Reply | None:
        return self.at("verify")

    async def on_message(self, session: Session, message: Message) -> Answer:  # type: ignore[override]
        return self.at("message")


class Recording(Handler):
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    async def on_connect(self, session: Session) -> None:
        self.stages.append(f"connect {session.peer.ip} {session.hello}")

    async def on_hello(self, session: Session, name: str) -> None:
        self.stages.append(f"hello {name}")

    async def on_mail(self, session: Session, sender: Sender) -> None:
        session.state["size"] = sender.size
        self.stages.append(f"mail {sender.reverse_path}")

    async def on_recipient(self, session: Session, recipient: Recipient) -> None:
        before = len(session.recipients)
        self.stages.append(f"recipient {recipient.forward_path} after {before} of {session.sender is not None}")

    async def on_data(self, session: Session) -> None:
        self.stages.append("data")

    async def on_message(self, session: Session, message: Message) -> None:
        self.stages.append(f"message {len(message.content)} {session.state['size']}")

    async def on_reset(self, session: Session) -> None:
        self.stages.append(f"reset {len(session.recipients)}")

    async def on_end(self, session: Session) -> None:
        self.stages.append("end")


class Broken(Handler):
    """Raises at one stage."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def at(self, stage: str) -> None:
        if stage == self.stage:
            raise ZeroDivisionError("secret of the program")

    async def on_connect(self, session: Session) -> None:
        self.at("connect")

    async def on_mail(self, session: Session, sender: Sender) -> None:
        self.at("mail")

    async def on_message(self, session: Session, message: Message) -> None:
        self.at("message")

    async def on_reset(self, session: Session) -> None:
        self.at("reset")


def test_a_function_is_enough_to_take_messages() -> None:
    taken: list[Message] = []

    async def take(message: Message) -> None:
        taken.append(message)

    async def scene(line: Line) -> str:
        await line.say(*ENVELOPE, "RCPT TO:<eva@example.net>")
        return await line.deliver(TEXT + "..two dots, of which one is left\r\n")

    reply = talk(Server(take, hostname="mx.example.net"), scene)
    (message,) = taken
    assert reply == f"250 2.0.0 taken as {message.id}"
    assert message.reverse_path == "ana@example.org"
    assert message.forward_paths == ("luis@example.net", "eva@example.net")
    assert message.content == TEXT.encode() + b".two dots, of which one is left\r\n"
    assert message.parsed()["Subject"] == "x"
    assert (message.session.hello, message.session.protocol, message.session.tls) == ("client.example", "ESMTP", None)
    assert message.session.peer.ip == "127.0.0.1"
    trace = message.trace().decode()
    assert trace.startswith("Return-Path: <ana@example.org>\r\nReceived: from client.example ([127.0.0.1])\r\n")
    assert f"by mx.example.net with ESMTP id {message.id}" in trace
    assert "luis" not in trace  # of several recipients none is named


def test_a_handler_without_a_word_on_messages_takes_none() -> None:
    async def scene(line: Line) -> str:
        await line.say(*ENVELOPE)
        return await line.deliver()

    assert talk(Server(Handler()), scene).startswith("554 5.3.2 ")


@pytest.mark.parametrize("given", [print, Handler, lambda message: None, "handler"])
def test_what_cannot_be_a_handler_is_refused_at_once(given: object) -> None:
    with pytest.raises(TypeError, match="async function"):
        Server(given)  # type: ignore[arg-type]


def test_an_object_with_an_async_call_is_a_handler() -> None:
    class Taking:
        async def __call__(self, message: Message) -> Answer:
            return NO

    async def scene(line: Line) -> str:
        await line.say(*ENVELOPE)
        return await line.deliver()

    assert talk(Server(Taking()), scene) == "550 5.7.1 no"


@pytest.mark.parametrize(
    ("stage", "commands"),
    [
        ("hello", ENVELOPE[:1]),
        ("mail", ENVELOPE[:2]),
        ("recipient", ENVELOPE),
        ("data", (*ENVELOPE, "DATA")),
        ("verify", ("EHLO x.example", "VRFY ana")),
    ],
)
def test_each_stage_can_be_refused(stage: str, commands: Sequence[str]) -> None:
    async def scene(line: Line) -> str:
        return await line.say(*commands)

    reply = talk(Server(Refusing(stage)), scene)
    assert reply == ("550 no" if stage == "hello" else "550 5.7.1 no")  # RFC 2034 §4: no status behind EHLO


def test_the_greeting_and_the_message_can_be_refused() -> None:
    async def greeted() -> str:
        async with Server(Refusing("connect", Reply.of(554, "not you"))) as server:
            line = await called(server)
            reply = await line.reply()
            assert await line.reply() == ""
            await line.close()
            return reply

    async def scene(line: Line) -> str:
        await line.say(*ENVELOPE)
        return await line.deliver()

    assert asyncio.run(greeted()) == "554 not you"
    assert talk(Server(Refusing("message")), scene) == "550 5.7.1 no"


@pytest.mark.rfc("5321 §3.8", "After 421 the server of the library closes, whichever command the handler refused so.")
def test_421_of_a_handler_ends_the_session() -> None:
    async def scene(line: Line) -> list[str]:
        return [await line.say("EHLO x.example", "MAIL FROM:<a@example.org>"), await line.reply()]

    assert talk(Server(Refusing("mail", Reply.of(421, "full", "4.3.2"))), scene) == ["421 4.3.2 full", ""]


def test_a_handler_is_asked_in_the_order_of_the_session() -> None:
    handler = Recording()

    async def scene(line: Line) -> None:
        await line.say(ENVELOPE[0], ENVELOPE[1] + " SIZE=22", *ENVELOPE[2:], "RCPT TO:<eva@example.net>")
        await line.deliver()
        await line.say(*ENVELOPE[1:], "RSET", ENVELOPE[1], "EHLO again.example", *ENVELOPE[1:], "QUIT")

    talk(Server(handler), scene)
    assert handler.stages == [
        "connect 127.0.0.1 None",
        "hello client.example",
        "mail ana@example.org",
        "recipient luis@example.net after 0 of True",
        "recipient eva@example.net after 1 of True",
        "data",
        "message 22 22",
        "mail ana@example.org",
        "recipient luis@example.net after 0 of True",
        "reset 1",
        "mail ana@example.org",
        "hello again.example",
        "reset 0",
        "mail ana@example.org",
        "recipient luis@example.net after 0 of True",
        "reset 1",
        "end",
    ]


def test_content_in_chunks_comes_as_one_message() -> None:
    handler = Recording()

    async def scene(line: Line) -> str:
        await line.say(ENVELOPE[0], ENVELOPE[1] + " SIZE=22", *ENVELOPE[2:])
        await line.send(b"BDAT 12\r\n" + TEXT[:12].encode())
        assert (await line.reply()).startswith("250 ")
        await line.send(b"BDAT 10 LAST\r\n" + TEXT[12:].encode())
        return await line.reply()

    assert talk(Server(handler), scene).startswith("250 2.0.0 taken as ")
    assert handler.stages[-3:] == ["data", "message 22 22", "end"]


@pytest.mark.parametrize("stage", ["mail", "message"])
def test_what_a_handler_raises_is_logged_under_an_id_that_the_client_is_told(
    stage: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(line: Line) -> list[str]:
        if stage == "mail":
            return [await line.say(*ENVELOPE[:2]), await line.say("NOOP")]
        await line.say(*ENVELOPE)
        return [await line.deliver(), await line.say("NOOP")]

    with caplog.at_level(logging.ERROR, "estafeta.server"):
        reply, after = talk(Server(Broken(stage)), scene)
    assert reply.startswith("451 4.3.0 local error ")
    incident = reply.split()[4].rstrip(",")
    assert "secret" not in reply
    assert f"incident {incident}" in caplog.text and "ZeroDivisionError: secret of the program" in caplog.text
    assert after.startswith("250 ")


def test_what_a_handler_raises_before_the_greeting_ends_the_session_and_not_the_server() -> None:
    async def run() -> list[str]:
        async with Server(Broken("connect")) as server:
            replies = []
            for _ in range(2):
                line = await called(server)
                replies.append(await line.reply())
                await line.close()
            return replies

    assert all(reply.startswith("421 local error ") for reply in asyncio.run(run()))


def test_what_a_handler_raises_on_a_reset_disturbs_nobody() -> None:
    async def scene(line: Line) -> str:
        return await line.say(*ENVELOPE, "RSET")

    assert talk(Server(Broken("reset")), scene).startswith("250 ")


@pytest.mark.parametrize("wrong", ["250 ok", Reply.of(354, "go on"), True])
def test_an_answer_that_is_none_is_the_programs_fault_and_not_the_clients(wrong: object) -> None:
    async def scene(line: Line) -> str:
        return await line.say("EHLO x.example", "MAIL FROM:<a@example.org>")

    reply = talk(Server(Refusing("mail", wrong)), scene)  # type: ignore[arg-type]
    assert reply.startswith("451 4.3.0 ")


def test_the_text_of_a_handlers_reply_cannot_become_another_reply() -> None:
    async def scene(line: Line) -> list[str]:
        return [await line.say("EHLO x.example", "MAIL FROM:<a@example.org>"), await line.say("NOOP")]

    said = talk(Server(Refusing("mail", Reply(550, None, ("no\r\n250 yes, señor",)))), scene)
    assert said == ["550 no??250 yes, se?or", "250 2.0.0 ok"]


def test_a_handler_that_takes_too_long_defers_the_message() -> None:
    class Slow(Handler):
        async def on_message(self, session: Session, message: Message) -> None:
            await asyncio.Event().wait()

    async def scene(line: Line) -> str:
        await line.say(*ENVELOPE)
        return await line.deliver()

    assert talk(Server(Slow(), limits=ServerLimits(handler_after=0.05)), scene).startswith("451 4.3.0 ")


@pytest.mark.rfc("2033 §4.2", "A handler answers an LMTP message for each recipient.")
def test_lmtp_has_a_reply_for_each_recipient() -> None:
    class Each(Handler):
        async def on_message(self, session: Session, message: Message) -> Answer:
            assert session.is_lmtp and message.session.protocol == "LMTP"
            return [NO, Reply.of(250, "delivered", "2.1.5")]

    async def scene(line: Line) -> list[str]:
        await line.say("LHLO client.example", *ENVELOPE[1:], "RCPT TO:<eva@example.net>")
        return [await line.deliver(), await line.reply()]

    assert talk(Server(Each(), lmtp=True), scene) == ["550 5.7.1 no", "250 2.1.5 delivered"]


def test_lmtp_repeats_a_single_answer_for_each_recipient() -> None:
    async def scene(line: Line) -> list[str]:
        await line.say("LHLO client.example", *ENVELOPE[1:], "RCPT TO:<eva@example.net>")
        return [await line.deliver(), await line.reply()]

    first, second = talk(Server(Collector(), lmtp=True), scene)
    assert first == second and first.startswith("250 2.0.0 taken as ")


@pytest.mark.parametrize("lmtp", [False, True])
def test_replies_that_do_not_fit_the_recipients_lose_no_message(lmtp: bool) -> None:
    class Wrong(Handler):
        async def on_message(self, session: Session, message: Message) -> Answer:
            return [Reply.of(250, "delivered"), Reply.of(250, "delivered")]

    async def scene(line: Line) -> str:
        await line.say("LHLO x.example" if lmtp else "EHLO x.example", *ENVELOPE[1:])
        return await line.deliver()

    assert talk(Server(Wrong(), lmtp=lmtp), scene).startswith("451 4.3.0 ")


@pytest.mark.rfc("1870 §6.3", "The server of the library refuses content larger than SIZE said, and goes on.")
def test_a_message_that_is_too_large_is_refused_and_the_session_goes_on() -> None:
    collector = Collector()

    async def scene(line: Line) -> list[str]:
        hello = await line.say("EHLO x.example")
        assert "SIZE 100" in hello
        declared = await line.say("MAIL FROM:<a@example.org> SIZE=101")
        await line.say(*ENVELOPE[1:])
        undeclared = await line.deliver("x" * 99 + "\r\n")
        await line.say(*ENVELOPE[1:])
        return [declared, undeclared, await line.deliver("x" * 98 + "\r\n")]

    declared, undeclared, fitting = talk(Server(collector, message_size=100), scene)
    assert declared.startswith("552 5.3.4 ") and undeclared.startswith("552 5.3.4 ")
    assert fitting.startswith("250 ")
    assert [len(message.content) for message in collector.messages] == [100]


@pytest.mark.rfc("5321 §2.3.8", "The server of the library takes no mail data with a bare CR or LF.")
def test_bare_line_ends_and_false_ends_reach_no_handler() -> None:
    collector = Collector()

    async def scene(line: Line) -> list[str]:
        await line.say(*ENVELOPE)
        bare = await line.deliver("Subject: x\n\r\n\r\n")
        await line.say(*ENVELOPE[1:], "DATA")
        await line.send(b"Subject: x\r\n\r\nend\n.\nMAIL FROM:<forged@example.org>\r\n")
        return [bare, await line.reply(), await line.reply()]

    bare, false_end, after = talk(Server(collector), scene)
    assert bare.startswith("550 5.6.0 ") and false_end.startswith("550 5.6.0 ") and after == ""
    assert collector.messages == ()


def test_recipients_messages_and_errors_have_limits() -> None:
    limits = ServerLimits(recipients=1, messages=1, faults=2)

    async def scene(line: Line) -> list[str]:
        await line.say(*ENVELOPE)
        replies = [await line.say("RCPT TO:<eva@example.net>")]
        await line.deliver()
        replies.append(await line.say("MAIL FROM:<a@example.org>"))
        return [*replies, await line.reply()]

    async def errors(line: Line) -> list[str]:
        return [await line.say("NONSENSE", "NONSENSE", "NONSENSE"), await line.reply(), await line.reply()]

    too_many, again, end = talk(Server(Collector(), limits=limits), scene)
    assert too_many.startswith("452 4.5.3 ") and again.startswith("421 4.7.0 ") and end == ""
    fault, closing, end = talk(Server(Collector(), limits=limits), errors)
    assert fault.startswith("500 ") and closing.startswith("421 4.7.0 ") and end == ""


def test_silence_ends_a_session() -> None:
    async def scene(line: Line) -> list[str]:
        return [await line.reply(), await line.reply()]

    limits = ServerLimits(command_after=0.05)
    assert talk(Server(Collector(), limits=limits), scene) == ["421 4.4.2 waited too long, closing", ""]


def test_clients_beyond_the_limit_are_told() -> None:
    async def run() -> str:
        limits = ServerLimits(connections=ConnectionLimits(connections=1))
        async with Server(Collector(), limits=limits) as server:
            first = await called(server)
            await first.reply()
            second = await called(server)
            reply = await second.reply()
            await first.close()
            await second.close()
            return reply

    assert asyncio.run(run()).startswith("421 too many connections")


def test_a_server_that_stops_says_so_and_lets_a_message_in_the_making_finish() -> None:
    class Waiting(Collector):
        def __init__(self) -> None:
            super().__init__()
            self.begun = asyncio.Event()
            self.go_on = asyncio.Event()

        async def on_message(self, session: Session, message: Message) -> None:
            self.begun.set()
            await self.go_on.wait()
            await super().on_message(session, message)

    async def run() -> list[str]:
        handler = Waiting()
        server = Server(handler)
        await server.start()
        idle, busy = await called(server), await called(server)
        await idle.reply()
        await busy.reply()
        await busy.say(*ENVELOPE)
        delivering = asyncio.create_task(busy.deliver())
        await handler.begun.wait()
        stopping = asyncio.create_task(server.stop())
        said = [await idle.reply()]
        handler.go_on.set()
        said += [await delivering, await busy.reply()]
        await stopping
        await idle.close()
        await busy.close()
        assert len(handler.messages) == 1
        assert server.addresses == () and server.connections == 0
        return said

    idle, delivered, closing = asyncio.run(run())
    assert idle.startswith("421 4.3.2 ") and delivered.startswith("250 ") and closing.startswith("421 4.3.2 ")


def test_serve_forever_starts_and_stops_the_server() -> None:
    async def run() -> None:
        server = Server(Collector())
        serving = asyncio.create_task(server.serve_forever())
        while not server.addresses:
            await asyncio.sleep(0)
        line = await called(server)
        assert (await line.reply()).startswith("220 ")
        await line.close()
        await server.stop()
        await serving
        with pytest.raises(RuntimeError, match="not running"):
            _ = server.port
        async with server:
            with pytest.raises(RuntimeError, match="running already"):
                await server.start()

    asyncio.run(run())


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        async def run() -> None:
            with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
                await Server(Collector(), port=port).start()

        asyncio.run(run())


def test_extensions_are_offered_as_asked() -> None:
    class Expanding(Collector):
        async def on_expand(self, session: Session, text: str) -> Reply | None:
            return Reply.of(250, f"<luis@example.net> of {text}", "2.1.5")

    async def scene(line: Line) -> list[str]:
        return [await line.say("EHLO x.example"), await line.say("EXPN all"), await line.say("VRFY ana")]

    plain, no_expn, verified = talk(Server(Collector(), smtputf8=False, chunking=False), scene)
    keywords = {line[4:].split()[0] for line in plain.splitlines()[1:]}
    assert {"PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES"} <= keywords
    assert not keywords & {"SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN", "STARTTLS", "AUTH", "REQUIRETLS", "ETRN"}
    assert no_expn.startswith("502 ") and verified.startswith("252 2.5.2 ")
    full, expanded, _ = talk(Server(Expanding(), dsn=True), scene)
    assert {"SMTPUTF8", "CHUNKING", "DSN"} <= {line[4:].split()[0] for line in full.splitlines()}
    assert expanded == "250 2.1.5 <luis@example.net> of all"


def test_a_reply_may_be_in_utf_8_where_the_client_reads_it() -> None:
    async def scene(line: Line) -> str:
        return await line.say("EHLO x.example", "MAIL FROM:<añ@example.org> SMTPUTF8", "RCPT TO:<b@example.net>")

    reply = talk(Server(Refusing("recipient", Reply.of(550, "añ no", "5.7.1"))), scene)
    assert reply == "550 5.7.1 añ no"


def test_a_proxy_says_who_the_client_is() -> None:
    collector = Collector()

    async def run() -> None:
        async with Server(collector, proxies=["127.0.0.0/8"]) as server:
            line = await called(server)
            await line.send(b"PROXY TCP4 192.0.2.7 192.0.2.25 40000 25\r\n")
            assert (await line.reply()).startswith("220 ")
            await line.say(*ENVELOPE)
            await line.deliver()
            await line.close()

    asyncio.run(run())
    (message,) = collector.messages
    assert str(message.session.peer) == "192.0.2.7:40000" and str(message.session.local) == "192.0.2.25:25"


def test_a_unix_socket_is_served(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    collector = Collector()
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))

    async def run() -> None:
        for _ in range(2):
            async with Server(collector, unix_socket=path, lmtp=True):
                await send(letter, unix_socket=path, lmtp=True, sender="ana@example.org", recipients="luis@example.net")
            assert not path.exists()
        with pytest.raises(OSError, match=r"cannot listen on .*nowhere"):
            await Server(collector, unix_socket=tmp_path / "nowhere" / "lmtp").start()

    letter = b"Subject: x\r\n\r\n"
    asyncio.run(run())
    assert [message.content for message in collector.messages] == [letter, letter]


@pytest.mark.parametrize(
    "options",
    [{"require_tls": True}, {"implicit_tls": True}, {"require_login": True}, {"message_size": 0}, {"hostname": "a b"}],
)
def test_what_does_not_fit_together_is_refused_at_once(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"tls=|passwords=|octet|domain"):
        Server(Collector(), **options)  # type: ignore[arg-type]


def test_a_session_ends_at_its_time_though_content_is_coming() -> None:
    async def scene(line: Line) -> str:
        assert (await line.say(*ENVELOPE, "DATA")).startswith("354")
        while True:
            await line.send(b"a line\r\n")
            with suppress(TimeoutError):
                return await asyncio.wait_for(line.reply(), 0.05)

    last = talk(Server(Collector(), limits=ServerLimits(session_after=0.3)), scene)
    assert last.startswith("421 4.4.2")
