from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from estafeta.cli import trial
from estafeta.cli.trial import prepare
from estafeta.config.reading import load

if TYPE_CHECKING:
    from .conftest import Operator

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
RUN = [sys.executable, "-c", "from estafeta.cli.main import main; main()"]


def try_out(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RUN, "try", "--data", str(folder), *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A trial that was prepared before and takes any free ports, as its owner may change its settings."""
    made = prepare(tmp_path / "trial")
    settings = re.sub(r"port = \d+", "port = 0", made.settings_file.read_text())
    made.settings_file.write_text(settings)
    return made.folder


def test_the_round_trip_is_proven_and_told(folder: Path) -> None:
    done = try_out(folder, "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^ana@estafeta\.test, \S+$", done.stdout, re.MULTILINE)
    assert re.search(r"^luis@estafeta\.test, \S+$", done.stdout, re.MULTILINE)
    assert "octet for octet the same" in done.stdout
    assert "in luis@estafeta.test INBOX, UID 1" in done.stdout
    assert "logged in as ana@estafeta.test" in done.stdout


def test_the_second_start_has_the_same_passwords_and_finds_its_message_among_others(folder: Path) -> None:
    first: Any = json.loads(try_out(folder, "--once", "--json").stdout)
    done = try_out(folder, "--once", "--json")
    second: Any = json.loads(done.stdout)
    assert done.returncode == 0 and second["round_trip"]["is_proven"]
    assert second["accounts"] == first["accounts"]
    assert second["accounts"][2] == {"address": "captured@estafeta.test", "password": None}
    assert second["round_trip"]["trace"][-1]["now"][0]["uid"] == 2


def test_secrets_of_the_trial_are_private(folder: Path) -> None:
    assert try_out(folder, "--once").returncode == 0
    assert folder.stat().st_mode & 0o077 == 0
    for name in ("trial.json", "tls/server.key", "tls/authority.key", "estafeta.sqlite3"):
        assert (folder / name).stat().st_mode & 0o077 == 0, name


def test_the_trial_is_an_ordinary_server_to_the_other_commands(folder: Path) -> None:
    assert try_out(folder, "--once").returncode == 0
    done = subprocess.run(
        [*RUN, "check", "--config", str(folder / "estafeta.toml")], env=ENVIRONMENT, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_it_serves_until_it_is_stopped_and_keeps_mail_for_elsewhere(folder: Path) -> None:
    settings = (folder / "estafeta.toml").read_text()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    head, kind, rest = settings.partition('kind = "submission"')
    (folder / "estafeta.toml").write_text(head + kind + rest.replace("port = 0", f"port = {port}", 1))
    with subprocess.Popen(
        [*RUN, "try", "--data", str(folder)], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            told = ""
            for line in process.stdout:
                told += line
                if line == "Serving until Ctrl-C.\n":
                    break
            assert f"swaks --server 127.0.0.1:{port} -tls" in told
            password = re.search(r"^ana@estafeta\.test, (\S+)$", told, re.MULTILINE)
            assert password is not None
            secret = folder / "password"
            secret.write_text(password[1])
            arguments = ["--from", "ana@estafeta.test", "--to", "far@example.net", "--text", "hello", "--server"]
            login = ["--user", "ana@estafeta.test", "--password-file", str(secret), "--tls", "starttls"]
            ca_file = ["--ca-file", str(folder / "tls" / "authority.pem")]
            sent = subprocess.run(
                [*RUN, "send", *arguments, f"localhost:{port}", *login, *ca_file],
                env=ENVIRONMENT,
                capture_output=True,
                text=True,
                check=False,
            )
            assert sent.returncode == 0, sent.stderr
            listed = subprocess.run(
                [*RUN, "mailbox", "list", "captured", "--json", "--config", str(folder / "estafeta.toml")],
                env=ENVIRONMENT,
                capture_output=True,
                text=True,
                check=True,
            )
            boxes = {box["name"]: box["messages"] for box in json.loads(listed.stdout)["mailboxes"]}
            assert boxes["INBOX"] == 1
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


def test_a_port_in_use_is_named_in_one_line(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = (folder / "estafeta.toml").read_text().replace("port = 0", f"port = {port}", 1)
        (folder / "estafeta.toml").write_text(settings)
        done = try_out(folder, "--once")
    assert done.returncode == 1
    assert done.stderr.startswith(f"estafeta: port {port} is in use (smtp 127.0.0.1:{port}): ")
    assert done.stderr.count("\n") == 1 and done.stdout == ""


def test_the_trial_goes_without_lmtp_where_its_port_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        lmtp = 'kind = "lmtp"\naddress = "127.0.0.1"\nport = '
        settings = (folder / "estafeta.toml").read_text().replace(f"{lmtp}0", f"{lmtp}{port}")
        (folder / "estafeta.toml").write_text(settings)
        done = try_out(folder, "--once")
    assert done.returncode == 0
    assert done.stderr == f"estafeta: port {port} is in use by another program: this trial goes without LMTP\n"


def test_a_folder_of_something_else_is_neither_used_nor_removed(operator: Operator, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    for arguments in ((), ("--fresh",)):
        assert "is not the folder of a trial" in operator.refused("try", "--data", str(precious), *arguments)
    assert (precious / "thesis.txt").read_text() == "years of work"
    assert "is not a folder" in operator.refused("try", "--data", str(precious / "thesis.txt"), "--fresh")


def test_damaged_passwords_are_one_line(operator: Operator, folder: Path) -> None:
    (folder / "trial.json").write_text("{")
    assert "start over with --fresh" in operator.refused("try", "--data", str(folder), "--once")


def test_serve_says_which_port_it_cannot_have(operator: Operator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        operator.config.write_text(
            f'data = "data"\n[[listen]]\nkind = "smtp"\naddress = "127.0.0.1"\nport = {port}\n[log]\nlevel = "error"\n'
        )
        done = subprocess.run(
            [*RUN, "serve", "--config", str(operator.config)],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"estafeta: port {port} is in use") and done.stderr.count("\n") == 1


def test_serve_answers_until_sigterm(operator: Operator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    operator.config.write_text(
        f'hostname = "mx.example.org"\ndata = "data"\n[[listen]]\nkind = "smtp"\naddress = "127.0.0.1"\nport = {port}\n'
        '[log]\nformat = "json"\n'
    )
    with subprocess.Popen(
        [*RUN, "serve", "--config", str(operator.config)], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        first = json.loads(process.stderr.readline())
        if os.geteuid() == 0:
            assert first["event"] == "the server runs as root"
            first = json.loads(process.stderr.readline())
        assert first["event"] == "serving" and first["listeners"] == [f"smtp 127.0.0.1:{port}"]
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            assert client.recv(1000).startswith(b"220 mx.example.org")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_fresh_starts_over(operator: Operator, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = json.loads((folder / "trial.json").read_text())
    (folder / "left.txt").write_text("of an earlier trial")
    monkeypatch.setattr(trial, "SETTINGS_TEXT", re.sub(r"port = \d+", "port = 0", trial.SETTINGS_TEXT))
    operator.done("try", "--data", str(folder), "--fresh", "--once")
    assert json.loads((folder / "trial.json").read_text()) != before
    assert not (folder / "left.txt").exists()


def test_the_trial_listens_on_its_ports_on_loopback_only(tmp_path: Path) -> None:
    settings = load(prepare(tmp_path / "trial").settings_file)
    assert {(each.kind.value, each.port) for each in settings.listen} == {
        ("smtp", 2525),
        ("submission", 2587),
        ("submissions", 2465),
        ("lmtp", 2024),
        ("pop3", 2110),
        ("pop3s", 2995),
        ("imap", 2143),
        ("imaps", 2993),
    }
    assert {each.address for each in settings.listen} == {"127.0.0.1"}
