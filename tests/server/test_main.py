"""`python -m estafeta.server` as a process of its own."""

from __future__ import annotations

import os
import signal
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from estafeta.net.authority import issue

SRC = Path(__file__).parents[2] / "src"


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "estafeta.server", *arguments],
        env=os.environ | {"PYTHONPATH": str(SRC)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(*arguments: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    with start("--listen", "127.0.0.1:0", *arguments) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on 127.0.0.1:"), line
            yield int(line.rpartition(":")[2]), process
        finally:
            process.kill()


def send(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.sendmail("ana@example.org", ["luis@example.net"], b"Subject: shown\r\n\r\n")


def test_it_prints_what_comes_until_it_is_interrupted() -> None:
    with running() as (port, process):
        send(port)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert "\nRCPT TO:<luis@example.net>\n\nSubject: shown\n" in out
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize("option", ["--folder", "--maildir", "--mbox"])
def test_it_keeps_what_comes(tmp_path: Path, option: str) -> None:
    with running(option, str(tmp_path / "kept")) as (port, _):
        send(port)
    kept = [path for path in (tmp_path, *tmp_path.rglob("*")) if path.is_file()]
    assert any(b"Subject: shown" in path.read_bytes() for path in kept)


def test_it_offers_tls_and_its_limit(tmp_path: Path) -> None:
    issued = issue(tmp_path, ["localhost"])
    options = ("--tls", str(issued.certificate), str(issued.key), "--require-tls", "--size", "1000", "--discard")
    with running(*options) as (port, _), smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.ehlo()
        assert client.has_extn("starttls") and client.esmtp_features["size"] == "1000"
        assert client.mail("ana@example.org")[0] == 530


def test_faults_are_one_line(tmp_path: Path) -> None:
    with start("--listen", "127.0.0.1:0", "--tls", str(tmp_path / "none.pem"), "key.pem") as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, "")
    assert err.startswith("estafeta.server: certificate file ") and err.count("\n") == 1
