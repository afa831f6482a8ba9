"""The client against servers that follow a script, over loopback, and once against our own engine."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import scramp
from tests.client.script import (
    ANN,
    BEN,
    CAT,
    CONTENT,
    FOREIGN,
    HELLO,
    PIPELINING,
    QUIT,
    SENDER,
    SHORT,
    Script,
    connected,
    play,
    sending,
    served,
)

from estafeta.client import (
    ClientTimeouts,
    LoginImpossible,
    Refused,
    SmtpClient,
    TlsMode,
    TlsNotOffered,
    TransactionBroken,
    to_wire,
)
from estafeta.mail.address import NULL_REVERSE_PATH, Address, ForwardPath
from estafeta.mail.envelope import Recipient, Sender
from estafeta.net.authority import Issued, issue
from estafeta.net.errors import DeadlinePassed, TlsError
from estafeta.net.memory import pair as memory_pair
from estafeta.net.stream import Stream
from estafeta.net.tls import ServerTls, client_context
from estafeta.wire.errors import ExtensionMissing, LocalProtocolError, RemoteProtocolError
from estafeta.wire.sasl import Challenge, FetchKeys, SaslError, Success, server_mechanism


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return issue(Path(tmp_path_factory.mktemp("tls")), ["localhost", "127.0.0.1"])


@pytest.fixture
def server_tls(issued: Issued) -> ServerTls:
    return ServerTls(issued.certificate, issued.key)


@pytest.fixture
def trusting(issued: Issued) -> ssl.SSLContext:
    return client_context(issued.authority)


@pytest.mark.rfc("2920 §3.1", "The client groups MAIL, RCPT and DATA, and reads each reply.")
def test_a_message_is_sent_in_one_group() -> None:
    script = (
        PIPELINING
        + """
        C: MAIL FROM:<from@example.org> SIZE=20
        C: RCPT TO:<ann@example.net>
        C: RCPT TO:<ben@example.net>
        C: DATA
        S: 250 OK
        S: 250 OK
        S: 550 5.1.1 no such mailbox
        S: 354 go on
        C: Subject: x
        C:
        C: ..dot
        C: .
        S: 250 2.0.0 queued
        """
        + QUIT
    )
    assert play(script, sending([ANN, BEN])) == [250, 550]


def test_without_pipelining_commands_go_singly() -> None:
    script = (
        HELLO
        + """
        S: 250 mx.example.net
        C: MAIL FROM:<from@example.org>
        S: 250 OK
        C: RCPT TO:<ann@example.net>
        S: 450 later
        C: RCPT TO:<ben@example.net>
        S: 250 OK
        C: DATA
        S: 354 go on
        C: Subject: x
        C:
        C: ..dot
        C: .
        S: 250 2.0.0 queued
        """
        + QUIT
    )
    assert play(script, sending([ANN, BEN])) == [450, 250]


def test_an_old_server_is_asked_with_helo() -> None:
    script = HELLO + "S: 502 what?\nC: HELO me.example.org\nS: 250 old" + QUIT

    async def scene(port: int) -> None:
        await (await connected(port)).quit()

    play(script, scene)


def test_a_refused_sender_decides_for_all_recipients() -> None:
    script = (
        PIPELINING
        + """
        C: MAIL FROM:<from@example.org> SIZE=20
        C: RCPT TO:<ann@example.net>
        C: DATA
        S: 552 5.3.4 too large
        S: 503 no
        S: 503 no
        """
        + QUIT
    )
    assert play(script, sending([ANN])) == [552]


def test_a_message_that_nobody_takes_is_reset_and_the_connection_used_again() -> None:
    script = (
        PIPELINING
        + """
        C: MAIL FROM:<from@example.org> SIZE=20
        C: RCPT TO:<ann@example.net>
        C: DATA
        S: 250 OK
        S: 550 no
        S: 554 no
        C: RSET
        S: 250 OK
        C: MAIL FROM:<> SIZE=2
        C: RCPT TO:<ben@example.net>
        C: DATA
        S: 250 OK
        S: 250 OK
        S: 354 go on
        C:
        C: .
        S: 250 OK
        """
        + QUIT
    )

    async def scene(port: int) -> None:
        async with await connected(port) as client:
            first = await client.send(SENDER, [ANN], CONTENT)
            assert first.accepted == ()
            assert client.is_open
            second = await client.send(Sender(NULL_REVERSE_PATH), [BEN], b"\r\n")
            assert [each.recipient for each in second.accepted] == [BEN]

    play(script, scene)


def test_354_without_recipients_is_answered_with_a_lone_dot() -> None:
    script = (
        PIPELINING
        + """
        C: MAIL FROM:<from@example.org> SIZE=20
        C: RCPT TO:<ann@example.net>
        C: DATA
        S: 250 OK
        S: 550 no
        S: 354 go on
        C: .
        S: 250 OK
        """
        + QUIT
    )
    assert play(script, sending([ANN])) == [550]


def test_many_recipients_go_in_several_groups() -> None:
    recipients = [Recipient(ForwardPath(Address(f"r{number}", "example.net"))) for number in range(250)]
    lines = ["C: MAIL FROM:<from@example.org> SIZE=20"]
    replies = ["S: 250 OK"]
    for number in range(250):
        lines.append(f"C: RCPT TO:<r{number}@example.net>")
        replies.append("S: 452 too many" if number >= 100 else "S: 250 OK")
        if number in (99, 199):
            lines += replies
            replies.clear()
    lines += ["C: DATA", *replies, "S: 354 go on", "C*", "C*", "C*", "C: .", "S: 250 OK"]
    script = PIPELINING + "\n".join(lines) + QUIT
    assert play(script, sending(recipients)) == [250] * 100 + [452] * 150


def test_lmtp_tells_of_each_recipient() -> None:
    script = (
        """
        S: 220 store
        C: LHLO me.example.org
        S: 250-store
        S: 250 PIPELINING
        C: MAIL FROM:<from@example.org>
        C: RCPT TO:<ann@example.net>
        C: RCPT TO:<ben@example.net>
        C: RCPT TO:<cat@example.net>
        C: DATA
        S: 250 OK
        S: 250 OK
        S: 550 no
        S: 250 OK
        S: 354 go on
        C*
        C*
        C*
        C: .
        S: 452 full
        S: 250 OK
        """
        + QUIT
    )
    assert play(script, sending([ANN, BEN, CAT], lmtp=True)) == [452, 550, 250]


def test_421_decides_for_those_who_were_not_answered() -> None:
    script = (
        PIPELINING
        + """
        C: MAIL FROM:<from@example.org> SIZE=20
        C: RCPT TO:<ann@example.net>
        C: RCPT TO:<ben@example.net>
        C: DATA
        S: 250 OK
        S: 550 no
        S: 421 4.3.2 going down
        """
    )

    async def scene(port: int) -> None:
        client = await connected(port)
        result = await client.send(SENDER, [ANN, BEN], CONTENT)
        assert [each.reply.code for each in result.replies] == [550, 421]
        assert not client.is_open
        with pytest.raises(LocalProtocolError):
            await client.noop()
        await client.quit()

    play(script, scene)


def test_a_connection_that_is_lost_is_an_error() -> None:
    script = PIPELINING + "C: MAIL FROM:<from@example.org> SIZE=20\nS: 250 OK"

    async def scene(port: int) -> None:
        client = await connected(port)
        with pytest.raises(TransactionBroken):
            await client.send(SENDER, [ANN], CONTENT)
        assert not client.is_open

    play(script, scene)


def test_last_words_of_a_server_that_does_not_take_the_content_are_heard() -> None:
    script = (
        PIPELINING
        + """
        C: MAIL FROM:<from@example.org> SIZE=20
        C: RCPT TO:<ann@example.net>
        C: DATA
        S: 250 OK
        S: 250 OK
        S: 354 go on
        C*
        S: 421 4.3.2 going down
        """
    )

    async def scene(port: int) -> None:
        client = await connected(port)
        result = await client.send(SENDER, [ANN], CONTENT)
        assert [each.reply.code for each in result.replies] == [421]

    play(script, scene)


@pytest.mark.rfc("5321 §4.5.3.2", "The client gives a silent server up after its time.")
def test_a_silent_server_is_given_up() -> None:
    async def scene(port: int) -> None:
        client = await connected(port, timeouts=ClientTimeouts(command=0.05))
        with pytest.raises(DeadlinePassed, match="NOOP"):
            await client.noop()
        assert not client.is_open

    play(HELLO + "S: 250 mx.example.net\nWAIT", scene)
    with pytest.raises(DeadlinePassed):
        play("WAIT", lambda port: connected(port, timeouts=ClientTimeouts(greeting=0.05)))


@pytest.mark.parametrize(
    "script",
    ["S: 554 go away\nC: QUIT\nS: 221 bye", "S: 421 too many", HELLO + "S: 450 later\nC: QUIT\nS: 221 bye"],
)
def test_a_server_that_does_not_want_us_refuses(script: str) -> None:
    with pytest.raises(Refused) as refused:
        play(script, connected)
    assert refused.value.what in ("connection", "hello")


def test_a_server_of_another_protocol_is_an_error() -> None:
    with pytest.raises(RemoteProtocolError):
        play("S: * OK IMAP4rev2 here", connected)


def test_what_cannot_be_sent_is_refused_and_the_connection_stays() -> None:
    async def scene(port: int) -> None:
        async with await connected(port) as client:
            with pytest.raises(ExtensionMissing):
                await client.send(SENDER, [ANN, FOREIGN], CONTENT)
            with pytest.raises(ExtensionMissing):
                utf8 = Sender(SENDER.reverse_path, smtputf8=True)
                await client.send(utf8, [ANN], "Subject: é\r\n\r\n".encode())
            with pytest.raises(LocalProtocolError):
                await client.send(SENDER, [ANN], b"bare\n.\nlines\r\n")
            with pytest.raises(LocalProtocolError):
                await client.send(SENDER, [], CONTENT)
            assert (await client.noop()).code == 250

    play(PIPELINING + "C: NOOP\nS: 250 OK" + QUIT, scene)


@pytest.mark.rfc("6152 §2", "The client says BODY=8BITMIME where the content has 8 bits.")
def test_content_of_eight_bits_is_announced() -> None:
    script = (
        HELLO
        + """
        S: 250-mx.example.net
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250 PIPELINING
        C: MAIL FROM:<from@example.org> BODY=8BITMIME SMTPUTF8
        C: RCPT TO:<пошта@example.net>
        C: DATA
        S: 550 no
        S: 503 no
        S: 503 no
        """
        + QUIT
    )

    async def scene(port: int) -> None:
        async with await connected(port) as client:
            await client.send(SENDER, [FOREIGN], "Subject: é\r\n\r\n".encode())

    play(script, scene)


# TLS


def securing(mode: TlsMode, context: ssl.SSLContext | None) -> Callable[[int], Awaitable[bool]]:
    async def scene(port: int) -> bool:
        client = await SmtpClient.connect(
            "localhost", port, local_name="me.example.org", tls=mode, context=context, timeouts=SHORT
        )
        await client.quit()
        return client.tls is not None

    return scene


STARTTLS = HELLO + "S: 250-mx.example.net\nS: 250 STARTTLS\nC: STARTTLS\n"


@pytest.mark.rfc("3207 §4.2", "After STARTTLS comes EHLO again.")
@pytest.mark.parametrize("mode", [TlsMode.STARTTLS, TlsMode.OPPORTUNISTIC])
def test_after_starttls_comes_ehlo_again(mode: TlsMode, server_tls: ServerTls, trusting: ssl.SSLContext) -> None:
    script = Script(STARTTLS + "S: 220 go on\nTLS\nC: EHLO me.example.org\nS: 250 mx.example.net" + QUIT, server_tls)
    assert play(script, securing(mode, trusting))


def test_demanded_tls_that_is_not_offered_is_an_error(trusting: ssl.SSLContext) -> None:
    with pytest.raises(TlsNotOffered):
        play(HELLO + "S: 250 mx.example.net" + QUIT, securing(TlsMode.STARTTLS, trusting))
    with pytest.raises(Refused):
        play(STARTTLS + "S: 454 not now" + QUIT, securing(TlsMode.STARTTLS, trusting))


@pytest.mark.rfc("7435", "Opportunistic TLS goes on in the clear where none is offered.")
def test_opportunistic_tls_goes_without_it(trusting: ssl.SSLContext) -> None:
    assert not play(HELLO + "S: 250 mx.example.net" + QUIT, securing(TlsMode.OPPORTUNISTIC, trusting))
    assert not play(STARTTLS + "S: 454 not now" + QUIT, securing(TlsMode.OPPORTUNISTIC, trusting))


def test_a_certificate_that_is_not_trusted_is_an_error(server_tls: ServerTls) -> None:
    with pytest.raises(TlsError):
        play(Script(STARTTLS + "S: 220 go on\nTLS", server_tls), securing(TlsMode.STARTTLS, None))


@pytest.mark.rfc("3207 §4.2", "The client takes octets in the clear behind the reply to STARTTLS for an attack.")
def test_octets_slipped_in_before_tls_are_an_error(server_tls: ServerTls, trusting: ssl.SSLContext) -> None:
    async def serve(stream: Stream) -> None:
        stream.set_deadline(5)
        stream.send(b"220 mx\r\n")
        await stream.receive()
        stream.send(b"250-mx\r\n250 STARTTLS\r\n")
        await stream.receive()
        stream.send(b"220 go on\r\n250-mx\r\n250 AUTH PLAIN\r\n")
        await stream.receive()

    async def run() -> None:
        async with served(serve) as port:
            with pytest.raises(RemoteProtocolError):
                await securing(TlsMode.STARTTLS, trusting)(port)

    asyncio.run(run())


# Logging in

SALT = b"0123456789abcdef"


class LoginServer:
    """A server that knows one password, and SASL from the engine's own mechanisms."""

    def __init__(self, password: str, mechanisms: str, *, is_honest: bool = True) -> None:
        self.password = password
        self.mechanisms = mechanisms
        self.is_honest = is_honest
        self.used = ""

    async def serve(self, stream: Stream) -> None:
        stream.set_deadline(5)
        stream.send(b"220 mx.example.net\r\n")
        await stream.receive()
        stream.send(f"250-mx.example.net\r\n250 AUTH {self.mechanisms}\r\n".encode())
        words = (await stream.receive()).split()
        if words[0] != b"AUTH":
            return
        self.used = words[1].decode()
        binding = stream.tls.channel_binding if stream.tls and "-PLUS" in self.mechanisms else None
        mechanism = server_mechanism(self.used, nonce="server", channel_binding=binding)
        response = base64.b64decode(words[2])
        while True:
            step = mechanism.step(response)
            if isinstance(step, FetchKeys):
                salt, stored_key, server_key, iterations = scramp.ScramMechanism("SCRAM-SHA-256").make_auth_info(
                    self.password, 4096, SALT
                )
                step = mechanism.keys_found(salt, iterations, stored_key, server_key)
            if isinstance(step, Success):
                stream.send(b"235 2.7.0 OK\r\n")
                break
            if not isinstance(step, Challenge):
                stream.send(b"535 5.7.8 no\r\n")
                break
            challenge = step.octets if self.is_honest or b"v=" not in step.octets else b"v=AAAA"
            stream.send(b"334 " + base64.b64encode(challenge) + b"\r\n")
            line = await stream.receive()
            if line == b"*\r\n":
                stream.send(b"501 cancelled\r\n")
                break
            response = base64.b64decode(line)
        if (await stream.receive()).startswith(b"QUIT"):
            stream.send(b"221 bye\r\n")


