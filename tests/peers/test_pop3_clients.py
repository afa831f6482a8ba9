"""fetchmail, getmail and curl: mail fetched over TLS, whole, and gone from the mailbox after QUIT only."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.peers.conftest import Run, program
from tests.peers.letters import letter, number_of
from tests.peers.running import PASSWORD, RunningServer, behind_trace

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

AUTHOR = "someone@example.net"
LETTERS = 30
NO_MAIL = 1
"""fetchmail's exit code when there is no mail (fetchmail(1), EXIT CODES)."""
NO_LOGIN = 3


@pytest.fixture
def sent(server: RunningServer, account: str) -> dict[int, bytes]:
    """Letters in the account's mailbox, by number, as they were sent."""
    letters = {
        number: letter(number, author=AUTHOR, recipient=account, size=number * 1000) for number in range(LETTERS)
    }
    server.put(AUTHOR, account, list(letters.values()))
    assert server.count(account) == LETTERS
    return letters


def with_line_feeds(message: bytes) -> bytes:
    """As a Unix delivery agent gets it; nothing else may be different."""
    return message.replace(b"\r\n", b"\n")


class DeliveryAgent:
    """A program that keeps each message it is given in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self._files = folder / "delivered"
        self._files.mkdir()
        self.path = folder / "deliver"
        # getmail 6.18 waits in vain for an agent that has ended before it begins to wait.
        self.path.write_text(f'#!/bin/sh\nsleep 0.05\nexec cat > "$(mktemp {self._files}/XXXXXXXX)"\n')
        self.path.chmod(0o755)

    def files(self) -> list[bytes]:
        """What was delivered."""
        return [file.read_bytes() for file in self._files.iterdir()]


@pytest.fixture
def agent(tmp_path: Path) -> DeliveryAgent:
    return DeliveryAgent(tmp_path)


class Fetchmail:
    """fetchmail with a settings file of its own."""

    def __init__(self, server: RunningServer, run: Run, agent: DeliveryAgent, folder: Path) -> None:
        self._program = program("fetchmail", "fetchmail")
        self._server = server
        self._run = run
        self._agent = agent
        self._folder = folder

    def __call__(self, account: str, kind: ListenerKind, *options: str, password: str = PASSWORD) -> tuple[int, str]:
        """Fetch; gives the exit code and what it said."""
        settings = self._folder / "fetchmailrc"
        settings.write_text(
            f"set no bouncemail\nset invisible\n"
            f"poll localhost protocol pop3 service {self._server.ports[kind]} uidl timeout 20\n"
            f'  user "{account}" password "{password}"\n'
            f"  {'ssl' if kind is ListenerKind.POP3S else ''} sslproto 'TLS1.2+'\n"
            f'  sslcertck sslcertfile "{self._server.issued.authority}"\n'
            f"  no rewrite no mimedecode pass8bits fetchall {' '.join(options)}\n"
            f'  mda "{self._agent.path}"\n'
        )
        settings.chmod(0o600)
        done = self._run(self._program, "--fetchmailrc", settings, "--nodetach", "--nosyslog", "-v")
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


@pytest.fixture
def fetchmail(server: RunningServer, run: Run, agent: DeliveryAgent, tmp_path: Path) -> Fetchmail:
    return Fetchmail(server, run, agent, tmp_path)


@pytest.mark.parametrize("kind", [ListenerKind.POP3, ListenerKind.POP3S])
def test_fetchmail_fetches_and_deletes(
    server: RunningServer,
    fetchmail: Fetchmail,
    agent: DeliveryAgent,
    account: str,
    sent: dict[int, bytes],
    kind: ListenerKind,
) -> None:
    in_mailbox = {number_of(message): message for message in server.messages(account)}
    code, said = fetchmail(account, kind, "nokeep")
    assert code == 0, said
    assert ("STLS" in said) == (kind is ListenerKind.POP3)
    fetched = {number_of(file): file for file in agent.files()}
    assert len(agent.files()) == LETTERS
    for number, message in in_mailbox.items():
        assert fetched[number] == with_line_feeds(message)
        assert behind_trace(message) == sent[number]
    assert server.count(account) == 0
    assert fetchmail(account, kind, "nokeep")[0] == NO_MAIL


def test_fetchmail_keeps_when_told(
    server: RunningServer, fetchmail: Fetchmail, agent: DeliveryAgent, account: str, sent: dict[int, bytes]
) -> None:
    code, said = fetchmail(account, ListenerKind.POP3S, "keep")
    assert code == 0, said
    assert len(agent.files()) == LETTERS
    assert server.count(account) == LETTERS


def test_fetchmail_is_refused_with_a_wrong_password(server: RunningServer, fetchmail: Fetchmail, account: str) -> None:
    server.put(AUTHOR, account, [letter(1, author=AUTHOR, recipient=account)])
    code, said = fetchmail(account, ListenerKind.POP3, "nokeep", password="wrong")
    assert code == NO_LOGIN, said
    assert server.count(account) == 1


@pytest.mark.parametrize("kind", [ListenerKind.POP3, ListenerKind.POP3S])
def test_getmail_fetches_and_deletes(
    server: RunningServer,
    run: Run,
    tmp_path: Path,
    agent: DeliveryAgent,
    account: str,
    sent: dict[int, bytes],
    kind: ListenerKind,
) -> None:
    in_mailbox = {number_of(message): message for message in server.messages(account)}
    retriever = "SimplePOP3SSLRetriever" if kind is ListenerKind.POP3S else "SimplePOP3Retriever"
    (tmp_path / "getmailrc").write_text(
        f"[retriever]\ntype = {retriever}\nserver = localhost\nport = {server.ports[kind]}\n"
        f"username = {account}\npassword = {PASSWORD}\n"
        + (f"ca_certs = {server.issued.authority}\n" if kind is ListenerKind.POP3S else "")
        + f"[destination]\ntype = MDA_external\npath = {agent.path}\nallow_root_commands = true\n"
        "[options]\ndelete = true\nread_all = true\ndelivered_to = false\nreceived = false\n"
    )
    done = run(program("getmail", "getmail6"), "--getmaildir", tmp_path, "--rcfile", "getmailrc")
    assert done.returncode == 0, done.stdout + done.stderr
    files = agent.files()
    assert len(files) == LETTERS
    for file in files:
        assert file == with_line_feeds(in_mailbox[number_of(file)])
    assert server.count(account) == 0


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("kind", [ListenerKind.POP3, ListenerKind.POP3S])
def test_curl_reads_each_message_octet_for_octet(
    server: RunningServer, run: Run, account: str, kind: ListenerKind, mechanism: str
) -> None:
    server.put(AUTHOR, account, [letter(number, author=AUTHOR, recipient=account, size=5000) for number in range(4)])
    curl = program("curl", "curl")
    base = f"{kind}://localhost:{server.ports[kind]}/"
    common = ("--silent", "--show-error", "--ssl-reqd", "--cacert", server.issued.authority)
    login = ("--user", f"{account}:{PASSWORD}", "--login-options", f"AUTH={mechanism}")
    listing = run(curl, *common, *login, base)
    assert listing.returncode == 0, listing.stderr
    messages = server.messages(account)
    lines = [line.split() for line in listing.stdout.decode().splitlines()]
    assert lines == [[str(number), str(len(message))] for number, message in enumerate(messages, 1)]
    for number, message in enumerate(messages, 1):
        done = run(curl, *common, *login, f"{base}{number}")
        assert done.returncode == 0, done.stderr
        assert done.stdout == message
