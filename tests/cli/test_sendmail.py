from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from estafeta.cli.handing import without_field
from estafeta.cli.sendmail import Exit, SendmailFault, read_arguments, where

if TYPE_CHECKING:
    from .conftest import ScriptedServer

Done = subprocess.CompletedProcess[bytes]


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ESTAFETA_CONFIG", "ESTAFETA_SUBMIT"):
        monkeypatch.delenv(name, raising=False)


def sendmail(server: str | None, *arguments: str, message: bytes = b"", config: Path | None = None) -> Done:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src"), "LOGNAME": "cron"}
    if server is not None:
        environment["ESTAFETA_SUBMIT"] = server
    if config is not None:
        environment["ESTAFETA_CONFIG"] = str(config)
    code = "from estafeta.cli.sendmail import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], input=message, capture_output=True, env=environment, timeout=60
    )


def recipients(server: ScriptedServer) -> list[str]:
    return [command.split("<")[1].partition(">")[0] for command in server.commands if command.startswith("RCPT")]


@pytest.mark.rfc("5322 §3.6", "`estafeta-sendmail` adds the fields that a message must have.")
def test_a_bare_text_becomes_a_message(server: ScriptedServer, tmp_path: Path) -> None:
    config = tmp_path / "estafeta.toml"
    config.write_text('hostname = "mx.example.org"\n')
    done = sendmail(server.address, "-F", "Cron Daemon", "root", message=b"backup done\nall well\n", config=config)
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", b"")
    assert recipients(server) == ["root@mx.example.org"]
    assert any(command.startswith("MAIL FROM:<cron@mx.example.org>") for command in server.commands)
    header, _, body = server.content.partition(b"\r\n\r\n")
    assert body == b"backup done\r\nall well\r\n"
    assert b"From: Cron Daemon <cron@mx.example.org>" in header
    assert re.search(rb"^Date: .*^Message-ID: <[^>]+@mx.example.org>$", header.replace(b"\r", b""), re.M | re.S)


def test_recipients_come_from_the_header_and_bcc_goes(server: ScriptedServer) -> None:
    message = (
        b"From: a@example.org\nTo: Luis <luis@example.org>,\n\teva@example.org\nBCC: secret@example.org\n"
        b"Cc: eva@example.org\nDate: Sun, 22 Nov 2026 16:00:00 +0000\nMessage-ID: <1@example.org>\n\nBcc: text\n"
    )
    assert sendmail(server.address, "-t", "-oi", "-f", "bounce@example.org", message=message).returncode == 0
    assert recipients(server) == ["luis@example.org", "eva@example.org", "secret@example.org"]
    assert server.content == message.replace(b"BCC: secret@example.org\n", b"").replace(b"\n", b"\r\n")
    assert any(command.startswith("MAIL FROM:<bounce@example.org>") for command in server.commands)


@pytest.mark.parametrize(
    ("arguments", "body"),
    [((), b"one\r\n"), (("-i",), b"one\r\n.\r\ntwo\r\n"), (("-oi",), b"one\r\n.\r\ntwo\r\n")],
)
def test_a_lone_dot_ends_the_message_unless_told_otherwise(
    server: ScriptedServer, arguments: tuple[str, ...], body: bytes
) -> None:
    message = b"Subject: x\n\none\n.\ntwo\n"
    assert sendmail(server.address, *arguments, "luis@example.org", message=message).returncode == 0
    assert server.content.partition(b"\r\n\r\n")[2] == body


def test_the_separator_of_a_mailbox_file_is_left_out(server: ScriptedServer) -> None:
    message = b"From ana Sun Nov 22 16:00:00 2026\nSubject: x\n\nhello\n"
    assert sendmail(server.address, "luis@example.org", message=message).returncode == 0
    assert b"From ana" not in server.content and b"Subject: x\r\n\r\nhello\r\n" in server.content


def test_the_null_reverse_path_is_kept(server: ScriptedServer) -> None:
    assert sendmail(server.address, "-f", "<>", "luis@example.org", message=b"\nhello\n").returncode == 0
    assert any(command.startswith("MAIL FROM:<>") for command in server.commands)


@pytest.mark.rfc("3463 §3.2", "A refusal of an address has an exit code of its own.")
@pytest.mark.parametrize(
    ("script", "code"),
    [
        ({"RCPT": "550 5.1.1 no such mailbox"}, Exit.NOUSER),
        ({"RCPT": "550 5.7.1 relaying denied"}, Exit.UNAVAILABLE),
        ({"RCPT": "450 4.2.1 try later"}, Exit.TEMPFAIL),
        ({".": "554 5.6.0 bad content"}, Exit.UNAVAILABLE),
        ({".": "452 4.3.1 no room"}, Exit.TEMPFAIL),
        ({"MAIL": "530 5.7.0 log in first"}, Exit.UNAVAILABLE),
        ({"greeting": "554 no service"}, Exit.UNAVAILABLE),
        ({"greeting": "421 too busy"}, Exit.TEMPFAIL),
    ],
)
def test_a_refusal_is_an_exit_code_that_the_caller_understands(
    server: ScriptedServer, script: dict[str, str], code: Exit
) -> None:
    server.replies.update(script)
    done = sendmail(server.address, "luis@example.org", message=b"Subject: x\n\nhello\n")
    assert done.returncode == code
    assert done.stderr.startswith(b"estafeta: ") and done.stderr.count(b"\n") == 1


