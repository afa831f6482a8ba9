from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Operator, ScriptedServer

QUICK = ("send", "--from", "ana@example.org", "--text", "hello", "--tls", "none")


def test_a_quick_text_becomes_a_whole_message(operator: Operator, server: ScriptedServer) -> None:
    told = operator.done(*QUICK, "--to", "luis@example.org", "--subject", "¡Hola!", "--server", server.address)
    assert told == "luis@example.org: 250 2.0.0 accepted\n"
    assert any(command.startswith("MAIL FROM:<ana@example.org>") for command in server.commands)
    assert b"Subject: =?utf-8?" in server.content
    assert b"\r\nMessage-ID: <" in server.content and b"Date: " in server.content
    assert server.content.endswith(b"\r\n\r\nhello\r\n")


def test_each_recipient_has_its_reply_and_one_refusal_is_exit_code_1(
    operator: Operator, server: ScriptedServer
) -> None:
    server.replies["RCPT TO:<luis"] = "550 5.1.1 no such mailbox"
    arguments = ("--to", "luis@example.org", "--to", "eva@example.org", "--server", server.address)
    result = operator.run(*QUICK, *arguments, "--json")
    assert result.exit_code == 1
    first, second = json.loads(result.stdout)
    assert (first["forward_path"], first["accepted"], first["code"], first["status"]) == (
        "luis@example.org",
        False,
        550,
        "5.1.1",
    )
    assert second["accepted"]


def test_a_message_file_names_its_own_sender_and_recipients(operator: Operator, server: ScriptedServer) -> None:
    message = (
        "From: Ana <ana@example.org>\nTo: luis@example.org,\n eva@example.org\nBcc: secret@example.org,\n"
        " hidden@example.org\nSubject: x\n\nBcc: is fine here\n.\n"
    )
    operator.done("send", "-", "--server", server.address, input=message)
    rcpts = [command.split("<")[1].rstrip(">") for command in server.commands if command.startswith("RCPT")]
    assert rcpts == ["luis@example.org", "eva@example.org", "secret@example.org", "hidden@example.org"]
    assert server.content == (
        b"From: Ana <ana@example.org>\r\nTo: luis@example.org,\r\n eva@example.org\r\nSubject: x\r\n"
        b"\r\nBcc: is fine here\r\n.\r\n"
    )


def test_the_null_reverse_path_can_be_used(operator: Operator, server: ScriptedServer) -> None:
    operator.done(*QUICK, "--null-sender", "--to", "luis@example.org", "--server", server.address)
    assert any(command.startswith("MAIL FROM:<>") for command in server.commands)


def test_tls_that_is_not_offered_is_one_line(operator: Operator, server: ScriptedServer) -> None:
    arguments = ("--to", "luis@example.org", "--server", server.address, "--tls", "starttls")
    assert operator.refused(*QUICK, *arguments) == f"{server.address}: the server does not offer STARTTLS"
    assert not any(command.startswith("MAIL") for command in server.commands)


def test_a_server_that_is_not_there_is_one_line(operator: Operator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert f"127.0.0.1:{port}" in operator.refused(*QUICK, "--to", "luis@example.org", "--server", f"127.0.0.1:{port}")


def test_a_message_without_sender_or_recipients_is_not_sent(operator: Operator) -> None:
    assert "--to" in operator.refused("send", "-", input="From: ana@example.org\n\nhello\n")
    assert "--from" in operator.refused("send", "-", input="To: ana@example.org\n\nhello\n")
    assert "bad address" in operator.refused("send", "-", input="To: ana@exa mple..org\nFrom: a@b\n\nhello\n")
    assert "no such file" in operator.refused("send", "/nowhere/message.eml")
