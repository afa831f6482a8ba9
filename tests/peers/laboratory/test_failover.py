"""The way to a domain: which hosts are asked after which others, and what the sender hears when there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from tests.peers.laboratory.estafeta import IMPATIENT, LaboratoryServer, serving
from tests.peers.laboratory.isolation import OWN_ADDRESS, SILENT_ADDRESS, UNREACHABLE_ADDRESS, Laboratory
from tests.peers.laboratory.names import Names
from tests.peers.laboratory.received import below_trace, in_a_maildir, notification
from tests.peers.laboratory.scripted import DROP, SILENCE, Play, ScriptedHost
from tests.peers.letters import letter

pytestmark = pytest.mark.peers


@dataclass(frozen=True)
class Bad:
    """A host that does not take mail now, and what the trace tells of it."""

    stage: str
    reply: str
    script: Mapping[str, Play] | None = None
    """None where nobody listens."""
    address: str | None = None


LATER = "451 4.3.2 come back later"
BAD_HOSTS = {
    "refused": Bad("connect", "Connection refused"),
    "silent": Bad("connect", "451 4.4.1", address=SILENT_ADDRESS),
    "unreachable": Bad("connect", "No route to host", address=UNREACHABLE_ADDRESS),
    "greets-421": Bad("greeting", "421 4.3.2 too busy", {"connect": "421 4.3.2 too busy"}),
    "greets-554": Bad("greeting", "554 5.3.2 closed", {"connect": "554 5.3.2 closed"}),
    "greets-never": Bad("greeting", "451 4.4.2", {"connect": SILENCE}),
    "hangs-up": Bad("greeting", "451 4.4.2", {"connect": DROP}),
    "ehlo": Bad("EHLO", LATER, {"EHLO": LATER, "HELO": LATER}),
    "mail": Bad("MAIL", LATER, {"MAIL": LATER}),
    "rcpt": Bad("RCPT", LATER, {"RCPT": LATER}),
    "data": Bad("DATA", LATER, {"DATA": LATER}),
    "content": Bad("content", LATER, {"content": LATER}),
}
FINAL = "550 5.7.1 not wanted here"
REFUSALS = {"mail": "MAIL", "rcpt": "RCPT", "data": "DATA", "content": "content"}


@pytest.fixture(scope="module")
def hosts(laboratory: Laboratory, names: Names) -> Iterator[dict[str, ScriptedHost]]:
    """`good` takes all, the others do not; all records are made at once, for a change takes a while."""
    with ExitStack() as stack:
        good = stack.enter_context(ScriptedHost(laboratory))
        good6 = stack.enter_context(ScriptedHost(laboratory, address=laboratory.address6()))
        hosts = {"good": good, "good6": good6}
        records = [f"good A {good.address}", f"good6 AAAA {good6.address}", f"away A {laboratory.address()}"]
        for name, bad in BAD_HOSTS.items():
            address = bad.address or laboratory.address()
            if bad.script is not None:
                hosts[name] = stack.enter_context(ScriptedHost(laboratory, bad.script, address=address))
            records += [f"{name}.host A {address}", f"{name} MX 10 {name}.host", f"{name} MX 20 good"]
        for name, stage in REFUSALS.items():
            hosts[f"5yz-{name}"] = host = stack.enter_context(ScriptedHost(laboratory, {stage: FINAL}))
            records += [
                f"5yz-{name}.host A {host.address}",
                f"5yz-{name} MX 10 5yz-{name}.host",
                f"5yz-{name} MX 20 good",
            ]
        records += [
            "null MX 0 .",
            f"implicit A {good.address}",
            f"implicit6 AAAA {good6.address}",
            "cname CNAME real",
            "real MX 10 good",
            "mx6 MX 10 good6",
            # Neither of the IPv6 addresses takes connections.
            f"both MX 10 both.host\nboth.host AAAA {laboratory.address6()}\nboth.host A {good.address}",
            f"cut MX 10 cut.host\ncut.host AAAA 2001:4860::25\ncut.host A {good.address}",
            "loop MX 10 mx.example.org.",
            "loop-by-address MX 10 us\nloop-by-address MX 20 good",
            "backup MX 10 away\nbackup MX 20 us\nbackup MX 30 good",
            "nothing TXT none",
        ]
        names.add("example.com", "\n".join([*records, f"us A {OWN_ADDRESS}", ""]))
        names.add("example.org", f"mx A {OWN_ADDRESS}\n")
        names.add_broken("example.net")
        yield hosts


@pytest.fixture(scope="module")
def server(
    laboratory: Laboratory, hosts: dict[str, ScriptedHost], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LaboratoryServer]:
    yield from serving(LaboratoryServer(laboratory, tmp_path_factory.mktemp("server"), settings=IMPATIENT))


@pytest.fixture(scope="module")
def ana(server: LaboratoryServer) -> str:
    """The author of letters that bring no notification."""
    return server.account("ana")


def send(server: LaboratoryServer, author: str, recipient: str) -> tuple[str, bytes]:
    """Hand a letter in; gives the queue id and the letter."""
    content = letter(2, author=author, recipient=recipient, size=3000)
    return server.submit(author, recipient, content=content), content


def assert_taken(host: ScriptedHost, recipient: str, content: bytes) -> None:
    """The host has the letter for that recipient once, whole."""
    taken = [each for each in host.taken if each.recipients[0].split()[1] == f"TO:<{recipient}>"]
    assert [below_trace(in_a_maildir(each.content)) for each in taken] == [in_a_maildir(content)]


# The next host.


@pytest.mark.parametrize("name", BAD_HOSTS)
def test_the_next_host_gets_what_the_best_does_not_take_now(
    server: LaboratoryServer, hosts: dict[str, ScriptedHost], ana: str, name: str
) -> None:
    bad, recipient = BAD_HOSTS[name], f"luis@{name}.example.com"
    queue_id, content = send(server, ana, recipient)
    (attempt,) = server.wait_until_gone(queue_id)
    assert_taken(hosts["good"], recipient, content)
    (told,) = attempt["recipients"]
    assert (told["host"], told["fate"]) == ("good.example.com", "relayed")
    (trouble,) = attempt["troubles"]
    assert trouble["host"] == f"{name}.host.example.com"
    assert (trouble["stage"], bad.reply in trouble["reply"]) == (bad.stage, True), trouble
    if name in hosts:
        assert hosts[name].taken == []
    assert server.messages(ana) == []


@pytest.mark.parametrize("name", REFUSALS)
def test_no_other_host_is_asked_after_a_refusal(
    server: LaboratoryServer, hosts: dict[str, ScriptedHost], name: str
) -> None:
    recipient = f"luis@5yz-{name}.example.com"
    before = len(hosts["good"].sessions)
    author = server.account(f"refused-{name}")
    queue_id, content = send(server, author, recipient)
    (attempt,) = server.wait_until_gone(queue_id)
    (told,) = attempt["recipients"]
    assert (told["fate"], told["reply"]) == ("failed", FINAL)
    assert len(hosts["good"].sessions) == before
    (message,) = server.wait_for_messages(author)
    told_sender = notification(message)
    assert told_sender.told == [(recipient, "failed", "5.7.1")]
    assert told_sender.recipients[0]["Diagnostic-Code"] == f"smtp; {FINAL}"
    assert told_sender.recipients[0]["Remote-MTA"] == f"dns; 5yz-{name}.host.example.com"
    assert told_sender.returned.endswith(content)


# Where the DNS says.


@pytest.mark.parametrize(
    ("name", "host"),
    [
        *(("implicit", "good"), ("implicit6", "good6"), ("cname", "good"), ("mx6", "good6")),
        *(("both", "good"), ("cut", "good")),
    ],
)
def test_hosts_are_found_in_every_way(
    server: LaboratoryServer, hosts: dict[str, ScriptedHost], ana: str, name: str, host: str
) -> None:
    recipient = f"luis@{name}.example.com"
    queue_id, content = send(server, ana, recipient)
    (attempt,) = server.wait_until_gone(queue_id)
    assert attempt["recipients"][0]["fate"] == "relayed"
    assert_taken(hosts[host], recipient, content)
    troubles = [(each["stage"], each["address"].startswith("[2001:")) for each in attempt.get("troubles", [])]
    assert troubles == ([("connect", True)] if name in ("both", "cut") else [])


@pytest.mark.parametrize(
    ("name", "recipient", "status"),
    [
        ("null", "luis@null.example.com", "5.1.10"),
        ("no-name", "luis@nobody.example.com", "5.1.2"),
        ("no-top", "luis@mail.nowhere", "5.1.2"),
        ("no-address", "luis@nothing.example.com", "5.4.4"),
        ("loop", "luis@loop.example.com", "5.4.6"),
        ("loop-address", "luis@loop-by-address.example.com", "5.4.6"),
    ],
)
def test_the_sender_hears_at_once_that_there_is_no_host(
    server: LaboratoryServer, hosts: dict[str, ScriptedHost], name: str, recipient: str, status: str
) -> None:
    author = server.account(f"to-{name}")
    queue_id, content = send(server, author, recipient)
    (attempt,) = server.wait_until_gone(queue_id)
    (told,) = attempt["recipients"]
    assert (told["fate"], told["stage"]) == ("failed", "DNS")
    (message,) = server.wait_for_messages(author)
    told_sender = notification(message)
    assert told_sender.told == [(recipient, "failed", status)]
    assert "Remote-MTA" not in told_sender.recipients[0]
    assert told_sender.returned.endswith(content)


def test_a_backup_asks_only_better_hosts_than_itself(
    server: LaboratoryServer, hosts: dict[str, ScriptedHost], ana: str
) -> None:
    before = len(hosts["good"].sessions)
    queue_id, _ = send(server, ana, "luis@backup.example.com")
    for attempt in server.wait_for_attempts(queue_id, 2):
        assert attempt["recipients"][0]["fate"] == "deferred"
        assert [trouble["host"] for trouble in attempt["troubles"]] == ["away.example.com"]
    assert len(hosts["good"].sessions) == before
    (waiting,) = server.queued(queue_id)
    assert waiting["status"] == "deferred" and waiting["attempts"] >= 2
    assert server.messages(ana) == []


def test_mail_waits_while_the_dns_fails(
    server: LaboratoryServer, hosts: dict[str, ScriptedHost], names: Names, ana: str
) -> None:
    recipient = "luis@example.net"
    queue_id, content = send(server, ana, recipient)
    (attempt, *_) = server.wait_for_attempts(queue_id)
    (told,) = attempt["recipients"]
    assert (told["fate"], told["reply"][:9]) == ("deferred", "451 4.4.3")
    names.add("example.net", f"@ MX 10 mx\nmx A {hosts['good'].address}\n")
    *earlier, last = server.wait_until_gone(queue_id)
    assert {each["recipients"][0]["fate"] for each in earlier} == {"deferred"}
    assert last["recipients"][0]["fate"] == "relayed"
    assert_taken(hosts["good"], recipient, content)
    assert server.messages(ana) == []
