"""A host that misbehaves as a test wants: replies, broken connections and silence at every stage of a session.

The script says for each stage what happens: a reply, `DROP`, `SILENCE`, a function of the command that gives one of
these, or a list of them for one time after the other, of which the last stays. Stages are `connect`, the verbs, `TLS`
(the handshake), `content` (what answers the final dot, or the last chunk), and `input` (the content's first octets).
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from tests.peers.laboratory.isolation import Laboratory

from estafeta.net.authority import Issued


class Act(Enum):
    """What is no reply."""

    DROP = "drop"
    """The connection is closed at once."""
    SILENCE = "silence"
    """Nothing is ever answered any more."""


DROP, SILENCE = Act.DROP, Act.SILENCE

Step: TypeAlias = str | Act
Play: TypeAlias = Step | Callable[[str], Step] | Sequence[Step]

EXTENSIONS = ("PIPELINING", "SIZE 10485760", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN")
_POSITIVE: dict[str, Step] = {
    "connect": "220 scripted.example ESMTP",
    "STARTTLS": "220 2.0.0 go ahead",
    "TLS": "",
    "DATA": "354 end with a dot",
    "input": "",
    "content": "250 2.0.0 taken",
    "QUIT": "221 2.0.0 bye",
}


def greylist(reply: str = "451 4.7.1 greylisted, come back later") -> Callable[[str], Step]:
    """For RCPT: each command is refused the first time it is said."""
    seen: set[str] = set()

    def answer(command: str) -> Step:
        if command in seen:
            return "250 2.1.5 ok"
        seen.add(command)
        return reply

    return answer


def server_context(issued: Issued) -> ssl.SSLContext:
    """TLS with a certificate, right or wrong."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    return context


@dataclass
class Taken:
    """One transaction that was answered with 250 at its end."""

    hello: str
    mail: str
    recipients: list[str]
    content: bytes = b""
    tls: str = ""
    """Version of TLS, empty in the clear."""


@dataclass
class Session:
    """One connection: every command line, in order."""

    commands: list[str] = field(default_factory=list)
    ended_by_peer: bool = False


class _Over(Exception):
    """The session ends here."""


class ScriptedHost:
    """Listens from `start` to `stop`, in a thread of its own with the network of the laboratory."""

    def __init__(
        self,
        laboratory: Laboratory,
        script: Mapping[str, Play] | None = None,
        *,
        address: str | None = None,
        port: int = 25,
        extensions: Sequence[str] = EXTENSIONS,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """With a `context` STARTTLS is offered, unless the script forbids it; `extensions` are said after EHLO."""
        self.laboratory = laboratory
        self.address = address or laboratory.address()
        self.port = port
        self.script = dict(script or {})
        self.extensions = extensions
        self.context = context
        self.sessions: list[Session] = []
        self.taken: list[Taken] = []
        self._times: dict[str, int] = {}
        self._is_up = threading.Event()
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Listen."""
        self._thread = threading.Thread(target=self._run, name=f"scripted {self.address}", daemon=True)
        self._thread.start()
        assert self._is_up.wait(20)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Close every connection and the port."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> ScriptedHost:
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self.laboratory.enter()
            asyncio.run(self._serve())
        except BaseException as failure:  # the test's thread raises it
            self._failure = failure
            self._is_up.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._session(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, self.address, self.port, limit=2**20)
        self._is_up.set()
        await self._end.wait()
        server.close()
        running = list(tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session()
        self.sessions.append(session)
        try:
            await _Dialogue(self, session, reader, writer).run()
        except (_Over, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def step(self, stage: str, command: str) -> Step:
        """What the script says of a stage now."""
        play = self.script.get(stage)
        if play is None:
            return _POSITIVE.get(stage, "250 2.0.0 ok")
        if isinstance(play, str | Act):
            return play
        if callable(play):
            return play(command)
        time = self._times.get(stage, 0)
        self._times[stage] = time + 1
        return play[min(time, len(play) - 1)]


class _Dialogue:
    """One session."""

    def __init__(
        self, host: ScriptedHost, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._host = host
        self._session = session
        self._reader = reader
        self._writer = writer
        self._hello = ""
        self._tls = ""
        self._transaction: Taken | None = None
        self._chunks = b""

    async def run(self) -> None:
        """Until one side ends it."""
        await self._play("connect", "")
        while line := await self._reader.readline():
            command = line.decode("utf-8", "replace").rstrip("\r\n")
            self._session.commands.append(command)
            await self._command(command)
        self._session.ended_by_peer = True

    async def _command(self, command: str) -> None:
        verb = command.split(" ")[0].upper()
        if verb == "BDAT":
            await self._chunk(command)
            return
        if verb == "EHLO":
            await self._ehlo(command)
            return
        if verb == "DATA" and (self._transaction is None or not self._transaction.recipients):
            self._writer.write(b"554 5.5.1 no valid recipients\r\n")  # RFC 5321 §3.3
            await self._writer.drain()
            return
        is_positive = await self._play(verb, command)
        if verb == "QUIT":
            raise _Over
        if verb == "STARTTLS" and is_positive:
            await self._start_tls()
        elif verb == "MAIL" and is_positive:
            self._transaction = Taken(self._hello, command, [], tls=self._tls)
        elif verb == "RCPT" and is_positive and self._transaction is not None:
            self._transaction.recipients.append(command)
        elif verb == "DATA" and is_positive:
            await self._data()
        elif verb in ("HELO", "RSET"):
            self._transaction = None

    async def _play(self, stage: str, command: str) -> bool:
        """Do what the script says; whether it is a positive reply."""
        step = self._host.step(stage, command)
        if step is DROP:
            raise _Over
        if step is SILENCE:
            await asyncio.Event().wait()
        assert isinstance(step, str)
        if step:
            self._writer.write(f"{step}\r\n".encode())
            await self._writer.drain()
        return step[:1] in ("", "2", "3")

    async def _ehlo(self, command: str) -> None:
        if "EHLO" in self._host.script:
            if not await self._play("EHLO", command):
                return
        else:
            offered = [*self._host.extensions]
            if self._host.context is not None and not self._tls:
                offered.append("STARTTLS")
            lines = ["scripted.example", *offered]
            text = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
            self._writer.write(text.encode())
            await self._writer.drain()
        self._hello = command
        self._transaction = None

    async def _start_tls(self) -> None:
        assert self._host.context is not None, "the script lets TLS begin without a context"
        await self._play("TLS", "")
        await self._writer.start_tls(self._host.context)
        facts = self._writer.get_extra_info("ssl_object")
        self._tls = facts.version() or ""
        self._transaction = None

    async def _data(self) -> None:
        content = b""
        while (line := await self._reader.readline()) != b".\r\n":
            if not line:
                raise _Over
            if not content:
                await self._play("input", "")
            content += line[1:] if line.startswith(b".") else line
        await self._finish(content)

    async def _chunk(self, command: str) -> None:
        # RFC 3030 §2: BDAT SP chunk-size [SP "LAST"]
        words = command.split(" ")
        if not self._chunks:
            await self._play("input", "")
        self._chunks += await self._reader.readexactly(int(words[1]))
        if words[-1].upper() != "LAST":
            await self._play("BDAT", command)
            return
        content, self._chunks = self._chunks, b""
        await self._finish(content)

    async def _finish(self, content: bytes) -> None:
        transaction, self._transaction = self._transaction, None
        if await self._play("content", "") and transaction is not None and transaction.recipients:
            transaction.content = content
            self._host.taken.append(transaction)
