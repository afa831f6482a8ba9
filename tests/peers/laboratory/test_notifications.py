"""What senders hear of their mail, read by programs of others; and that it reaches them through aliases and lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from email import message_from_bytes
from pathlib import Path

import pytest
from tests.peers.laboratory.estafeta import IMPATIENT, LaboratoryServer, serving
from tests.peers.laboratory.hosts import Postfix
from tests.peers.laboratory.isolation import Laboratory
from tests.peers.laboratory.names import Names
from tests.peers.laboratory.readers import read_by_bounce_parser, read_by_flufl, read_in_mutt
from tests.peers.laboratory.received import Notification, below_trace, in_a_maildir, notification
from tests.peers.laboratory.scripted import EXTENSIONS, ScriptedHost
from tests.peers.letters import letter
from tests.peers.running import wait_for

pytestmark = pytest.mark.peers

SETTINGS = f"""{IMPATIENT}delay_notice_after = 1
lifetime = 432000

[notifications]
languages = {{ "luz@example.org" = "es" }}
"""
UNKNOWN = "550 5.1.1 <gone@refusing.example>: no such person here"
STRANGER = "otto@elsewhere.example"


@pytest.fixture(scope="module")
def hosts(laboratory: Laboratory, names: Names) -> Iterator[dict[str, ScriptedHost]]:
    """One that refuses, one that takes all but knows no DSN, and that of a stranger; and one that is down."""
    plain = tuple(each for each in EXTENSIONS if each != "DSN")
    with ExitStack() as stack:
        hosts = {
            "refusing.example": ScriptedHost(laboratory, {"RCPT": UNKNOWN}),
            "plain.example": ScriptedHost(laboratory, extensions=plain),
            "dsn.example": ScriptedHost(laboratory),
            "elsewhere.example": ScriptedHost(laboratory),
        }
        for domain, host in hosts.items():
            stack.enter_context(host)
            names.add(domain, f"@ MX 10 mx\nmx A {host.address}\n")
        names.add("down.example", f"@ MX 10 mx\nmx A {laboratory.address()}\n")
        yield hosts


@pytest.fixture(scope="module")
def postfix(laboratory: Laboratory, names: Names) -> Iterator[Postfix]:
    """Takes all for its domain, and finds out afterwards that there is no way to `gone`."""
    postfix = Postfix(
        laboratory,
        "mx.postfix.example",
        "postfix.example",
        settings="virtual_alias_maps = inline:{ { gone@postfix.example = gone@nowhere.example } }",
    )
    names.add("postfix.example", f"@ MX 10 mx\nmx A {postfix.address}\n")
    postfix.start()
    yield postfix
    postfix.stop()


@pytest.fixture(scope="module")
def server(
    laboratory: Laboratory,
    names: Names,
    hosts: dict[str, ScriptedHost],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LaboratoryServer]:
    server = LaboratoryServer(laboratory, tmp_path_factory.mktemp("server"), settings=SETTINGS)
    names.add("example.org", f"@ MX 10 mx\nmx A {server.address}\n")
    yield from serving(server)


def send(server: LaboratoryServer, author: str, recipient: str, *rcpt: str, mail: tuple[str, ...] = ()) -> bytes:
    """Hand a letter in, and wait until nothing of it is in the queue; gives the letter."""
    content = letter(1, author=author, recipient=recipient, size=3000)
    server.wait_until_gone(server.submit(author, recipient, content=content, rcpt=rcpt, mail=mail))
    return content


def restart(server: LaboratoryServer, **relay: str) -> None:
    """Stop and start it; waiting mail is looked at then. `relay` are settings that change."""
    assert server.stop() == 0
    text = server.config.read_text()
    for name, value in relay.items():
        text = "".join(
            f"{name} = {value}\n" if line.startswith(f"{name} = ") else line for line in text.splitlines(keepends=True)
        )
    server.config.write_text(text)
    server.start()


# How others read notifications.


@pytest.mark.parametrize(
    ("name", "words"),
    [("ana", "could not be delivered"), ("luz", "no se ha podido entregar a\n\n    gone@refusing.example")],
)
def test_a_failure_is_understood_by_others(
    server: LaboratoryServer, hosts: dict[str, ScriptedHost], tmp_path: Path, name: str, words: str
) -> None:
    author, recipient = server.account(name), "gone@refusing.example"
    content = send(server, author, recipient)
    (message,) = server.wait_for_messages(author)
    heard = notification(message)
    assert heard.told == [(recipient, "failed", "5.1.1")]
    assert heard.recipients[0]["Diagnostic-Code"] == f"smtp; {UNKNOWN}"
    assert heard.message["Auto-Submitted"] == "auto-replied" and "\r\nReturn-Path: <>" in f"\r\n{message.decode()}"
    assert heard.returned.endswith(content)

    printed, saved = read_in_mutt(message, tmp_path)
    assert words in printed and f"> {UNKNOWN}" in printed
    assert f"Final-Recipient: rfc822; {recipient}\nAction: failed\nStatus: 5.1.1\n" in printed
    assert saved.split(b"\n\n", 1)[1].rstrip(b"\n") == in_a_maildir(content).split(b"\n\n", 1)[1].rstrip(b"\n")
    assert read_by_bounce_parser(message) == [f"{recipient} user_unknown"]
    assert read_by_flufl(message) == [f"{recipient} permanent"]


def test_a_delay_is_told_once_and_then_the_end(
    server: LaboratoryServer, hosts: dict[str, ScriptedHost], tmp_path: Path
) -> None:
    author, recipient = server.account("patient"), "luis@down.example"
    content = letter(1, author=author, recipient=recipient, size=3000)
    queue_id = server.submit(author, recipient, content=content)
    server.wait_for_attempts(queue_id, 2)
    restart(server)
    (message,) = server.wait_for_messages(author)
    heard = notification(message)
    assert heard.told == [(recipient, "delayed", "4.4.1")]
    assert heard.recipients[0]["Will-Retry-Until"] is not None
    assert content not in message
    printed, _ = read_in_mutt(message, tmp_path)
    assert f"Final-Recipient: rfc822; {recipient}\nAction: delayed\n" in printed
    assert read_by_flufl(message) == [f"{recipient} temporary"]
    assert any(attempt["ended"] == "looked at" for attempt in server.attempts(queue_id))

    restart(server)  # no second one
    server.wait_for_attempts(queue_id, len(server.attempts(queue_id)) + 1)
    assert server.count(author) == 1
    restart(server, lifetime="1")
    try:
        server.wait_until_gone(queue_id)
        message = server.wait_for_messages(author, 2)[1]
    finally:
        restart(server, lifetime="432000")
    heard = notification(message)
    assert heard.told == [(recipient, "failed", "4.4.7")]
    assert heard.returned.endswith(content)
    assert read_by_flufl(message) == [f"{recipient} permanent"]


# What senders ask for (RFC 3461).


def test_a_host_without_dsn_is_the_last_that_could_tell(
    server: LaboratoryServer, hosts: dict[str, ScriptedHost]
) -> None:
    author, recipient = server.account("curious"), "luis@plain.example"
    send(server, author, recipient, "NOTIFY=SUCCESS", "ORCPT=rfc822;first@example.com", mail=("ENVID=one+2Btwo",))
    (message,) = server.wait_for_messages(author)
    heard = notification(message)
    assert heard.told == [(recipient, "relayed", "2.0.0")]
    assert heard.of_message["Original-Envelope-Id"] == "one+two"
    assert heard.recipients[0]["Original-Recipient"] == "rfc822;first@example.com"
    (taken,) = hosts["plain.example"].taken
    assert "NOTIFY" not in taken.recipients[0] and "ENVID" not in taken.mail


def test_a_host_with_dsn_is_told_what_the_sender_wants(
    server: LaboratoryServer, hosts: dict[str, ScriptedHost]
) -> None:
    author = server.account("formal")
    asked = ("NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;first@example.com")
    send(server, author, "luis@dsn.example", *asked, mail=("ENVID=one+2Btwo", "RET=HDRS"))
    (taken,) = hosts["dsn.example"].taken
    assert {"ENVID=one+2Btwo", "RET=HDRS"} <= set(taken.mail.split())
    (recipient,) = taken.recipients
    assert {"NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;first@example.com"} <= set(recipient.split())
    assert server.messages(author) == []


def test_postfix_tells_of_the_delivery(server: LaboratoryServer, postfix: Postfix) -> None:
    author, recipient = server.account("formal-too"), "luis@postfix.example"
    send(server, author, recipient, "NOTIFY=SUCCESS", mail=("ENVID=three",))
    (message,) = server.wait_for_messages(author)
    heard = notification(message)
    assert heard.of_message["Reporting-MTA"] == "dns; mx.postfix.example"
    assert heard.of_message["Original-Envelope-Id"] == "three"
    assert [(action, status) for _, action, status in heard.told] == [("delivered", "2.0.0")]


def test_nobody_hears_who_does_not_want_to(server: LaboratoryServer, hosts: dict[str, ScriptedHost]) -> None:
    author = server.account("busy")
    send(server, author, "gone@refusing.example", "NOTIFY=NEVER")
    assert server.messages(author) == []


# Forwarding.


def wait_for_stranger(hosts: dict[str, ScriptedHost], count: int) -> Notification:
    """The newest of so many notifications that have come back to the stranger."""
    host = hosts["elsewhere.example"]
    wait_for(lambda: len(host.taken) >= count, "the notification of the stranger", seconds=20)
    assert len(host.taken) == count
    taken = host.taken[-1]
    assert taken.mail.split()[1] == "FROM:<>"
    assert [line.split()[1] for line in taken.recipients] == [f"TO:<{STRANGER}>"]
    return notification(taken.content)


def test_what_comes_back_to_a_rewritten_path_reaches_the_author(
    server: LaboratoryServer, hosts: dict[str, ScriptedHost], postfix: Postfix
) -> None:
    server.command("alias", "add", "moved@example.org", "gone@postfix.example", "luis@postfix.example")
    before = len(postfix.messages())
    content = letter(1, author=STRANGER, recipient="moved@example.org", size=3000)
    server.put(STRANGER, "moved@example.org", [content])
    # Postfix has taken it from an address of our domain, and bounces to that.
    heard = wait_for_stranger(hosts, 1)
    assert heard.of_message["Reporting-MTA"] == "dns; mx.postfix.example"
    assert heard.told == [("gone@nowhere.example", "failed", "5.4.4")]
    wait_for(lambda: len(postfix.messages()) > before, "the other recipient's", seconds=20)
    message = postfix.messages()[-1]
    assert below_trace(message) == in_a_maildir(content)
    reverse_path = message_from_bytes(message)["Return-Path"]
    assert reverse_path.startswith("<SRS0=") and reverse_path.endswith("=elsewhere.example=otto@example.org>")


def test_a_refusal_behind_an_alias_reaches_the_author(server: LaboratoryServer, hosts: dict[str, ScriptedHost]) -> None:
    server.command("alias", "add", "left@example.org", "gone@refusing.example")
    before = len(hosts["elsewhere.example"].taken)
    server.put(STRANGER, "left@example.org", [letter(1, author=STRANGER, recipient="left@example.org")])
    heard = wait_for_stranger(hosts, before + 1)
    assert heard.of_message["Reporting-MTA"] == "dns; mx.example.org"
    assert [(action, status) for _, action, status in heard.told] == [("failed", "5.1.1")]


def test_nobody_hears_of_a_notification_that_fails(server: LaboratoryServer, hosts: dict[str, ScriptedHost]) -> None:
    server.command("alias", "add", "mute@example.org", "gone@refusing.example")
    host, before = hosts["refusing.example"], len(hosts["elsewhere.example"].taken)

    def refusals() -> int:
        return sum(line.startswith("RCPT ") for session in host.sessions for line in session.commands)

    earlier = refusals()
    server.put("", "mute@example.org", [letter(1, author=STRANGER, recipient="mute@example.org")])
    wait_for(lambda: refusals() > earlier, "the host that refuses", seconds=20)
    wait_for(lambda: not server.queued("gone@refusing.example"), "the queue", seconds=20)
    assert len(hosts["elsewhere.example"].taken) == before


def test_a_list_has_its_fields_and_its_owner_hears_of_its_members(
    server: LaboratoryServer, hosts: dict[str, ScriptedHost], postfix: Postfix
) -> None:
    owner, eva, list_ = server.account("owner"), server.account("eva"), "friends@example.org"
    members = (eva, "luis@postfix.example", "gone@postfix.example", "gone@refusing.example")
    server.command("alias", "add", list_, *members, "--list", "--owner", owner)
    before, strangers = len(postfix.messages()), len(hosts["elsewhere.example"].taken)
    content = letter(1, author=STRANGER, recipient=list_, size=3000)
    server.put(STRANGER, list_, [content])
    (copy,) = server.wait_for_messages(eva)
    wait_for(lambda: len(postfix.messages()) > before, "the copy of a member elsewhere", seconds=20)
    for message in (copy.replace(b"\r\n", b"\n"), postfix.messages()[-1]):
        parsed = message_from_bytes(message)
        assert parsed["List-Id"] == "<friends.example.org>"
        assert parsed["List-Post"] == f"<mailto:{list_}>"
        assert parsed["Return-Path"] == f"<{owner}>"
        assert message.endswith(in_a_maildir(content).split(b"\n\n", 1)[1])
    heard = [notification(message) for message in server.wait_for_messages(owner, 2)]
    told = sorted((each.of_message["Reporting-MTA"], each.told) for each in heard)
    assert told == [
        ("dns; mx.example.org", [("gone@refusing.example", "failed", "5.1.1")]),
        ("dns; mx.postfix.example", [("gone@nowhere.example", "failed", "5.4.4")]),
    ]
    assert len(hosts["elsewhere.example"].taken) == strangers
