"""nodemailer, what programs in Node.js send with: each way in, each login, DSN, attachments, pooled connections."""

from __future__ import annotations

import email
import email.policy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.peers.conftest import Run, program
from tests.peers.running import PASSWORD, RunningServer

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

SCRIPT = Path(__file__).with_name("nodemailer.js")
LIBRARY = Path("/usr/share/nodejs/nodemailer")


class Nodemailer:
    """nodemailer against one server."""

    def __init__(self, server: RunningServer, run: Run) -> None:
        self._node = program("node", "nodejs")
        if not LIBRARY.is_dir():
            told = "nodemailer is missing: install Debian's package node-nodemailer"
            if os.environ.get("CI"):
                pytest.fail(told)
            pytest.skip(told)
        self._server = server
        self._run = run

    def __call__(self, kind: ListenerKind, *messages: dict[str, Any], **transport: Any) -> list[dict[str, Any]]:
        """Send messages by one transport; gives what became of each."""
        settings = {
            "host": "localhost",
            "port": self._server.ports[kind],
            "secure": kind is ListenerKind.SUBMISSIONS,
            "tls": {"caFile": str(self._server.issued.authority)},
            **transport,
        }
        wanted = json.dumps({"transport": settings, "messages": messages})
        done = self._run(self._node, SCRIPT, stdin=wanted.encode(), seconds=60)
        assert done.returncode == 0, done.stderr.decode()
        told: list[dict[str, Any]] = json.loads(done.stdout)
        return told


@pytest.fixture
def nodemailer(server: RunningServer, run: Run) -> Nodemailer:
    return Nodemailer(server, run)


def login(account: str, method: str = "PLAIN", password: str = PASSWORD) -> dict[str, Any]:
    return {"auth": {"user": account, "pass": password}, "authMethod": method}


@pytest.mark.parametrize("method", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("kind", [ListenerKind.SUBMISSION, ListenerKind.SUBMISSIONS])
def test_a_program_submits_with_attachments(
    nodemailer: Nodemailer,
    server: RunningServer,
    account: str,
    other_account: str,
    kind: ListenerKind,
    method: str,
) -> None:
    message = {
        "from": f"José <{account}>",
        "to": other_account,
        "subject": "Grüße",
        "text": ".\n..\nÁrbol\n",
        "attachments": [{"filename": "números.bin", "content": "AAECAwQ=", "encoding": "base64"}],
    }
    (told,) = nodemailer(kind, message, **login(account, method))
    assert told["accepted"] == [other_account], told
    (stored,) = server.messages(other_account)
    assert b" with ESMTPSA id " in stored
    parsed = email.message_from_bytes(stored, policy=email.policy.default)
    assert parsed["subject"] == "Grüße"
    body = parsed.get_body(("plain",))
    assert body is not None and body.get_content().splitlines() == [".", "..", "Árbol"]
    (attachment,) = parsed.iter_attachments()
    assert (attachment.get_filename(), attachment.get_content()) == ("números.bin", bytes(range(5)))


def test_a_pool_sends_many_messages_over_one_connection(
    nodemailer: Nodemailer, server: RunningServer, account: str
) -> None:
    messages = [
        {"from": "far@example.net", "to": account, "subject": str(number), "text": "x\n"} for number in range(30)
    ]
    told = nodemailer(ListenerKind.SMTP, *messages, pool=True, maxConnections=1)
    assert [each["accepted"] for each in told] == [[account]] * 30
    assert server.count(account) == 30


def test_addresses_in_utf_8_arrive(nodemailer: Nodemailer, server: RunningServer) -> None:
    account = server.account("señora")
    message = {"from": "jürgen@example.net", "to": account, "subject": "x", "text": "x\n"}
    (told,) = nodemailer(ListenerKind.SMTP, message)
    assert told["accepted"] == [account], told
    (stored,) = server.messages(account)
    assert b" with UTF8SMTPS id " in stored


def test_the_sender_hears_of_success_when_it_asks(
    nodemailer: Nodemailer, server: RunningServer, account: str, other_account: str
) -> None:
    message = {
        "from": account,
        "to": other_account,
        "subject": "x",
        "text": "x\n",
        "dsn": {"id": "an id=1", "return": "headers", "notify": ["success"], "recipient": account},
    }
    (told,) = nodemailer(ListenerKind.SUBMISSION, message, **login(account))
    assert told["accepted"] == [other_account], told
    (notification,) = server.messages(account)
    assert b"Original-Envelope-Id: an id=1" in notification
    assert b"Action: delivered" in notification


def test_refusals_are_told(nodemailer: Nodemailer, server: RunningServer, account: str, other_account: str) -> None:
    letter = {"from": "far@example.net", "subject": "x", "text": "x\n"}
    both = [account, "nobody@example.org"]
    told = nodemailer(ListenerKind.SMTP, letter | {"to": both}, letter | {"to": "far@example.com"})
    assert told[0]["accepted"] == [account] and told[0]["rejected"] == ["nobody@example.org"]
    assert told[1]["code"] == "EENVELOPE" and told[1]["response"].startswith("550 5.7.1 ")
    own = {"from": account, "to": other_account, "text": "x\n"}
    (refused,) = nodemailer(ListenerKind.SUBMISSION, own, **login(account, password="wrong"))
    assert (refused["code"], refused["response"][:9]) == ("EAUTH", "535 5.7.8")


def test_another_program_delivers_by_lmtp(
    nodemailer: Nodemailer, server: RunningServer, account: str, other_account: str
) -> None:
    message = {"from": "far@example.net", "to": [account, other_account], "subject": "x", "text": "x\n"}
    (told,) = nodemailer(ListenerKind.LMTP, message, lmtp=True)
    assert sorted(told["accepted"]) == sorted([account, other_account])
    assert [server.count(each) for each in (account, other_account)] == [1, 1]
