"""Connections that break at each step of a message, and between messages; what is known of each recipient then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.client.script import (
    ANN,
    BEN,
    CHUNKING,
    CONTENT,
    HELLO,
    PIPELINING,
    SENDER,
    SHORT,
    Script,
    connected,
    play,
)

from estafeta.client import ClientTimeouts, SmtpClient, TransactionBroken
from estafeta.mail.envelope import Recipient
from estafeta.net.memory import MemoryStream
from estafeta.net.memory import pair as memory_pair
from estafeta.net.stream import Stream
from estafeta.wire.errors import LocalProtocolError
from estafeta.wire.smtp.dialogue import Verb

PLAIN = HELLO + "S: 250 mx.example.net\n"
MAIL = "C: MAIL FROM:<from@example.org>\n"
SIZED = "C: MAIL FROM:<from@example.org> SIZE=20\n"
LINES = "C: Subject: x\nC:\nC: ..dot\n"
LMTP = "S: 220 store\nC: LHLO me.example.org\nS: 250-store\nS: 250 PIPELINING\n"
TO = "C: RCPT TO:<ann@example.net>\nC: RCPT TO:<ben@example.net>\n"
GROUP = SIZED + TO + "C: DATA\n"
ALONG = MAIL + TO + "C: BDAT 20 LAST\nB 20\n"


class Later(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def in_a_loop_with_a_clock(scene: Callable[[Later], Awaitable[None]]) -> None:
    loop = Later()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:

        async def run() -> None:
            await scene(loop)

        runner.run(run())


async def turns() -> None:
    """Let all that can happen at once happen."""
    for _ in range(10):
        await asyncio.sleep(0)


# What the server does before it goes, whose reply was waited for, whether it may have the message, and the replies
# known of ann and ben.
STEPS = [
    # one command after the other
    pytest.param(PLAIN + MAIL, Verb.MAIL, False, [], id="singly: MAIL"),
    pytest.param(PLAIN + MAIL + "S: 250 OK\nC* \n", Verb.RCPT, False, [], id="singly: RCPT"),
    pytest.param(PLAIN + MAIL + "S: 250 OK\nC* \nS: 550 no\nC* \n", Verb.RCPT, False, [550], id="singly: 2nd RCPT"),
    pytest.param(
        PLAIN + MAIL + "S: 250 OK\nC* \nS: 550 no\nC* \nS: 250 OK\nC: DATA\n",
        Verb.DATA,
        False,
        [550],
        id="singly: DATA",
    ),
    pytest.param(
        PLAIN + MAIL + "S: 250 OK\nC* \nS: 250 OK\nC* \nS: 250 OK\nC: DATA\nS: 354 go\n" + LINES + "C: .\n",
        Verb.CONTENT,
        True,
        [],
        id="singly: final dot",
    ),
    # in a group
    pytest.param(PIPELINING + GROUP, Verb.MAIL, False, [], id="grouped: MAIL"),
    pytest.param(PIPELINING + GROUP + "S: 250 OK\n", Verb.RCPT, False, [], id="grouped: RCPT"),
    pytest.param(PIPELINING + GROUP + "S: 250 OK\nS: 450 no\n", Verb.RCPT, False, [450], id="grouped: 2nd RCPT"),
    pytest.param(PIPELINING + GROUP + "S: 250 OK\nS: 250 OK\nS: 550 no\n", Verb.DATA, False, [550], id="grouped: DATA"),
    pytest.param(
        PIPELINING + GROUP + "S: 250 OK\nS: 250 OK\nS: 250 OK\nS: 354 go\n" + LINES,
        Verb.CONTENT,
        True,
        [],
        id="grouped: before the final dot was read",
    ),
    pytest.param(
        PIPELINING + GROUP + "S: 250 OK\nS: 550 no\nS: 250 OK\nS: 354 go\n" + LINES + "C: .\n",
        Verb.CONTENT,
        True,
        [550],
        id="grouped: final dot",
    ),
    # all at once: the server may have the message whatever it has answered so far
    pytest.param(CHUNKING + ALONG, Verb.MAIL, True, [], id="along: MAIL"),
    pytest.param(CHUNKING + ALONG + "S: 250 OK\n", Verb.RCPT, True, [], id="along: RCPT"),
    pytest.param(
        CHUNKING + ALONG + "S: 250 OK\nS: 250 OK\nS: 550 no\n", Verb.CONTENT, True, [550], id="along: content"
    ),
    # LMTP
    pytest.param(
        LMTP + MAIL + TO + "C: DATA\nS: 250 OK\nS: 250 OK\nS: 250 OK\nS: 354 go\n" + LINES + "C: .\nS: 250 OK\n",
        Verb.CONTENT,
        True,
        [250],
        id="LMTP: between the replies to the final dot",
    ),
]


@pytest.mark.rfc("5321 §4.5.4.1", "Replies that came before a connection broke count.")
@pytest.mark.parametrize(("script", "stage", "is_after_final_dot", "known"), STEPS)
@pytest.mark.parametrize("is_silent", [False, True], ids=["closed", "silent"])
def test_what_was_decided_before_it_broke_is_kept(
    script: str, stage: Verb, is_after_final_dot: bool, known: list[int], is_silent: bool
) -> None:
    async def scene(loop: Later) -> None:
        ours, theirs = memory_pair()
        played = Script(script + ("WAIT" if is_silent else ""))
        serving = asyncio.create_task(played.serve_and_close(theirs))
        client = await SmtpClient.over(ours, local_name="me.example.org", timeouts=SHORT, lmtp="LHLO" in script)
        sending = asyncio.create_task(client.send(SENDER, [ANN, BEN], CONTENT))
        if is_silent:
            await played.is_waiting.wait()
            await turns()
            loop.ahead += 10
        with pytest.raises(TransactionBroken) as caught:
            await sending
        broken = caught.value
        assert (broken.stage, broken.is_after_final_dot) == (stage, is_after_final_dot)
        assert [each.reply.code for each in broken.replies] == known
        decided = [each.recipient for each in broken.replies]
        assert {*decided, *broken.undecided} == {ANN, BEN} and not set(decided) & set(broken.undecided)
        assert stage.value in broken.reason
        assert not client.is_open and not client.is_idle
        await serving
        assert played.faults == []

    in_a_loop_with_a_clock(scene)


@pytest.mark.parametrize(
    ("script", "stage", "is_after_final_dot"),
    [
        (PIPELINING + GROUP + "S: 250 OK\nS: what?\nWAIT", Verb.RCPT, False),
        (PIPELINING + GROUP + "S: 250 OK\nS: 250 OK\nS: 250 OK\nS: 250 OK\nWAIT", Verb.DATA, False),
        (CHUNKING + ALONG + "S: 250 OK\nS: 250 OK\nS: 250 OK\nS: 354 go on\nWAIT", Verb.CONTENT, True),
    ],
)
def test_a_server_that_makes_no_sense_breaks_the_transaction(
    script: str, stage: Verb, is_after_final_dot: bool
) -> None:
    async def scene(port: int) -> None:
        client = await connected(port)
        with pytest.raises(TransactionBroken) as caught:
            await client.send(SENDER, [ANN, BEN], CONTENT)
        assert (caught.value.stage, caught.value.is_after_final_dot) == (stage, is_after_final_dot)
        assert caught.value.undecided == (ANN, BEN)
        assert not client.is_open

    play(script, scene)


def test_half_a_reply_is_none() -> None:
    async def run() -> None:
        ours, theirs = memory_pair()

        async def serve() -> None:
            await Script(CHUNKING + ALONG).serve(theirs)
            theirs.send(b"250 OK\r\n250 OK\r\n25")
            await theirs.close()

        serving = asyncio.create_task(serve())
        client = await SmtpClient.over(ours, local_name="me.example.org", timeouts=SHORT)
        with pytest.raises(TransactionBroken) as caught:
            await client.send(SENDER, [ANN, BEN], CONTENT)
        assert (caught.value.stage, caught.value.undecided) == (Verb.RCPT, (ANN, BEN))
        await serving

    asyncio.run(run())


def test_content_that_was_not_taken_whole_was_not_delivered() -> None:
    # The server stops reading in the midst of the content: the final dot never reaches the network.
    async def run() -> TransactionBroken:
        ours, theirs = memory_pair()
        script = Script(CHUNKING + MAIL + "C: RCPT TO:<ann@example.net>\nS: 250 OK\nS: 250 OK\nC: BDAT 1048576\nB 1000")
        serving = asyncio.create_task(script.serve(theirs))
        timeouts = ClientTimeouts(block=0.1)
        client = await SmtpClient.over(ours, local_name="me.example.org", timeouts=timeouts)
        with pytest.raises(TransactionBroken) as caught:
            await client.send(SENDER, [ANN], (b"x" * 1022 + b"\r\n") * 2050)
        await serving
        return caught.value

    broken = asyncio.run(run())
    assert not broken.is_after_final_dot
    assert broken.undecided == (ANN,)
    assert broken.stage is Verb.BDAT


def test_a_server_that_goes_in_the_midst_of_the_content_breaks_the_transaction() -> None:
    async def run() -> TransactionBroken:
        ours, theirs = memory_pair()

        async def serve() -> None:
            script = Script(PIPELINING + "C* \n" * 3 + "S: 250 OK\nS: 250 OK\nS: 354 go\nC* ")
            await script.serve(theirs)
            assert isinstance(theirs, MemoryStream)
            theirs.cut()

        serving = asyncio.create_task(serve())
        client = await SmtpClient.over(ours, local_name="me.example.org", timeouts=SHORT)
        with pytest.raises(TransactionBroken) as caught:
            await client.send(SENDER, [ANN], b"x" * 78 + b"\r\n")
        await serving
        return caught.value

    assert asyncio.run(run()).stage is Verb.CONTENT


def test_what_is_decided_about_all_is_a_result_though_the_connection_is_lost() -> None:
    async def scene(port: int) -> None:
        client = await connected(port)
        result = await client.send(SENDER, [ANN, BEN], CONTENT)
        assert [each.reply.code for each in result.replies] == [550, 450]
        assert not client.is_open

    play(PIPELINING + GROUP + "S: 250 OK\nS: 550 no\nS: 450 later", scene)


def test_421_in_a_transaction_is_the_reply_for_those_that_were_not_decided() -> None:
    async def scene(port: int) -> None:
        client = await connected(port)
        result = await client.send(SENDER, [ANN, BEN], CONTENT)
        assert [(each.verb, each.reply.code) for each in result.replies] == [(Verb.RCPT, 550), (Verb.CONTENT, 421)]
        assert not client.is_idle

    play(CHUNKING + ALONG + "S: 250 OK\nS: 550 no\nS: 250 OK\nS: 421 4.3.2 going down", scene)


# Between messages


class Between:
    """A server that takes one message, and then does what `then` says without being asked."""

    def __init__(self, then: Callable[[Stream], None]) -> None:
        self.then = then
        self.go = asyncio.Event()
        self.rest = b""

    async def serve(self, stream: Stream) -> None:
        stream.set_deadline(5)
        stream.send(b"220 mx\r\n")
        await stream.receive()
        stream.send(b"250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
        await stream.receive()
        stream.send(b"250 OK\r\n250 OK\r\n250 queued\r\n")
        stream.set_deadline(None)
        await self.go.wait()
        self.then(stream)
        while octets := await stream.receive():
            self.rest += octets


def goes(stream: Stream) -> None:
    assert isinstance(stream, MemoryStream)
    stream.cut()


def ends(stream: Stream) -> None:
    asyncio.get_running_loop().create_task(stream.close())


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (lambda stream: stream.send(b"421 4.4.2 idle too long\r\n"), "421 4.4.2 idle too long"),
        (lambda stream: stream.send(b"250 what?\r\n"), "a reply to nothing"),
        (lambda stream: stream.send(b"42"), "nothing asked for"),
        (goes, "closed by the server"),
        (ends, "closed by the server"),
    ],
)
@pytest.mark.parametrize("asks", [True, False], ids=["asked", "not asked"])
def test_what_comes_unasked_between_messages_is_seen_before_the_next(
    then: Callable[[Stream], None], reason: str, asks: bool
) -> None:
    async def run() -> None:
        ours, theirs = memory_pair()
        server = Between(then)
        serving = asyncio.create_task(server.serve(theirs))
        client = await SmtpClient.over(ours, local_name="me.example.org", timeouts=SHORT)
        await client.send(SENDER, [ANN], CONTENT)
        assert client.is_idle
        server.go.set()
        await turns()
        if asks:
            assert not client.is_idle
            with pytest.raises(LocalProtocolError):
                await client.send(SENDER, [BEN], CONTENT)
        else:
            with pytest.raises(TransactionBroken, match=reason) as caught:
                await client.send(SENDER, [BEN], CONTENT)
            assert (caught.value.stage, caught.value.is_after_final_dot) == (None, False)
            assert caught.value.undecided == (BEN,)
        assert client.messages == 1
        assert not client.is_open
        await client.quit()
        await serving
        assert server.rest == b""

    asyncio.run(run())


@pytest.mark.parametrize(("idle", "goes_along"), [(0.5, True), (10.0, False)])
def test_after_a_pause_the_content_waits_for_a_sign_of_life(idle: float, goes_along: bool) -> None:
    # A server that closed the idle connection must not be thought to have the message.
    async def scene(loop: Later) -> None:
        ours, theirs = memory_pair()
        server = Between(goes)
        serving = asyncio.create_task(server.serve(theirs))
        client = await SmtpClient.over(ours, local_name="me.example.org", timeouts=SHORT)
        await client.send(SENDER, [ANN], CONTENT)
        loop.ahead += idle
        sending = asyncio.create_task(client.send(SENDER, [BEN], CONTENT))
        await asyncio.sleep(0)
        server.go.set()
        with pytest.raises(TransactionBroken) as caught:
            await sending
        assert caught.value.stage is Verb.MAIL
        assert caught.value.is_after_final_dot is goes_along
        await serving

    in_a_loop_with_a_clock(scene)


def test_each_recipient_of_a_cancelled_message_is_unknown_and_the_connection_is_cut() -> None:
    async def run() -> None:
        ours, theirs = memory_pair()
        script = Script(CHUNKING + ALONG + "WAIT")
        serving = asyncio.create_task(script.serve(theirs))
        client = await SmtpClient.over(ours, local_name="me.example.org", timeouts=SHORT)
        recipients: list[Recipient] = [ANN, BEN]
        sending = asyncio.create_task(client.send(SENDER, recipients, CONTENT))
        await script.is_waiting.wait()
        assert not client.is_idle
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert not client.is_open
        await serving

    asyncio.run(run())
