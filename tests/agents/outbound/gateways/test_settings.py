"""What the tables of gateways may say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from estafeta.agents.outbound.gateways.settings import (
    CommandLimits,
    GatewayKind,
    GatewaySettings,
    GatewayTls,
    LineEnds,
    problems,
)

SMTP = GatewaySettings("office", GatewayKind.SMTP, host="mail.example.org")
LMTP = GatewaySettings("store", GatewayKind.LMTP, host="127.0.0.1")
MAILDIR = GatewaySettings("archive", GatewayKind.MAILDIR, path="/srv/mail/{domain}/{local}", create=True)
MBOX = GatewaySettings("box", GatewayKind.MBOX, path="/srv/mail/all.mbox", user="mail")
COMMAND = GatewaySettings(
    "lists", GatewayKind.COMMAND, command=("/usr/local/bin/take", "--from={sender}", "--", "{recipient}"), user="lists"
)


def test_a_gateway_of_each_kind_can_be_set() -> None:
    assert list(problems([SMTP, LMTP, MAILDIR, MBOX, COMMAND])) == []


@pytest.mark.parametrize(
    ("gateway", "port"),
    [
        (SMTP, 25),
        (replace(SMTP, tls=GatewayTls.IMPLICIT), 465),
        (replace(SMTP, port=2525, tls=GatewayTls.IMPLICIT), 2525),
        (LMTP, 24),
    ],
)
def test_the_port_is_the_registered_one_unless_it_is_said(gateway: GatewaySettings, port: int) -> None:
    assert gateway.effective_port == port


@pytest.mark.parametrize(
    ("gateway", "key", "problem"),
    [
        (replace(SMTP, name="My Office"), "name", "is not a name"),
        (replace(SMTP, host=""), "host", "is missing"),
        (replace(SMTP, port=70_000), "port", "is too large: 70000"),
        (replace(SMTP, port=-1), "port", "is too small: -1"),
        (replace(SMTP, username="ana", tls=GatewayTls.VERIFY), "password_file", "is missing"),
        (replace(SMTP, password_file=Path("/etc/secret"), tls=GatewayTls.VERIFY), "username", "is missing"),
        (
            replace(SMTP, username="ana", password_file=Path("secret"), tls=GatewayTls.MUST),
            "password_file",
            "is not an absolute path",
        ),
        (
            replace(SMTP, username="ana", password_file=Path("/etc/secret")),
            "tls",
            "would let the password go over the network in the clear",
        ),
        (replace(SMTP, path="/srv/mail"), "path", "means nothing for a gateway of kind smtp"),
        (replace(LMTP, mx=True), "mx", "means nothing for a gateway of kind lmtp"),
        (replace(MAILDIR, host="mail.example.org"), "host", "means nothing for a gateway of kind maildir"),
        (replace(MBOX, line_ends=LineEnds.CRLF), "line_ends", "means nothing for a gateway of kind mbox"),
        (replace(MAILDIR, path=""), "path", "is missing"),
        (replace(MAILDIR, path="mail/{local}"), "path", "is not an absolute path"),
        (replace(MAILDIR, path="/srv/../{local}"), "path", "is not an absolute path"),
        (replace(MAILDIR, path="/"), "path", "is not an absolute path"),
        (replace(MAILDIR, path="/srv/{recipient}"), "path", "has an unknown placeholder {recipient}"),
        (replace(MAILDIR, path="/srv/{local!r}"), "path", "has an unknown placeholder {local}"),
        (replace(MAILDIR, path="/srv/{local.__class__}"), "path", "has an unknown placeholder {local.__class__}"),
        (replace(MAILDIR, path="/srv/{local"), "path", "has a brace that is not closed or not opened"),
        (replace(MBOX, path="/srv/mail/"), "path", "is a folder"),
        (replace(COMMAND, command=()), "command", "is missing"),
        (replace(COMMAND, command=("take",)), "command", "does not begin with the absolute path of a program"),
        (replace(COMMAND, command=("/bin/{user}",)), "command", "does not begin with the absolute path of a program"),
        (replace(COMMAND, command=("/bin/take", "{local}")), "command", "has an unknown placeholder {local}"),
        (replace(COMMAND, command=("/bin/take", "a\0b")), "command", "has an argument with a NUL"),
        (replace(COMMAND, user="root"), "user", "is root"),
        (replace(COMMAND, umask=0o7777), "umask", "is not a umask: 4095"),
        (replace(COMMAND, delimiter="--"), "delimiter", "is more than one character"),
        (replace(COMMAND, timeout=0.0), "timeout", "is no time: 0"),
        (replace(COMMAND, concurrency=0), "concurrency", "is too small: 0"),
        (replace(COMMAND, recipients_per_run=0), "recipients_per_run", "is too small: 0"),
        (replace(COMMAND, limits=CommandLimits(memory=-1)), "limits.memory", "is too small: -1"),
        (replace(COMMAND, limits=CommandLimits(memory=2**60)), "limits.memory", f"is too large: {2**60}"),
    ],
)
def test_what_cannot_be_is_told_with_its_key(gateway: GatewaySettings, key: str, problem: str) -> None:
    (found,) = problems([gateway])
    assert (found.index, found.key, found.problem) == (0, key, problem)
    assert found.remedy.endswith(".")


def test_no_two_gateways_have_one_name() -> None:
    (found,) = problems([SMTP, MAILDIR, replace(MBOX, name="office")])
    assert (found.index, found.key, found.problem) == (2, "name", "is the name of a gateway before it")
