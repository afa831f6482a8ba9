"""Ways that the operator sets: a smarthost with a login, LMTP to another Estafeta, folders, files and programs."""

from __future__ import annotations

import mailbox
import shutil
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.peers.laboratory.certificates import certificate_for
from tests.peers.laboratory.estafeta import IMPATIENT, LaboratoryServer, serving
from tests.peers.laboratory.isolation import MAIL_UID, MAIL_USER, Laboratory
from tests.peers.laboratory.names import Names
from tests.peers.laboratory.received import below_trace, in_a_maildir, notification
from tests.peers.laboratory.scripted import ScriptedHost
from tests.peers.letters import letter
from tests.peers.running import PASSWORD, behind_all_trace, wait_for

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

SMARTHOST = "smarthost.provider.example"
PROVIDER_SETTINGS = f"""{IMPATIENT}
[[listen]]
kind = "submission"
address = "{{address}}"
"""
OFFICE_SETTINGS = f"""{IMPATIENT}
[[gateway]]
name = "provider"
kind = "smtp"
host = "{SMARTHOST}"
port = 587
tls = "verify"
username = "ana@example.org"
password_file = "{{folder}}/password"

[[gateway]]
name = "wrong-password"
kind = "smtp"
host = "{SMARTHOST}"
port = 587
tls = "verify"
username = "wrong@example.org"
password_file = "{{folder}}/wrong-password"

[[gateway]]
name = "mailboxes"
kind = "lmtp"
host = "127.0.0.1"
port = {{lmtp}}

[[gateway]]
name = "folders"
kind = "maildir"
path = "{{folder}}/mail/{{{{domain}}}}/{{{{user}}}}"
create = true
user = "{MAIL_USER}"

[[gateway]]
name = "file"
kind = "mbox"
path = "{{folder}}/mail/all.mbox"
user = "{MAIL_USER}"

[[gateway]]
name = "program"
kind = "command"
command = ["{{folder}}/program", "{{{{user}}}}", "{{{{sender}}}}", "{{{{recipient}}}}"]
user = "{MAIL_USER}"

[[route]]
domain = "mailboxes.example"
gateway = "mailboxes"

[[route]]
domain = "folders.example"
gateway = "folders"

[[route]]
domain = "file.example"
gateway = "file"

[[route]]
domain = "program.example"
gateway = "program"

[[route]]
domain = "nowhere.example"
action = "discard"

[[route]]
domain = "forbidden.example"
action = "refuse"
text = "we do not write to them"

[[route]]
domain = "*"
senders = ["wrong@example.org"]
gateway = "wrong-password"

[[route]]
domain = "*"
senders = ["ana@example.org"]
gateway = "provider"
"""
# Its exit code is the name of the user; whoever is not a number is served.
PROGRAM = """#!/bin/sh
cd "$(dirname "$0")/mail" || exit 99
case $1 in
[0-9]*) if test -e "tried-$1"; then exit 0; fi; : >"tried-$1"; echo "the words of the program" >&2; exit "$1" ;;
esac
printf '%s\\n' "$@" >"program.arguments"
cat >"program.input"
"""


@pytest.fixture(scope="module")
def folder(laboratory: Laboratory) -> Path:
    """What gateways lead to, and read."""
    folder = laboratory.make_folder("gateways")
    (folder / "mail").mkdir()
    shutil.chown(folder / "mail", MAIL_UID, MAIL_UID)
    for name, password in (("password", PASSWORD), ("wrong-password", "something else")):
        (folder / name).write_text(f"{password}\n")
        (folder / name).chmod(0o600)
    (folder / "program").write_text(PROGRAM)
    (folder / "program").chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def provider(
    laboratory: Laboratory, names: Names, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LaboratoryServer]:
    """Takes mail from those who log in, sends it on, and has mailboxes."""
    address = laboratory.address()
    names.add("provider.example", f"@ MX 10 smarthost\nsmarthost A {address}\n")
    provider = LaboratoryServer(
        laboratory,
        tmp_path_factory.mktemp("provider"),
        domain="provider.example",
        name=SMARTHOST,
        address=address,
        tls=certificate_for(laboratory, SMARTHOST),
        settings=PROVIDER_SETTINGS.format(address=address),
    )
    for started in serving(provider):
        started.account("ana", domain="example.org")
        yield started


@pytest.fixture(scope="module")
def office(
    laboratory: Laboratory, provider: LaboratoryServer, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LaboratoryServer]:
    """Where users hand their mail in."""
    settings = OFFICE_SETTINGS.format(folder=folder, lmtp=provider.ports[ListenerKind.LMTP])
    yield from serving(LaboratoryServer(laboratory, tmp_path_factory.mktemp("office"), settings=settings))


@pytest.fixture(scope="module")
def ana(office: LaboratoryServer) -> str:
    """Has an account at the provider, too."""
    return office.account("ana")


def test_submission_relaying_and_delivery_are_on_three_hosts(
    laboratory: Laboratory, names: Names, office: LaboratoryServer, provider: LaboratoryServer, ana: str
) -> None:
    contents = [letter(number, author=ana, recipient="luis@example.com", size=9000) for number in range(3)]
    with ScriptedHost(laboratory) as host:
        names.add("example.com", f"@ MX 10 mx\nmx A {host.address}\n")
        ids = [office.submit(ana, "luis@example.com", content=content) for content in contents]
        attempts = [office.wait_until_gone(queue_id) for queue_id in ids]
        wait_for(lambda: len(host.taken) == len(contents), "the letters to go on", seconds=20)
    for (attempt,) in attempts:
        (told,) = attempt["recipients"]
        assert (told["fate"], told["host"]) == ("relayed", SMARTHOST)
        assert told["address"] == f"{provider.address}:587"
        assert told["tls"].startswith("TLSv1.3 ") and told["tls"].endswith(f", by an authority, for {SMARTHOST}")
    assert sorted(below_trace(in_a_maildir(each.content)) for each in host.taken) == sorted(map(in_a_maildir, contents))
    assert {each.mail.split()[1] for each in host.taken} == {f"FROM:<{ana}>"}
    # The provider says that it was handed in with a login, over TLS.
    assert all(b"with ESMTPSA id" in each.content for each in host.taken)


