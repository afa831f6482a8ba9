"""Ten thousand clients that say nothing more: the server stays small, and serves who comes next."""

from __future__ import annotations

import resource
import socket
from pathlib import Path

import pytest
from tests.faults.conftest import Serve

from estafeta.config.settings import ListenerKind
from estafeta.net.files import raise_file_limit

CROWD = 10_000
MOST_EACH = 40 * 1024
"""Octets of memory of an idle connection, the kernel's buffers not counted."""

pytestmark = pytest.mark.peers


def memory(pid: int) -> int:
    """Resident octets of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def test_ten_thousand_idle_connections_cost_little_and_keep_nobody_out(serve: Serve) -> None:
    if raise_file_limit() < CROWD + 1000:
        pytest.skip("too few open files")
    server = serve(f"[connections]\nconnections = {CROWD + 10}\n")
    assert server._process is not None
    port = server.ports[ListenerKind.SMTP]
    before = memory(server._process.pid)
    crowd: list[socket.socket] = []
    try:
        for number in range(CROWD):
            # Ports of one address of the client's would run out.
            source = f"127.0.{1 + number // 200}.{1 + number % 200}"
            one = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0))
            assert one.recv(100).startswith(b"220")
            one.sendall(b"EHLO idle.example.net\r\n")
            assert one.recv(2000).startswith(b"250")
            crowd.append(one)
        each = (memory(server._process.pid) - before) / CROWD
        print(f"\n{CROWD} idle connections: {each / 1024:.1f} KiB each, {memory(server._process.pid) >> 20} MiB in all")
        with socket.create_connection(("127.0.0.1", port), timeout=30) as late:
            late.sendall(b"HELO late.example.net\r\nQUIT\r\n")
            assert late.recv(100).startswith(b"220")
    finally:
        for one in crowd:
            one.close()
    assert each < MOST_EACH