def log_in(server: LoginServer, tls: ServerTls | None, context: ssl.SSLContext | None) -> None:
    async def run() -> None:
        async with (
            served(server.serve, tls) as port,
            await SmtpClient.connect(
                "localhost",
                port,
                local_name="me.example.org",
                tls=TlsMode.IMPLICIT if tls else TlsMode.NONE,
                context=context,
                timeouts=SHORT,
            ) as client,
        ):
            await client.login("user", "pencil")
            assert client.is_authenticated

    asyncio.run(run())


@pytest.mark.rfc("5802 §6", "A login over TLS is bound to the channel.")
def test_a_login_over_tls_is_bound_to_the_channel(server_tls: ServerTls, trusting: ssl.SSLContext) -> None:
    server = LoginServer("pencil", "LOGIN PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS")
    log_in(server, server_tls, trusting)
    assert server.used == "SCRAM-SHA-256-PLUS"


def test_a_login_over_tls_without_plus_succeeds(server_tls: ServerTls, trusting: ssl.SSLContext) -> None:
    server = LoginServer("pencil", "LOGIN PLAIN SCRAM-SHA-256")
    log_in(server, server_tls, trusting)
    assert server.used == "SCRAM-SHA-256"


def test_a_wrong_password_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        log_in(LoginServer("pencils", "PLAIN SCRAM-SHA-256"), None, None)
    assert refused.value.reply.code == 535


