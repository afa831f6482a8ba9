"""What goes out for a message and when: flights, chunks, parameters, and what is not sent at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.client.script import (
    ANN,
    BEN,
    CAT,
    CHUNKING,
    CONTENT,
    HELLO,
    PIPELINING,
    QUIT,
    SENDER,
    SHORT,
    connected,
    play,
)

from estafeta.client import SendResult, SmtpClient, WireContent
from estafeta.mail.address import NULL_REVERSE_PATH
from estafeta.mail.envelope import Body, Notify, Octets, OriginalRecipient, Recipient, Ret, Sender
from estafeta.net.memory import pair as memory_pair
from estafeta.net.stream import Stream
from estafeta.wire.errors import ExtensionMissing
from estafeta.wire.smtp.dialogue import Verb

ENVELOPE = b"MAIL FROM:<from@example.org>\r\nRCPT TO:<ann@example.net>\r\n"


class Flights:
    """A server that takes what arrives at once for one flight, and answers each with the next of `replies`."""

    def __init__(self, keywords: str, replies: list[str], *, lmtp: bool = False) -> None:
        self.keywords = keywords
        self.replies = replies
        self.lmtp = lmtp
        self.heard: list[bytes] = []

    async def serve(self, stream: Stream) -> None:
        stream.set_deadline(5)
        stream.send(b"220 mx\r\n")
        await stream.receive()
        stream.send(b"".join(f"250-{word}\r\n".encode() for word in ("mx " + self.keywords).split()) + b"250 HELP\r\n")
        for reply in self.replies:
            octets = await stream.receive()
            while len(octets) > 60_000 and not octets.endswith(b"\r\n"):
                octets += await stream.receive()
            self.heard.append(octets)
            stream.send(reply.encode().replace(b"\n", b"\r\n"))
        while await stream.receive():
            pass


def fly(server: Flights, scene: Callable[[SmtpClient], Awaitable[None]]) -> list[bytes]:
    """Runs a scene over memory streams; gives what arrived, flight by flight."""

    async def run() -> None:
        ours, theirs = memory_pair()
        serving = asyncio.create_task(server.serve(theirs))
        client = await SmtpClient.over(ours, local_name="me.example.org", timeouts=SHORT, lmtp=server.lmtp)
        await scene(client)
        client.abort()
        await serving

    asyncio.run(run())
    assert len(server.heard) == len(server.replies)
    return server.heard


def codes(result: SendResult) -> list[tuple[Verb, int]]:
    return [(each.verb, each.reply.code) for each in result.replies]


# Flights


@pytest.mark.rfc("3030 §2", "The client sends a small message by BDAT in one flight with its envelope.")
@pytest.mark.rfc("2920 §3.1", "MAIL, RCPT and a chunk go in one group.")
def test_with_chunking_a_message_is_one_flight() -> None:
    server = Flights("PIPELINING CHUNKING", ["250 OK\n250 OK\n250 queued\n"] * 3)

    async def scene(client: SmtpClient) -> None:
        for _ in range(3):
            assert codes(await client.send(SENDER, [ANN], CONTENT)) == [(Verb.CONTENT, 250)]
            assert client.is_idle
        assert client.messages == 3

    assert fly(server, scene) == [ENVELOPE + b"BDAT 20 LAST\r\n" + CONTENT] * 3


def test_with_pipelining_alone_a_message_is_two_flights() -> None:
    server = Flights("PIPELINING", ["250 OK\n250 OK\n354 go on\n", "250 queued\n"])

    async def scene(client: SmtpClient) -> None:
        assert codes(await client.send(SENDER, [ANN], CONTENT)) == [(Verb.CONTENT, 250)]

    assert fly(server, scene) == [ENVELOPE + b"DATA\r\n", CONTENT.replace(b"\r\n.", b"\r\n..") + b".\r\n"]


def test_with_chunking_alone_nothing_waits_for_354() -> None:
    server = Flights("CHUNKING", ["250 OK\n", "250 OK\n", "250 queued\n"])

    async def scene(client: SmtpClient) -> None:
        assert codes(await client.send(SENDER, [ANN], CONTENT)) == [(Verb.CONTENT, 250)]

    assert fly(server, scene)[2] == b"BDAT 20 LAST\r\n" + CONTENT


@pytest.mark.parametrize(("size", "flights"), [(64 * 1024, 1), (64 * 1024 + 2, 2)])
def test_content_of_more_than_64_kib_waits_for_a_recipient(size: int, flights: int) -> None:
    content = b"x" * (size - 2) + b"\r\n"
    replies = ["250 OK\n250 OK\n250 queued\n"] if flights == 1 else ["250 OK\n250 OK\n", "250 queued\n"]
    server = Flights("PIPELINING CHUNKING", replies)

    async def scene(client: SmtpClient) -> None:
        assert codes(await client.send(SENDER, [ANN], content)) == [(Verb.CONTENT, 250)]

    assert b"".join(fly(server, scene)) == ENVELOPE + b"BDAT %d LAST\r\n" % size + content


def test_large_content_is_not_sent_when_nobody_takes_it() -> None:
    server = Flights("PIPELINING CHUNKING", ["250 OK\n550 no\n", "250 OK\n250 OK\n250 OK\n250 queued\n"])

    async def scene(client: SmtpClient) -> None:
        assert codes(await client.send(SENDER, [ANN], b"x\r\n" * 50_000)) == [(Verb.RCPT, 550)]
        assert client.is_idle
        assert codes(await client.send(SENDER, [BEN], CONTENT)) == [(Verb.CONTENT, 250)]

    assert fly(server, scene)[1].startswith(b"RSET\r\nMAIL FROM:<from@example.org>\r\nRCPT TO:<ben@example.net>\r\n")


def test_large_content_goes_in_chunks_and_all_are_answered() -> None:
    content = (b"x" * 1022 + b"\r\n") * 2050
    script = (
        CHUNKING
        + """
        C: MAIL FROM:<from@example.org>
        C: RCPT TO:<ann@example.net>
        S: 250 OK
        S: 250 OK
        C: BDAT 1048576
        B 1048576
        S: 250 1048576 octets
        C: BDAT 1048576
        B 1048576
        C: BDAT 2048 LAST
        B 2048
        S: 250 1048576 octets
        S: 250 2.0.0 queued
        """
        + QUIT
    )

    async def scene(port: int) -> None:
        async with await connected(port) as client:
            result = await client.send(SENDER, [ANN], content)
        assert codes(result) == [(Verb.CONTENT, 250)]

    play(script, scene)


@pytest.mark.rfc("3030 §2", "No chunk follows a refused one.")
def test_no_chunk_follows_a_refused_one() -> None:
    script = (
        HELLO
        + """
        S: 250-mx.example.net
        S: 250 CHUNKING
        C: MAIL FROM:<from@example.org>
        S: 250 OK
        C: RCPT TO:<ann@example.net>
        S: 250 OK
        C: RCPT TO:<ben@example.net>
        S: 450 4.2.1 later
        C: BDAT 1048576
        B 1048576
        S: 452 4.3.1 full
        C: RSET
        S: 250 OK
        C: MAIL FROM:<from@example.org>
        S: 250 OK
        C: RCPT TO:<ann@example.net>
        S: 550 no
        """
        + QUIT
    )

    async def scene(port: int) -> None:
        async with await connected(port) as client:
            result = await client.send(SENDER, [ANN, BEN], (b"x" * 1022 + b"\r\n") * 2050)
            assert codes(result) == [(Verb.BDAT, 452), (Verb.RCPT, 450)]
            assert codes(await client.send(SENDER, [ANN], CONTENT)) == [(Verb.RCPT, 550)]

    play(script, scene)


def test_the_content_of_a_message_that_nobody_takes_may_have_gone_along() -> None:
    # RFC 3030 §2: the server takes it in, refuses it, and wants a RSET.
    server = Flights(
        "PIPELINING CHUNKING",
        ["250 OK\n550 5.1.1 no\n452 4.5.3 too many\n503 no recipients\n", "250 OK\n250 OK\n250 OK\n250 queued\n"],
    )

    async def scene(client: SmtpClient) -> None:
        result = await client.send(SENDER, [ANN, BEN], CONTENT)
        assert codes(result) == [(Verb.RCPT, 550), (Verb.RCPT, 452)]
        assert client.is_idle
        assert codes(await client.send(SENDER, [CAT], CONTENT)) == [(Verb.CONTENT, 250)]

    second = fly(server, scene)[1]
    assert second == b"RSET\r\n" + ENVELOPE.replace(b"ann", b"cat") + b"BDAT 20 LAST\r\n" + CONTENT


def test_a_refused_sender_decides_for_all_though_the_content_went_along() -> None:
    server = Flights("PIPELINING CHUNKING", ["550 5.7.1 no\n503 no\n503 no\n503 no\n"])

    async def scene(client: SmtpClient) -> None:
        assert codes(await client.send(SENDER, [ANN, BEN], CONTENT)) == [(Verb.MAIL, 550)] * 2

    fly(server, scene)


def test_the_same_recipient_twice_has_two_replies() -> None:
    server = Flights("PIPELINING CHUNKING", ["250 OK\n250 OK\n452 4.5.3 too many\n250 queued\n"])

    async def scene(client: SmtpClient) -> None:
        assert codes(await client.send(SENDER, [ANN, ANN], CONTENT)) == [(Verb.CONTENT, 250), (Verb.RCPT, 452)]

    fly(server, scene)


def test_a_last_line_is_ended_also_in_a_chunk() -> None:
    server = Flights("PIPELINING CHUNKING", ["250 OK\n250 OK\n250 queued\n"] * 2)

    async def scene(client: SmtpClient) -> None:
        await client.send(SENDER, [ANN], b"\r\nno end")
        await client.send(SENDER, [ANN], WireContent(b"\r\nno end"))

    assert fly(server, scene) == [ENVELOPE + b"BDAT 10 LAST\r\n\r\nno end\r\n"] * 2


def test_lmtp_chunks_wait_for_the_recipients_and_each_has_its_reply() -> None:
    # RFC 2033 §4.3: without recipients the last chunk has no reply, so it is not sent before they are known.
    replies = ["250 OK\n250 OK\n550 no\n250 OK\n", "452 4.2.2 full\n250 OK\n", "250 OK\n550 no\n"]
    server = Flights("PIPELINING CHUNKING", replies, lmtp=True)

    async def scene(client: SmtpClient) -> None:
        result = await client.send(SENDER, [ANN, BEN, CAT], CONTENT)
        assert codes(result) == [(Verb.CONTENT, 452), (Verb.RCPT, 550), (Verb.CONTENT, 250)]
        assert codes(await client.send(SENDER, [BEN], CONTENT)) == [(Verb.RCPT, 550)]
        assert client.is_idle

    flights = fly(server, scene)
    assert flights[1] == b"BDAT 20 LAST\r\n" + CONTENT
    assert flights[2] == ENVELOPE.replace(b"ann", b"ben")


# What the server must know


@pytest.mark.rfc("3461 §5.2.1", "RET, ENVID, NOTIFY and ORCPT go on to a host that announces DSN.")
def test_what_is_wanted_of_notifications_goes_with_the_envelope() -> None:
    server = Flights("PIPELINING CHUNKING DSN", ["250 OK\n250 OK\n250 queued\n"])
    sender = Sender(SENDER.reverse_path, ret=Ret.HDRS, envid="an id")
    recipient = Recipient(ANN.forward_path, frozenset({Notify.NEVER}), OriginalRecipient("rfc822", "Ann@example.org"))

    async def scene(client: SmtpClient) -> None:
        result = await client.send(sender, [recipient], CONTENT)
        assert [each.recipient for each in result.accepted] == [recipient]

    assert fly(server, scene)[0].startswith(
        b"MAIL FROM:<from@example.org> RET=HDRS ENVID=an+20id\r\n"
        b"RCPT TO:<ann@example.net> NOTIFY=NEVER ORCPT=rfc822;Ann@example.org\r\n"
    )


@pytest.mark.rfc("1870 §6", "A message larger than the server announced is not sent.")
def test_a_message_larger_than_announced_is_not_sent() -> None:
    async def scene(port: int) -> None:
        async with await connected(port) as client:
            result = await client.send(SENDER, [ANN, BEN], b"x" * 999 + b"\r\n")
            assert [(str(each.reply)[:9], each.is_local) for each in result.replies] == [("552 5.3.4", True)] * 2
            assert client.messages == 0
            assert client.is_idle

    play(PIPELINING + QUIT, scene)


@pytest.mark.rfc("6152 §3", "8-bit content is not sent to a host without 8BITMIME.")
def test_eight_bit_content_is_not_sent_where_it_is_not_understood() -> None:
    async def scene(port: int) -> None:
        async with await connected(port) as client:
            with pytest.raises(ExtensionMissing) as missing:
                await client.send(SENDER, [ANN], b"Subject: x\r\n\r\n\xe9\r\n")
            assert missing.value.keyword == "8BITMIME"
            assert client.is_idle

    play(PIPELINING + QUIT, scene)


def test_eight_bit_content_is_announced_whatever_the_sender_thought() -> None:
    server = Flights("PIPELINING CHUNKING 8BITMIME", ["250 OK\n250 OK\n250 queued\n"])

    async def scene(client: SmtpClient) -> None:
        await client.send(Sender(SENDER.reverse_path, body=Body.SEVEN_BIT), [ANN], b"\r\n\xe9\r\n")

    assert fly(server, scene)[0].startswith(b"MAIL FROM:<from@example.org> BODY=8BITMIME\r\n")


@pytest.mark.rfc("1870 §6", "The client declares the size.")
def test_a_size_that_the_sender_knows_is_said() -> None:
    server = Flights("PIPELINING CHUNKING SIZE", ["250 OK\n250 OK\n250 queued\n"])

    async def scene(client: SmtpClient) -> None:
        await client.send(Sender(SENDER.reverse_path, size=Octets(7)), [ANN], CONTENT)

    assert fly(server, scene)[0].startswith(b"MAIL FROM:<from@example.org> SIZE=7\r\n")


def test_requiretls_goes_over_tls_alone() -> None:
    sender = Sender(SENDER.reverse_path, requires_tls=True)
    server = Flights("PIPELINING CHUNKING REQUIRETLS", ["250 OK\n250 OK\n250 queued\n"] * 2)

    async def run() -> None:
        ours, theirs = memory_pair()
        serving = asyncio.create_task(server.serve(theirs))
        client = await SmtpClient.over(ours, local_name="me.example.org", timeouts=SHORT)
        with pytest.raises(ExtensionMissing):
            await client.send(sender, [ANN], CONTENT)
        await client.send(Sender(NULL_REVERSE_PATH, requires_tls=True), [ANN], CONTENT)
        await asyncio.gather(ours.start_tls(server_hostname="mx"), theirs.start_tls(server_side=True))
        await client.send(sender, [ANN], CONTENT)
        client.abort()
        await serving

    asyncio.run(run())
    assert [flight.split(b"\r\n")[0] for flight in server.heard] == [
        b"MAIL FROM:<>",
        b"MAIL FROM:<from@example.org> REQUIRETLS",
    ]
