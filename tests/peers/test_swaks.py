"""swaks, the testers' SMTP client: every listener, every way in, and every refusal."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.peers.conftest import Run, program
from tests.peers.letters import letter
from tests.peers.running import PASSWORD, RunningServer, behind_trace

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

AUTHOR = "someone@example.net"
# swaks(1), EXIT CODES.
NO_RECIPIENT = 24
NO_LOGIN = 28
# What swaks puts behind every message before the final dot.
SWAKS_END = b"\r\n"


class Swaks:
    """swaks against one server."""

    def __init__(self, server: RunningServer, run: Run, folder: Path) -> None:
        self._program = program("swaks", "swaks")
        self._server = server
        self._run = run
        self._data = folder / "letter.eml"

    def __call__(
        self, kind: ListenerKind, sender: str, recipient: str, *options: str, content: bytes = b"Subject: x\n\nbody\n"
    ) -> tuple[int, str]:
        """Send one message; gives the exit code and the dialogue."""
        self._data.write_bytes(content)
        done = self._run(
            self._program, "--server", f"localhost:{self._server.ports[kind]}", "--helo", "client.example.net",
            "--from", sender, "--to", recipient, "--data", f"@{self._data}",
            "--tls-ca-path", self._server.issued.authority, "--tls-verify", *options,
        )  # fmt: skip
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


@pytest.fixture
def swaks(server: RunningServer, run: Run, tmp_path: Path) -> Swaks:
    return Swaks(server, run, tmp_path)


@pytest.mark.parametrize("number", range(4))
def test_mail_from_another_host_arrives(swaks: Swaks, server: RunningServer, account: str, number: int) -> None:
    sent = letter(number, author=AUTHOR, recipient=account, size=2000)
    code, dialogue = swaks(ListenerKind.SMTP, AUTHOR, account, content=sent)
    assert code == 0, dialogue
    (message,) = server.messages(account)
    assert message.startswith(b"Return-Path: <someone@example.net>\r\nReceived: from client.example.net ")
    assert behind_trace(message) == sent + SWAKS_END


@pytest.mark.parametrize("options", [("--pipeline",), ("--tls",), ("--tls", "--pipeline")])
def test_mail_from_another_host_arrives_pipelined_and_over_tls(
    swaks: Swaks, server: RunningServer, account: str, options: tuple[str, ...]
) -> None:
    sent = letter(1, author=AUTHOR, recipient=account)
    code, dialogue = swaks(ListenerKind.SMTP, AUTHOR, account, *options, content=sent)
    assert code == 0, dialogue
    (message,) = server.messages(account)
    assert behind_trace(message) == sent + SWAKS_END
    word = b" with ESMTPS id " if "--tls" in options else b" with ESMTP id "
    assert word in message


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("kind", [ListenerKind.SUBMISSION, ListenerKind.SUBMISSIONS])
def test_a_user_who_logs_in_may_send(
    swaks: Swaks, server: RunningServer, account: str, other_account: str, kind: ListenerKind, mechanism: str
) -> None:
    sent = letter(2, author=account, recipient=other_account)
    tls = "--tlsc" if kind is ListenerKind.SUBMISSIONS else "--tls"
    login = ("--auth", mechanism, "--auth-user", account, "--auth-password", PASSWORD)
    code, dialogue = swaks(kind, account, other_account, tls, *login, content=sent)
    assert code == 0, dialogue
    (message,) = server.messages(other_account)
    assert behind_trace(message) == sent + SWAKS_END
    assert b" with ESMTPSA id " in message


def test_another_mail_server_delivers_by_lmtp(
    swaks: Swaks, server: RunningServer, account: str, other_account: str
) -> None:
    sent = letter(3, author=AUTHOR, recipient=account, size=2000)
    both = f"{account},{other_account}"
    code, dialogue = swaks(ListenerKind.LMTP, AUTHOR, both, "--protocol", "LMTP", content=sent)
    assert code == 0, dialogue
    for address in (account, other_account):
        (message,) = server.messages(address)
        assert behind_trace(message) == sent + SWAKS_END
        assert b" with LMTP id " in message


def test_an_unknown_recipient_is_refused(swaks: Swaks) -> None:
    code, dialogue = swaks(ListenerKind.SMTP, AUTHOR, "nobody@example.org")
    assert code == NO_RECIPIENT
    assert "<** 550 5.1.1 " in dialogue


def test_a_stranger_may_not_relay(swaks: Swaks) -> None:
    code, dialogue = swaks(ListenerKind.SMTP, AUTHOR, "someone@example.com")
    assert code == NO_RECIPIENT
    assert "<** 550 5.7.1 " in dialogue


def test_known_recipients_get_their_mail_beside_unknown_ones(swaks: Swaks, server: RunningServer, account: str) -> None:
    code, dialogue = swaks(ListenerKind.SMTP, AUTHOR, f"nobody@example.org,{account}", "--pipeline")
    assert code == 0, dialogue
    assert "<** 550 5.1.1 " in dialogue
    assert server.count(account) == 1


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_wrong_password_is_refused(swaks: Swaks, server: RunningServer, account: str, mechanism: str) -> None:
    login = ("--tls", "--auth", mechanism, "--auth-user", account, "--auth-password", "wrong")
    code, dialogue = swaks(ListenerKind.SUBMISSION, account, account, *login)
    assert code == NO_LOGIN
    assert "535 5.7.8 " in dialogue
    assert server.count(account) == 0


def test_no_password_is_asked_for_in_the_clear(swaks: Swaks, account: str) -> None:
    login = ("--auth", "PLAIN", "--auth-user", account, "--auth-password", PASSWORD)
    code, dialogue = swaks(ListenerKind.SUBMISSION, account, account, *login)
    assert code == NO_LOGIN
    assert "AUTH" not in [line[8:12] for line in dialogue.splitlines() if line.startswith("<-  250")]
    assert PASSWORD not in dialogue


def test_a_sender_that_is_not_the_users_own_is_refused(swaks: Swaks, account: str, other_account: str) -> None:
    login = ("--tls", "--auth", "PLAIN", "--auth-user", account, "--auth-password", PASSWORD)
    code, dialogue = swaks(ListenerKind.SUBMISSION, other_account, other_account, *login)
    assert code != 0
    assert "<** 550 5.7.1 " in dialogue or "<~* 550 5.7.1 " in dialogue
