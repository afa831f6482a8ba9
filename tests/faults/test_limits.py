"""The limit of open files and of memory is reached: those who are in are served, and it passes."""

from __future__ import annotations

import os
import smtplib
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.figures import Figures
from tests.faults.load import content, found_numbers
from tests.peers.running import RunningServer, wait_for

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers


def send(client: smtplib.SMTP, recipient: str, number: int) -> None:
    assert client.sendmail("load@example.net", [recipient], content(number)) == {}


def test_open_files_run_out(tmp_path: Path, figures: Figures) -> None:
    server = RunningServer(tmp_path / "server", settings="[processes]\nindexer = false\n")
    most = 150
    # A child's hard limit cannot be raised by it: the server finds so many files and no more.
    program = [
        sys.executable,
        "-c",
        f"import resource, os, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({most}, {most}));"
        "os.execv(sys.executable, [sys.executable, '-m', 'estafeta.cli.main', 'serve', '--config', sys.argv[1]])",
        str(server.folder / "estafeta.toml"),
    ]
    log = server.log.open("ab")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    server._process = subprocess.Popen(program, stdout=log, stderr=log, env=environment)
    crowd: list[socket.socket] = []
    try:
        wait_for(server._is_up, "the greeting", seconds=30)
        ana = server.account("ana")
        port = server.ports[ListenerKind.SMTP]
        numbers = set()
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as early:
            turned_away = 0
            for _ in range(400):
                one = socket.create_connection(("127.0.0.1", port), timeout=30)
                one.settimeout(0.2)
                crowd.append(one)
                try:
                    said = one.recv(100)
                except OSError:
                    said = b""
                turned_away += not said.startswith(b"220")
            for number in range(20):  # who is in is served, files of large contents included
                send(early, ana, number * 10 + 10)
                numbers.add(number * 10 + 10)
        for one in crowd:
            one.close()

        def is_served() -> bool:
            try:
                with smtplib.SMTP("127.0.0.1", port, timeout=5) as late:
                    send(late, ana, 7)
                    return True
            except (OSError, smtplib.SMTPException):
                return False

        wait_for(is_served, "new clients to be served again", seconds=60)
        found = found_numbers(server.messages(ana))
        figures.add(
            f"{most} open files at most",
            f"400 connections, {turned_away} turned away or not answered, a session that was in sent {len(numbers)}"
            " messages; new ones were served when the crowd had gone",
            lost=len(numbers - found.keys()),
        )
        assert turned_away
        assert not numbers - found.keys()
        assert server.stop() == 0
    finally:
        for one in crowd:
            one.close()
        server.stop()
        log.close()


def test_memory_runs_out(tmp_path: Path, figures: Figures) -> None:
    server = RunningServer(tmp_path / "server", settings="[processes]\nindexer = false\n")
    most = 700 << 20
    program = [
        sys.executable,
        "-c",
        f"import resource, os, sys; resource.setrlimit(resource.RLIMIT_AS, ({most}, {most}));"
        "os.execv(sys.executable, [sys.executable, '-m', 'estafeta.cli.main', 'serve', '--config', sys.argv[1]])",
        str(server.folder / "estafeta.toml"),
    ]
    log = server.log.open("ab")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    server._process = subprocess.Popen(program, stdout=log, stderr=log, env=environment)
    clients: list[smtplib.SMTP] = []
    try:
        wait_for(server._is_up, "the greeting", seconds=30)
        ana = server.account("ana")
        port = server.ports[ListenerKind.SMTP]
        # Large messages that never end, in many sessions at once: they are spooled, not kept in memory.
        begun = 0
        for _ in range(60):
            try:
                client = smtplib.SMTP("127.0.0.1", port, timeout=30)
                clients.append(client)
                client.ehlo("load.example.net")
                client.mail("load@example.net")
                client.rcpt(ana)
                if client.docmd("DATA")[0] == 354:
                    assert client.sock is not None
                    client.sock.sendall(b"Subject: never ends\r\n\r\n" + (b"x" * 70 + b"\r\n") * 60_000)
                    begun += 1
            except (OSError, smtplib.SMTPException):
                continue
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as late:
            send(late, ana, 10)
        for client in clients:
            client.close()
        found = found_numbers(server.messages(ana))
        figures.add(
            f"{most >> 20} MiB of address space",
            f"{begun} sessions with 4 MiB each that do not end; a further client was served meanwhile",
            lost=int(found[10] != 1),
        )
        assert found[10] == 1
        assert server.stop() == 0
    finally:
        for client in clients:
            client.close()
        server.stop()
        log.close()
