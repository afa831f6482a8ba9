"""Mail on demand: ETRN asks a backup for what it keeps, ATRN and TURN take it over the customer's own connection."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.peers.laboratory.certificates import authority, certificate_for
from tests.peers.laboratory.estafeta import IMPATIENT, LaboratoryServer, serving
from tests.peers.laboratory.hosts import Postfix
from tests.peers.laboratory.isolation import Laboratory
from tests.peers.laboratory.names import Names
from tests.peers.laboratory.received import below_trace, in_a_maildir, notification
from tests.peers.letters import letter
from tests.peers.running import behind_all_trace, wait_for

pytestmark = pytest.mark.peers

PROVIDER = "mx.provider.example"
STRANGER = "ana@elsewhere.example"
# Only who asks gets what was put off: the provider tries again in an hour.
PATIENT = IMPATIENT.replace("retry_after = [1]", "retry_after = [3600]")
SETTINGS = f"""{PATIENT}
[[route]]
domain = "backed-up.example"
action = "mx"
for_anyone = true

[[route]]
domain = "postfix.example"
action = "mx"
for_anyone = true

[[route]]
domain = "on-demand.example"
action = "on-demand"
for_anyone = true

[[on_demand.customer]]
account = "customer@provider.example"
domains = ["on-demand.example"]
turn = true

