"""Hosts of other people: they take mail, or do with it what hosts do, as a script says.

They speak just enough SMTP, know no extension but PIPELINING, and write down what they have taken.
"""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from estafeta.mail.value import value
from estafeta.simulation.loop import Process, VirtualLoop
from estafeta.simulation.network import Network, Port, Socket


class Script(StrEnum):
    """What a host does with those who call."""

    ACCEPT = "accept"
    GREYLIST = "greylist"
    """It defers each pair of reverse-path and forward-path for five minutes."""
    DEFER_MAIL = "defer-mail"
    DEFER_RCPT = "defer-rcpt"
    DEFER_CONTENT = "defer-content"
    REJECT_RCPT = "reject-rcpt"
    REJECT_CONTENT = "reject-content"
    SOME = "some"
    """It takes every other recipient and defers the others."""
    BUSY = "busy"
    """421 as its greeting."""
    LEAVE = "leave"
    """421 in the midst of a session."""
    SILENT = "silent"
    """It says nothing after it was connected to."""
    SILENT_AT_END = "silent-at-end"
    """It takes the content and does not answer."""
    GARBAGE = "garbage"
    """It says what is no reply."""
    DROP = "drop"
    """It closes when the content has come, and has not kept it."""
    KEEP_AND_DROP = "keep-and-drop"
    """It keeps the content and closes without a word."""


TEMPORARY = tuple(each for each in Script if each not in (Script.ACCEPT, Script.REJECT_RCPT, Script.REJECT_CONTENT))
GREY_FOR = 300.0

_PATH = re.compile(rb"<([^>]*)>")


@value
class Taken:
    """One transaction that a host answered 250, or kept."""

    at: float
    reverse_path: str
    forward_paths: tuple[str, ...]
    content: bytes


@dataclass(slots=True)
class Foreign:
    """A host and what it was given."""

    name: str
    ip: str
    script: Script = Script.ACCEPT
    taken: list[Taken] = field(default_factory=list)
    seen: dict[tuple[str, str], float] = field(default_factory=dict)
    """When a pair of paths was first met, for greylisting."""
    port: Port | None = None

    @property
    def domain(self) -> str:
        """The domain whose mail it takes."""
        return f"{self.name}.test"

    def open(self, network: Network, chance: random.Random) -> None:
        """Listen on port 25."""
        process = Process(self.name)
        network.addresses[process] = self.ip
        port = Socket(self.ip, 25)
        self.port = process.context.run(network.serve, lambda: _Session(self, network.loop, chance), port)

    def move(self, network: Network, chance: random.Random, ip: str) -> None:
        """Go on at another address."""
        if self.port is not None:
            self.port.close()
        self.ip = ip
        self.open(network, chance)


class _Session(asyncio.Protocol):
    def __init__(self, host: Foreign, loop: VirtualLoop, chance: random.Random) -> None:
        self._host = host
        self._loop = loop
        self._chance = chance
        self._transport: Any = None
        self._buffer = b""
        self._script = host.script
        self._in_data = False
        self._reverse_path = ""
        self._forward_paths: list[str] = []
        self._rcpts = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        if self._script is Script.BUSY:
            self._say("421 4.3.2 busy")
            self._transport.close()
        elif self._script is Script.GARBAGE:
            self._transport.write(self._chance.randbytes(60) + b"\r\n" * 3)
        elif self._script is not Script.SILENT:
            self._say(f"220 {self._host.domain} ESMTP")

    def data_received(self, data: bytes) -> None:
        if self._script in (Script.SILENT, Script.GARBAGE):
            return
        self._buffer += data
        while not self._transport.is_closing():
            if self._in_data:
                end = self._buffer.find(b"\r\n.\r\n")
                if end < 0:
                    return
                content, self._buffer = self._buffer[: end + 2], self._buffer[end + 5 :]
                self._in_data = False
                self._end(content.replace(b"\r\n..", b"\r\n."))
                continue
            line, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                return
            self._buffer = rest
            self._command(line)

    def _say(self, text: str) -> None:
        self._transport.write(text.encode() + b"\r\n")

    def _command(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb in (b"EHLO", b"HELO"):
            self._say(f"250-{self._host.domain}\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES")
        elif verb == b"MAIL":
            if self._script is Script.LEAVE and self._chance.random() < 0.5:
                self._leave()
                return
            self._reverse_path, self._forward_paths, self._rcpts = _path(line), [], 0
            self._say("451 4.3.0 not now" if self._script is Script.DEFER_MAIL else "250 2.1.0 ok")
        elif verb == b"RCPT":
            self._rcpt(_path(line))
        elif verb == b"DATA":
            if self._script is Script.LEAVE:
                self._leave()
            elif not self._forward_paths:
                self._say("503 5.5.1 no recipients")
            else:
                self._in_data = True
                self._say("354 go on")
        elif verb == b"RSET":
            self._forward_paths = []
            self._say("250 2.0.0 ok")
        elif verb == b"QUIT":
            self._say("221 2.0.0 bye")
            self._transport.close()
        else:
            self._say("500 5.5.1 what?")

    def _leave(self) -> None:
        self._say("421 4.3.2 leaving")
        self._transport.close()

    def _rcpt(self, path: str) -> None:
        self._rcpts += 1
        script = self._script
        if script is Script.REJECT_RCPT or path.startswith("nobody@"):
            self._say("550 5.1.1 no such user")
        elif script is Script.DEFER_RCPT or (script is Script.SOME and self._rcpts % 2):
            self._say("450 4.2.1 later")
        elif script is Script.GREYLIST and self._is_grey(path):
            self._say("451 4.7.1 greylisted")
        else:
            self._forward_paths.append(path)
            self._say("250 2.1.5 ok")

    def _is_grey(self, path: str) -> bool:
        first = self._host.seen.setdefault((self._reverse_path, path), self._loop.now)
        return self._loop.now - first < GREY_FOR

    def _end(self, content: bytes) -> None:
        script = self._script
        if script in (Script.DEFER_CONTENT, Script.REJECT_CONTENT):
            self._say("450 4.3.0 later" if script is Script.DEFER_CONTENT else "554 5.6.0 no")
        elif script is Script.DROP:
            self._transport.abort()
        elif script is Script.SILENT_AT_END:
            return
        else:
            paths = tuple(self._forward_paths)
            self._host.taken.append(Taken(self._loop.now, self._reverse_path, paths, content))
            if script is Script.KEEP_AND_DROP:
                self._transport.abort()
            else:
                self._say("250 2.0.0 taken")
        self._forward_paths = []

    def eof_received(self) -> bool:
        return False


def _path(line: bytes) -> str:
    found = _PATH.search(line)
    return found[1].decode() if found else ""
