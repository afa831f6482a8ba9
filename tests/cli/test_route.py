from __future__ import annotations

import asyncio
import hmac
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import dns.rcode
import pytest
from tests.net.dnsserver import DnsServer, denial, failing, records

from estafeta.mail.address import Address, ReversePath
from estafeta.routing.srs import Srs
from estafeta.store import destinations, lists, sts
from estafeta.store.records import DestinationState, Instant
from estafeta.store.store import open_store

if TYPE_CHECKING:
    from .conftest import Operator, TakeIn

TWO_HOSTS = (
    "example.net. 300 MX 20 second.example.net.",
    "example.net. 300 MX 10 first.example.net.",
    "first.example.net. 300 A 192.0.2.1",
    "first.example.net. 300 AAAA 2001:db8::1",
    "second.example.net. 300 A 192.0.2.2",
)
FAR = "far@example.net"


def explained(office: Operator, *arguments: str, code: int = 0) -> Any:
    """The document of `route`, and by the way the text: it must end with the same exit code."""
    text = office.run("route", *arguments)
    told = office.run("route", *arguments, "--json")
    assert text.exit_code == told.exit_code == code, text.output + told.output
    assert text.stderr == ""
    return json.loads(told.stdout) | {"text": text.stdout}


# Beyond our house.


def test_the_hosts_of_a_domain_are_told_in_the_order_to_try_them(office: Operator, names: DnsServer) -> None:
    names.say = records(*TWO_HOSTS)
    told = explained(office, FAR)
    assert told["verdict"] == "goes" and told["route"] == "domain is not ours"
    [destination] = told["destinations"]
    assert destination["destination"] == "example.net" and destination["kind"] == "domain"
    assert [(host["host"], host["preference"], host["addresses"]) for host in destination["hosts"]] == [
        ("first.example.net", 10, ["2001:db8::1", "192.0.2.1"]),
        ("second.example.net", 20, ["192.0.2.2"]),
    ]
    assert destination["hosts"][0]["tls"]["level"] == "may"
    assert 50 < destination["ttl"] <= 60  # as long as all of it holds, that second has no IPv6 included
    text = told["text"]
    assert text.startswith("<far@example.net> would go\n")
    assert "MX records first.example.net (10), second.example.net (20), for 300 more seconds." in text
    assert "host 1       first.example.net (preference 10) at [2001:db8::1]:25, 192.0.2.1:25\n" in text
    assert text.index("host 1") < text.index("host 2") < text.index("limits")
    assert "TLS          may (TLS where it is offered)" in text


