"""Mail handed in goes on to the next host, and its sender hears what became of it: all of the house, on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes
from typing import Any

import pytest

from estafeta.agents.outbound.settings import RelaySettings
from estafeta.mail.address import Address
from estafeta.store import aliases

LETTER = b"From: ana@example.org\r\nSubject: hello\r\n\r\nhello\r\n"


class NextHost:
    """Takes mail on loopback; `replies` says what is answered instead of 250, by the beginning of a command."""

    def __init__(self) -> None:
        self.replies: dict[str, str] = {}
        self.extensions = ["PIPELINING", "8BITMIME"]
        self.commands: list[str] = []
        self.taken: asyncio.Queue[bytes] = asyncio.Queue()
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"220 next.example.net\r\n")
        has_recipients = False
        try:
            while line := (await reader.readline()).decode().rstrip("\r\n"):
                self.commands.append(line)
                reply = next((said for start, said in self.replies.items() if line.startswith(start)), "")
                if reply:
                    writer.write(f"{reply}\r\n".encode())
                elif line.startswith("EHLO"):
                    lines = ["next.example.net", *self.extensions]
                    writer.write(b"".join(f"250-{each}\r\n".encode() for each in lines[:-1]))
                    writer.write(f"250 {lines[-1]}\r\n".encode())
                elif line == "DATA" and not has_recipients:
                    writer.write(b"503 no recipients\r\n")
                elif line == "DATA":
                    has_recipients = False
                    writer.write(b"354 go on\r\n")
                    await self.taken.put((await reader.readuntil(b"\r\n.\r\n"))[:-3])
                    writer.write(b"250 taken\r\n")
                elif line == "QUIT":
                    writer.write(b"221 bye\r\n")
                    return
                else:
                    has_recipients = has_recipients or line.startswith("RCPT")
                    writer.write(b"250 fine\r\n")
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def listening(host: NextHost, port: int) -> AsyncIterator[None]:
    server = await asyncio.start_server(host.serve, "127.0.0.1", port)
    async with server:
        yield


Scenario = Callable[[Any, NextHost], Awaitable[None]]


@pytest.fixture
def play(run: Any, unused_port: int) -> Callable[..., None]:
    """Run a scenario with a post office whose mail for elsewhere goes to a host on loopback."""

    def play_it(scenario: Scenario, **relay: Any) -> None:
        host = NextHost()
        settings = RelaySettings(port=unused_port, allow_loopback=True, **relay)

        async def test(office: Any) -> None:
            async with listening(host, unused_port):
                async with asyncio.timeout(20):
                    await scenario(office, host)

        run(test, settings={"relay": settings})

    return play_it


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    while not (found := await condition()):
        await asyncio.sleep(0.01)
    return found


async def empty(office: Any) -> bool:
    return not await office.queued()


def test_mail_goes_on_and_leaves_the_queue(play: Any) -> None:
    async def scenario(office: Any, host: NextHost) -> None:
        client = await office.submitter()
        assert (await client.send("ana@example.org", "luis@[127.0.0.1]", LETTER)).startswith("250")
        assert (await host.taken.get()).endswith(LETTER)
        await until(lambda: empty(office))
        assert "MAIL FROM:<ana@example.org>" in host.commands[1]

    play(scenario)


def test_messages_for_one_host_share_a_connection(play: Any) -> None:
    async def scenario(office: Any, host: NextHost) -> None:
        client = await office.submitter()
        for _ in range(5):
            assert (await client.send("ana@example.org", "luis@[127.0.0.1]", LETTER)).startswith("250")
            await host.taken.get()
        assert host.connections == 1

    play(scenario)


def test_the_sender_hears_once_of_what_was_refused_for_good(play: Any) -> None:
    async def scenario(office: Any, host: NextHost) -> None:
        host.replies["RCPT TO:<gone@"] = "550 5.1.1 no such user"
        client = await office.submitter()
        for line in ("MAIL FROM:<ana@example.org>", "RCPT TO:<gone@[127.0.0.1]>", "RCPT TO:<luis@[127.0.0.1]>", "DATA"):
            assert (await client.say(line))[0] in "23"
        assert (await client.say(LETTER + b".")).startswith("250")
        await host.taken.get()
        (octets,) = await until(lambda: office.mailbox("ana@example.org"))
        await until(lambda: empty(office))
        notification = message_from_bytes(octets)
        assert notification.get_content_type() == "multipart/report"
        status: Any = notification.get_payload()[1].get_payload()[1]  # type: ignore[union-attr,index]
        assert status["Action"] == "failed"
        assert status["Status"] == "5.1.1"
        assert status["Final-Recipient"] == "rfc822; gone@[127.0.0.1]"
        assert len(await office.mailbox("ana@example.org")) == 1

    play(scenario)


def test_what_is_put_off_waits_in_the_queue_and_comes_later(play: Any) -> None:
    async def scenario(office: Any, host: NextHost) -> None:
        host.replies["RCPT"] = "451 4.7.1 greylisted"
        client = await office.submitter()
        assert (await client.send("ana@example.org", "luis@[127.0.0.1]", LETTER)).startswith("250")

        async def tried() -> bool:
            return all(each.attempts for each in await office.queued())

        await until(tried)
        (queued,) = await office.queued()
        assert queued.last_reply == "451 4.7.1 greylisted"
        host.replies.clear()
        await host.taken.get()
        await until(lambda: empty(office))

    play(scenario, retry_after=(1.0,), jitter=0.0, poll_after=0.05)


def test_eight_bits_are_converted_for_a_host_that_takes_seven(play: Any) -> None:
    async def scenario(office: Any, host: NextHost) -> None:
        host.extensions = ["PIPELINING"]
        client = await office.submitter()
        head = b"From: ana@example.org\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        content = head + b"Content-Transfer-Encoding: 8bit\r\n\r\n" + "año\r\n".encode()
        assert (await client.send("ana@example.org", "luis@[127.0.0.1]", content)).startswith("250")
        taken = await host.taken.get()
        assert taken.isascii()
        assert message_from_bytes(taken).get_payload(decode=True) == "año\r\n".encode()

    play(scenario)


def test_an_address_in_utf8_is_told_of_where_the_host_does_not_take_it(play: Any) -> None:
    async def scenario(office: Any, host: NextHost) -> None:
        client = await office.submitter()
        lines = ("MAIL FROM:<ana@example.org> SMTPUTF8", "RCPT TO:<añil@[127.0.0.1]>", "DATA")
        for line in lines:
            assert (await client.say(line))[0] in "23"
        assert (await client.say(LETTER + b".")).startswith("250")
        (octets,) = await until(lambda: office.mailbox("ana@example.org"))
        assert b"5.6.7" in octets
        assert host.taken.empty()

    play(scenario)


def test_an_alias_that_forwards_rewrites_a_strangers_reverse_path(play: Any) -> None:
    async def scenario(office: Any, host: NextHost) -> None:
        away = Address("away", "example.org")
        await office.change(lambda tx: aliases.add(tx, away, [Address("luis", "[127.0.0.1]")]))
        client = await office.client()
        assert (await client.send("stranger@example.net", "away@example.org", LETTER)).startswith("250")
        await host.taken.get()
        (mail,) = [each for each in host.commands if each.startswith("MAIL")]
        assert mail.startswith("MAIL FROM:<SRS0=")
        rewritten = mail.split("<")[1].split(">")[0]
        # A notification for it finds the stranger again, and nobody needs a login for that.
        host.commands.clear()
        again = await office.client()
        assert (await again.say("MAIL FROM:<>")).startswith("250")
        assert (await again.say(f"RCPT TO:<{rewritten}>")).startswith("250")
        assert (await again.say(f"RCPT TO:<{rewritten.replace('example.net', 'example.com')}>")).startswith("550")

    play(scenario)


@pytest.mark.rfc("3461 §5.2.2", "Success at a host that does not know DSN is told as relayed.")
def test_success_is_told_by_us_where_the_next_host_does_not_tell_it(play: Any) -> None:
    async def scenario(office: Any, host: NextHost) -> None:
        client = await office.submitter()
        lines = ("MAIL FROM:<ana@example.org> ENVID=QQ314159", "RCPT TO:<luis@[127.0.0.1]> NOTIFY=SUCCESS", "DATA")
        for line in lines:
            assert (await client.say(line))[0] in "23"
        assert (await client.say(LETTER + b".")).startswith("250")
        (octets,) = await until(lambda: office.mailbox("ana@example.org"))
        report = message_from_bytes(octets).get_payload()[1]  # type: ignore[index]
        assert report.get_payload()[0]["Original-Envelope-Id"] == "QQ314159"  # type: ignore[union-attr,index]
        assert report.get_payload()[1]["Action"] == "relayed"  # type: ignore[union-attr,index]

    play(scenario)


@pytest.mark.rfc("3461 §5.2.1", "Success is left to the next host where it knows DSN.")
def test_success_is_left_to_a_host_that_knows_dsn(play: Any) -> None:
    async def scenario(office: Any, host: NextHost) -> None:
        host.extensions.append("DSN")
        client = await office.submitter()
        lines = (
            "MAIL FROM:<ana@example.org> RET=HDRS ENVID=QQ314159",
            "RCPT TO:<luis@[127.0.0.1]> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;l+2Bx@example.com",
            "DATA",
        )
        for line in lines:
            assert (await client.say(line))[0] in "23"
        assert (await client.say(LETTER + b".")).startswith("250")
        await host.taken.get()
        await until(lambda: empty(office))
        mail, rcpt = host.commands[1], host.commands[2]
        assert "RET=HDRS" in mail and "ENVID=QQ314159" in mail
        assert "NOTIFY=SUCCESS,FAILURE" in rcpt and "ORCPT=rfc822;l+2Bx@example.com" in rcpt
        assert await office.mailbox("ana@example.org") == []

    play(scenario)
