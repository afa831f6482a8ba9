"""The host that mail is relayed to."""

from __future__ import annotations

import asyncio
import threading


class NextHost:
    """Takes all mail, and keeps what it answered 250; a thread of its own, so that the load does not stop it."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._is_up.wait(10)

    def _run(self) -> None:
        async def main() -> None:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            self._end = asyncio.Event()
            self._is_up.set()
            async with server:
                await self._end.wait()

        self._loop.run_until_complete(main())
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"220 next.example.net ESMTP\r\n")
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"EHLO":
                    writer.write(b"250-next.example.net\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
                elif verb == b"DATA":
                    writer.write(b"354 go on\r\n")
                    octets = await reader.readuntil(b"\r\n.\r\n")
                    self.taken.append(octets[:-3])
                    writer.write(b"250 taken\r\n")
                elif verb == b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                else:
                    writer.write(b"250 ok\r\n")
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def close(self) -> None:
        """No more."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
