"""A server in a thread of its own, with an event loop of its own: for test suites and programs that have none."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from estafeta.server.server import Server


class ThreadedServer:
    """Runs between `start` and `stop`, or within `with`. The handler's methods run in the thread."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def host(self) -> str:
        """The IP address that is listened on."""
        return self.server.host

    @property
    def port(self) -> int:
        """The port; what the system chose where 0 was asked for."""
        return self.server.port

    def start(self) -> None:
        """Returns when the server takes connections. Raises what starting it raised, such as OSError."""
        if self._thread is not None:
            raise RuntimeError("the server is running already")
        started: Future[asyncio.AbstractEventLoop] = Future()
        thread = threading.Thread(target=asyncio.run, args=(self._main(started),), name="estafeta-server", daemon=True)
        thread.start()
        try:
            self._loop = started.result()
        except BaseException:
            thread.join()
            raise
        self._thread = thread

    def stop(self) -> None:
        """Returns when all sessions have ended; does nothing when the server is not running."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None:
            return
        asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop).result()
        thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def _main(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        try:
            await self.server.start()
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result(asyncio.get_running_loop())
        await self.server.serve_forever()
