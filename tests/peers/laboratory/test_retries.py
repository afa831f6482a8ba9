"""What a host does not take now is tried again, and nothing else is: greylisting, some of many, broken connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest
from tests.peers.laboratory.estafeta import IMPATIENT, LaboratoryServer, serving
from tests.peers.laboratory.isolation import Laboratory
from tests.peers.laboratory.names import Names
from tests.peers.laboratory.received import below_trace, in_a_maildir, notification
from tests.peers.laboratory.scripted import DROP, EXTENSIONS, SILENCE, Play, ScriptedHost, Step, greylist
from tests.peers.letters import letter
from tests.peers.running import wait_for

pytestmark = pytest.mark.peers

EHLO = "\r\n".join(["250-scripted.example", *(f"250-{each}" for each in EXTENSIONS), "250 HELP"])
POSITIVE: dict[str, Step] = {
    "connect": "220 scripted.example ESMTP",
    "EHLO": EHLO,
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go on",
    "input": "",
    "content": "250 2.0.0 taken",
}
"""What each stage is answered with in the end."""
CLOSING = "421 4.3.2 closing for a while"
ACTS: dict[str, Step] = {"drops": DROP, "is-silent": SILENCE, "closes": CLOSING}
BROKEN = [(act, stage) for act in ACTS for stage in POSITIVE if stage != "input" or act == "drops"]


def domain_of(act: str, stage: str) -> str:
    return f"{act}-{stage.lower()}.example.com"


later = greylist("450 4.2.1 not now")


def some(command: str) -> Step:
    """Of three recipients one is taken, one refused, and one put off."""
    if "<taken@" in command:
        return "250 2.1.5 ok"
    return "550 5.1.1 no such person" if "<refused@" in command else later(command)


@pytest.fixture(scope="module")
def hosts(laboratory: Laboratory, names: Names) -> Iterator[dict[str, ScriptedHost]]:
    """Each the only one of its domain."""
    scripts: dict[str, Mapping[str, Play]] = {
        "greylists.example.com": {"RCPT": greylist()},
        "some.example.com": {"RCPT": some},
        "uncertain.example.com": {"content": [DROP, POSITIVE["content"]]},
        "second.example.com": {},
    }
    for act, stage in BROKEN:
        scripts[domain_of(act, stage)] = {stage: [ACTS[act], POSITIVE[stage]]}
    with ExitStack() as stack:
        hosts = {name: stack.enter_context(ScriptedHost(laboratory, script)) for name, script in scripts.items()}
        hosts["late.example.com"] = ScriptedHost(laboratory)
        records = [f"mx.{name}. A {host.address}\n{name}. MX 10 mx.{name}." for name, host in hosts.items()]
        names.add("example.com", "\n".join([*records, "uncertain MX 20 mx.second", ""]))
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


def send(server: LaboratoryServer, author: str, domain: str, *names: str) -> tuple[str, bytes]:
    """Hand a letter in; gives the queue id and the letter."""
    recipients = [f"{name}@{domain}" for name in names]
    content = letter(1, author=author, recipient=recipients[0], size=20_000)
    return server.submit(author, *recipients, content=content), content


def taken_by(host: ScriptedHost) -> list[tuple[list[str], bytes]]:
    """The recipients and the message below its trace of each transaction."""
    return [
        ([line.split()[1] for line in each.recipients], below_trace(in_a_maildir(each.content))) for each in host.taken
    ]


def test_a_host_that_greylists_gets_it_the_second_time(
    server: LaboratoryServer, hosts: dict[str, ScriptedHost], ana: str
) -> None:
    queue_id, content = send(server, ana, "greylists.example.com", "luis")
    wait_for(lambda: bool(server.attempts(queue_id)), "the first attempt", seconds=10)
    (waiting,) = server.queued(queue_id)
    assert (waiting["status"], waiting["attempts"]) == ("deferred", 1)
    assert waiting["last_reply"] == "451 4.7.1 greylisted, come back later"
    first, second = server.wait_until_gone(queue_id)
    (told,) = first["recipients"]
    assert (told["fate"], told["stage"]) == ("deferred", "RCPT")
    assert told["reply"] == "451 4.7.1 greylisted, come back later"
    assert second["recipients"][0]["fate"] == "relayed"
    assert taken_by(hosts["greylists.example.com"]) == [
        (["TO:<luis@greylists.example.com>"], in_a_maildir(content)),
    ]
    assert server.messages(ana) == []


def test_each_recipient_has_a_fate_of_its_own(server: LaboratoryServer, hosts: dict[str, ScriptedHost]) -> None:
    author, domain = server.account("to-some"), "some.example.com"
    queue_id, content = send(server, author, domain, "taken", "refused", "later")
    first, second = server.wait_until_gone(queue_id)
    fates = {each["forward_path"]: (each["fate"], each["reply"][:9]) for each in first["recipients"]}
    assert fates == {
        f"taken@{domain}": ("relayed", "250 2.0.0"),
        f"refused@{domain}": ("failed", "550 5.1.1"),
        f"later@{domain}": ("deferred", "450 4.2.1"),
    }
    assert [(each["forward_path"], each["fate"]) for each in second["recipients"]] == [(f"later@{domain}", "relayed")]
    # None of them twice.
    assert taken_by(hosts[domain]) == [
        ([f"TO:<taken@{domain}>"], in_a_maildir(content)),
        ([f"TO:<later@{domain}>"], in_a_maildir(content)),
    ]
    (message,) = server.wait_for_messages(author)
    assert notification(message).told == [(f"refused@{domain}", "failed", "5.1.1")]


@pytest.fixture(scope="module")
def broken(server: LaboratoryServer, ana: str) -> dict[str, tuple[str, bytes]]:
    """A letter for each host whose connections break, by its domain; all at once, for they wait for nothing else."""
    domains = [domain_of(act, stage) for act, stage in BROKEN]
    return {domain: send(server, ana, domain, "luis") for domain in domains}


@pytest.mark.parametrize(("act", "stage"), BROKEN)
def test_a_connection_that_breaks_is_a_retry(
    server: LaboratoryServer,
    hosts: dict[str, ScriptedHost],
    ana: str,
    broken: dict[str, tuple[str, bytes]],
    act: str,
    stage: str,
) -> None:
    domain = domain_of(act, stage)
    queue_id, content = broken[domain]
    first, second = server.wait_until_gone(queue_id)
    (told,) = first["recipients"]
    assert told["fate"] == "deferred" and told["next_attempt_at"] is not None
    assert told["reply"].startswith(CLOSING if act == "closes" else "451 4.4."), told
    # A host that breaks in the content may have all of it by then.
    if stage != "input":
        is_uncertain = stage == "content" and act != "closes"
        assert ("the host may have the message" in told["reply"]) == is_uncertain, told
    assert second["recipients"][0]["fate"] == "relayed"
    assert taken_by(hosts[domain]) == [([f"TO:<luis@{domain}>"], in_a_maildir(content))]
    assert server.messages(ana) == []


def test_no_other_host_is_asked_while_one_may_have_the_message(
    server: LaboratoryServer, hosts: dict[str, ScriptedHost], ana: str
) -> None:
    domain = "uncertain.example.com"
    queue_id, content = send(server, ana, domain, "luis")
    first, second = server.wait_until_gone(queue_id)
    assert "the host may have the message" in first["recipients"][0]["reply"]
    assert second["recipients"][0]["host"] == f"mx.{domain}"
    assert taken_by(hosts[domain]) == [([f"TO:<luis@{domain}>"], in_a_maildir(content))]
    assert hosts["second.example.com"].sessions == []


def test_mail_waits_for_a_host_that_is_down(server: LaboratoryServer, hosts: dict[str, ScriptedHost], ana: str) -> None:
    domain = "late.example.com"
    queue_id, content = send(server, ana, domain, "luis")
    for attempt in server.wait_for_attempts(queue_id, 2):
        assert attempt["recipients"][0]["fate"] == "deferred"
        assert attempt["troubles"][-1]["reply"].endswith("Connection refused")
    with hosts[domain]:
        server.wait_until_gone(queue_id)
    assert taken_by(hosts[domain]) == [([f"TO:<luis@{domain}>"], in_a_maildir(content))]
    assert server.messages(ana) == []
