"""The log of a post office: a line for each message with the ids that `trace` takes, and never a secret."""

from __future__ import annotations

import asyncio
import imaplib
import io
import json
import logging
import poplib
import ssl
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import redirect_stderr, suppress
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog
from tests.agents.conftest import PASSWORD, Office
from tests.agents.outbound.street import Host
from tests.app.monitoring.test_documentation import documented_fields
from tests.app.monitoring.test_metrics import LETTER, OWN, free_port, serving, until_empty
from tests.app.monitoring.watched import watched, watched_settings

from estafeta.agents.outbound.settings import RelaySettings
from estafeta.app import new_event_loop
from estafeta.app.incidents import log_incidents
from estafeta.app.monitoring.lines import Lines
from estafeta.cli import logs
from estafeta.config.settings import Listen, ListenerKind, LogSettings
from estafeta.net.authority import Issued
from estafeta.net.narrator import speak_of
from estafeta.policy.guard import LoginSettings
from estafeta.policy.oauth import OAuthSettings
from estafeta.store import journal
from estafeta.store.ids import IdSource

WRONG = "wr0ng-Passw0rd"
TOKEN = "t0ken.of-ana.abcdef"


def play(main: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60):
            await main()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run())


@pytest.fixture
def stderr() -> Iterator[io.StringIO]:
    """Where lines go; afterwards logging is as it was."""
    file, root = io.StringIO(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield file
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines_of(settings: LogSettings, file: io.StringIO) -> Lines:
    with redirect_stderr(file):
        logs.set_up(settings)
    return Lines(settings, time.time, file)


def documents(file: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.getvalue().splitlines()]


def of(told: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [each for each in told if each["event"] == event]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_log_on_a_full_disk_stops_nobody(
    form: Literal["text", "json"], stderr: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = LogSettings(format=form)
    full = open("/dev/full", "w")  # noqa: SIM115 - closing it fails
    with redirect_stderr(full):
        logs.set_up(settings)
    for _ in range(100):
        structlog.get_logger().error("what cannot be written down", reason="x" * 1000)
        logging.getLogger("a library").error("neither this")
    with suppress(OSError):
        full.close()
    assert not capfd.readouterr().err


def test_each_message_has_its_lines_with_ids_that_trace_takes(
    tmp_path: Path, issued: Issued, stderr: io.StringIO
) -> None:
    found: dict[str, Any] = {}

    async def main() -> None:
        port = free_port()
        host = Host(says={"RCPT nobody": "550 5.1.1 no such user", "RCPT later": "450 4.2.0 not now"})
        relay = RelaySettings(port=port, allow_loopback=True, poll_after=0.1)
        settings = watched_settings(tmp_path, issued, relay=relay)
        lines = lines_of(LogSettings(format="json"), stderr)
        async with serving(port, host), watched(settings, issued, lines=lines) as office:
            stranger = await office.client()
            assert (await stranger.send("bo@example.net", "team@example.org", LETTER)).startswith("250")
            assert (await stranger.send("bo@example.net", "gone@example.org", LETTER)).startswith("550")
            await stranger.say("RSET")
            assert (await stranger.send("bo@example.net", "ana@example.org", b"a\nb\r\n")).startswith("5")
            client = await office.submitter()
            for name in ("ben", "nobody"):
                assert (await client.send("ana@example.org", f"{name}@[127.0.0.2]", OWN)).startswith("250")
            await until_empty(office)
            assert (await client.send("ana@example.org", "later@[127.0.0.2]", OWN)).startswith("250")
            lines.flush()
            while not of(documents(stderr), "recipient deferred"):
                await asyncio.sleep(0.01)
                lines.flush()
            for each in of(documents(stderr), "message accepted"):
                identifier = IdSource.parse(each["message"])
                entries = await office.office.store.read(lambda tx, it=identifier: journal.by_message(tx, it))  # type: ignore[misc]
                found[each["message"]] = [entry.kind.value for entry in entries]

    play(main)
    told = documents(stderr)
    accepted = of(told, "message accepted")
    wanted = ["team@example.org", "ben@[127.0.0.2]", "nobody@[127.0.0.2]", "later@[127.0.0.2]"]
    assert [each["recipients"] for each in accepted] == [[each] for each in wanted]
    assert accepted[0]["reverse_path"] == "bo@example.net"
    assert accepted[0]["listener"].startswith("smtp ") and accepted[0]["peer"].startswith("127.0.0.1:")
    assert accepted[0]["size"] > len(LETTER) and accepted[0]["level"] == "info"
    assert "account" not in accepted[0] and accepted[1]["account"] == "ana@example.org"
    assert len({each["session"] for each in accepted}) == 2
    assert all("transaction" in kinds for kinds in found.values())
    by_message = {each["message"]: each for each in accepted}
    (relayed,) = of(told, "recipient relayed")
    assert relayed["forward_path"] == "ben@[127.0.0.2]" and relayed["attempts"] == 1
    assert relayed["message"] in by_message and relayed["host"] and relayed["seconds"] >= 0
    failures = [each for each in of(told, "recipient failed") if each["forward_path"].startswith("nobody")]
    assert failures[0]["reply"].startswith("550") and failures[0]["message"] in by_message
    (deferred,) = of(told, "recipient deferred")
    assert deferred["reply"].startswith("450")
    (refused,) = of(told, "recipient refused")
    assert refused["subject"] == "gone@example.org" and refused["reason"] == "unknown-recipient"
    assert refused["session"] == accepted[0]["session"] and refused["reply"].startswith("550")
    (bad,) = of(told, "message refused")
    assert bad["reason"] == "bad-data" and bad["session"] == accepted[0]["session"]
    (login,) = of(told, "login accepted")
    assert login["account"] == "ana@example.org" and login["session"] == accepted[1]["session"]
    assert not of(told, "session ended")  # at debug only
    assert {name for each in told if "message" in each for name in each} - documented_fields() == set()


@pytest.mark.parametrize("settings", [LogSettings(level="warning"), LogSettings(messages=False)])
def test_the_settings_say_whether_there_are_such_lines(
    tmp_path: Path, issued: Issued, stderr: io.StringIO, settings: LogSettings
) -> None:
    async def main() -> None:
        lines = lines_of(settings, stderr)
        made = watched_settings(tmp_path, issued, log=settings)
        async with watched(made, issued, lines=lines) as office:
            stranger = await office.client()
            assert (await stranger.send("bo@example.net", "ana@example.org", LETTER)).startswith("250")
            assert "message accepted" not in stderr.getvalue()
            await office.office.reload(made.model_copy(update={"log": LogSettings()}))
            stranger = await office.client()
            assert (await stranger.send("bo@example.net", "ana@example.org", LETTER)).startswith("250")

    play(main)
    assert stderr.getvalue().count("] message accepted ") == 1


def test_no_secret_is_in_any_line_of_the_log(tmp_path: Path, issued: Issued, stderr: io.StringIO) -> None:
    """All ways to log in, right and wrong, well-formed and not, with everything logged."""
    plain = b64encode(f"\0ana@example.org\0{PASSWORD}".encode()).decode()
    wrong = b64encode(f"\0ana@example.org\0{WRONG}".encode()).decode()
    bearer = b64encode(f"n,a=ana@example.org,\x01auth=Bearer {TOKEN}\x01\x01".encode()).decode()
    secrets = [PASSWORD, WRONG, TOKEN, plain, wrong, bearer, plain[:20], bearer[:24], "hush-hush"]
    secrets += [b64encode(each.encode()).decode().rstrip("=") for each in (PASSWORD, WRONG, TOKEN)]

    async def by_smtp(office: Office, kind: ListenerKind) -> None:
        for said in (f"PLAIN {wrong}", f"PLAIN {plain}x", f"OAUTHBEARER {bearer}", f"XOAUTH2 {bearer}"):
            client = await office.client(kind, tls=True)
            if (await client.say(f"AUTH {said}")).startswith("334"):
                await client.say("AQ==")
        client = await office.client(kind, tls=True)
        await client.say("AUTH LOGIN")
        await client.say(b64encode(b"ana@example.org").decode())
        assert (await client.say(b64encode(WRONG.encode()).decode())).startswith("535")
        await client.say(f"PASS {PASSWORD}")
        await client.say(f"LOGIN ana {PASSWORD}")
        assert (await client.say(f"AUTH PLAIN {plain}")).startswith("235")
        content = b"From: ana@example.org\r\nSubject: hush-hush\r\n\r\nhush-hush\r\n"
        assert (await client.send("ana@example.org", "luis@example.org", content)).startswith("250")
        assert (await client.send("eva@example.org", "luis@example.org", content)).startswith("5")
        bare = await office.client(kind)
        await bare.say(f"AUTH PLAIN {plain}")  # before TLS
        await bare.say("MAIL FROM:<ana@example.org> AUTH=<x")

    def by_imap(port: int) -> None:
        for user, password in (("ana@example.org", WRONG), ("ana@example.org", PASSWORD)):
            client = imaplib.IMAP4("127.0.0.1", port, timeout=20)
            with suppress(imaplib.IMAP4.error):
                client.login(user, password)
                client.select("INBOX")
                client.fetch("1", "(BODY[])")
            client.logout()
        client = imaplib.IMAP4("127.0.0.1", port, timeout=20)
        for octets in (wrong.encode(), b"not base64 " + plain.encode()):
            client.send(b"a1 AUTHENTICATE PLAIN " + octets + b"\r\n")
            client.readline()
        client.send(b"a2 LOGIN ana {3}\r\n")
        client.readline()
        client.send(WRONG[:3].encode() + b" " + PASSWORD.encode() + b" more\r\n")
        client.readline()
        with suppress(imaplib.IMAP4.error):
            client.authenticate("PLAIN", lambda _: f"\0ana@example.org\0{PASSWORD}".encode())
        client.logout()

    def by_pop3(port: int) -> None:
        context = ssl.create_default_context(cafile=issued.authority)
        for password in (WRONG, PASSWORD):
            client = poplib.POP3("localhost", port, timeout=20)
            client.stls(context)
            client.user("luis@example.org")
            with suppress(poplib.error_proto):
                client.pass_(password)
                client.retr(1)
            with suppress(poplib.error_proto):
                client._shortcmd(f"AUTH PLAIN {wrong}")  # type: ignore[attr-defined]
            client.quit()

    async def main() -> None:
        log = LogSettings(level="debug", format="json")
        lines = lines_of(log, stderr)
        kinds = (ListenerKind.SUBMISSION, ListenerKind.SMTP, ListenerKind.IMAP, ListenerKind.POP3)
        settings = watched_settings(
            tmp_path,
            issued,
            log=log,
            listen=tuple(Listen(kind=kind, address="127.0.0.1", port=0) for kind in kinds),
            login=LoginSettings(delay_first=0.001, delay_max=0.001, lock_after=1000),
            oauth=OAuthSettings("https://login.example.org", "mail", introspection_url="https://127.0.0.1:9/"),
        )
        async with watched(settings, issued, lines=lines) as office:
            for kind in (ListenerKind.SUBMISSION, ListenerKind.SMTP):
                await by_smtp(office, kind)
            await asyncio.to_thread(by_imap, office.office.port(ListenerKind.IMAP))
            await asyncio.to_thread(by_pop3, office.office.port(ListenerKind.POP3))

    play(main)
    text, told = stderr.getvalue(), documents(stderr)
    assert [each for each in secrets if each in text] == []
    assert {each["level"] for each in told} >= {"info", "debug"}
    refused = of(told, "login refused")
    assert {each["listener"].split()[0] for each in refused} == {"submission", "smtp", "imap", "pop3"}
    assert all(each["session"] and each["peer"] and each["reason"] for each in refused)
    ended = of(told, "session ended")
    assert {each["protocol"] for each in ended} == {"smtp", "imap", "pop3"}
    assert all({"session", "listener", "peer", "ended", "seconds"} <= each.keys() for each in ended)
    assert of(told, "serving")  # what others than sessions say is there too
    of_sessions = [each for each in told if "session" in each]
    assert {name for each in of_sessions for name in each} - documented_fields() == set()


def test_lines_of_a_session_that_fails_say_which_it_was(tmp_path: Path, issued: Issued, stderr: io.StringIO) -> None:
    async def main() -> None:
        lines_of(LogSettings(format="json"), stderr)
        async with watched(watched_settings(tmp_path, issued), issued) as office:
            client = await office.client(ListenerKind.SUBMISSION, tls=True)
            assert (await client.login("ana@example.org")).startswith("235")
            (session,) = office.office._reception._sessions  # type: ignore[union-attr]
            session.is_closing = None
            assert (await client.say("NOOP")).startswith("250")
            assert (await client.reply()).startswith("421")

    play(main)
    (failed,) = of(documents(stderr), "session failed")
    assert failed["level"] == "error" and failed["incident"]
    assert failed["listener"].startswith("submission ") and failed["peer"].startswith("127.0.0.1:")
    assert failed["account"] == "ana@example.org" and len(failed["session"]) == 13
    assert "TypeError" in failed["exception"] and PASSWORD not in failed["exception"]


def test_what_fails_without_anybody_waiting_has_an_incident(stderr: io.StringIO) -> None:
    class Nobody:
        def log_facts(self) -> dict[str, object]:
            return {}

    async def main() -> None:
        lines_of(LogSettings(format="json"), stderr)
        loop = asyncio.get_running_loop()
        log_incidents(loop)
        speak_of(Nobody())

        def fail() -> None:
            raise ValueError(f"AUTH PLAIN {PASSWORD}")

        loop.call_soon(fail)
        await asyncio.sleep(0.01)

    play(main)
    (told,) = documents(stderr)
    assert told["event"] == "something of the server failed" and len(told["incident"]) == 8
    assert "ValueError" in told["exception"] and "fail" in told["exception"]
    assert PASSWORD.split()[0] not in told["exception"].splitlines()[-1]


def test_lines_wait_a_moment_and_are_written_in_pieces_that_pipes_take_whole() -> None:
    class File(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.writes: list[str] = []

        def write(self, text: str) -> int:
            self.writes.append(text)
            return len(text)

    file = File()

    async def main() -> None:
        lines = Lines(LogSettings(), lambda: 0.0, file)
        assert lines.say is not None
        for number in range(100):
            lines.say("message accepted", {"message": number, "peer": "192.0.2.1:25"})
        assert file.writes == []
        async with asyncio.timeout(20):
            while not file.writes:
                await asyncio.sleep(0.01)

    play(main)
    assert "".join(file.writes).count("\n") == 100
    assert 1 < len(file.writes) < 10
    assert all(len(each) <= 4096 and each.endswith("\n") for each in file.writes)
