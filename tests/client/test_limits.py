"""What a server announced to take at most is kept to, and content that is no lines goes where it is understood."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.client.script import ANN, BEN, CAT, CONTENT, SENDER, Script, connected, play

from estafeta.client import SendResult, TransactionBroken
from estafeta.mail.address import Address, ForwardPath
from estafeta.mail.envelope import Body, Recipient
from estafeta.wire.errors import ExtensionMissing
from estafeta.wire.smtp.dialogue import Verb
from estafeta.wire.smtp.extensions.limits import Limits

DON = Recipient(ForwardPath(Address("don", "example.com")))


def hello(*keywords: str) -> str:
    """A server's first words."""
    lines = [*(f"S: 250-{keyword}" for keyword in keywords), "S: 250 HELP"]
    return "\n".join(["S: 220 mx", "C* EHLO", "S: 250-mx", *lines])


def told(result: SendResult) -> list[tuple[Verb, int, bool]]:
    return [(each.verb, each.reply.code, each.is_local) for each in result.replies]


TAKEN = (Verb.CONTENT, 250, False)
BEYOND = (Verb.RCPT, 452, True)


@pytest.mark.rfc(
    "9422 §4.2", "No more recipients are offered than RCPTMAX; the others are refused for now, in their places."
)
def test_recipients_beyond_the_limit_are_not_offered() -> None:
    script = f"""{hello("LIMITS RCPTMAX=2")}
        C: MAIL FROM:<from@example.org>
        S: 250 ok
        C: RCPT TO:<ann@example.net>
        S: 250 ok
        C: RCPT TO:<ben@example.net>
        S: 250 ok
        C: DATA
        S: 354 go on
        C* Subject
        C*
        C* ..dot
        C: .
        S: 250 ok
        WAIT"""

    async def scene(port: int) -> None:
        async with await connected(port) as client:
            result = await client.send(SENDER, [ANN, BEN, CAT], CONTENT)
            assert told(result) == [TAKEN, TAKEN, BEYOND]
            assert result.replies[2].recipient == CAT
            client.abort()

    play(script, scene)


@pytest.mark.rfc("9422 §4.3", "RCPTDOMAINMAX counts the domains of a session, in whatever order they come.")
def test_domains_beyond_the_limit_are_not_offered() -> None:
    script = f"""{hello("PIPELINING", "CHUNKING", "LIMITS RCPTDOMAINMAX=1")}
        C: MAIL FROM:<from@example.org>
        C: RCPT TO:<ann@example.net>
        C: RCPT TO:<ben@example.net>
        C* BDAT
        B 20
        S: 250 ok
        S: 250 ok
        S: 250 ok
        S: 250 ok
        WAIT"""

    async def scene(port: int) -> None:
        async with await connected(port) as client:
            assert told(await client.send(SENDER, [ANN, DON, BEN], CONTENT)) == [TAKEN, BEYOND, TAKEN]
            assert told(await client.send(SENDER, [DON], CONTENT)) == [BEYOND]
            client.abort()

    play(script, scene)


@pytest.mark.rfc("9422 §4.1", "After MAILMAX messages a connection is of no more use.")
def test_messages_beyond_the_limit_are_not_offered() -> None:
    script = f"""{hello("PIPELINING", "CHUNKING", "LIMITS MAILMAX=1")}
        C* MAIL
        C* RCPT
        C* BDAT
        B 20
        S: 250 ok
        S: 250 ok
        S: 250 ok
        C: QUIT
        S: 221 bye"""

    async def scene(port: int) -> None:
        async with await connected(port) as client:
            assert client.is_idle
            assert told(await client.send(SENDER, [ANN], CONTENT)) == [TAKEN]
            assert client.is_open and not client.is_idle
            assert told(await client.send(SENDER, [ANN, BEN], CONTENT)) == [(Verb.MAIL, 452, True)] * 2

    play(script, scene)


def test_of_a_broken_transaction_those_beyond_the_limit_are_decided() -> None:
    script = f"""{hello("LIMITS RCPTMAX=1")}
        C* MAIL"""

    async def scene(port: int) -> None:
        async with await connected(port) as client:
            with pytest.raises(TransactionBroken) as broken:
                await client.send(SENDER, [ANN, BEN], CONTENT)
            assert broken.value.undecided == (ANN,)
            assert [(each.recipient, each.is_local) for each in broken.value.replies] == [(BEN, True)]

    play(script, scene)


@pytest.mark.rfc("9422 §3", "Limits that are not well formed, or not known, are passed over.")
@pytest.mark.parametrize(
    ("words", "limits"),
    [
        (("RCPTMAX=100", "MAILMAX=10", "RCPTDOMAINMAX=1"), Limits(10, 100, 1)),
        (("rcptmax=999999",), Limits(recipients=999_999)),
        (("RCPTMAX=1000000",), Limits()),
        (("RCPTMAX=0", "MAILMAX=", "RCPTDOMAINMAX"), Limits()),
        (("RCPTMAX=-1", "MAILMAX=x", "FOO=1", "=3"), Limits()),
        (("RCPTMAX=٣",), Limits()),
        (("RCPTMAX=2", "RCPTMAX=9"), Limits(recipients=2)),
    ],
)
def test_limits_are_read_with_care(words: tuple[str, ...], limits: Limits) -> None:
    assert Limits.of(words) == limits


@pytest.mark.rfc("3030 §3", "Binary content goes by BDAT with BODY=BINARYMIME, and nowhere else.")
def test_binary_content_goes_as_it_is_or_not_at_all() -> None:
    script = f"""{hello("PIPELINING", "8BITMIME", "CHUNKING", "BINARYMIME")}
        C: MAIL FROM:<from@example.org> BODY=BINARYMIME
        C: RCPT TO:<ann@example.net>
        C: BDAT 5 LAST
        B 5
        S: 250 ok
        S: 250 ok
        S: 250 ok
        WAIT"""
    binary = replace(SENDER, body=Body.BINARY)

    async def scene(port: int) -> None:
        async with await connected(port) as client:
            assert told(await client.send(binary, [ANN], b"a\n\r\0\xff")) == [TAKEN]
            client.abort()

    server = Script(script)
    play(server, scene)
    assert server.chunks == [b"a\n\r\0\xff"]


@pytest.mark.parametrize("keywords", [("8BITMIME", "CHUNKING"), ("8BITMIME", "BINARYMIME"), ("CHUNKING", "BINARYMIME")])
def test_binary_content_needs_all_three_extensions(keywords: tuple[str, ...]) -> None:
    async def scene(port: int) -> None:
        async with await connected(port) as client:
            with pytest.raises(ExtensionMissing, match="BINARYMIME"):
                await client.send(replace(SENDER, body=Body.BINARY), [ANN], b"a\n")
            client.abort()

    play(f"{hello(*keywords)}\nWAIT", scene)
