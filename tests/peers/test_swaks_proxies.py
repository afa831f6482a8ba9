"""swaks in the part of a proxy: the PROXY header, before TLS too, and XCLIENT."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.peers.conftest import Run, program
from tests.peers.running import RunningServer, free_ports, running

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

(PLAIN, TLS) = free_ports(2)
SETTINGS = f"""
[smtp]
xclient_networks = ["127.0.0.0/8"]
refuse_early_talkers = true
[[listen]]
kind = "smtp"
address = "127.0.0.1"
port = {PLAIN}
proxy_protocol = ["127.0.0.0/8"]
[[listen]]
kind = "submissions"
address = "127.0.0.1"
port = {TLS}
proxy_protocol = ["127.0.0.0/8"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    yield from running(RunningServer(tmp_path_factory.mktemp("proxied"), settings=SETTINGS))


def sent(server: RunningServer, run: Run, to: str, port: int, *options: str) -> str:
    done = run(
        program("swaks", "swaks"), "--server", f"127.0.0.1:{port}", "--helo", "client.example.net",
        "--from", "someone@example.net", "--to", to, *options,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return done.stdout.decode(errors="replace")


@pytest.mark.parametrize(
    ("version", "family", "source", "dest", "seen"),
    [
        ("1", "TCP4", "203.0.113.7", "192.0.2.25", b"[203.0.113.7]"),
        ("1", "TCP6", "2001:db8::7", "2001:db8::25", b"[IPv6:2001:db8::7]"),
        ("2", "AF_INET", "203.0.113.7", "192.0.2.25", b"[203.0.113.7]"),
        ("2", "AF_INET6", "2001:db8::7", "2001:db8::25", b"[IPv6:2001:db8::7]"),
    ],
)
def test_the_client_in_the_header_is_the_one_in_the_trace(
    server: RunningServer, run: Run, version: str, family: str, source: str, dest: str, seen: bytes
) -> None:
    account = server.account(f"proxied{version}{family[-1]}".lower())
    header = (
        "--proxy-version", version, "--proxy-family", family, "--proxy-source", source, "--proxy-source-port", "5000",
        "--proxy-dest", dest, "--proxy-dest-port", "25",
    )  # fmt: skip
    sent(server, run, account, PLAIN, *header)
    (message,) = server.messages(account)
    assert b"Received: from client.example.net (" + seen + b")" in message


def test_the_header_comes_before_tls(server: RunningServer, run: Run) -> None:
    header = ("--proxy", "TCP4 203.0.113.7 192.0.2.25 5000 465", "--tls-on-connect", "--quit-after", "EHLO")
    assert "250-AUTH " in sent(server, run, "x@example.org", TLS, *header)


def test_without_a_header_nothing_is_said(server: RunningServer, run: Run) -> None:
    done = run(program("swaks", "swaks"), "--server", f"127.0.0.1:{PLAIN}", "--quit-after", "HELO", "--timeout", "15")
    assert done.returncode != 0 and b"220" not in done.stdout


@pytest.mark.parametrize("parted", [(), ("--xclient-delim",)])
def test_xclient_says_who_the_client_is(server: RunningServer, run: Run, parted: tuple[str, ...]) -> None:
    account = server.account(f"told{len(parted)}")
    told = (
        "--xclient-helo", "told.example.net", "--xclient-proto", "ESMTP", *parted,
        "--xclient-addr", "203.0.113.7", "--xclient-name", "host.example.net",
    )  # fmt: skip
    dialogue = sent(server, run, account, server.ports[ListenerKind.SMTP], *told)
    (message,) = server.messages(account)
    assert b"(host.example.net [203.0.113.7])" in message, dialogue