[[listen]]
kind = "odmr"
address = "{{address}}"
"""


@pytest.fixture(scope="module")
def provider(
    laboratory: Laboratory, names: Names, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LaboratoryServer]:
    """Keeps mail for others."""
    address = laboratory.address()
    provider = LaboratoryServer(
        laboratory,
        tmp_path_factory.mktemp("provider"),
        domain="provider.example",
        name=PROVIDER,
        address=address,
        tls=certificate_for(laboratory, PROVIDER),
        settings=SETTINGS.format(address=address),
    )
    names.add("provider.example", f"@ MX 10 mx\nmx A {address}\n")
    for started in serving(provider):
        started.account("customer")
        yield started


@pytest.fixture(scope="module")
def customer(
    laboratory: Laboratory,
    names: Names,
    provider: LaboratoryServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> LaboratoryServer:
    """Has mailboxes, and is not running: a host that is there now and then."""
    customer = LaboratoryServer(
        laboratory,
        tmp_path_factory.mktemp("customer"),
        domain="backed-up.example",
        name="mx.backed-up.example",
        address=laboratory.address(),
    )
    names.add("backed-up.example", f"@ MX 10 mx\n@ MX 20 {PROVIDER}.\nmx A {customer.address}\n")
    names.add("kept-by-postfix.example", "@ MX 10 mx.backed-up.example.\n@ MX 20 mx.postfix.example.\n")
    for domain in ("backed-up", "kept-by-postfix", "on-demand"):
        customer.account("luis", domain=f"{domain}.example")
    return customer


@pytest.fixture(scope="module")
def postfix(laboratory: Laboratory, names: Names, provider: LaboratoryServer) -> Iterator[tuple[Postfix, list[bytes]]]:
    """Has the mailboxes of one domain, and keeps the mail of another; with letters that came before it was there."""
    postfix = Postfix(
        laboratory,
        "mx.postfix.example",
        "postfix.example",
        settings="relay_domains = kept-by-postfix.example\nqueue_run_delay = 1h\nminimal_backoff_time = 1h",
    )
    names.add("postfix.example", f"@ MX 10 mx\n@ MX 20 {PROVIDER}.\nmx A {postfix.address}\n")
    contents = keep(provider, "luis@postfix.example", 1, 2)
    postfix.start()
    yield postfix, contents
    postfix.stop()


def written_for(recipient: str, number: int) -> bytes:
    return letter(number, author=STRANGER, recipient=recipient, size=5000)


def keep(provider: LaboratoryServer, recipient: str, *numbers: int) -> list[bytes]:
    """Have the provider keep letters of a stranger, which it could not bring."""
    contents = [written_for(recipient, number) for number in numbers]
    provider.put(STRANGER, recipient, contents)

    def are_put_off() -> bool:
        # One failure is enough: those behind it are not tried at a host that is down.
        queued = provider.queued(recipient)
        return len(queued) == len(numbers) and any(each["attempts"] == 1 for each in queued)

    wait_for(are_put_off, "the letters to be put off", seconds=20)
    return contents


def hand_to(address: str, recipient: str, content: bytes) -> None:
    """Hand a letter of a stranger to a host, from inside."""
    with smtplib.SMTP(address, 25, timeout=30, local_hostname="client.example.net") as client:
        assert client.sendmail(STRANGER, [recipient], content, mail_options=["BODY=8BITMIME"]) == {}


def fetch(server: LaboratoryServer, *words: str) -> tuple[int, str]:
    """Call a provider; gives the exit code, and what was said."""
    done = server.call("fetch-queue", *words)
    return done.returncode, done.stdout + done.stderr


# ETRN.


def test_a_host_that_comes_up_asks_its_backup_for_its_mail(
    provider: LaboratoryServer, customer: LaboratoryServer
) -> None:
    luis = "luis@backed-up.example"
    contents = keep(provider, luis, 1, 2, 3)
    with contextmanager(serving)(customer):
        code, said = fetch(customer, "--etrn", PROVIDER, "backed-up.example")
        assert (code, said.partition(":")[0]) == (0, "backed-up.example") and " 25" in said
        messages = customer.wait_for_messages(luis, len(contents))
    assert sorted(map(behind_all_trace, messages)) == sorted(contents)
    assert provider.queued(luis) == []


def test_a_host_with_postfix_gets_its_mail_by_etrn(
    provider: LaboratoryServer, customer: LaboratoryServer, postfix: tuple[Postfix, list[bytes]]
) -> None:
    host, contents = postfix
    code, said = fetch(customer, "--etrn", PROVIDER, "postfix.example")
    assert code == 0, said
    wait_for(lambda: len(host.messages()) == len(contents), f"the letters; {provider.log}", seconds=20)
    assert sorted(map(below_trace, host.messages())) == sorted(map(in_a_maildir, contents))
    assert provider.queued("luis@postfix.example") == []


def test_postfix_sends_what_it_has_kept(
    laboratory: Laboratory, customer: LaboratoryServer, postfix: tuple[Postfix, list[bytes]]
) -> None:
    host, luis = postfix[0], "luis@kept-by-postfix.example"
    content = written_for(luis, 1)
    laboratory.call(lambda: hand_to(host.address, luis, content))
    wait_for(lambda: "status=deferred" in host.log(), "Postfix to put the letter off", seconds=20)
    with contextmanager(serving)(customer):
        code, said = fetch(customer, "--etrn", "mx.postfix.example", "kept-by-postfix.example")
        assert code == 0, said
        (message,) = customer.wait_for_messages(luis)
    assert behind_all_trace(message) == content


def test_etrn_for_strange_domains_is_refused(provider: LaboratoryServer, customer: LaboratoryServer) -> None:
    code, said = fetch(customer, "--etrn", PROVIDER, "unknown.example")
    assert code != 0 and "459 " in said


# ATRN and TURN: the customer's server does not run.


@pytest.mark.parametrize(("verb", "place"), [("--atrn", PROVIDER), ("--turn", f"{PROVIDER}:25")])
def test_a_customer_takes_his_mail_on_the_connection_he_made(
    laboratory: Laboratory, provider: LaboratoryServer, customer: LaboratoryServer, verb: str, place: str
) -> None:
    luis = "luis@on-demand.example"
    before = customer.count(luis)
    author = provider.account(f"author-{verb.strip('-')}")
    content = letter(1, author=author, recipient=luis, size=5000)
    # The second recipient is none of the customer's, who says so only now.
    queue_id = provider.submit(author, luis, "nobody@on-demand.example", content=content)
    assert len(provider.queued(queue_id)) == 2
    login = ("--user", "customer@provider.example", "--ca-file", str(authority(laboratory)))

    code, said = fetch(customer, verb, *login, "--json", place)
    assert code == 0, said
    told = json.loads(said)
    assert told["reply"]["code"] == 250 and told["ended"] == "quit"
    (message,) = customer.messages(luis)[before:]
    assert behind_all_trace(message) == content
    (attempt,) = provider.wait_until_gone(queue_id)
    fates = {each["forward_path"]: each["fate"] for each in attempt["recipients"]}
    assert fates == {luis: "relayed", "nobody@on-demand.example": "failed"}
    (heard,) = provider.wait_for_messages(author)
    assert notification(heard).told == [("nobody@on-demand.example", "failed", "5.1.1")]

    code, said = fetch(customer, verb, *login, place)
    assert code == 0 and "no mail" in said, said


def test_mail_is_given_to_nobody_else(
    laboratory: Laboratory, provider: LaboratoryServer, customer: LaboratoryServer
) -> None:
    other = provider.account("other")
    provider.put(STRANGER, "luis@on-demand.example", [written_for("luis@on-demand.example", 5)])
    for verb, place in (("--atrn", PROVIDER), ("--turn", f"{PROVIDER}:25")):
        code, said = fetch(customer, verb, "--user", other, "--ca-file", str(authority(laboratory)), place)
        assert code != 0, said
    assert len(provider.queued("luis@on-demand.example")) == 1
