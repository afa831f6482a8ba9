"""An event loop whose time is a number: it stands still while anything can run, and leaps to the next timer.

Callbacks belong to the `Process` in whose context they were scheduled. One that was killed runs nothing more, not
even what it has to say at its end; one that stands still runs it later. Threads are run in line, after a moment.
Who listens on descriptors (bells) is asked before time goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
import select
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from estafeta.store.store import Store

if TYPE_CHECKING:
    from estafeta.simulation.network import Network

PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)
"""The process that runs; None for the world itself."""

_THREAD_MOST = 0.002
"""The longest that work of a thread takes, in virtual seconds."""


class Stuck(Exception):
    """Nothing can happen any more, and somebody waits."""


class Process:
    """What runs on a machine until it is killed. Its callbacks are those of its context."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_alive = True
        self.is_still = False
        self.postponed: list[asyncio.Handle] = []
        self.bells: dict[int, Callable[[], None]] = {}
        """What gives back the descriptors that it listens on, by descriptor."""
        self.opened: list[Any] = []
        """What work in threads has opened and somebody must close."""
        token = PROCESS.set(self)
        self.context = contextvars.copy_context()
        PROCESS.reset(token)

    def go_on(self, loop: VirtualLoop) -> None:
        """End standing still."""
        self.is_still = False
        postponed, self.postponed = self.postponed, []
        for handle in postponed:
            loop._ready.append(handle)


class _Handle(asyncio.Handle):
    __slots__ = ("process",)
    process: Process | None

    def _run(self) -> None:
        process = self.process
        if process is not None:
            if not process.is_alive:
                return
            if process.is_still:
                process.postponed.append(self)
                return
        super()._run()


class _TimerHandle(asyncio.TimerHandle):
    __slots__ = ("process",)
    process: Process | None

    def _run(self) -> None:
        process = self.process
        if process is not None:
            if not process.is_alive:
                return
            if process.is_still:
                process.postponed.append(self)
                return
        super()._run()


class _Selector:
    """Takes the place of what waits for sockets: it lets time pass instead."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.poll = select.epoll()
        self.callbacks: dict[int, asyncio.Handle] = {}

    def select(self, timeout: float | None) -> list[asyncio.Handle]:
        if timeout is not None and timeout <= 0:
            return []
        if self.callbacks:
            found = self.poll.poll(0)
            if found:
                rung = {descriptor for descriptor, _ in found}
                return [handle for descriptor, handle in self.callbacks.items() if descriptor in rung]
        if timeout is None:
            raise Stuck("nothing can happen any more, and somebody waits")
        scheduled = self._loop._scheduled
        self._loop.now = max(self._loop.now, scheduled[0].when()) if scheduled else self._loop.now + timeout
        return []


class VirtualLoop(BaseEventLoop):
    """See the module. `network` carries what sockets would."""

    _ready: Any
    _scheduled: Any

    def __init__(self, random: Callable[[], float]) -> None:
        super().__init__()
        self.now = 0.0
        self.random = random
        self.network: Network | None = None
        self.turns = 0
        self.failures: list[dict[str, Any]] = []
        """What nobody caught."""
        self._selector = _Selector(self)
        self._clock_resolution = 1e-9
        self.set_exception_handler(lambda _, facts: self.failures.append(facts))

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self.now

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """As usual."""
        handle = _TimerHandle(when, callback, args, self, context)
        handle.process = PROCESS.get() if context is None else context.get(PROCESS)
        heapq.heappush(self._scheduled, handle)
        handle._scheduled = True  # type: ignore[attr-defined]
        return handle

    def _call_soon(
        self, callback: Callable[..., object], args: Any, context: contextvars.Context | None
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        handle.process = PROCESS.get() if context is None else context.get(PROCESS)
        self._ready.append(handle)
        return handle

    def _run_once(self) -> None:
        self.turns += 1
        super()._run_once()  # type: ignore[misc]

    def _process_events(self, event_list: list[asyncio.Handle]) -> None:
        for handle in event_list:
            self._ready.append(handle)

    def _write_to_self(self) -> None:
        pass

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Run it in line, after a moment in which others run."""
        future = self.create_future()
        process = PROCESS.get()

        def run() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
                if process is not None and isinstance(result, Store):
                    process.opened.append(result)

        self.call_later(self.random() * _THREAD_MOST, run)
        return future

    # Descriptors: the bells of processes on one machine.

    def add_reader(self, fd: Any, callback: Callable[..., object], *args: Any) -> None:  # type: ignore[override]
        """Have the callback called when there is something to read."""
        descriptor = fd if isinstance(fd, int) else fd.fileno()
        handle = _Handle(callback, args, self, None)
        handle.process = process = PROCESS.get()
        self._selector.callbacks[descriptor] = handle
        self._selector.poll.register(descriptor, select.EPOLLIN)
        closer = getattr(getattr(callback, "__self__", None), "close", None)
        if process is not None and closer is not None:
            process.bells[descriptor] = closer

    def remove_reader(self, fd: Any) -> bool:
        """No longer."""
        descriptor = fd if isinstance(fd, int) else fd.fileno()
        handle = self._selector.callbacks.pop(descriptor, None)
        if handle is None:
            return False
        if isinstance(handle, _Handle) and handle.process is not None:
            handle.process.bells.pop(descriptor, None)
        self._selector.poll.unregister(descriptor)
        return True

    def silence(self) -> None:
        """End all tasks but the running one, those of killed processes too: what they say then nobody hears."""
        for task in asyncio.all_tasks(self) - {asyncio.current_task(self)}:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with contextlib.suppress(Exception):
                cast(Coroutine[Any, Any, Any], task.get_coro()).close()

    def close(self) -> None:
        """End."""
        if not self.is_closed():
            self._selector.poll.close()
        super().close()

    # The network.

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **settings: Any
    ) -> Any:
        """A connection through the network."""
        assert self.network is not None
        return await self.network.connect(protocol_factory, host, port, settings.get("local_addr"))

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **settings: Any) -> Any:
        """A port of the network, named by a `Socket` of it."""
        assert self.network is not None
        return self.network.serve(protocol_factory, settings["sock"])

    async def create_datagram_endpoint(self, protocol_factory: Any, **settings: Any) -> Any:  # type: ignore[override]
        """Datagrams to one server and back."""
        assert self.network is not None
        return self.network.datagrams(protocol_factory, settings["remote_addr"])