@pytest.mark.rfc("5802 §9", "A server that does not know the password is not believed.")
def test_a_server_that_does_not_know_the_password_is_not_believed() -> None:
    with pytest.raises(SaslError):
        log_in(LoginServer("pencil", "SCRAM-SHA-256", is_honest=False), None, None)


def test_a_server_with_no_usable_mechanism_gets_no_password() -> None:
    server = LoginServer("pencil", "GSSAPI")
    with pytest.raises(LoginImpossible):
        log_in(server, None, None)
    assert server.used == ""


# Line ends


@pytest.mark.parametrize(
    ("octets", "repaired"),
    [
        (b"", b""),
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\r\nb\nc\rd", b"a\r\nb\r\nc\r\nd"),
        (b"a\r\r\n", b"a\r\n\r\n"),
        (b"a\r\nb", b"a\r\nb"),
    ],
)
def test_line_ends_of_local_files_are_repaired(octets: bytes, repaired: bytes) -> None:
    assert to_wire(octets) == repaired


# Far from this machine


def test_without_tls_nobody_far_away_gets_a_login() -> None:
    server = LoginServer("pencil", "PLAIN SCRAM-SHA-256")

    async def run() -> None:
        ours, theirs = memory_pair()
        serving = asyncio.create_task(server.serve(theirs))
        client = await SmtpClient.over(ours, local_name="me.example.org", timeouts=SHORT)
        with pytest.raises(LoginImpossible):
            await client.login("user", "pencil")
        with pytest.raises(LoginImpossible):
            await client.login("user", "pencil", mechanisms=["PLAIN"], allow_without_tls=True)
        await client.login("user", "pencil", allow_without_tls=True)
        await client.quit()
        await serving

    asyncio.run(run())
    assert server.used == "SCRAM-SHA-256"


def test_a_cancelled_message_cuts_the_connection() -> None:
    async def run() -> None:
        ours, theirs = memory_pair()
        script = Script(PIPELINING + "C: MAIL FROM:<from@example.org> SIZE=20\nWAIT")
        serving = asyncio.create_task(script.serve(theirs))
        client = await SmtpClient.over(ours, local_name="me.example.org", timeouts=SHORT)
        sending = asyncio.create_task(client.send(SENDER, [ANN], CONTENT))
        await script.is_waiting.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert not client.is_open
        await serving

    asyncio.run(run())
