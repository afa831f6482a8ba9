"""Servers that follow a script, and scenes of a client against them, over loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from estafeta.client import ClientTimeouts, SmtpClient, TlsMode
from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.mail.envelope import Recipient, Sender
from estafeta.net.errors import ConnectionLost, TlsError
from estafeta.net.listener import listen
from estafeta.net.stream import Stream
from estafeta.net.tls import ServerTls

SENDER = Sender(ReversePath(Address("from", "example.org")))
ANN, BEN, CAT = (Recipient(ForwardPath(Address(name, "example.net"))) for name in ("ann", "ben", "cat"))
FOREIGN = Recipient(ForwardPath(Address("пошта", "example.net")))
CONTENT = b"Subject: x\r\n\r\n.dot\r\n"
SHORT = ClientTimeouts(5, 5, 5, 5, 5, 5, 5, 5, 5, 5)

T = TypeVar("T")


class Script:
    """A server that says its `S:` lines, and wants to hear its `C:` lines.

    `C*` takes one line, whatever it is; `B 20` takes 20 octets; `TLS` does the handshake; `WAIT` waits until the
    client goes away.
    """

    def __init__(self, text: str, tls: ServerTls | None = None) -> None:
        self.lines = [line.strip() for line in text.strip().splitlines()]
        self.tls = tls
        self.heard: list[str] = []
        self.faults: list[str] = []
        self.chunks: list[bytes] = []
        self.is_waiting = asyncio.Event()
        self._octets = b""

    async def serve(self, stream: Stream) -> None:
        stream.set_deadline(5)
        for line in self.lines:
            kind, _, text = line.partition(" ")
            match kind:
                case "S:":
                    stream.send(text.encode() + b"\r\n")
                case "C:" | "C*":
                    heard = await self._line(stream)
                    self.heard.append(heard)
                    if kind == "C:" and heard != text:
                        self.faults.append(f"{heard!r} instead of {text!r}")
                        return
                case "B":
                    self.chunks.append(await self._octets_of(stream, int(text)))
                case "TLS":
                    assert self.tls is not None
                    try:
                        await stream.start_tls(self.tls.context, server_side=True)
                    except (TlsError, ConnectionLost):
                        return
                    self._octets = b""
                case "WAIT":
                    stream.set_deadline(None)
                    self.is_waiting.set()
                    while await stream.receive():
                        pass

    async def serve_and_close(self, stream: Stream) -> None:
        """As `serve`, where no listener closes the connection."""
        await self.serve(stream)
        await stream.close()

    async def _line(self, stream: Stream) -> str:
        while b"\r\n" not in self._octets:
            octets = await stream.receive()
            if not octets:
                return ""
            self._octets += octets
        line, _, self._octets = self._octets.partition(b"\r\n")
        return line.decode()

    async def _octets_of(self, stream: Stream, count: int) -> bytes:
        while len(self._octets) < count:
            octets = await stream.receive()
            if not octets:
                break
            self._octets += octets
        taken, self._octets = self._octets[:count], self._octets[count:]
        return taken


@asynccontextmanager
async def served(serve: Callable[[Stream], Awaitable[None]], tls: ServerTls | None = None) -> AsyncIterator[int]:
    listener = await listen("127.0.0.1", 0, serve, tls=tls)
    try:
        yield listener.port
    finally:
        listener.close()
        await listener.drain(5)


def play(
    script: Script | str,
    scene: Callable[[int], Awaitable[T]],
) -> T:
    """Runs a scene against a script; the scene gets the port."""
    played = Script(script) if isinstance(script, str) else script

    async def run() -> T:
        async with served(played.serve) as port:
            return await scene(port)

    result = asyncio.run(run())
    assert played.faults == []
    return result


async def connected(port: int, *, lmtp: bool = False, timeouts: ClientTimeouts = SHORT) -> SmtpClient:
    return await SmtpClient.connect(
        "127.0.0.1", port, local_name="me.example.org", tls=TlsMode.NONE, lmtp=lmtp, timeouts=timeouts
    )


def sending(
    recipients: Sequence[Recipient], *, lmtp: bool = False, sender: Sender = SENDER
) -> Callable[[int], Awaitable[list[int]]]:
    """A scene: one message, then QUIT; gives the deciding reply code for each recipient."""

    async def scene(port: int) -> list[int]:
        async with await connected(port, lmtp=lmtp) as client:
            result = await client.send(sender, recipients, CONTENT)
        assert [each.recipient for each in result.replies] == list(recipients)
        assert len(result.accepted) + len(result.refused) == len(recipients)
        return [each.reply.code for each in result.replies]

    return scene


HELLO = """
S: 220 mx.example.net
C: EHLO me.example.org
"""
CHUNKING = HELLO + "S: 250-mx.example.net\nS: 250-CHUNKING\nS: 250 PIPELINING\n"
PIPELINING = HELLO + "S: 250-mx.example.net\nS: 250-SIZE 1000\nS: 250 PIPELINING\n"
QUIT = "\nC: QUIT\nS: 221 bye"
