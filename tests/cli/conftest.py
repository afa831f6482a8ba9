from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import pytest
import structlog
from click.testing import CliRunner, Result
from tests.net.dnsserver import DnsServer, dns_server, records

from estafeta.cli.main import estafeta
from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.store import acceptance, accounts, directory, journal, mailboxes
from estafeta.store.records import (
    Acceptance,
    Content,
    ContentId,
    Delivery,
    EntryKind,
    Instant,
    JournalEntry,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
    SessionId,
)
from estafeta.store.store import Transaction, open_store

T = TypeVar("T")


@dataclass
class Operator:
    """A person at the command line, with a settings file and a data directory."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "estafeta.toml"

    def run(self, *arguments: str, input: str | bytes | None = None) -> Result:
        """The command with these settings; whatever happens, no traceback."""
        result = CliRunner().invoke(estafeta, [*arguments], input=input, env={"ESTAFETA_CONFIG": str(self.config)})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        return result

    def done(self, *arguments: str, input: str | bytes | None = None) -> str:
        """As `run`, for what must succeed; gives what was printed."""
        result = self.run(*arguments, input=input)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.done(*arguments, "--json"))

    def refused(self, *arguments: str, input: str | bytes | None = None) -> str:
        """As `run`, for what must fail; gives the one line on standard error."""
        result = self.run(*arguments, input=input)
        assert result.exit_code == 1, result.output
        assert result.stderr.startswith("estafeta: ") and result.stderr.count("\n") == 1
        return result.stderr.removeprefix("estafeta: ").rstrip("\n")

    def set(self, text: str) -> None:
        """Write more into the settings file."""
        with self.config.open("a") as file:
            file.write(text)

    def write(self, change: Callable[[Transaction], T]) -> T:
        """Change the store behind the commands' back, as the server does."""
        store = open_store(self.folder / "data", clock=time.time)
        try:
            return asyncio.run(store.write(change))
        finally:
            store.close()


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Commands set the process's logs up; the tests of other rooms are not to notice."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    (tmp_path / "estafeta.toml").write_text('hostname = "mx.example.org"\ndata = "data"\n')
    return Operator(tmp_path)


@pytest.fixture
def office(operator: Operator) -> Operator:
    """With a domain and two accounts, made once the way an operator makes them."""
    operator.done("domain", "add", "example.org")
    operator.done("account", "add", "ana@example.org", "--no-password")
    operator.done("account", "add", "luis@example.org", "--no-password")
    return operator


