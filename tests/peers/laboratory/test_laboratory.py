"""The laboratory itself: its network, its DNS, its mail servers, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import smtplib
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.peers.conftest import program
from tests.peers.laboratory.certificates import certificate_for
from tests.peers.laboratory.estafeta import LaboratoryServer
from tests.peers.laboratory.hosts import Exim, MailHost, OpenSmtpd, Postfix
from tests.peers.laboratory.isolation import SILENT_ADDRESS, UNREACHABLE_ADDRESS, Laboratory
from tests.peers.laboratory.names import Names
from tests.peers.laboratory.scripted import DROP, SILENCE, ScriptedHost, greylist, server_context
from tests.peers.running import running, wait_for

pytestmark = pytest.mark.peers

LETTER = "From: <ana@example.net>\r\nSubject: hello\r\n\r\nGood morning.\r\n"
HOSTS: list[type[MailHost]] = [Postfix, Exim, OpenSmtpd]


def connection(address: str, port: int = 25, timeout: float = 10) -> None:
    socket.create_connection((address, port), timeout=timeout).close()


def send(host: str, *recipients: str, sender: str = "ana@example.net") -> None:
    """Hand a letter to a host, from inside."""
    with smtplib.SMTP(host, 25, timeout=30, local_hostname="client.example.net") as client:
        assert client.sendmail(sender, recipients, LETTER) == {}


# The network.


def test_nothing_leaves_and_hosts_can_be_away_in_every_way(laboratory: Laboratory) -> None:
    for address in (laboratory.address(), laboratory.address6()):
        with pytest.raises(ConnectionRefusedError):
            laboratory.call(partial(connection, address))
    for address in (UNREACHABLE_ADDRESS, "8.8.8.8", "2001:4860:4860::8888"):
        with pytest.raises(OSError, match=r"(?i)unreachable|no route"):
            laboratory.call(partial(connection, address))
    with pytest.raises(TimeoutError):
        laboratory.call(lambda: connection(SILENT_ADDRESS, timeout=0.5))


def test_the_machine_around_it_is_not_changed(laboratory: Laboratory) -> None:
    laboratory.check(
        "sh", "-ec", "echo x >/etc/of-the-laboratory; mkdir /var/spool/of-the-laboratory; touch /usr/x-lab"
    )
    for path in ("/etc/of-the-laboratory", "/var/spool/of-the-laboratory", "/usr/x-lab"):
        assert not Path(path).exists()
    assert laboratory.check("getent", "passwd", "labmail")
    assert b"labmail" not in Path("/etc/passwd").read_bytes()


HOLD = """
import sys, time
from pathlib import Path
from tests.peers.laboratory.isolation import Laboratory
laboratory = Laboratory(Path(sys.argv[1]))
laboratory.start()
stubborn = "trap '' TERM; setsid sleep 1000 & exec sleep 1000"
server = laboratory.launch("sh", "-c", stubborn, log=Path(sys.argv[1], "log"))
print(server.pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_all_of_it_ends_with_the_process_of_the_tests(
    tmp_path: Path, number: signal.Signals, laboratory: Laboratory
) -> None:
    project = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{project}:{project / 'src'}"}
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        network = os.readlink(f"/proc/{pid}/ns/net")
        assert network != os.readlink("/proc/self/ns/net")
        holder.send_signal(number)
    wait_for(lambda: not in_network(network), "the processes of the laboratory to end", seconds=10)


def in_network(network: str) -> list[str]:
    """The processes that are in a network namespace, zombies aside."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "ns" / "net") == network:
                found.append(process.name)
        except OSError:
            continue
    return found


# The DNS.


def test_signed_answers_are_authentic_and_others_are_not(names: Names) -> None:
    names.add("plain.example", "@ MX 10 mx\nmx A 192.0.2.10\n")
    tlsa = "3 1 1 " + "AB" * 32
    names.add("signed.example", f"@ MX 10 mx\nmx AAAA 2001:db8::10\n_25._tcp.mx TLSA {tlsa}\n", signed=True)
    plain, signed = names.ask("plain.example", "MX", "+dnssec"), names.ask("signed.example", "MX", "+dnssec")
    assert "10 mx.plain.example." in plain and "Flags: qr rd ra;" in plain
    assert "10 mx.signed.example." in signed and "Flags: qr rd ra ad;" in signed
    assert tlsa in names.ask("_25._tcp.mx.signed.example", "TLSA")
    nothing = names.ask("_25._tcp.none.signed.example", "TLSA", "+dnssec")
    assert "status: NXDOMAIN" in nothing and "Flags: qr rd ra ad;" in nothing


def test_failures_differ(names: Names) -> None:
    names.add("empty.example", "@ TXT nothing-else\n")
    names.add("bogus.example", "@ MX 10 mx\n", bogus=True)
    names.add_broken("broken.example")
    assert "status: NXDOMAIN" in names.ask("nowhere.example", "MX")
    assert "status: NOERROR" in names.ask("empty.example", "MX")
    assert "status: SERVFAIL" in names.ask("bogus.example", "MX")
    assert "status: SERVFAIL" in names.ask("broken.example", "MX")


@pytest.mark.parametrize("signed", [False, True])
def test_a_zone_can_change(names: Names, signed: bool) -> None:
    for number in range(3):
        names.add("changing.example", f"@ MX 10 mx{number}\n", signed=signed)
        assert names.ask("changing.example", "MX", "+short") == f"10 mx{number}.changing.example.\n"
    names.remove("changing.example")
    assert "status: NXDOMAIN" in names.ask("changing.example", "MX")


# Mail servers.


@contextmanager
def running_host(host: MailHost) -> Iterator[MailHost]:
    host.start()
    try:
        yield host
    finally:
        host.stop()


def wait_for_letter(host: MailHost) -> bytes:
    wait_for(lambda: bool(host.messages()), f"the letter to arrive; {host.log()}", seconds=30)
    (message,) = host.messages()
    return message


@pytest.mark.parametrize("kind", HOSTS)
def test_a_mail_server_takes_a_letter(laboratory: Laboratory, names: Names, kind: type[MailHost]) -> None:
    with running_host(kind(laboratory, "mx.example.com", "example.com")) as host:
        laboratory.call(lambda: send(host.address, "luis@example.com"))
        message = wait_for_letter(host)
    assert message.endswith(LETTER.replace("\r\n", "\n").encode()), host.log()
    assert b"return-path: <ana@example.net>" in message.lower().splitlines()


def send_by_tls(laboratory: Laboratory, names: Names, host: MailHost) -> subprocess.CompletedProcess[bytes]:
    """By the name of the host, which its certificate must have."""
    assert host.tls is not None
    names.add("example.com", f"@ MX 10 mx\nmx A {host.address}\n")
    return laboratory.run(
        *(program("swaks", "swaks"), "--server", "mx.example.com", "--helo", "client.example.net"),
        *("--from", "ana@example.net", "--to", "luis@example.com", "--tls", "--tls-verify"),
        *("--tls-ca-path", host.tls.authority, "--data", "Subject: hello\\n\\nGood morning.\\n"),
    )


@pytest.mark.parametrize("kind", [Postfix, Exim])
def test_a_mail_server_offers_tls(laboratory: Laboratory, names: Names, kind: type[MailHost]) -> None:
    tls = certificate_for(laboratory, "mx.example.com")
    with running_host(kind(laboratory, "mx.example.com", "example.com", tls=tls)) as host:
        sent = send_by_tls(laboratory, names, host)
        assert sent.returncode == 0, sent.stdout.decode()
        message = wait_for_letter(host)
    assert b"TLS" in message and b"Good morning." in message


def test_an_expired_certificate_is_one(laboratory: Laboratory, names: Names) -> None:
    tls = certificate_for(laboratory, "mx.example.com", is_expired=True)
    with running_host(Postfix(laboratory, "mx.example.com", "example.com", tls=tls)) as host:
        sent = send_by_tls(laboratory, names, host)
    assert sent.returncode != 0 and b"certificate verify failed" in sent.stdout + sent.stderr
    assert host.messages() == []


def test_opensmtpd_promises_tls_in_vain(laboratory: Laboratory, names: Names) -> None:
    tls = certificate_for(laboratory, "mx.example.com")
    with running_host(OpenSmtpd(laboratory, "mx.example.com", "example.com", tls=tls)) as host:
        sent = send_by_tls(laboratory, names, host)
    assert (
        sent.returncode != 0 and b"250-STARTTLS" in sent.stdout and b"TLS startup failed" in sent.stdout + sent.stderr
    )


@pytest.mark.parametrize("kind", HOSTS)
def test_a_mail_server_sends_where_the_dns_says(laboratory: Laboratory, names: Names, kind: type[MailHost]) -> None:
    with (
        ScriptedHost(laboratory) as target,
        running_host(kind(laboratory, "relay.example.net", "example.net")) as relay,
    ):
        names.add("example.org", f"@ MX 10 gone\n@ MX 20 mx\ngone A {laboratory.address()}\nmx A {target.address}\n")
        laboratory.call(lambda: send(relay.address, "luis@example.org"))
        wait_for(lambda: bool(target.taken), f"the letter to go on; {relay.log()}", seconds=60)
    (taken,) = target.taken
    assert taken.hello == "EHLO relay.example.net"
    assert [line.split()[1] for line in taken.recipients] == ["TO:<luis@example.org>"]
    assert taken.content.endswith(b"Good morning.\r\n")


# Hosts that misbehave.


def test_a_scripted_host_takes_mail_and_tells_what_was_said(laboratory: Laboratory) -> None:
    with ScriptedHost(laboratory) as host:
        laboratory.call(lambda: send(host.address, "a@example.org", "b@example.org"))
    (taken,) = host.taken
    assert taken.content.decode() == LETTER
    assert taken.tls == ""
    assert [command.split()[0].upper() for command in host.sessions[0].commands] == [
        *("EHLO", "MAIL", "RCPT", "RCPT", "DATA", "QUIT")
    ]


@pytest.mark.parametrize("stage", ["connect", "EHLO", "MAIL", "RCPT", "DATA", "input", "content"])
def test_a_scripted_host_drops_the_connection(laboratory: Laboratory, stage: str) -> None:
    with ScriptedHost(laboratory, {stage: DROP}) as host, pytest.raises((smtplib.SMTPServerDisconnected, OSError)):
        laboratory.call(lambda: send(host.address, "a@example.org"))
    assert host.taken == []


def test_a_scripted_host_falls_silent(laboratory: Laboratory) -> None:
    def say_hello() -> None:
        with smtplib.SMTP(host.address, 25, timeout=0.5) as client:
            client.ehlo("client.example.net")

    with ScriptedHost(laboratory, {"connect": ["220 first", SILENCE]}) as host:
        laboratory.call(say_hello)
        with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
            laboratory.call(say_hello)


def test_a_scripted_host_changes_its_mind(laboratory: Laboratory) -> None:
    def codes() -> list[int]:
        with smtplib.SMTP(host.address, 25, timeout=10, local_hostname="client.example.net") as client:
            client.ehlo()
            client.mail("ana@example.net")
            found = [client.rcpt(f"{name}@example.org")[0] for name in "aab"]
            client.rset()
        return found

    with ScriptedHost(laboratory, {"MAIL": ["450 4.3.0 later", "250 ok"], "RCPT": greylist()}) as host:
        assert laboratory.call(codes) == [451, 250, 451]
        assert laboratory.call(codes) == [250, 250, 250]


def test_a_scripted_host_speaks_tls_with_any_certificate(laboratory: Laboratory) -> None:
    wrong = certificate_for(laboratory, "other.example")
    with ScriptedHost(laboratory, context=server_context(wrong)) as host:
        swaks = (program("swaks", "swaks"), "--server", host.address, "--to", "a@example.org", "--tls")
        sent = laboratory.run(*swaks)
        assert sent.returncode == 0, sent.stdout.decode()
        refused = laboratory.run(*swaks, "--tls-verify", "--tls-verify-target", "mx.example")
        assert refused.returncode != 0, refused.stdout.decode()
    (taken,) = host.taken
    assert taken.tls == "TLSv1.3"


# Estafeta.


def test_estafeta_takes_mail_that_postfix_brings_by_the_dns(
    laboratory: Laboratory, names: Names, tmp_path: Path
) -> None:
    server = LaboratoryServer(laboratory, tmp_path)
    names.add("example.org", f"@ MX 10 mx\nmx A {server.address}\n")
    postfix = Postfix(laboratory, "relay.example.net", "example.net")
    with contextmanager(running)(server), running_host(postfix):
        ana = server.account("ana")
        laboratory.call(lambda: send(postfix.address, ana))
        wait_for(lambda: server.count(ana) == 1, f"the letter; {postfix.log()}", seconds=60)
        (message,) = server.messages(ana)
    assert b"\r\nReceived: from relay.example.net ([192.0.2.1])\r\n" in message
