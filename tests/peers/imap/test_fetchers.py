"""fetchmail and getmail by IMAP: mail fetched whole and gone then; fetchmail waits for more in IDLE."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.peers.conftest import Run, program
from tests.peers.imap.mailboxes import messages, session
from tests.peers.letters import letter, number_of
from tests.peers.running import PASSWORD, RunningServer, wait_for

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

AUTHOR = "someone@example.net"
LETTERS = 12
NO_LOGIN = 3
"""fetchmail(1), EXIT CODES."""
KINDS = [ListenerKind.IMAP, ListenerKind.IMAPS]


@pytest.fixture
def delivered(tmp_path: Path) -> Path:
    """The folder that `deliver` writes into, one file a message."""
    folder = tmp_path / "delivered"
    folder.mkdir()
    agent = tmp_path / "deliver"
    # getmail 6.18 waits in vain for an agent that has ended before it begins to wait. A file is there when it is whole.
    agent.write_text(
        f'#!/bin/sh\nsleep 0.05\nfile=$(mktemp {tmp_path}/XXXXXXXX) && cat > "$file" && exec mv "$file" {folder}\n'
    )
    agent.chmod(0o755)
    return folder


@pytest.fixture
def in_mailbox(server: RunningServer, account: str) -> dict[int, bytes]:
    """Letters that have arrived, by number."""
    letters = [letter(number, author=AUTHOR, recipient=account, size=number * 1000) for number in range(LETTERS)]
    server.put(AUTHOR, account, letters)
    return {number_of(message): message for message in server.messages(account)}


def with_line_feeds(message: bytes) -> bytes:
    return message.replace(b"\r\n", b"\n")


def fetchmail(
    server: RunningServer, account: str, kind: ListenerKind, folder: Path, *options: str, password: str = PASSWORD
) -> list[str]:
    """A command line with a settings file of its own."""
    settings = folder / "fetchmailrc"
    settings.write_text(
        f"set no bouncemail\nset invisible\n"
        f"poll localhost protocol imap service {server.ports[kind]} timeout 20\n"
        f'  user "{account}" password "{password}"\n'
        f"  {'ssl' if kind is ListenerKind.IMAPS else ''} sslproto 'TLS1.2+'\n"
        f'  sslcertck sslcertfile "{server.issued.authority}"\n'
        f"  no rewrite no mimedecode pass8bits fetchall {' '.join(options)}\n"
        f'  mda "{folder / "deliver"}"\n'
    )
    settings.chmod(0o600)
    command = f"--fetchmailrc {settings} --pidfile {folder / 'pid'} --nodetach --nosyslog -v"
    return [program("fetchmail", "fetchmail"), *command.split()]


@pytest.mark.parametrize("kind", KINDS)
def test_fetchmail_fetches_and_deletes(
    server: RunningServer,
    run: Run,
    tmp_path: Path,
    delivered: Path,
    account: str,
    in_mailbox: dict[int, bytes],
    kind: ListenerKind,
) -> None:
    done = run(*fetchmail(server, account, kind, tmp_path, "nokeep"))
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, said
    assert ("STARTTLS" in said.partition("LOGIN")[0]) == (kind is ListenerKind.IMAP)
    fetched = {number_of(file.read_bytes()): file.read_bytes() for file in delivered.iterdir()}
    assert fetched == {number: with_line_feeds(message) for number, message in in_mailbox.items()}
    assert server.count(account) == 0


def test_fetchmail_is_refused_with_a_wrong_password(
    server: RunningServer, run: Run, tmp_path: Path, delivered: Path, account: str, in_mailbox: dict[int, bytes]
) -> None:
    done = run(*fetchmail(server, account, ListenerKind.IMAPS, tmp_path, "nokeep", password="wrong"))
    assert done.returncode == NO_LOGIN, done.stdout + done.stderr
    assert server.count(account) == LETTERS
    assert not list(delivered.iterdir())


def test_fetchmail_hears_of_new_mail_in_idle(
    server: RunningServer, tmp_path: Path, delivered: Path, account: str
) -> None:
    command = fetchmail(server, account, ListenerKind.IMAPS, tmp_path, "nokeep", "idle")
    said = tmp_path / "said"
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    with said.open("wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment)

    def arrive(number: int) -> None:
        server.put(AUTHOR, account, [letter(number, author=AUTHOR, recipient=account)])
        wait_for(lambda: len(list(delivered.iterdir())) == number, f"letter {number}", seconds=10)
        wait_for(lambda: server.count(account) == 0, "its removal", seconds=10)

    try:
        for number in (1, 2, 3):
            arrive(number)
    finally:
        process.terminate()
        process.wait(20)
    assert sorted(number_of(file.read_bytes()) for file in delivered.iterdir()) == [1, 2, 3]
    # One session, in which it waited: polling would take more of them.
    talk = said.read_text(errors="replace")
    assert talk.count("Logged in") == 1
    assert talk.count(" IDLE\n") >= 2


@pytest.mark.parametrize("kind", [ListenerKind.IMAPS])
def test_getmail_fetches_and_deletes(
    server: RunningServer,
    run: Run,
    tmp_path: Path,
    delivered: Path,
    account: str,
    in_mailbox: dict[int, bytes],
    kind: ListenerKind,
) -> None:
    (tmp_path / "getmailrc").write_text(
        f"[retriever]\ntype = SimpleIMAPSSLRetriever\nserver = localhost\nport = {server.ports[kind]}\n"
        f"username = {account}\npassword = {PASSWORD}\nca_certs = {server.issued.authority}\n"
        'mailboxes = ("INBOX",)\n'
        f"[destination]\ntype = MDA_external\npath = {tmp_path / 'deliver'}\nallow_root_commands = true\n"
        "[options]\ndelete = true\nread_all = true\ndelivered_to = false\nreceived = false\n"
    )
    done = run(program("getmail", "getmail6"), "--getmaildir", tmp_path, "--rcfile", "getmailrc")
    assert done.returncode == 0, done.stdout + done.stderr
    # getmail adds a field of its own to what it has by IMAP.
    files = [
        file.read_bytes().replace(b"X-getmail-retrieved-from-mailbox: INBOX\n", b"") for file in delivered.iterdir()
    ]
    fetched = {number_of(file): file for file in files}
    assert fetched == {number: with_line_feeds(message) for number, message in in_mailbox.items()}
    with session(server, account) as client:
        assert messages(client, "INBOX") == []
