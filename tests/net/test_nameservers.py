"""Which servers are asked: those given, or those of the system as its file says now."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from estafeta.net.nameservers import Nameservers, read_resolv_conf


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def nameservers(*servers: str, clock: Clock | None = None, resolv_conf: Path = Path("/nowhere")) -> Nameservers:
    return Nameservers(servers, port=53, timeout=5, tries=2, monotonic=clock or Clock(), resolv_conf=resolv_conf)


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("nameserver 192.0.2.53\n", ("192.0.2.53",)),
        (
            "# nameserver 192.0.2.1\n;x\nsearch example.org\n  nameserver\t::1 \nnameserver 192.0.2.2",
            ("::1", "192.0.2.2"),
        ),
        ("nameserver a\nnameserver b\nnameserver c\nnameserver d\n", ("a", "b", "c")),
        ("nameserver\noptions edns0", ("127.0.0.1",)),
        ("", ("127.0.0.1",)),
    ],
)
def test_the_file_of_the_system_names_the_servers(text: str, servers: tuple[str, ...]) -> None:
    assert read_resolv_conf(text) == servers


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file, clock = tmp_path / "resolv.conf", Clock()
    file.write_text("nameserver 192.0.2.1\n")
    servers = nameservers(clock=clock, resolv_conf=file)
    assert servers.servers == ("192.0.2.1",)
    new = tmp_path / "new"
    new.write_text("nameserver 192.0.2.2\n")
    os.replace(new, file)
    assert servers.servers == ("192.0.2.1",)  # nobody looks for each question
    clock.now += 5
    assert servers.servers == ("192.0.2.2",)
    file.unlink()
    clock.now += 5
    assert servers.servers == ("192.0.2.2",)


def test_without_the_file_this_machine_is_asked(tmp_path: Path) -> None:
    assert nameservers(resolv_conf=tmp_path / "none").servers == ("127.0.0.1",)


def test_servers_given_are_asked_whatever_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 192.0.2.1\n")
    assert nameservers("192.0.2.9", resolv_conf=file).servers == ("192.0.2.9",)


@pytest.mark.rfc("4035", "Only servers that are all on this machine are believed by default.")
@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        (("127.0.0.1",), True),
        (("127.0.0.53", "::1"), True),
        (("127.0.0.1", "192.0.2.1"), False),
        (("192.0.2.1",), False),
        (("fe80::1%eth0",), False),
        (("localhost",), False),
    ],
)
def test_only_servers_that_are_all_on_this_machine_are_local(servers: tuple[str, ...], expected: bool) -> None:
    assert nameservers(*servers).are_local is expected


def test_each_server_is_given_its_time() -> None:
    assert nameservers("a").longest_wait == 10
    assert nameservers("a", "b", "c").longest_wait == 15
