"""The library as its pages show it: the examples run, the names exist, types are there, importing is cheap."""

from __future__ import annotations

import inspect
import os
import re
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import estafeta
from estafeta import Collector, Recipient, Reply, Server, ServerTls, Session
from estafeta.client import ClientOptions
from estafeta.net.authority import issue

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
PAGE = (ROOT / "docs" / "library.md").read_text("utf-8")
SHOWN = dict(re.findall(r"<!-- examples/(\w+\.py) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "error", "SMTP_PASSWORD": "secret"}


@contextmanager
def example(name: str, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    with subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def server_example(name: str, folder: Path) -> Iterator[tuple[smtplib.SMTP, subprocess.Popen[str]]]:
    with example(name, folder, "0") as process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith("listening on port "), process.stderr.read()
        with smtplib.SMTP("127.0.0.1", int(line.split()[-1]), timeout=10) as client:
            yield client, process


def test_the_page_shows_the_examples_as_they_are() -> None:
    assert {path.name: path.read_text("utf-8") for path in EXAMPLES.glob("*.py")} == SHOWN
    assert len(SHOWN) == 5


def test_the_server_that_saves_messages_saves_them(tmp_path: Path) -> None:
    with server_example("save_messages.py", tmp_path) as (client, process):
        client.sendmail("ana@example.org", ["luis@example.net", "eva@example.net"], "Subject: x\n\nHello.\n")
        assert process.stdout is not None
        told = process.stdout.readline()
    (saved,) = tmp_path.iterdir()
    assert saved.read_bytes() == b"Subject: x\r\n\r\nHello.\r\n"
    assert told == f"{saved.stem} from ana@example.org to luis@example.net, eva@example.net\n"


def test_the_policy_refuses_what_it_says(tmp_path: Path) -> None:
    with server_example("refuse_by_policy.py", tmp_path) as (client, _):
        client.ehlo()
        assert client.mail("luis@example.org")[0] == 530
        assert client.mail("") == (250, b"2.1.0 sender ok") and client.rset()[0] == 250
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("ana", "wrong")
        client.login("ana", "correct horse")
        refused = client.sendmail("ana@example.org", ["a@example.org", "b@example.com"], "Subject: news\n\nHello.\n")
        assert refused == {"b@example.com": (550, b"5.1.1 no such mailbox here")}
        with pytest.raises(smtplib.SMTPDataError) as advertising:
            client.sendmail("x@example.com", ["a@example.org"], "Subject: BUY NOW\n\nHello.\n")
        assert advertising.value.smtp_code == 550
    (kept,) = (tmp_path / "maildir" / "new").iterdir()
    assert b"\nSubject: news\n\nHello.\n" in kept.read_bytes()


def test_the_client_sends_its_attachment_over_tls(tmp_path: Path) -> None:
    class Inbox(Collector):
        async def on_recipient(self, session: Session, recipient: Recipient) -> Reply | None:
            is_unknown = str(recipient.forward_path) == "nobody@example.net"
            return Reply.of(550, "no such mailbox", "5.1.1") if is_unknown else None

    issued = issue(tmp_path, ["localhost"])
    inbox = Inbox()
    tls = ServerTls(issued.certificate, issued.key)
    server = Server(inbox, tls=tls, require_tls=True, require_login=True, passwords={"ana": "secret"})
    with server.in_thread() as running:
        arguments = ("localhost", str(running.port), str(issued.authority))
        with example("send_with_attachments.py", tmp_path, *arguments) as process:
            out, err = process.communicate(timeout=30)
    (message,) = inbox.messages
    assert (process.returncode, err) == (2, "")
    assert out.splitlines() == [
        f"luis@example.net: 250 2.0.0 taken as {message.id}",
        "nobody@example.net: 550 5.1.1 no such mailbox",
        f"archive@example.org: 250 2.0.0 taken as {message.id}",
    ]
    assert message.session.protocol == "ESMTPSA" and message.session.identity == "ana"
    read = message.parsed()
    assert read["Subject"] == "La foto que querías" and read["Bcc"] is None
    (picture,) = read.iter_attachments()
    assert picture.get_content().startswith(b"\x89PNG") and picture.get_filename() == "año.png"
    with example("send_with_attachments.py", tmp_path, "localhost", "1", str(issued.authority)) as process:
        out, _ = process.communicate(timeout=30)
    assert out.startswith("not sent: localhost port 1: ") and process.returncode == 1


def test_lmtp_answers_for_each_recipient(tmp_path: Path) -> None:
    with example("lmtp_delivery.py", tmp_path) as process:
        out, err = process.communicate(timeout=30)
    assert err == ""
    assert out.splitlines() == [
        "eva@example.net: 250 2.1.5 delivered",
        "luis@example.net: 452 4.2.2 mailbox full",
        "noa@example.net: 250 2.1.5 delivered",
    ]


def test_the_engine_serves_without_asyncio(tmp_path: Path) -> None:
    with server_example("engine_without_asyncio.py", tmp_path) as (client, process):
        client.sendmail("ana@example.org", ["luis@example.net", "eva@example.net"], "Subject: x\n\n.\n")
        assert process.stdout is not None and process.stdout.readline() == "17 octets for 2\n"
        assert client.docmd("VRFY", "ana")[0] == 502 and client.docmd("NONSENSE")[0] == 500
        client.mail("ana@example.org")
        client.rcpt("luis@example.net")
        assert client.data(b"x" * 998 + b"\r\n" * 500_000)[0] == 552
        assert client.noop()[0] == 250
    assert "import asyncio" not in SHOWN["engine_without_asyncio.py"]


def test_the_example_for_test_suites_runs() -> None:
    (code,) = re.findall(r"## In tests\n.*?```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/library.md", "exec"), {})


def test_every_option_of_server_and_client_is_on_the_page() -> None:
    server = set(inspect.signature(Server.__init__).parameters) - {"self", "handler"}
    tables = {name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    explained = tables | set(re.findall(r"`(mechanisms)`", PAGE))
    assert not (server | set(ClientOptions.__annotations__)) - explained


def test_every_method_of_a_handler_is_on_the_page() -> None:
    listed = re.findall(r"^\| `(on_\w+)\((.*?)\)` \|", PAGE, re.MULTILINE)
    methods = {
        name: ", ".join(list(inspect.signature(method).parameters)[1:])
        for name, method in vars(estafeta.Handler).items()
        if name.startswith("on_")
    }
    assert dict(listed) == methods


def test_every_name_can_be_had_and_is_where_it_says() -> None:
    for name in estafeta.__all__:
        assert getattr(estafeta, name) is not None
    assert set(estafeta.__all__) <= set(dir(estafeta))
    assert sorted(estafeta._HOME_OF) == sorted(estafeta.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Sevrer'"):
        _ = estafeta.Sevrer  # type: ignore[attr-defined]


def test_importing_costs_nothing_until_a_name_is_used() -> None:
    code = (
        "import sys, estafeta; heavy = {'asyncio', 'ssl', 'email', 'structlog', 'cryptography', 'estafeta.wire'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        "from estafeta import Reply; assert not heavy & set(sys.modules);"
        "from estafeta import ServerEngine; assert 'asyncio' not in sys.modules and 'ssl' not in sys.modules;"
        "from estafeta import Server, Client; assert not {'apsw', 'dns', 'pydantic', 'click'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True, timeout=60)


def test_programs_with_types_are_checked_in_full(tmp_path: Path) -> None:
    assert (ROOT / "src" / "estafeta" / "py.typed").is_file()
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from estafeta import Client, Handler, Message, Server, Session, send\n"
        "async def on_message(message: Message) -> str:\n    return message.reverse_path\n"
        "Server(on_message)\n"
        "Client('localhost', tls='ssl')\n"
        "class Mine(Handler):\n"
        "    async def on_mail(self, session: Session, sender: str) -> None: ...\n"
        "send(b'x', prot=25)\n"
        "from estafeta import Sevrer\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "--no-error-summary"]
    environment = ENVIRONMENT | {"MYPYPATH": str(ROOT / "src"), "PYTHONWARNINGS": ""}

    def checked(*files: Path) -> list[str]:
        ran = subprocess.run(
            [*command, *map(str, files)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
        )
        return ran.stdout.splitlines() + ran.stderr.splitlines()

    found = {int(line.split(":")[1]) for line in checked(wrong) if ": error: " in line}
    assert found == {4, 5, 7, 8, 9}
    assert checked(*sorted(EXAMPLES.glob("*.py"))) == []