def test_a_server_that_is_not_there_means_try_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = sendmail(f"127.0.0.1:{port}", "luis@example.org", message=b"x\n")
    assert done.returncode == Exit.TEMPFAIL
    assert done.stderr.count(b"\n") == 1
    assert sendmail(f"127.0.0.1:{port}", "-bs").returncode == Exit.TEMPFAIL


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        ((), b"x\n", Exit.USAGE),
        (("-bd",), b"", Exit.USAGE),
        (("-q",), b"", Exit.USAGE),
        (("-f",), b"", Exit.USAGE),
        (("-Z",), b"", Exit.USAGE),
        (("a b@example.org",), b"x\n", Exit.DATAERR),
        (("-t",), b"Subject: x\n\nTo: nobody\n", Exit.DATAERR),
    ],
)
def test_wrong_arguments_and_data_have_codes_of_their_own(
    arguments: tuple[str, ...], message: bytes, code: Exit
) -> None:
    done = sendmail("127.0.0.1:1", *arguments, message=message)
    assert done.returncode == code
    assert done.stderr.startswith(b"estafeta: ") and b"Traceback" not in done.stderr


def test_smtp_on_standard_input_reaches_the_server_and_back(server: ScriptedServer) -> None:
    done = sendmail(server.address, "-bs", message=b"EHLO client.example.org\r\nNOOP\r\nQUIT\r\n")
    assert done.returncode == 0
    assert done.stdout.startswith(b"220 mx.example.org\r\n250-") and done.stdout.endswith(b"221 bye\r\n")
    assert server.commands == ["EHLO client.example.org", "NOOP", "QUIT"]


def test_options_of_other_sendmails_are_understood() -> None:
    ignored = ["-oem", "-odb", "-O", "DeliveryMode=b", "-N", "never", "-R", "hdrs", "-V", "envid", "-B", "8BITMIME"]
    meant = ["-oi", "-h", "3", "-vti", "-fana@example.org", "-FAna", "-bm", "-G", "luis@example.org"]
    asked = read_arguments([*ignored, *meant, "--", "-odd@example.org"])
    assert asked.recipients == ["luis@example.org", "-odd@example.org"]
    assert (asked.from_header, asked.dot_ends, asked.is_verbose) == (True, False, True)
    assert (asked.reverse_path, asked.full_name, asked.speaks_smtp) == ("ana@example.org", "Ana", False)


def test_the_server_is_found_in_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (where(None).host, where(None).port) == ("127.0.0.1", 25)
    config = tmp_path / "estafeta.toml"
    config.write_text(
        'hostname = "mx.example.org"\n[[listen]]\nkind = "pop3"\n[[listen]]\nkind = "smtp"\nport = 2525\n'
    )
    found = where(None)
    assert (found.host, found.port, found.domain) == ("127.0.0.1", 2525, "mx.example.org")
    config.write_text('[[listen]]\nkind = "smtp"\naddress = "::"\n')
    assert (where(config).host, where(config).port) == ("::1", 25)
    config.write_text('[sendmail]\nserver = "hub.example.org:587"\ndomain = "example.org"\n')
    assert (where(config).host, where(config).port, where(config).domain) == ("hub.example.org", 587, "example.org")
    monkeypatch.setenv("ESTAFETA_SUBMIT", "[::1]:2525")
    assert (where(config).host, where(config).port) == ("::1", 2525)
    monkeypatch.setenv("ESTAFETA_SUBMIT", "nonsense")
    with pytest.raises(SendmailFault) as caught:
        where(config)
    assert caught.value.code is Exit.CONFIG


def test_settings_that_are_no_toml_are_a_fault_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "estafeta.toml").write_text("server ==")
    done = sendmail(None, "luis@example.org", message=b"x\n")
    assert done.returncode == Exit.CONFIG
    assert b"estafeta.toml:1: is not valid TOML" in done.stderr


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Bcc: a\r\nTo: b\r\n\r\nBcc: c\r\n", b"To: b\r\n\r\nBcc: c\r\n"),
        (b"To: b\r\nbcc : a,\r\n\tc\r\n d\r\nX: y\r\n\r\n", b"To: b\r\nX: y\r\n\r\n"),
        (b"To: b\r\nBCC: a\r\n\r\nbody\r\n\r\nmore\r\n", b"To: b\r\n\r\nbody\r\n\r\nmore\r\n"),
        (b"To: b\r\nX-Bcc: a\r\n\r\n", b"To: b\r\nX-Bcc: a\r\n\r\n"),
    ],
)
def test_a_field_is_taken_out_with_its_folds_and_nothing_else(before: bytes, after: bytes) -> None:
    assert without_field(before, "Bcc") == after
