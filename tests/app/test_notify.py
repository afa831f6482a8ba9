"""What a service manager hears of the server."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from estafeta.app import notify


class Manager:
    """A socket as systemd's."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(5)
        self.environ = {"NOTIFY_SOCKET": address.replace("\0", "@")}

    def heard(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "s") if request.param == "path" else f"\0estafeta-test-{os.getpid()}"
    one = Manager(address)
    yield one
    one.socket.close()


def test_what_is_said_is_heard(manager: Manager) -> None:
    assert notify.ready("serving on 3 ports", environ=manager.environ)
    assert manager.heard() == ["READY=1", "STATUS=serving on 3 ports"]
    assert notify.ready(environ=manager.environ)
    assert manager.heard() == ["READY=1"]
    assert notify.stopping(environ=manager.environ)
    assert manager.heard() == ["STOPPING=1"]
    assert notify.alive(environ=manager.environ)
    assert manager.heard() == ["WATCHDOG=1"]
    assert notify.extend_timeout(1.5, environ=manager.environ)
    assert manager.heard() == ["EXTEND_TIMEOUT_USEC=1500000"]


def test_reloading_tells_the_clock_that_the_manager_compares(manager: Manager) -> None:
    assert notify.reloading(environ=manager.environ)
    word, clock = manager.heard()
    assert word == "RELOADING=1"
    name, _, instant = clock.partition("=")
    assert name == "MONOTONIC_USEC"
    assert 0 < int(instant) < 2**63


def test_a_status_is_one_line(manager: Manager) -> None:
    assert notify.status("one\nREADY=0\r two", environ=manager.environ)
    assert manager.heard() == ["STATUS=one READY=0 two"]


def test_files_travel_with_what_is_said(manager: Manager) -> None:
    reading, writing = os.pipe()
    assert notify.notify("FDSTORE=1", "FDNAME=smtp", files=[writing], environ=manager.environ)
    octets, files, _, _ = socket.recv_fds(manager.socket, 4096, 4)
    assert octets == b"FDSTORE=1\nFDNAME=smtp"
    os.close(writing)
    os.write(files[0], b"x")
    assert os.read(reading, 1) == b"x"
    for each in (reading, *files):
        os.close(each)


@pytest.mark.parametrize("address", ["", "nowhere", "/no/such/socket", "@estafeta-nobody-listens"])
def test_without_a_manager_nothing_happens(address: str) -> None:
    assert not notify.ready(environ={"NOTIFY_SOCKET": address})
    assert not notify.ready(environ={})


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_signs_of_life_are_wanted_where_the_manager_says_so(environ: dict[str, str], seconds: float | None) -> None:
    assert notify.watchdog_after(environ=environ, process=7) == seconds
