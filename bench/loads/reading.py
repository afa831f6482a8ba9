"""A client of IMAP that counts octets and looks for the tagged line, and one of POP3."""

from __future__ import annotations

import socket
from base64 import b64decode, b64encode
from datetime import datetime
from itertools import count

from bench.peers.peer import PASSWORD, USER
from scramp import ScramClient

Letter = tuple[datetime, bytes]


class Connection:
    """A client that reads as little of the answers as it can."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._numbers = count(1)
        self._buffer = bytearray(1 << 18)
        self._until(b"* ")

    def _until(self, start: bytes) -> tuple[int, bytes]:
        """Read to a last line that begins so; gives how many octets were read, and the line."""
        total, tail, view = 0, b"", memoryview(self._buffer)
        while True:
            got = self._socket.recv_into(view)
            if not got:
                raise OSError(f"the server has closed the connection: {tail!r}")
            total += got
            tail = (tail + bytes(view[max(0, got - 2000) : got]))[-2000:]
            if tail.endswith(b"\r\n"):
                line = tail[tail.rfind(b"\r\n", 0, -2) + 2 if b"\r\n" in tail[:-2] else 0 :]
                if line.startswith(start):
                    return total, line

    def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        # A server that writes an answer in two pieces would wait 40 ms for this side's delayed acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._socket.sendall(octets)

    def command(self, text: str, literals: bytes = b"") -> int:
        """Send a command and read all of its answer; gives how many octets that had."""
        tag = f"tag{next(self._numbers)}"
        self.send(f"{tag} {text}".encode() + literals + b"\r\n")
        octets, line = self._until(tag.encode() + b" ")
        if not line.startswith(f"{tag} OK".encode()):
            raise OSError(f"{text[:100]}: {line!r}")
        return octets

    def login(self) -> None:
        """Log in by SCRAM-SHA-256."""
        client = ScramClient(["SCRAM-SHA-256"], USER, PASSWORD)
        self.send(b"login AUTHENTICATE SCRAM-SHA-256 " + b64encode(client.get_client_first().encode()) + b"\r\n")
        client.set_server_first(b64decode(self._until(b"+ ")[1][2:]).decode())
        self.send(b64encode(client.get_client_final().encode()) + b"\r\n")
        client.set_server_final(b64decode(self._until(b"+ ")[1][2:]).decode())
        self.send(b"\r\n")
        line = self._until(b"login ")[1]
        if not line.startswith(b"login OK"):
            raise OSError(f"login: {line!r}")

    def append(self, mailbox: str, some: list[Letter]) -> None:
        """Put messages into a mailbox by one command."""
        pieces = [_literal(letter) for letter in some]
        self.command(f"APPEND {mailbox}", b"".join(pieces))

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def _literal(letter: Letter) -> bytes:
    moment, octets = letter
    return f' "{moment:%d-%b-%Y %H:%M:%S} +0000" {{{len(octets)}+}}\r\n'.encode() + octets


class Maildrop:
    """A client of POP3 that reads as little as it can."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self._line()

    def _line(self) -> bytes:
        while b"\r\n" not in self._rest:
            self._receive()
        line, _, self._rest = self._rest.partition(b"\r\n")
        if not line.startswith(b"+OK"):
            raise OSError(f"refused: {line!r}")
        return line

    def _receive(self) -> None:
        got = self._socket.recv(1 << 18)
        if not got:
            raise OSError("the server has closed the connection")
        self._rest += got

    def ask(self, *commands: str) -> None:
        """Commands of one line, sent together, and their answers."""
        self._socket.sendall("".join(f"{each}\r\n" for each in commands).encode())
        for _ in commands:
            self._line()

    def read(self, *commands: str) -> None:
        """Commands whose answers have many lines."""
        self._socket.sendall("".join(f"{each}\r\n" for each in commands).encode())
        for _ in commands:
            self._line()
            while (end := (b"\r\n" + self._rest).find(b"\r\n.\r\n")) < 0:
                self._receive()
            self._rest = self._rest[end + 3 :]

    def login(self) -> None:
        """USER and PASS."""
        self.ask(f"USER {USER}")
        self.ask(f"PASS {PASSWORD}")

    def close(self) -> None:
        """QUIT."""
        self.ask("QUIT")
        self._socket.close()
