"""Connections that are greeted, say EHLO, and then nothing more."""

from __future__ import annotations

import resource
import socket
from types import TracebackType

PATIENCE = 10.0
"""Seconds for a connection and for a reply."""


class TooMany(OSError):
    """The server had no room for another one."""

    def __init__(self, reached: int, error: OSError) -> None:
        super().__init__(f"no room for more than {reached:,} connections: {error}")
        self.reached = reached


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
                one = socket.create_connection(("127.0.0.1", self._port), PATIENCE, source_address=(source, 0))
                try:
                    _expect(one, b"220")
                    one.sendall(b"EHLO idle.example.net\r\n")
                    _expect(one, b"250")
                except OSError:
                    one.close()
                    raise
                self._open.append(one)
        except OSError as error:
            reached = len(self._open)
            self._close()
            raise TooMany(reached, error) from error
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
