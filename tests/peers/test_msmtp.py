"""msmtp, a user's SMTP client: submission over TLS that it verifies, with each login that it knows."""

from __future__ import annotations

import pytest
from tests.peers.conftest import Run, program
from tests.peers.letters import letter
from tests.peers.running import PASSWORD, RunningServer, behind_trace

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

# sysexits.h, as msmtp(1) has it.
EX_NOHOST = 68
EX_NOPERM = 77


def options(server: RunningServer, kind: ListenerKind, account: str, mechanism: str, password: str) -> list[str]:
    """All on the command line: no settings file is read."""
    return [
        "--host=localhost", f"--port={server.ports[kind]}", f"--from={account}",
        "--tls=on", f"--tls-starttls={'on' if kind is ListenerKind.SUBMISSION else 'off'}",
        f"--tls-trust-file={server.issued.authority}",
        f"--auth={mechanism}", f"--user={account}", f"--passwordeval=echo '{password}'",
    ]  # fmt: skip


@pytest.mark.parametrize("mechanism", ["plain", "login", "scram-sha-256"])
@pytest.mark.parametrize("kind", [ListenerKind.SUBMISSION, ListenerKind.SUBMISSIONS])
def test_a_user_sends(
    server: RunningServer, run: Run, account: str, other_account: str, kind: ListenerKind, mechanism: str
) -> None:
    sent = letter(1, author=account, recipient=other_account, size=20_000)
    # msmtp takes what a mail program hands over: lines that end in LF.
    done = run(
        program("msmtp", "msmtp"), *options(server, kind, account, mechanism, PASSWORD), other_account,
        stdin=sent.replace(b"\r\n", b"\n"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (message,) = server.messages(other_account)
    assert behind_trace(message) == sent
    assert b" with ESMTPSA id " in message


@pytest.mark.parametrize("mechanism", ["plain", "scram-sha-256"])
def test_a_wrong_password_is_told(server: RunningServer, run: Run, account: str, mechanism: str) -> None:
    chosen = options(server, ListenerKind.SUBMISSION, account, mechanism, "wrong")
    done = run(program("msmtp", "msmtp"), *chosen, account, stdin=b"Subject: x\n\nbody\n")
    assert done.returncode == EX_NOPERM, done.stderr
    assert b"535 5.7.8" in done.stderr
    assert server.count(account) == 0