def test_no_mail_host_is_connected_to(office: Operator, names: DnsServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        office.set(f"[relay]\nallow_loopback = true\nport = {port}\n")
        names.say = records("example.net. 300 MX 10 mx.example.net.", "mx.example.net. 300 A 127.0.0.1")
        told = explained(office, FAR)
        assert told["destinations"][0]["hosts"][0]["port"] == port
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_records_of_dane_are_told_with_what_they_ask(office: Operator, names: DnsServer) -> None:
    digest = "ab" * 32
    names.say = records(*TWO_HOSTS, f"_25._tcp.first.example.net. 300 TLSA 3 1 1 {digest}", is_authentic=True)
    told = explained(office, FAR)
    first, second = told["destinations"][0]["hosts"]
    assert first["tls"]["level"] == "verify" and first["tls"]["reason"] == "DANE"
    assert first["tls"]["policy"] == {"kind": "tlsa", "domain": "first.example.net", "lines": [f"3 1 1 {digest}"]}
    assert second["tls"]["level"] == "may"
    assert f"TLSA record of first.example.net: 3 1 1 {digest}" in told["text"]


def keep_policy(office: Operator, *hosts: str, mode: str = "enforce") -> None:
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {host}" for host in hosts), "max_age: 604800"]
    now = Instant(time.time())
    kept = sts.KeptPolicy("one", "\n".join(lines), Instant(now + 604_000))
    office.write(lambda tx: sts.keep(tx, "example.net", kept, now=now))


def test_a_policy_of_mta_sts_is_told_and_the_hosts_that_it_forbids(office: Operator, names: DnsServer) -> None:
    keep_policy(office, "first.example.net")
    names.say = records(*TWO_HOSTS, '_mta-sts.example.net. 300 TXT "v=STSv1; id=one;"')
    told = explained(office, FAR)
    [destination] = told["destinations"]
    [host] = destination["hosts"]
    assert host["host"] == "first.example.net" and host["tls"]["reason"] == "MTA-STS, mode enforce"
    assert "mx: first.example.net" in host["tls"]["policy"]["lines"]
    [refused] = destination["not_used"]
    assert refused["host"] == "second.example.net"
    assert refused["tls"]["refusal"].startswith("451 4.7.5 second.example.net is none of the hosts")
    assert "policy of example.net: mode: enforce" in told["text"] and "not used     second.example.net" in told["text"]


def test_where_a_policy_leaves_no_host_the_mail_waits(office: Operator, names: DnsServer) -> None:
    keep_policy(office, "other.example.net")
    names.say = records(*TWO_HOSTS, '_mta-sts.example.net. 300 TXT "v=STSv1; id=one;"')
    told = explained(office, FAR, code=75)
    assert told["verdict"] == "waits" and told["reply"].startswith("451 4.7.5 ")
    assert told["destinations"][0]["hosts"] == []


def test_the_operators_rule_for_tls_goes_first(office: Operator, names: DnsServer) -> None:
    names.say = records(*TWO_HOSTS)
    office.set('[[tls_policy]]\ndomain = "example.net"\nlevel = "verify"\nnames = ["mail.example.net"]\n')
    told = explained(office, FAR)
    assert "TLS          verify (rule of the operator for example.net: verify), for mail.example.net" in told["text"]


def test_what_requires_tls_is_refused_where_nobody_vouches_for_the_host(office: Operator, names: DnsServer) -> None:
    names.say = records(*TWO_HOSTS)
    told = explained(office, FAR, "--requiretls", code=1)
    assert told["requires_tls"] and told["reply"].startswith("550 5.7.10 ")
    assert "with REQUIRETLS would be refused" in told["text"]
    names.say = records(*TWO_HOSTS, is_authentic=True)
    told = explained(office, FAR, "--requiretls")
    assert told["destinations"][0]["hosts"][0]["tls"]["needs_requiretls"]


def test_what_the_dns_says_of_no_host_is_for_good_or_for_now(office: Operator, names: DnsServer) -> None:
    names.say = lambda asked: denial(asked, dns.rcode.NXDOMAIN)
    told = explained(office, FAR, code=1)
    assert told["reply"] == "550 5.1.2 the domain example.net does not exist"
    names.say = records("example.net. 300 MX 0 .")
    assert explained(office, FAR, code=1)["reply"].startswith("556 5.1.10 ")
    names.say = failing(dns.rcode.SERVFAIL)
    told = explained(office, FAR, code=75)
    assert told["reply"].startswith("451 4.4.3 ")
    assert told["text"].startswith("<far@example.net> would have to wait: 451 4.4.3 ")


def test_a_destination_that_does_not_answer_is_told_with_its_last_reply(
    office: Operator, names: DnsServer, take_in: TakeIn
) -> None:
    take_in(to=(), relay=(FAR, "farther@example.net"))
    names.say = records(*TWO_HOSTS)
    state = DestinationState("example.net", Instant(time.time() + 600), 3, "connect: 451 4.4.1 no answer")
    office.write(lambda tx: destinations.block(tx, state))
    told = explained(office, FAR, code=75)
    [destination] = told["destinations"]
    assert destination["waiting"] == 2 and destination["is_all_counted"]
    assert destination["blocked"]["is_blocked"] and destination["blocked"]["failures"] == 3
    assert destination["blocked"]["last_reply"] == "connect: 451 4.4.1 no answer"
    assert [host["host"] for host in destination["hosts"]] == ["first.example.net", "second.example.net"]
    assert "after 3 failures one after the other: connect: 451 4.4.1 no answer" in told["text"]
    assert "waiting      2 recipients" in told["text"]
    over = DestinationState("example.net", Instant(time.time() - 1), 1, "connect: 451 4.4.1 no answer")
    office.write(lambda tx: destinations.block(tx, over))
    told = explained(office, FAR)
    assert not told["destinations"][0]["blocked"]["is_blocked"]
    assert "no longer, since" in told["text"] and "after 1 failure:" in told["text"]


def test_limits_that_apply_are_told(office: Operator, names: DnsServer) -> None:
    names.say = records(*TWO_HOSTS)
    office.set(
        "[relay]\naccount_messages_per_hour = 50\n"
        '[[destination_limit]]\ndomain = ".net"\nconcurrency = 3\nrecipients_per_minute = 60\n'
    )
    limits = explained(office, FAR)["destinations"][0]["limits"]
    assert (limits["concurrency"], limits["recipients_per_minute"], limits["destination_limit"]) == (3, 60, ".net")
    text = explained(office, FAR, "--from", "ana@example.org")["text"]
    assert (
        "3 at a time (destination_limit .net), beginning with 3, 60 recipients a minute, 50 recipients an hour" in text
    )


def test_only_some_of_many_addresses_are_tried(office: Operator, names: DnsServer) -> None:
    addresses = [f"mx.example.net. 300 A 192.0.2.{number}" for number in range(1, 13)]
    names.say = records("example.net. 300 MX 10 mx.example.net.", *addresses)
    [destination] = explained(office, FAR)["destinations"]
    assert len(destination["hosts"][0]["addresses"]) == 10 and destination["addresses_not_tried"] == 2


# In our house.


def test_mailboxes_are_told_with_the_reason(office: Operator) -> None:
    told = explained(office, "ana@example.org")
    assert told["ends"] == [
        {
            "kind": "mailbox",
            "account": "ana@example.org",
            "reason": "account",
            "verdict": "goes",
            "reply": None,
            "list": None,
            "owner": None,
        }
    ]
    assert told["destinations"] == []
    assert explained(office, "Ana+news@example.org")["route"] == "subaddress of ana@example.org"
    assert explained(office, "Postmaster")["route"] == "postmaster's mail, by the oldest account"


def test_who_is_not_here_is_refused_and_who_has_no_room_must_wait(office: Operator) -> None:
    told = explained(office, "nobody@example.org", code=1)
    assert (
        told["reply"] == "550 5.1.1 no such mailbox here" and told["route"] == "no account or alias nobody@example.org"
    )
    office.done("account", "disable", "luis@example.org")
    assert explained(office, "luis@example.org", code=1)["reply"].startswith("550 5.2.1 ")
    office.done("account", "quota", "ana@example.org", "--octets", "0")
    told = explained(office, "ana@example.org", code=75)
    assert told["ends"][0]["verdict"] == "waits" and told["reply"] == "452 4.2.2 mailbox full"


def test_an_alias_is_told_with_its_ends(office: Operator, names: DnsServer) -> None:
    names.say = records(*TWO_HOSTS)
    office.done("alias", "add", "team@example.org", "ana@example.org", FAR, "nobody@example.org")
    told = explained(office, "team@example.org")
    assert told["route"] == "alias team@example.org, passed over: no account or alias nobody@example.org"
    mailbox, host = told["ends"]
    assert mailbox["account"] == "ana@example.org"
    assert host["forward_path"] == FAR and host["alias"] == "team@example.org"
    assert host["reverse_path"].startswith("rewritten under example.org (SRS)")
    assert "<far@example.net> by way of example.net, behind team@example.org" in told["text"]
    # SPF holds for our own users.
    assert explained(office, "team@example.org", "--from", "ana@example.org")["ends"][1]["reverse_path"] is None
    office.set("[srs]\nenabled = false\n")
    assert explained(office, "team@example.org")["ends"][1]["reverse_path"] is None


def test_a_list_is_told_with_its_owner(office: Operator, names: DnsServer) -> None:
    names.say = records(*TWO_HOSTS)
    office.done("alias", "add", "news@example.org", "luis@example.org", FAR)
    owner = Address.parse("ana@example.org")
    office.write(lambda tx: lists.set_owner(tx, Address.parse("news@example.org"), owner))
    told = explained(office, "news@example.org")
    assert [each["owner"] for each in told["ends"]] == ["ana@example.org"] * 2
    assert "the mailbox of luis@example.org, through the list news@example.org" in told["text"]
    assert "reverse-path that of the list's owner, ana@example.org" in told["text"]


def test_a_notification_for_a_rewritten_reverse_path_is_led_back(office: Operator, names: DnsServer) -> None:
    names.say = records(*TWO_HOSTS)
    explained(office, FAR)
    secret = (office.folder / "data" / "secret").read_bytes()
    srs = Srs(hmac.digest(secret, b"srs", "sha256"))
    rewritten = srs.forward(ReversePath(Address.parse(FAR)), "example.org", time.time())
    told = explained(office, str(rewritten))
    assert told["route"] == "SRS undone: domain is not ours" and told["notes"] == []
    assert told["ends"][0]["forward_path"] == FAR
    assert told["destinations"][0]["destination"] == "example.net"


def test_the_worst_of_several_ends_counts(office: Operator, names: DnsServer) -> None:
    names.say = lambda asked: denial(asked, dns.rcode.NXDOMAIN)
    office.done("alias", "add", "team@example.org", "ana@example.org", FAR)
    told = explained(office, "team@example.org", code=1)
    assert told["ends"][0]["verdict"] == "goes" and told["reply"].startswith("550 5.1.2 ")


def test_of_an_alias_with_many_destinations_some_are_looked_up(office: Operator, names: DnsServer) -> None:
    names.say = records("d.example. 300 A 192.0.2.1")
    office.done("alias", "add", "all@example.org", *(f"x@d{number}.example" for number in range(60)))
    told = explained(office, "all@example.org", code=1)
    assert len(told["ends"]) == 50 and told["ends_left_out"] == 10
    assert len(told["destinations"]) == 20 and told["destinations_left_out"] == 40
    assert "40 more destinations were not looked up" in told["text"]
    assert len({question.split()[1] for question in names.questions if question.startswith("MX ")}) == 20


# By the rules of the settings.

SMARTHOST = """\
[[route]]
domain = "*"
senders = ["luis@example.org"]
gateway = "hub"

[[gateway]]
name = "hub"
kind = "smtp"
host = "hub.example.com"
port = 587
tls = "verify"
username = "relay@example.com"
password_file = "{file}"
"""


def test_a_smarthost_by_sender_is_told_with_its_login(office: Operator, names: DnsServer) -> None:
    names.say = records(*TWO_HOSTS, "hub.example.com. 300 A 192.0.2.9")
    password = office.folder / "password"
    password.write_text("geheim\n")
    password.chmod(0o600)
    office.set(SMARTHOST.format(file=password))
    told = explained(office, FAR, "--from", "luis@example.org")
    [destination] = told["destinations"]
    assert destination["destination"] == "gateway:hub" and destination["kind"] == "gateway"
    assert destination["gateway"] == {
        "name": "hub",
        "kind": "smtp",
        "host": "hub.example.com",
        "port": 587,
        "mx": False,
        "tls": "verify",
        "login": "relay@example.com",
    }
    assert [host["addresses"] for host in destination["hosts"]] == [["192.0.2.9"]]
    line = office.config.read_text().splitlines().index("[[route]]") + 1
    assert (told["rule"]["number"], told["rule"]["line"]) == (1, line)
    assert f"rule         number 1, line {line}: * from luis@example.org to the gateway hub" in told["text"]
    assert "smtp host hub.example.com, port 587, TLS verify, login as relay@example.com" in told["text"]
    assert "geheim" not in told["text"]
    # Nobody else goes that way.
    for arguments in ((FAR, "--from", "ana@example.org"), (FAR,)):
        told = explained(office, *arguments)
        assert told["rule"] is None and told["destinations"][0]["destination"] == "example.net"
    assert "rules for certain senders are passed over: --from says whose message it is" in told["notes"]
    assert any(note.startswith("taken from accounts and trusted networks only") for note in told["notes"])


def test_a_domain_kept_elsewhere_is_open_to_everyone(office: Operator, names: DnsServer) -> None:
    names.say = records(*TWO_HOSTS)
    office.set('[[route]]\ndomain = "example.net"\naction = "mx"\nfor_anyone = true\n')
    told = explained(office, FAR)
    assert told["notes"] == [] and told["rule"]["for_anyone"] and told["ends"][0]["for_anyone"]


def test_gateways_of_this_machine_are_told_with_the_place(office: Operator) -> None:
    office.set(
        '[[route]]\ndomain = "box.example"\ngateway = "box"\n'
        '[[route]]\ndomain = "run.example"\ngateway = "run"\n'
        f'[[gateway]]\nname = "box"\nkind = "maildir"\npath = "{office.folder}/mail/{{user}}"\nuser = "nobody"\n'
        '[[gateway]]\nname = "run"\nkind = "command"\ncommand = ["/usr/bin/take", "{recipient}"]\nuser = "nobody"\n'
    )
    told = explained(office, "Eva+x@box.example")
    assert told["ends"][0]["place"] == f"written to {office.folder}/mail/eva"
    assert told["destinations"][0]["gateway"]["kind"] == "maildir" and told["destinations"][0]["hosts"] == []
    told = explained(office, "eva@run.example")
    assert told["ends"][0]["place"] == "handed to /usr/bin/take"
    assert "command /usr/bin/take {recipient}, as the user nobody" in told["text"]


def test_what_a_rule_does_besides_is_told(office: Operator, names: DnsServer) -> None:
    names.say = records("call.example. 300 MX 10 mx.call.example.", "mx.call.example. 300 A 192.0.2.7")
    office.set(
        '[[route]]\ndomain = "call.example"\naction = "on-demand"\n'
        '[[route]]\ndomain = "hole.example"\naction = "discard"\n'
        '[[route]]\ndomain = "no.example"\naction = "refuse"\ntext = "we do not write to them"\n'
        '[[route]]\ndomain = "kept.example"\nmailbox = "ana@example.org"\n'
    )
    told = explained(office, "x@call.example")
    assert told["destinations"][0]["kind"] == "on-demand" and told["destinations"][0]["reply"] is None
    assert told["destinations"][0]["hosts"][0]["addresses"] == ["192.0.2.7"]
    assert "calls (ETRN, ATRN, TURN); after ETRN it goes to the hosts that the DNS names\n" in told["text"]
    names.say = lambda asked: denial(asked, dns.rcode.NXDOMAIN)
    assert "calls (ETRN, ATRN, TURN)\n" in explained(office, "x@call.example")["text"]
    assert explained(office, "x@hole.example")["ends"][0]["kind"] == "nowhere"
    told = explained(office, "x@no.example", code=1)
    assert told["reply"] == "550 5.7.1 we do not write to them" and told["rule"]["number"] == 3
    assert explained(office, "x@kept.example")["ends"][0]["account"] == "ana@example.org"


# The command itself.


def test_it_works_while_a_server_has_the_store_open(office: Operator) -> None:
    store = open_store(office.folder / "data", clock=time.time)
    try:
        assert explained(office, "ana@example.org")["verdict"] == "goes"
        asyncio.run(store.write(lambda tx: None))
    finally:
        store.close()


def test_files_for_tls_that_are_not_there_hinder_only_what_leaves(office: Operator) -> None:
    office.set('[tls_client]\nca_file = "nowhere.pem"\n')
    assert explained(office, "ana@example.org")["verdict"] == "goes"
    assert "nowhere.pem" in office.refused("route", FAR)


def test_what_cannot_be_explained_is_one_line(operator: Operator) -> None:
    assert "there is no store in" in operator.refused("route", FAR)
    operator.done("domain", "add", "example.org")
    assert operator.refused("route", FAR, "--from", "eva@example.org") == "there is no account eva@example.org"
    result = operator.run("route", "no address")
    assert result.exit_code == 2 and "is not an address" in result.stderr
    assert "Traceback" not in result.stderr
