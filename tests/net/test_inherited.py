"""Sockets that were handed over: which are taken, who accepts from them, and what becomes of the others."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from estafeta.net.errors import ConnectFailed
from estafeta.net.inherited import FIRST_DESCRIPTOR, OWN_VARIABLE, Keeper, ListeningSockets
from estafeta.net.listener import Room, listen
from estafeta.net.stream import SocketStream, connect

Run = Callable[[Coroutine[Any, Any, None]], None]
LOOPBACK = "127.0.0.1"


class Shelf:
    """A keeper that remembers what it was given, as a service manager does."""

    def __init__(self) -> None:
        self.kept: dict[str, int] = {}

    def keep(self, name: str, descriptor: int) -> None:
        self.kept[name] = os.dup(descriptor)

    def forget(self, name: str) -> None:
        os.close(self.kept.pop(name))


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf()
    yield made
    for name in [*made.kept]:
        made.forget(name)


def bound(host: str = LOOPBACK, family: int = socket.AF_INET) -> tuple[int, int]:
    """A socket that listens, as its descriptor, and its port."""
    one = socket.socket(family)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    one.bind((host, 0))
    one.listen()
    port = one.getsockname()[1]
    return one.detach(), port


def handed(*descriptors: int, keeper: Keeper | None = None) -> ListeningSockets:
    """What a first process has to which systemd gave these."""
    sockets = ListeningSockets(keeper)
    for descriptor in descriptors:
        sockets.take_over(descriptor)
    return sockets


def in_child(names: str, pid: Callable[[], int], count: int) -> list[str]:
    """What a child that begins with so many listening sockets, from descriptor 3 on, takes of them."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            made = [bound()[0] for _ in range(count)]
            writing = os.dup2(writing, 100)
            for place, descriptor in enumerate([os.dup2(each, 50 + place) for place, each in enumerate(made)]):
                os.dup2(descriptor, FIRST_DESCRIPTOR + place)
            environment = {"LISTEN_FDS": str(count), "LISTEN_PID": str(pid()), "LISTEN_FDNAMES": names, "HOME": "/"}
            sockets = ListeningSockets()
            sockets.inherit(environment, os.getpid())
            left = ",".join(environment)
            inherited = any(os.get_inheritable(FIRST_DESCRIPTOR + place) for place in range(len(sockets)))
            os.write(writing, f"{len(sockets)} {left} {inherited}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        said = file.read().decode().split()
    os.waitpid(child, 0)
    return said


def test_what_systemd_hands_over_is_taken_and_no_child_takes_it_again() -> None:
    assert in_child("a:b", os.getpid, 2) == ["2", "HOME", "False"]


def test_what_is_for_another_process_is_left_alone() -> None:
    parent = os.getpid()
    assert in_child("a:b", lambda: parent, 2)[:2] == ["0", "HOME"]


@pytest.mark.parametrize("count", ["-1", "x", "", "²"])
def test_a_count_that_is_none_is_no_count(count: str) -> None:
    sockets = ListeningSockets()
    sockets.inherit({"LISTEN_FDS": count, "LISTEN_PID": str(os.getpid())}, os.getpid())
    assert len(sockets) == 0


def test_a_listener_takes_the_socket_of_its_address_and_port(run: Run) -> None:
    async def main() -> None:
        descriptor, port = bound()
        waiting = socket.create_connection((LOOPBACK, port))  # before anybody accepts
        sockets = handed(descriptor)

        async def serve(stream: SocketStream) -> None:
            stream.send(b"welcome")

        listener = await listen(LOOPBACK, port, serve, sockets=sockets)
        assert listener.port == port
        assert await asyncio.get_running_loop().run_in_executor(None, waiting.recv, 100) == b"welcome"
        waiting.close()
        assert await listener.drain(5)
        # It was a copy: the socket listens on, and the next listener has it.
        later = socket.create_connection((LOOPBACK, port))
        listener = await listen(LOOPBACK, port, serve, sockets=sockets)
        assert await asyncio.get_running_loop().run_in_executor(None, later.recv, 100) == b"welcome"
        later.close()
        assert await listener.drain(5)
        sockets.close()
        with pytest.raises(ConnectFailed):
            await connect(LOOPBACK, port)

    run(main())


def test_another_process_of_ours_has_what_it_is_started_with(run: Run) -> None:
    async def main() -> None:
        descriptor, port = bound()
        sockets = ListeningSockets()
        environment = {OWN_VARIABLE: f"{descriptor},", "HOME": "/"}
        sockets.inherit(environment, os.getpid())
        assert environment == {"HOME": "/"} and not os.get_inheritable(descriptor)
        (taken,) = await sockets.take(LOOPBACK, port, reuse_port=True)
        assert inode(taken.fileno()) == inode(descriptor)
        taken.close()
        sockets.keep_only([])  # its settings have no such port any more
        with pytest.raises(ConnectFailed):
            await connect(LOOPBACK, port)

    run(main())


def test_what_fits_no_listener_is_said_and_closed(run: Run) -> None:
    async def main() -> None:
        (wanted, port), (other, other_port) = bound(), bound()
        sockets = handed(wanted, other)
        assert await sockets.fit([(LOOPBACK, port)]) == {}
        with capture_logs() as logs:
            sockets.keep_only([(LOOPBACK, port)])
        assert [entry["address"] for entry in logs] == [f"{LOOPBACK}:{other_port}"]
        with pytest.raises(ConnectFailed):
            await connect(LOOPBACK, other_port)
        (await connect(LOOPBACK, port)).abort()
        sockets.close()

    run(main())


def test_what_does_not_listen_on_tcp_is_closed() -> None:
    reading, writing = os.pipe()
    unix, datagram = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server = socket.create_server((LOOPBACK, 0))
    connection = socket.create_connection(server.getsockname())
    strange = [reading, unix.detach(), datagram.detach(), connection.detach()]
    with capture_logs() as logs:
        sockets = handed(*strange, 9999)
    assert len(sockets) == 0 and len(logs) == 5
    for descriptor in strange:
        with pytest.raises(OSError):
            os.fstat(descriptor)
    os.close(writing)
    server.close()


def test_family_address_and_port_must_fit(run: Run) -> None:
    async def main() -> None:
        descriptor, port = bound("::1", socket.AF_INET6)
        sockets = handed(descriptor)
        (taken,) = await sockets.take("0:0::1", port)
        assert os.fstat(taken.fileno()).st_ino == os.fstat(descriptor).st_ino
        taken.close()
        (other,) = await sockets.take(LOOPBACK, port)
        assert other.family == socket.AF_INET
        other.close()
        sockets.close()

    run(main())


def test_each_process_has_a_socket_of_its_own_where_we_bind_ourselves(run: Run) -> None:
    async def main() -> None:
        descriptor, port = bound()
        os.close(descriptor)
        sockets = ListeningSockets()
        assert await sockets.fit([(LOOPBACK, port)], processes=3) == {}
        second, third = await sockets.share(2), await sockets.share(3)
        assert len({*second, *third}) == 2
        assert await sockets.share(2) == second  # who is started again takes up its own
        sockets.give_up(2)
        again = await sockets.share(2)
        assert len(again) == 1 and len(sockets) == 3
        sockets.close()

    run(main())


def test_what_was_handed_over_is_shared(run: Run, shelf: Shelf) -> None:
    async def main() -> None:
        descriptor, port = bound()
        sockets = handed(descriptor, keeper=shelf)
        assert await sockets.fit([(LOOPBACK, port)], processes=2) == {}
        assert await sockets.share(2) == await sockets.share(3) == [descriptor]
        assert not shelf.kept  # its socket unit keeps it
        sockets.close()

    run(main())


def test_a_port_that_somebody_else_has_is_told(run: Run) -> None:
    async def main() -> None:
        taken = socket.socket()
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind((LOOPBACK, 0))
        taken.listen()
        place = taken.getsockname()[:2]
        sockets = ListeningSockets()
        # Although he would share it: that is for the processes of one server.
        failed = await sockets.fit([place], processes=2)
        assert str(place[1]) in str(failed[place]) and len(sockets) == 0
        taken.close()

    run(main())


def test_the_keeper_has_what_we_bound_until_nobody_wants_it(run: Run, shelf: Shelf) -> None:
    async def main() -> None:
        ports = []
        for _ in range(2):
            descriptor, port = bound()
            os.close(descriptor)
            ports.append(port)
        sockets = ListeningSockets(shelf)
        await sockets.fit([(LOOPBACK, port) for port in ports], processes=2)
        await sockets.share(2)
        assert sorted(shelf.kept) == sorted(f"kept-127.0.0.1-{port}-{number}" for port in ports for number in (1, 2))
        sockets.keep_only([(LOOPBACK, ports[0])])
        assert {name.split("-")[2] for name in shelf.kept} == {str(ports[0])}
        sockets.close()
        assert len(shelf.kept) == 2  # for the one who comes next

    run(main())


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_none_of_what_was_kept_is_without_an_acceptor(run: Run, processes: int) -> None:
    """Three sockets were kept; however many processes come now, each socket is somebody's."""

    async def main() -> None:
        sockets = ListeningSockets()
        first, port = bound_shared(0)
        made = [first, bound_shared(port)[0], bound_shared(port)[0]]
        for number, descriptor in enumerate(made):
            sockets.take_over(descriptor, f"kept-127.0.0.1-{port}-{number}")
        await sockets.fit([(LOOPBACK, port)], processes)
        own = await sockets.take(LOOPBACK, port)
        accepted_by = [inode(each.fileno()) for each in own]
        for each in own:
            each.close()
        for number in range(2, processes + 1):
            accepted_by += [inode(each) for each in await sockets.share(number)]
        assert {inode(each) for each in made} <= set(accepted_by) and len(accepted_by) == len(set(accepted_by))
        assert len(own) == -(-3 // min(processes, 3)) and len(accepted_by) == max(processes, 3)
        sockets.close()

    run(main())


def bound_shared(port: int) -> tuple[int, int]:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind((LOOPBACK, port))
    one.listen()
    port = one.getsockname()[1]
    return one.detach(), port


def inode(descriptor: int) -> int:
    return os.fstat(descriptor).st_ino


def test_while_the_room_is_shut_new_connections_are_told_so_and_open_ones_go_on(run: Run) -> None:
    async def main() -> None:
        async def echo(stream: SocketStream) -> None:
            stream.send(b"220 ready\r\n")
            while octets := await stream.receive():
                stream.send(octets)

        room = Room(10)
        listener = await listen(LOOPBACK, 0, echo, room=room, refuse=b"421 too many\r\n")
        listener.shut = b"421 busy\r\n"
        first = await connect(LOOPBACK, listener.port)
        assert await first.receive() == b"220 ready\r\n"
        room.is_shut = True
        second = await connect(LOOPBACK, listener.port)
        assert await second.receive() == b"421 busy\r\n" and await second.receive() == b""
        first.send(b"still here")
        assert await first.receive() == b"still here"
        room.is_shut = False
        third = await connect(LOOPBACK, listener.port)
        assert await third.receive() == b"220 ready\r\n"
        assert room.turned_away == listener.refused == 1
        for stream in (first, second, third):
            await stream.close()
        assert await listener.drain(5)

    run(main())
