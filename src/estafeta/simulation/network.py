"""A network in memory: latency, slow peers, connections that break at any octet, partitions, machines that vanish.

A connection is two transports. What one writes arrives at the other in order, after the latency of the way, in
pieces where the way is slow. A `Fate` is drawn for each connection when it is made. Between machines that are parted
nothing arrives until the way is whole again; a connection that waits too long for that is lost to whom has sent.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
import random
import socket
from collections.abc import Callable
from typing import Any

from estafeta.mail.value import value
from estafeta.simulation.loop import PROCESS, Process, VirtualLoop

WRITE_HIGH = 64 * 1024
_APART = 1e-6
GIVE_UP_AFTER = 900.0
"""Seconds after which octets that nobody has acknowledged end a connection, as in most systems."""
SYN_AFTER = 130.0
"""Seconds after which a connection to a machine that says nothing has failed."""


@value
class Fate:
    """What becomes of one connection."""

    latency: float
    """Seconds of the way."""
    breaks_after: int | None = None
    """It breaks when so many octets have been written, both directions counted."""
    is_half: bool = False
    """Only the side that wrote last notices the break; the other waits for ever."""
    piece: int = 0
    """Octets of a piece, where the way is slow; 0: all at once."""


@value
class NetworkFaults:
    """How likely what is; probabilities of each connection."""

    breaks: float = 0.0
    half_open: float = 0.0
    slow: float = 0.0
    refused: float = 0.0


class Socket:
    """Stands where a bound socket would: an address of the network."""

    family = socket.AF_INET

    def __init__(self, ip: str, port: int) -> None:
        self._name = (ip, port)
        self._descriptor = 1

    def getsockname(self) -> tuple[str, int]:
        """The address."""
        return self._name

    def dup(self) -> Socket:
        """Another one of the same address."""
        return Socket(*self._name)

    def fileno(self) -> int:
        """Negative when it is closed."""
        return self._descriptor

    def close(self) -> None:
        """It names the address no more."""
        self._descriptor = -1


class Port:
    """A port that is listened on."""

    def __init__(self, network: Network, factory: Callable[[], asyncio.BaseProtocol], name: tuple[str, int]) -> None:
        self._network = network
        self.factory = factory
        self.name = name
        self.process = PROCESS.get()
        self.context = contextvars.copy_context()

    def close(self) -> None:
        """Accept nothing more."""
        if self._network.ports.get(self.name) is self:
            del self._network.ports[self.name]


class Transport(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, network: Network, connection: Connection, local: tuple[str, int], peer: tuple[str, int]) -> None:
        super().__init__({"peername": peer, "sockname": local})
        self._network = network
        self._loop = network.loop
        self.connection = connection
        self.local, self.peer = local, peer
        self.process = PROCESS.get()
        self.context = contextvars.copy_context()
        self.protocol: Any = None
        self.other: Transport | None = None
        self._arrived: list[bytes] = []
        """Octets that the protocol does not want yet."""
        self._under_way = 0
        self._free_at = 0.0
        """When the way is free for the next piece."""
        self._is_reading = True
        self._is_holding = False
        self._eof_sent = False
        self._eof_arrived = False
        self._eof_told = False
        self._is_closing = False
        self.is_lost = False

    # What the protocol's side calls.

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told."""
        protocol: asyncio.BaseProtocol = self.protocol
        return protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Tell another."""
        self.protocol = protocol

    def write(self, data: Any) -> None:
        """Put octets on their way."""
        if self.is_lost or self._eof_sent or not data:
            return
        self.connection.carry(self, bytes(data))
        if self._under_way > WRITE_HIGH and not self._is_holding:
            self._is_holding = True
            self.protocol.pause_writing()

    def write_eof(self) -> None:
        """Nothing more comes from here."""
        if not self._eof_sent and not self.is_lost:
            self._eof_sent = True
            self.connection.carry_eof(self)

    def can_write_eof(self) -> bool:
        """It can."""
        return True

    def close(self) -> None:
        """Let what is on its way arrive, then end."""
        if self._is_closing:
            return
        self._is_closing = True
        self.write_eof()
        if not self._under_way:
            self.lose(None)

    def is_closing(self) -> bool:
        """Whether the end has begun."""
        return self._is_closing or self.is_lost

    def abort(self) -> None:
        """End at once; the other end hears of it when that arrives."""
        if not self.is_lost:
            self.lose(None)
            self.connection.reset(self)

    def pause_reading(self) -> None:
        """Let octets wait."""
        self._is_reading = False

    def resume_reading(self) -> None:
        """Let them come."""
        self._is_reading = True
        if self._arrived or self._eof_arrived:
            self._loop.call_soon(self._hand_over, context=self.context)

    def is_reading(self) -> bool:
        """Whether they come."""
        return self._is_reading

    def get_write_buffer_size(self) -> int:
        """Octets on their way."""
        return self._under_way

    # What the network calls, in the context of this end's process.

    def take(self, octets: bytes) -> None:
        """Octets have arrived."""
        if self.is_lost:
            return
        self._arrived.append(octets)
        self._hand_over()

    def take_eof(self) -> None:
        """The other end sends no more."""
        if not self.is_lost:
            self._eof_arrived = True
            self._hand_over()

    def _hand_over(self) -> None:
        if self.is_lost or not self._is_reading:
            return
        if self._arrived:
            octets = b"".join(self._arrived)
            self._arrived.clear()
            if self.other is not None:
                self._loop.call_soon(self.other.acknowledged, len(octets), context=self.other.context)
            if not self._is_closing:
                self.protocol.data_received(octets)
            if self.is_lost or not self._is_reading:
                return
        if self._eof_arrived and not self._eof_told:
            self._eof_told = True
            if not self.protocol.eof_received() or self._is_closing:
                self.close()

    def acknowledged(self, count: int) -> None:
        """The other end has read so much."""
        self._under_way -= count
        if self.is_lost:
            return
        if self._is_holding and self._under_way <= WRITE_HIGH // 2:
            self._is_holding = False
            self.protocol.resume_writing()
        if self._is_closing and not self._under_way:
            self.lose(None)

    def lose(self, reason: Exception | None) -> None:
        """The connection is gone for this end."""
        if self.is_lost:
            return
        self.is_lost = True
        self._arrived.clear()
        self._loop.call_soon(self.protocol.connection_lost, reason, context=self.context)
        self.connection.end_lost(self)


class Connection:
    """Two ends and the way between them."""

    def __init__(self, network: Network, number: int, fate: Fate) -> None:
        self._network = network
        self._loop = network.loop
        self.number = number
        self.fate = fate
        self.written = 0
        self.is_broken = False
        self.ends: list[Transport] = []
        self.letters: list[str] = []
        """What whoever watches has seen on it."""
        self.tail = b""
        """The last octets that the client has sent."""

    def _arrival(self, sender: Transport, extra: float = 0.0) -> float:
        # Timers of one instant come in any order; what is sent later arrives later.
        at = max(self._loop.now + self.fate.latency, sender._free_at + _APART) + extra
        sender._free_at = at
        return at

    def carry(self, sender: Transport, octets: bytes) -> None:
        """Octets go to the other end."""
        if self.is_broken:
            return
        fate = self.fate
        if fate.breaks_after is not None and self.written + len(octets) >= fate.breaks_after:
            octets = octets[: fate.breaks_after - self.written]
            self._send(sender, octets)
            self.written += len(octets)
            self._break(sender)
            return
        self.written += len(octets)
        self._send(sender, octets)

    def _send(self, sender: Transport, octets: bytes) -> None:
        other = sender.other
        if other is None or not octets:
            return
        self._network.watch(sender, octets)
        sender._under_way += len(octets)
        piece = self.fate.piece
        if not piece or len(octets) <= piece:
            self._deliver_at(self._arrival(sender), sender, other, octets)
            return
        for at in range(0, len(octets), piece):
            self._deliver_at(self._arrival(sender, self.fate.latency), sender, other, octets[at : at + piece])

    def _deliver_at(self, at: float, sender: Transport, other: Transport, octets: bytes) -> None:
        self._loop.call_at(at, self._deliver, sender, other, octets, context=self._network.context)

    def _deliver(self, sender: Transport, other: Transport, octets: bytes) -> None:
        if not self._network.reaches(sender, other):
            self._network.wait(self, sender, other, lambda: self._deliver(sender, other, octets))
        elif other.process is not None and not other.process.is_alive:
            self._nobody(sender, other)
        elif not other.is_lost:
            self._loop.call_soon(other.take, octets, context=other.context)
        elif not sender.is_lost:  # the other end is closed and answers with a reset
            self._loop.call_soon(sender.lose, ConnectionResetError(), context=sender.context)

    def _nobody(self, sender: Transport, other: Transport) -> None:
        """Who should have it is dead. Its machine, once it is there again, says so."""
        if self._network.is_up(other.local[0]):
            self._loop.call_soon(sender.lose, ConnectionResetError(), context=sender.context)
        else:
            self._network.wait(self, sender, other, lambda: self._nobody(sender, other))

    def carry_eof(self, sender: Transport) -> None:
        """The end of the stream goes to the other end."""
        if not self.is_broken and sender.other is not None:
            self._loop.call_at(
                self._arrival(sender), self._deliver_eof, sender, sender.other, context=self._network.context
            )

    def _deliver_eof(self, sender: Transport, other: Transport) -> None:
        if not self._network.reaches(sender, other):
            self._network.wait(self, sender, other, lambda: self._deliver_eof(sender, other))
        elif not other.is_lost:
            self._loop.call_soon(other.take_eof, context=other.context)

    def reset(self, sender: Transport) -> None:
        """A reset goes to the other end."""
        self._network.broken(self)
        if not self.is_broken and sender.other is not None:
            self.is_broken = True
            at = self._arrival(sender)
            self._loop.call_at(at, self._deliver_reset, sender, sender.other, context=self._network.context)

    def _deliver_reset(self, sender: Transport, other: Transport) -> None:
        if self._network.reaches(sender, other) and not other.is_lost:
            self._loop.call_soon(other.lose, ConnectionResetError(), context=other.context)

    def _break(self, sender: Transport) -> None:
        """The way is gone: who wrote last notices at some time; the other, unless it is half open, too."""
        self.is_broken = True
        self._network.broken(self)
        at = self._loop.now + self.fate.latency * 3
        self._loop.call_at(at, sender.lose, ConnectionResetError(), context=sender.context)
        if sender.other is not None and not self.fate.is_half:
            self._loop.call_at(at, sender.other.lose, ConnectionResetError(), context=sender.other.context)

    def give_up(self) -> None:
        """What was sent was never acknowledged."""
        self._network.broken(self)

    def end_lost(self, end: Transport) -> None:
        """One end is gone."""
        if all(each.is_lost or (each.process is not None and not each.process.is_alive) for each in self.ends):
            self._network.connections.pop(self.number, None)


class Network:
    """The machines, their ports and what is between them."""

    def __init__(self, loop: VirtualLoop, chance: random.Random) -> None:
        self.loop = loop
        self.chance = chance
        self.context = contextvars.copy_context()
        self.faults = NetworkFaults()
        self.ports: dict[tuple[str, int], Port] = {}
        self.connections: dict[int, Connection] = {}
        self.down: set[str] = set()
        """Addresses of machines that are off."""
        self._parted: set[tuple[str, str]] = set()
        self._waiting: list[tuple[Connection, Transport, Transport, Callable[[], None], float]] = []
        self._numbers = 0
        self._next_port = 40_000
        self.addresses: dict[Process, str] = {}
        """The machine of each process."""
        self.nameserver: Callable[[str, bytes], tuple[float, bytes] | None] = lambda _, __: None
        """What a nameserver answers to whom, and after how long; None: nothing."""
        self.watch: Callable[[Transport, bytes], None] = lambda _, __: None
        """Sees what is sent."""
        self.broken: Callable[[Connection], None] = lambda _: None
        """Hears of connections that did not end as they should."""

    # Faults.

    def part(self, one: str, other: str) -> None:
        """Nothing gets from one machine to the other, or back."""
        self._parted |= {(one, other), (other, one)}

    def heal(self, one: str | None = None, other: str | None = None) -> None:
        """The way is whole again; without names: all ways."""
        if one is None or other is None:
            self._parted.clear()
        else:
            self._parted -= {(one, other), (other, one)}
        self._look_at_waiting()

    def is_up(self, ip: str) -> bool:
        """Whether the machine is on."""
        return ip not in self.down

    def reaches(self, sender: Transport, other: Transport) -> bool:
        """Whether octets get there now."""
        one, two = sender.local[0], other.local[0]
        return (one, two) not in self._parted and two not in self.down

    def wait(self, connection: Connection, sender: Transport, other: Transport, then: Callable[[], None]) -> None:
        """Try again when the way is whole; give up in the end."""
        self._waiting.append((connection, sender, other, then, self.loop.now))
        self.loop.call_later(GIVE_UP_AFTER, self._give_up, sender, context=self.context)

    def _give_up(self, sender: Transport) -> None:
        if any(entry[1] is sender for entry in self._waiting):
            self._waiting = [entry for entry in self._waiting if entry[1] is not sender]
            sender.connection.give_up()
            self.loop.call_soon(sender.lose, TimeoutError(errno.ETIMEDOUT, "timed out"), context=sender.context)

    def _look_at_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for entry in waiting:
            if self.reaches(entry[1], entry[2]):
                self.loop.call_soon(entry[3], context=self.context)
            else:
                self._waiting.append(entry)

    def killed(self, process: Process) -> None:
        """A process is dead and its machine is not: the system closes its ports and resets its connections."""
        for port in [port for port in self.ports.values() if port.process is process]:
            port.close()
        for connection in list(self.connections.values()):
            for end in connection.ends:
                if end.process is process and not end.is_lost:
                    end.is_lost = True
                    connection.reset(end)
                    connection.end_lost(end)

    def vanished(self, ip: str, process: Process) -> None:
        """The machine is off: nobody is told."""
        self.down.add(ip)
        for port in [port for port in self.ports.values() if port.process is process]:
            port.close()
        for connection in list(self.connections.values()):
            for end in connection.ends:
                if end.process is process and not end.is_lost:
                    self.broken(connection)
                    end.is_lost = True
                    connection.end_lost(end)

    def returned(self, ip: str) -> None:
        """The machine is on again."""
        self.down.discard(ip)
        self._look_at_waiting()

    # What the event loop asks for.

    def serve(self, factory: Callable[[], asyncio.BaseProtocol], one: Socket) -> Port:
        """Listen."""
        name = one.getsockname()
        if name in self.ports:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        port = self.ports[name] = Port(self, factory, name)
        return port

    async def connect(
        self, factory: Callable[[], Any], host: str, port: int, local: tuple[str, int] | None
    ) -> tuple[Transport, Any]:
        """Connect; raises OSError."""
        process = PROCESS.get()
        own = self.addresses.get(process, "198.51.100.1") if process is not None else "198.51.100.1"
        if local is not None:
            own = local[0]
        self._next_port = self._next_port + 1 if self._next_port < 65_000 else 40_001
        fate = self._fate()
        await asyncio.sleep(fate.latency * 2)
        ends_at = self.loop.now + SYN_AFTER
        while (own, host) in self._parted or not self.is_up(host):
            if self.loop.now > ends_at:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            await asyncio.sleep(1.0)
        there = self.ports.get((host, port))
        if there is None or self.chance.random() < self.faults.refused:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        self._numbers += 1
        connection = self.connections[self._numbers] = Connection(self, self._numbers, fate)
        client = Transport(self, connection, (own, self._next_port), (host, port))
        server = there.context.run(Transport, self, connection, (host, port), (own, self._next_port))
        connection.ends += [client, server]
        client.other, server.other = server, client
        protocol = client.protocol = factory()
        server.protocol = there.context.copy().run(there.factory)
        self.loop.call_soon(server.protocol.connection_made, server, context=server.context)
        protocol.connection_made(client)
        return client, protocol

    def _fate(self) -> Fate:
        chance, faults = self.chance, self.faults
        latency = 0.0005 + chance.random() ** 3 * 0.15
        point = chance.random()
        if point < faults.breaks:
            return Fate(latency, breaks_after=int(10 ** (chance.random() * 4.2)), is_half=chance.random() < 0.2)
        if point < faults.breaks + faults.half_open:
            return Fate(latency, breaks_after=int(10 ** (chance.random() * 4.2)), is_half=True)
        if point < faults.breaks + faults.half_open + faults.slow:
            return Fate(latency * 5, piece=chance.choice((1, 7, 61, 512, 1400)))
        return Fate(latency)

    def datagrams(self, factory: Callable[[], Any], server: tuple[str, int]) -> tuple[_Datagrams, Any]:
        """A socket that is connected to a nameserver."""
        protocol = factory()
        transport = _Datagrams(self, protocol, server[0])
        protocol.connection_made(transport)
        return transport, protocol


class _Datagrams(asyncio.DatagramTransport):
    """Questions out, answers in, when one comes."""

    def __init__(self, network: Network, protocol: Any, server: str) -> None:
        super().__init__()
        self._network = network
        self._protocol = protocol
        self._server = server
        self._is_closed = False
        process = PROCESS.get()
        self._own = network.addresses.get(process, "") if process is not None else ""

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Ask."""
        answered = self._network.nameserver(self._own, bytes(data))
        if answered is not None:
            after, octets = answered
            self._network.loop.call_later(after, self._arrive, octets)

    def _arrive(self, octets: bytes) -> None:
        if not self._is_closed:
            self._protocol.datagram_received(octets, (self._server, 53))

    def close(self) -> None:
        """No more."""
        self._is_closed = True