def test_what_the_provider_refuses_comes_back(office: LaboratoryServer, ana: str) -> None:
    recipient = "nobody@provider.example"
    office.wait_until_gone(office.submit(ana, recipient, content=letter(1, author=ana, recipient=recipient)))
    (message,) = office.wait_for_messages(ana)
    heard = notification(message)
    assert heard.told == [(recipient, "failed", "5.1.1")]
    assert heard.recipients[0]["Remote-MTA"] == f"dns; {SMARTHOST}"


def test_mail_waits_while_the_login_fails(office: LaboratoryServer) -> None:
    wrong, recipient = office.account("wrong"), "ana@provider.example"
    queue_id = office.submit(wrong, recipient, content=letter(1, author=wrong, recipient=recipient))
    (attempt, *_) = office.wait_for_attempts(queue_id)
    (told,) = attempt["recipients"]
    assert (told["fate"], told["stage"]) == ("deferred", "AUTH"), told
    assert "4.7.8" in told["reply"]
    assert office.queued(queue_id) and office.messages(wrong) == []
    office.command("queue", "remove", "--yes", queue_id)


def test_lmtp_tells_of_each_mailbox(office: LaboratoryServer, provider: LaboratoryServer) -> None:
    iris, luis = office.account("iris"), provider.account("luis", domain="mailboxes.example")
    content = letter(3, author=iris, recipient=luis, size=9000)
    queue_id = office.submit(iris, luis, "nobody@mailboxes.example", content=content)
    (attempt,) = office.wait_until_gone(queue_id)
    fates = {each["forward_path"]: each["fate"] for each in attempt["recipients"]}
    assert fates == {luis: "delivered", "nobody@mailboxes.example": "failed"}
    (message,) = provider.messages(luis)
    assert behind_all_trace(message) == content
    assert b"with LMTPS id" in message
    (heard,) = office.wait_for_messages(iris)
    assert notification(heard).told == [("nobody@mailboxes.example", "failed", "5.1.1")]


def test_a_folder_has_the_message(office: LaboratoryServer, folder: Path) -> None:
    author = office.account("to-folders")
    content = letter(2, author=author, recipient="luis+work@folders.example", size=9000)
    queue_id = office.submit(author, "luis+work@folders.example", content=content)
    (attempt,) = office.wait_until_gone(queue_id)
    assert attempt["recipients"][0]["fate"] == "delivered"
    (file,) = (folder / "mail" / "folders.example" / "luis" / "new").iterdir()
    message = file.read_bytes()
    assert below_trace(message) == in_a_maildir(content)
    assert message.startswith(f"Return-Path: <{author}>\n".encode())
    assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (MAIL_UID, 0o600)


def test_a_file_has_all_messages(office: LaboratoryServer, folder: Path) -> None:
    author = office.account("to-file")
    contents = [letter(number, author=author, recipient="luis@file.example", size=5000) for number in (0, 1, 2)]
    for content in contents:
        office.wait_until_gone(office.submit(author, "luis@file.example", content=content))
    found = mailbox.mbox(folder / "mail" / "all.mbox", create=False)
    try:
        messages = [found.get_bytes(key) for key in found.iterkeys()]
    finally:
        found.close()
    assert [below_trace(message).rstrip(b"\n") for message in messages] == [
        in_a_maildir(content).rstrip(b"\n") for content in contents
    ]


def test_a_program_gets_the_message(office: LaboratoryServer, folder: Path) -> None:
    author = office.account("to-program")
    content = letter(2, author=author, recipient="luis@program.example", size=9000)
    queue_id = office.submit(author, "luis@program.example", content=content)
    (attempt,) = office.wait_until_gone(queue_id)
    assert attempt["recipients"][0]["fate"] == "delivered"
    assert (folder / "mail" / "program.arguments").read_text().splitlines() == ["luis", author, "luis@program.example"]
    assert below_trace((folder / "mail" / "program.input").read_bytes()) == in_a_maildir(content)


def test_what_a_program_ends_with_is_the_fate(office: LaboratoryServer) -> None:
    author = office.account("to-programs")
    content = letter(1, author=author, recipient="75@program.example")
    queue_id = office.submit(author, "75@program.example", "67@program.example", content=content)
    attempts = office.wait_until_gone(queue_id)
    fates = [(each["forward_path"], each["fate"]) for attempt in attempts for each in attempt["recipients"]]
    assert sorted(fates) == [
        ("67@program.example", "failed"),
        ("75@program.example", "deferred"),
        ("75@program.example", "delivered"),
    ]
    (message,) = office.wait_for_messages(author)
    heard = notification(message)
    assert heard.told == [("67@program.example", "failed", "5.1.1")]
    assert "the words of the program" in heard.recipients[0]["Diagnostic-Code"]


def test_mail_is_let_go_or_refused_as_a_rule_says(office: LaboratoryServer) -> None:
    author = office.account("to-nobody")
    content = letter(1, author=author, recipient="luis@nowhere.example")
    queue_id = office.submit(author, "luis@nowhere.example", content=content)
    assert office.queued(queue_id) == []
    assert "nowhere" in office.command("trace", queue_id)
    with pytest.raises(smtplib.SMTPRecipientsRefused, match="we do not write to them"):
        office.submit(author, "luis@forbidden.example", content=content)
    assert office.messages(author) == []
