"""Postfix's smtp-sink with each of its faults: the relay makes of it what the standard says, and loses nothing."""

from __future__ import annotations

import json
import smtplib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.peers.conftest import program
from tests.peers.running import RunningServer, free_ports, running, wait_for

from estafeta.cli.main import estafeta
from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

STAGES = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", ".")
IMPATIENT = """\
[smtp]
trusted_networks = ["127.0.0.0/8"]
[relay]
allow_loopback = true
retry_after = [1]
jitter = 0
poll_after = 0.1
reply_after = 3
final_after = 3
keep_connection_for = 1
"""


class Server(RunningServer):
    """One that relays all of far.example to a port."""

    def __init__(self, folder: Path) -> None:
        (self.far,) = free_ports(1)
        gateway = '[[gateway]]\nname = "far"\nkind = "smtp"\nhost = "127.0.0.1"\ntls = "none"\n'
        route = f'port = {self.far}\n[[route]]\ndomain = "far.example"\ngateway = "far"\n'
        super().__init__(folder, settings=f"{IMPATIENT}{gateway}{route}")


class Sink:
    """smtp-sink on a port that stays the same, with other faults each time."""

    def __init__(self, folder: Path, port: int) -> None:
        self._program = program("smtp-sink", "postfix")
        self._folder = folder
        self.port = port
        folder.chmod(0o755)

    @contextmanager
    def open(self, *options: str) -> Iterator[None]:
        """Run it."""
        # It keeps what it refuses too, so each has a folder; it gives up its rights, so that must be everybody's.
        self.folder = Path(tempfile.mkdtemp(dir=self._folder))
        self.folder.chmod(0o777)
        process = subprocess.Popen(
            [self._program, "-u", "nobody", "-d", f"{self.folder}/%S.", *options, f"127.0.0.1:{self.port}", "100"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)

    def messages(self) -> list[str]:
        """What the last one has taken: an X-Rcpt-Args line for each recipient, then the message."""
        return [path.read_text("utf-8", "replace") for path in self.folder.iterdir()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    yield from running(Server(tmp_path_factory.mktemp("server")))


@pytest.fixture
def sink(server: Server) -> Iterator[Sink]:
    # Not below the folder of the tests, which is closed to the user as whom it runs.
    with tempfile.TemporaryDirectory(prefix="estafeta-sink-") as name:
        yield Sink(Path(name), server.far)


def estafeta_json(server: RunningServer, *words: str) -> list[dict[str, Any]]:
    """What a command of the operator prints."""
    config = {"ESTAFETA_CONFIG": str(server.folder / "estafeta.toml")}
    done = CliRunner().invoke(estafeta, [*words, "--json"], env=config)
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def hand_in(server: RunningServer, author: str, *recipients: str) -> None:
    with smtplib.SMTP("127.0.0.1", server.ports[ListenerKind.SMTP], timeout=30) as client:
        assert client.sendmail(author, list(recipients), b"Subject: hello\r\n\r\n.dots\r\n..\r\n") == {}


def waits(server: RunningServer) -> list[dict[str, Any]]:
    return estafeta_json(server, "queue", "list")


def deferred(server: RunningServer) -> bool:
    """The recipient was tried, and waits for another try."""
    return any(each["attempts"] >= 1 for each in waits(server))


def has_told(server: RunningServer, account: str) -> Callable[[], bool]:
    return lambda: server.count(account) == 1


@pytest.mark.parametrize("option", ["-r", "-q", "-Q"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_that_passes_costs_another_try(
    server: RunningServer, sink: Sink, account: str, option: str, stage: str
) -> None:
    """Refused for now, cut off, or told 421, at each command: the message waits, and arrives once."""
    with sink.open(option, stage):
        hand_in(server, account, "luis@far.example")
        wait_for(lambda: deferred(server), f"an attempt; {server.log}", seconds=30)
    with sink.open():
        wait_for(lambda: not waits(server), f"the message to leave; {server.log}", seconds=60)
    (message,) = sink.messages()
    assert "\n.dots\n..\n" in message
    assert server.count(account) == 0


@pytest.mark.parametrize("stage", ["EHLO", *STAGES[2:]])
def test_a_refusal_for_good_is_told_to_the_sender(server: RunningServer, sink: Sink, account: str, stage: str) -> None:
    commands = "EHLO,HELO" if stage == "EHLO" else stage
    with sink.open("-f", commands):
        hand_in(server, account, "luis@far.example")
        if stage == "EHLO":  # the host is of no use, which says nothing of the message
            wait_for(lambda: deferred(server), f"an attempt; {server.log}", seconds=30)
        else:
            wait_for(has_told(server, account), f"the notification; {server.log}", seconds=30)
            assert b"500 5.3.0 Error: command failed" in server.messages(account)[0]
            assert waits(server) == []
    if stage == "EHLO":
        with sink.open():
            wait_for(lambda: not waits(server), f"the message to leave; {server.log}", seconds=60)
        assert len(sink.messages()) == 1


@pytest.mark.parametrize(
    "options",
    [("-e",), ("-8",), ("-p",), ("-E",), ("-N",), ("-P",), ("-C", "-F", "-a"), ("-H", "1"), ("-w", "1"), ("-T", "512")],
)
def test_a_host_that_knows_less_or_is_slow_gets_its_mail(
    server: RunningServer, sink: Sink, account: str, options: tuple[str, ...]
) -> None:
    with sink.open(*options):
        hand_in(server, account, *(f"u{number}@far.example" for number in range(5)))
        wait_for(lambda: not waits(server), f"the message to leave; {server.log}", seconds=60)
    messages = sink.messages()
    assert sum(each.count("X-Rcpt-Args: ") for each in messages) == 5
    assert all("\n.dots\n..\n" in each for each in messages)
    assert server.count(account) == 0


def test_a_host_that_ends_data_before_the_final_dot_is_asked_once_more(
    server: RunningServer, sink: Sink, account: str
) -> None:
    """550 without reading: the message has failed, and the sender hears of it."""
    with sink.open("-A", "0"):
        hand_in(server, account, "luis@far.example")
        wait_for(has_told(server, account), f"the notification; {server.log}", seconds=30)
    assert waits(server) == []
