"""Listening sockets that outlive a process: handed over by systemd, by our first process, or by who ran before.

A connection waits in the queue of its socket while nobody accepts, so a socket that stays open from one process to
the next refuses nobody. Listeners get copies; the sockets stay here until their address is no longer wanted.
The protocol is that of sd_listen_fds(3); between our own processes a variable of our own says the numbers.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Protocol

import structlog

from estafeta.net.address import PeerAddress
from estafeta.net.binding import bound_sockets

_log = structlog.get_logger("estafeta.net.inherited")

FIRST_DESCRIPTOR: Final = 3
"""Where the descriptors of sd_listen_fds(3) begin."""
OWN_VARIABLE: Final = "ESTAFETA_SOCKETS"
"""The descriptors that our first process hands to another, with commas between."""
_KEPT: Final = "kept-"
# Nobody hands over more; a number that is wrong shall not make us look at a million descriptors.
_MOST_DESCRIPTORS: Final = 4096
_EVERYBODY: Final = 0
"""The process of a socket that all processes accept from."""
_NOBODY: Final = -1
"""The process of a socket that was kept from an earlier run, until it is given to one."""


class Keeper(Protocol):
    """Keeps sockets open beyond this process, as the service manager does."""

    def keep(self, name: str, descriptor: int) -> None:
        """Keep a copy under this name."""

    def forget(self, name: str) -> None:
        """Close what is kept under this name."""


@dataclass(slots=True)
class _Held:
    """One socket, and who accepts from it."""

    socket: socket.socket
    address: PeerAddress
    process: int
    """The number of the one process that accepts from it, from 1; `_EVERYBODY`, `_NOBODY`."""
    name: str = ""
    """Under which the keeper has it; empty where it has not."""


class ListeningSockets:
    """The listening sockets of a server's processes, as the first of them holds them, or one of the others."""

    def __init__(self, keeper: Keeper | None = None) -> None:
        self._keeper = keeper
        self._held: list[_Held] = []
        self._processes = 1

    def __len__(self) -> int:
        return len(self._held)

    def inherit(self, environment: MutableMapping[str, str], process_id: int) -> None:
        """Take what this process was started with; the variables are removed, so that no child takes it again.

        What is no listening TCP socket is said and closed.
        """
        count, pid, names = (environment.pop(name, "") for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"))
        if count and pid == str(process_id):  # sd_listen_fds(3): what is for another process is not touched
            said = names.split(":")
            for place, descriptor in enumerate(_descriptors(count)):
                self.take_over(descriptor, said[place] if place < len(said) else "")
        for number in environment.pop(OWN_VARIABLE, "").split(","):
            if number.isascii() and number.isdecimal():
                self._admit(int(number), 1)

    def take_over(self, descriptor: int, name: str = "") -> None:
        """Take what the service manager hands over: from a socket unit, or what it had kept for us under a name."""
        if name.startswith(_KEPT):
            self._admit(descriptor, _NOBODY, name)
        else:
            self._admit(descriptor, _EVERYBODY)

    async def fit(self, wanted: Iterable[tuple[str, int]], processes: int = 1) -> dict[tuple[str, int], OSError]:
        """Hold a socket for each of these IP addresses and ports; gives what cannot be had.

        Each of several processes has a socket of its own for a port (SO_REUSEPORT) where we bind it ourselves, and
        shares those that were handed over. An address with port 0 is no matter of this.
        """
        self._processes = processes
        failed: dict[tuple[str, int], OSError] = {}
        for host, port in dict.fromkeys(wanted):
            if not port:
                continue
            self._distribute(host, port)
            if self._of(1, host, port):
                continue
            try:
                await self._bind(1, host, port)
            except OSError as error:
                failed[host, port] = error
        return failed

    def keep_only(self, wanted: Iterable[tuple[str, int]]) -> None:
        """Close the sockets of other addresses than these: nobody accepts what comes there."""
        asked = [*wanted]
        for held in [held for held in self._held if not any(_fits(held, *each) for each in asked)]:
            if held.process in (_EVERYBODY, _NOBODY):
                _log.warning("a socket that was handed over fits no listener, closed", address=str(held.address))
            self._release(held)

    async def share(self, process: int) -> list[int]:
        """The descriptors that the process of this number, from 2, is started with; what it lacks is bound.

        Where that cannot be done, as without the rights that were given up, it accepts from the first one's.
        """
        descriptors: list[int] = []
        for host, port in dict.fromkeys((held.address.ip, held.address.port) for held in self._held):
            if not (mine := self._of(process, host, port)):
                try:
                    mine = await self._bind(process, host, port)
                except OSError:
                    mine = self._of(1, host, port)
            descriptors += [held.socket.fileno() for held in mine]
        return descriptors

    def give_up(self, process: int) -> None:
        """The process of this number does not run: nobody shall wait for it."""
        for held in [held for held in self._held if held.process == process]:
            self._release(held)

    async def take(self, host: str | None, port: int, *, reuse_port: bool = False) -> list[socket.socket]:
        """Copies of the sockets that fit, for a listener of this process; bound anew where none does.

        Raises OSError naming address and port when they cannot be had.
        """
        if host is not None and port and (fitting := self._of(1, host, port)):
            return [held.socket.dup() for held in fitting]
        return await bound_sockets(host, port, reuse_port=reuse_port)

    def close(self) -> None:
        """Close all; what a keeper has stays open there."""
        for held in self._held:
            held.socket.close()
        self._held.clear()

    def _of(self, process: int, host: str, port: int) -> list[_Held]:
        return [held for held in self._held if held.process in (process, _EVERYBODY) and _fits(held, host, port)]

    def _admit(self, descriptor: int, process: int, name: str = "") -> None:
        try:
            os.set_inheritable(descriptor, False)
            one = socket.socket(fileno=descriptor)
        except OSError as error:
            _log.warning("what was handed over is no socket", descriptor=descriptor, reason=error.strerror)
            with suppress(OSError):
                os.close(descriptor)
            return
        address = _listening_address(one)
        if address is None:
            _log.warning("a socket that was handed over does not listen on TCP, closed", descriptor=descriptor)
            one.close()
            return
        one.setblocking(False)
        self._held.append(_Held(one, address, process, name))

    def _distribute(self, host: str, port: int) -> None:
        """Each socket that was kept belongs to one process, and those of processes that are too many to the first.

        So no connection that waits in one is without who accepts it, however many processes there were before.
        """
        kept = 0
        for held in self._held:
            if not _fits(held, host, port):
                continue
            if held.process == _NOBODY:
                held.process = kept % self._processes + 1
                kept += 1
            elif held.process > self._processes:
                held.process = 1

    async def _bind(self, process: int, host: str, port: int) -> list[_Held]:
        """Bind for one process. That nobody else has the port shows only while SO_REUSEPORT is not set."""
        own = [held for held in self._held if held.process != _EVERYBODY and _fits(held, host, port)]
        for held in own:
            held.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound = []
        for one in await bound_sockets(host, port, reuse_port=bool(own)):
            if self._processes > 1:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            address = _listening_address(one)
            assert address is not None
            held = _Held(one, address, process)
            if self._keeper is not None:
                held.name = self._free_name(address)
                self._keeper.keep(held.name, one.fileno())
            self._held.append(held)
            bound.append(held)
        return bound

    def _free_name(self, address: PeerAddress) -> str:
        """A name as sd_pid_notify_with_fds(3) allows it: printable, without colons."""
        taken = {held.name for held in self._held}
        place = f"{_KEPT}{address.ip.replace(':', '.')}-{address.port}"
        return next(name for number in range(1, len(taken) + 2) if (name := f"{place}-{number}") not in taken)

    def _release(self, held: _Held) -> None:
        self._held.remove(held)
        if held.name and self._keeper is not None:
            self._keeper.forget(held.name)
        held.socket.close()


def _descriptors(count: str) -> range:
    number = int(count) if count.isascii() and count.isdecimal() else 0
    return range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + min(number, _MOST_DESCRIPTORS))


def _listening_address(one: socket.socket) -> PeerAddress | None:
    """Where a TCP socket listens, or is bound to; None for sockets of other kinds, and for connections."""
    if one.family not in (socket.AF_INET, socket.AF_INET6) or one.type != socket.SOCK_STREAM:
        return None
    with suppress(OSError):
        one.getpeername()
        return None
    name = one.getsockname()
    return PeerAddress(str(ip_address(name[0].partition("%")[0])), int(name[1])) if name[1] else None


def _fits(held: _Held, host: str, port: int) -> bool:
    try:
        return held.address.port == port and ip_address(held.address.ip) == ip_address(host.partition("%")[0])
    except ValueError:  # a name
        return False