@pytest.fixture
def names(office: Operator) -> Iterator[DnsServer]:
    """The DNS that the settings name, on loopback; `names.say` is what it answers, at first that there is nothing."""
    found: list[DnsServer] = []
    is_up, is_over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with dns_server(records()) as server:
            found.append(server)
            is_up.set()
            await asyncio.to_thread(is_over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert is_up.wait(10)
    office.set(f'[dns]\nservers = ["127.0.0.1"]\nport = {found[0].port}\ntimeout = 2\n')
    yield found[0]
    is_over.set()
    thread.join(10)


@dataclass
class ScriptedServer:
    """An SMTP server on loopback that gives scripted replies and keeps what it was told."""

    listener: socket.socket
    replies: dict[str, str] = field(default_factory=dict)
    """Reply by the beginning of the command; `.` is the end of data."""
    commands: list[str] = field(default_factory=list)
    content: bytes = b""

    @property
    def address(self) -> str:
        host, port = self.listener.getsockname()
        return f"{host}:{port}"

    def serve(self) -> None:
        try:
            connection, _ = self.listener.accept()
        except OSError:  # closed by the test
            return
        with connection, connection.makefile("rwb") as stream:

            def say(text: str) -> None:
                stream.write(text.encode() + b"\r\n")
                stream.flush()

            say(self.replies.get("greeting", "220 mx.example.org"))
            while line := stream.readline():
                command = line.decode().rstrip("\r\n")
                self.commands.append(command)
                verb = command.upper()
                scripted = next(
                    (reply for start, reply in self.replies.items() if verb.startswith(start.upper())), None
                )
                if verb.startswith("EHLO"):
                    say(scripted or "250-mx.example.org\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES")
                elif verb == "DATA" and scripted is None:
                    say("354 go on")
                    lines = []
                    while (text := stream.readline()) not in (b".\r\n", b""):
                        lines.append(text.removeprefix(b"."))
                    self.content = b"".join(lines)
                    say(self.replies.get(".", "250 2.0.0 accepted"))
                elif verb == "QUIT":
                    say("221 bye")
                    return
                else:
                    say(scripted or "250 2.1.0 fine")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    listener = socket.create_server(("127.0.0.1", 0))
    scripted = ScriptedServer(listener)
    thread = threading.Thread(target=scripted.serve, daemon=True)
    thread.start()
    yield scripted
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


MESSAGE = (
    b"Date: Sun, 22 Nov 2026 16:00:00 +0000\r\n"
    b"From: Ana <ana@example.org>\r\n"
    b"To: luis@example.org\r\n"
    b"Subject: =?utf-8?q?=C2=A1Hola!?=\x1b[31m\r\n"
    b"Message-ID: <One@example.org>\r\n"
    b"\r\n"
    b"Querido Luis:\r\n\x1b]0;owned\x07\r\n"
)

TakeIn = Callable[..., MessageId]


@pytest.fixture
def take_in(office: Operator) -> TakeIn:
    """`take_in(to=[...], relay=[...])`: MESSAGE as reception would accept it; gives its id.

    `envelope` and `waiting` are what the queue's rows have otherwise than usual.
    """

    def take(
        to: tuple[str, ...] = ("luis@example.org",),
        relay: tuple[str, ...] = (),
        envelope: Mapping[str, Any] = MappingProxyType({}),
        waiting: Mapping[str, Any] = MappingProxyType({}),
    ) -> MessageId:
        def change(tx: Transaction) -> MessageId:
            message_id, session_id = MessageId(tx.ids.next_id()), SessionId(tx.ids.next_id())
            deliveries = []
            for text in to:
                account = accounts.find(tx, Address.parse(text))
                assert account is not None
                inbox = mailboxes.inbox(tx, account.account_id)
                prefix = b"Return-Path: <ana@example.org>\r\n"
                deliveries.append(Delivery(inbox.mailbox_id, ForwardPath(account.address), prefix))
            paths = [ForwardPath(Address.parse(text)) for text in relay]
            now = Instant(time.time())
            reverse_path = ReversePath(Address("ana", "example.org"))
            message = QueuedMessage(message_id, ContentId(message_id), reverse_path, now, len(MESSAGE))
            message = replace(message, **envelope)
            queued = []
            for path in paths:
                recipient = QueuedRecipient(
                    recipient_id=RecipientId(tx.ids.next_id()),
                    message=message,
                    forward_path=path,
                    destination=path.address.domain,
                    status=QueueStatus.ACTIVE,
                    next_attempt_at=now,
                    review_at=Instant(now + 14_400),
                )
                queued.append(replace(recipient, **waiting))
            facts: dict[str, object] = {
                "listener": "submission 127.0.0.1:587",
                "peer": "192.0.2.7:40000",
                "helo": "client.example.org",
                "tls": "TLSv1.3",
                "account": "ana@example.org",
                "reverse_path": "ana@example.org",
                "size": len(MESSAGE),
                "message_id_field": "<One@example.org>",
                "weather": {"rain": "heavy\x1b[2J"},
                "recipients": [{"forward_path": text, "route": "ToMailbox", "reason": "account"} for text in to],
                "decisions": [
                    {
                        "at": now + 0.25,
                        "stage": "rcpt",
                        "subject": "nobody@example.org",
                        "verdict": "reject",
                        "reply": "550 5.1.1 no such mailbox",
                        "reason": "unknown-recipient",
                    }
                ],
                "ended": "accepted",
            }
            keys = ("ana@example.org", "nobody@example.org", "<one@example.org>", *to, *relay)
            acceptance.accept(
                tx,
                Acceptance(
                    message_id=message_id,
                    accepted_at=now,
                    content=Content(len(MESSAGE), MESSAGE),
                    deliveries=tuple(deliveries),
                    queued=tuple(queued),
                    directory_version=directory.version(tx),
                    entry=JournalEntry(EntryKind.TRANSACTION, now, session_id, message_id, facts, keys),
                ),
            )
            session = {"protocol": "smtp", "ended": "quit", "transactions": 1}
            journal.record(tx, JournalEntry(EntryKind.SESSION, Instant(now - 1), session_id, None, {**session}, ()))
            return message_id

        return office.write(change)

    return take
