"""curl: messages read, put away, searched and flagged by URL, over TLS and STARTTLS, with each login it knows."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.peers.conftest import Run, program
from tests.peers.imap.mailboxes import fill, messages, session
from tests.peers.letters import letter
from tests.peers.running import PASSWORD, RunningServer

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

AUTHOR = "someone@example.net"
REFUSED = 67
"""curl(1), EXIT CODES; for IMAP not only a login, but also a mailbox that cannot be opened."""
NOT_THERE = 78


class Curl:
    """curl with the account's login."""

    def __init__(self, server: RunningServer, run: Run, account: str, kind: ListenerKind) -> None:
        self._run = run
        self.base = f"{kind}://localhost:{server.ports[kind]}/"
        self._options = ("--silent", "--show-error", "--ssl-reqd", "--cacert", str(server.issued.authority))
        self._user = account

    def __call__(self, path: str, *options: str, password: str = PASSWORD) -> subprocess.CompletedProcess[bytes]:
        """One run."""
        login = ("--user", f"{self._user}:{password}")
        return self._run(program("curl", "curl"), *self._options, *login, *options, self.base + path)


@pytest.fixture(params=[ListenerKind.IMAP, ListenerKind.IMAPS])
def curl(server: RunningServer, run: Run, account: str, request: pytest.FixtureRequest) -> Curl:
    return Curl(server, run, account, request.param)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_each_login_reads_a_message_whole(server: RunningServer, curl: Curl, account: str, mechanism: str) -> None:
    letters = [letter(number, author=AUTHOR, recipient=account, size=40_000) for number in range(1, 5)]
    fill(server, account, "INBOX", letters)
    for number, octets in enumerate(letters, 1):
        done = curl(f"INBOX;UID={number}", "--login-options", f"AUTH={mechanism}")
        assert done.returncode == 0, done.stderr
        assert done.stdout == octets


def test_a_section_and_a_piece(server: RunningServer, curl: Curl, account: str) -> None:
    fill(server, account, "INBOX", [letter(3, author=AUTHOR, recipient=account, size=3000)])
    section = curl("INBOX;UID=1;SECTION=HEADER.FIELDS%20(SUBJECT)")
    assert section.stdout == b"Subject: letter 3\r\n\r\n", section.stderr
    part = curl("INBOX;UID=1;SECTION=1.MIME")
    assert part.stdout.startswith(b"Content-Type: text/plain; charset=utf-8\r\n"), part.stderr


def test_a_message_is_put_away_and_found(server: RunningServer, curl: Curl, account: str, tmp_path: Path) -> None:
    octets = letter(2, author=AUTHOR, recipient=account, size=100_000)
    assert curl("", "--request", "CREATE Sp&AOk-cial").returncode == 0
    # From a file: APPEND must tell the size before the message (RFC 9051 §6.3.12).
    file = tmp_path / "letter"
    file.write_bytes(octets)
    done = curl("Sp%26AOk-cial", "--upload-file", str(file))
    assert done.returncode == 0, done.stderr
    with session(server, account) as client:
        assert [one.octets for one in messages(client, "Sp&AOk-cial")] == [octets]
    found = curl("Sp%26AOk-cial?SUBJECT%20%22letter%202%22")
    assert found.stdout == b"* SEARCH 1\r\n", found.stderr
    assert b"Sp&AOk-cial" in curl("").stdout


def test_flags_are_set(server: RunningServer, curl: Curl, account: str) -> None:
    fill(server, account, "INBOX", [letter(number, author=AUTHOR, recipient=account) for number in range(3)])
    done = curl("INBOX", "--request", "STORE 2 +FLAGS.SILENT (\\Flagged)")
    assert done.returncode == 0, done.stderr
    with session(server, account) as client:
        assert ["\\Flagged" in one.flags for one in messages(client, "INBOX")] == [False, True, False]


def test_what_is_refused(server: RunningServer, curl: Curl, account: str) -> None:
    assert curl("", password="wrong").returncode == REFUSED
    assert curl("no%20such%20mailbox;UID=1").returncode == REFUSED
    assert curl("INBOX;UIDVALIDITY=1;UID=1").returncode == NOT_THERE
    assert curl("INBOX;UID=1").returncode == NOT_THERE
