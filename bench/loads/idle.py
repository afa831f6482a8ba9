"""Connections that are greeted, say EHLO, and then nothing more."""

from __future__ import annotations

import resource
import socket
from types import TracebackType


class Crowd:
    """So many of them; closed at the end of the block."""

    def __init__(self, port: int, number: int) -> None:
        self._port, self._number = port, number
        self._open: list[socket.socket] = []

    def __enter__(self) -> Crowd:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        try:
            for number in range(self._number):
                # Ports of one address of the client's would run out.
                source = f"127.0.{1 + number // 200}.{1 + number % 200}"
                one = socket.create_connection(("127.0.0.1", self._port), timeout=30, source_address=(source, 0))
                self._open.append(one)
                _expect(one, b"220")
                one.sendall(b"EHLO idle.example.net\r\n")
                _expect(one, b"250")
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        for one in self._open:
            one.close()


def _expect(connection: socket.socket, code: bytes) -> None:
    octets = connection.recv(4000)
    if not octets.startswith(code):
        raise OSError(f"refused: {octets[:100]!r}")
