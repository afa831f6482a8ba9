"""Mail for other hosts reaches them by the DNS, whole: Postfix, Exim and OpenSMTPD, over TLS where they have it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.peers.laboratory.certificates import certificate_for, tlsa
from tests.peers.laboratory.estafeta import IMPATIENT, LaboratoryServer, serving
from tests.peers.laboratory.hosts import Exim, MailHost, OpenSmtpd, Postfix
from tests.peers.laboratory.isolation import Laboratory
from tests.peers.laboratory.names import Names
from tests.peers.laboratory.received import below_trace, in_a_maildir
from tests.peers.letters import letter
from tests.peers.running import wait_for

pytestmark = pytest.mark.peers

VERIFIED = {"postfix": ", DANE", "exim": ", by an authority, for mx.exim.example"}
"""How certificates are verified: the domain of Postfix has TLSA records, for that of Exim the operator demands it."""
SETTINGS = f"""{IMPATIENT}
[[tls_policy]]
domain = "exim.example"
level = "verify"
"""
KINDS: dict[str, type[MailHost]] = {"postfix": Postfix, "exim": Exim, "opensmtpd": OpenSmtpd}
LETTERS = 8


@pytest.fixture(scope="module")
def hosts(laboratory: Laboratory, names: Names) -> Iterator[dict[str, MailHost]]:
    """One of each kind; all of them offer TLS."""
    hosts = {}
    for name, kind in KINDS.items():
        domain = f"{name}.example"
        tls = certificate_for(laboratory, f"mx.{domain}")
        hosts[name] = kind(laboratory, f"mx.{domain}", domain, tls=tls)
        records = f"@ MX 10 mx\nmx A {hosts[name].address}\n"
        if name == "postfix":
            records += f"_25._tcp.mx TLSA {tlsa(tls)}\n"
        names.add(domain, records, signed=name == "postfix")
    with ExitStack() as stack:
        for host in hosts.values():
            host.start()
            stack.callback(host.stop)
        yield hosts


@pytest.fixture(scope="module")
def server(
    laboratory: Laboratory, hosts: dict[str, MailHost], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LaboratoryServer]:
    yield from serving(LaboratoryServer(laboratory, tmp_path_factory.mktemp("server"), settings=SETTINGS))


@pytest.mark.parametrize("name", KINDS)
def test_letters_arrive_at_a_host_that_the_dns_names(
    server: LaboratoryServer, hosts: dict[str, MailHost], name: str
) -> None:
    host, author, recipient = hosts[name], server.account(f"to-{name}"), f"luis@{name}.example"
    contents = [letter(number, author=author, recipient=recipient, size=9000) for number in range(LETTERS)]
    ids = [server.submit(author, recipient, content=content) for content in contents]
    wait_for(lambda: len(host.messages()) >= LETTERS, f"the letters at {name}; {server.log}", seconds=30)
    arrived = sorted(below_trace(message) for message in host.messages())
    assert arrived == sorted(in_a_maildir(content) for content in contents)
    for queue_id in ids:
        (attempt,) = server.wait_until_gone(queue_id)
        (told,) = attempt["recipients"]
        assert (told["forward_path"], told["fate"]) == (recipient, "relayed")
        assert (told["host"], told["address"]) == (f"mx.{name}.example", f"{host.address}:25")
        assert told["reply"].startswith("250 ")
        if name == "opensmtpd":
            # It offers TLS, and no handshake succeeds: where TLS is optional the mail goes in the clear.
            assert "tls" not in told
            assert {trouble["stage"] for trouble in attempt.get("troubles", [])} <= {"TLS"}
        else:
            assert told["tls"].startswith("TLSv1.3 TLS_") and VERIFIED[name] in told["tls"], told
    assert server.messages(author) == []
    if name == "postfix":
        assert all(b"using TLSv1.3" in message for message in host.messages())
