"""POP3 sessions over memory streams and a real store."""

from __future__ import annotations

import asyncio
import base64
import itertools
import poplib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import apsw
import pytest
from structlog.testing import capture_logs

from estafeta.access.maildrop import MaildropInUse, MaildropLocks
from estafeta.access.pop3 import Pop3Environment, Pop3Service, Pop3Settings, UndeclaredUtf8
from estafeta.mail.address import Address, ForwardPath
from estafeta.net.address import PeerAddress
from estafeta.net.authority import issue
from estafeta.net.listener import listen
from estafeta.net.memory import MemoryStream, pair
from estafeta.net.tls import ServerTls
from estafeta.policy.guard import LoginGuard, LoginSettings
from estafeta.policy.login import Authenticator
from estafeta.store import acceptance, accounts, directory, domains, journal, mailboxes, messages
from estafeta.store.engine import Transaction
from estafeta.store.flags import DELETED, SEEN
from estafeta.store.records import (
    Acceptance,
    Content,
    Delivery,
    EntryKind,
    Instant,
    JournalEntry,
    Mailbox,
    MailboxId,
    MessageId,
    SessionId,
    Uid,
)
from estafeta.store.store import DATABASE, open_store
from estafeta.wire.sasl import client_mechanism

T = TypeVar("T")
STRANGER = "192.0.2.77"
NOW = Instant(1_800_000_000.0)
ANA = Address("ana", "example.org")
HASHED = accounts.hash_password("correct horse")
PREFIX = b"Return-Path: <>\r\n"
HEADER = b"Subject: one\r\nFrom: bo@example.net\r\n\r\n"


class Client:
    """The client's end, which knows CRLF, +OK and -ERR."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self._octets = b""

    async def line(self) -> bytes:
        """The next line without CRLF; b"" when there are no more."""
        while b"\r\n" not in self._octets:
            more = await self.stream.receive()
            if not more:
                assert self._octets == b""
                return b""
            self._octets += more
        line, _, self._octets = self._octets.partition(b"\r\n")
        return line

    async def lines(self) -> list[bytes]:
        """The lines of a multi-line response, unstuffed, after its first."""
        found: list[bytes] = []
        while (line := await self.line()) != b".":
            found.append(line.removeprefix(b"."))
        return found

    async def say(self, text: str) -> bytes:
        """Send a command and give the first line of the response."""
        self.stream.send(text.encode() + b"\r\n")
        return await self.line()

    async def ask(self, text: str) -> list[bytes]:
        """Send a command and give the lines of its multi-line response."""
        assert (await self.say(text)).startswith(b"+OK")
        return await self.lines()

    async def content(self, command: str) -> bytes:
        """The octets of RETR or TOP."""
        return b"".join(line + b"\r\n" for line in await self.ask(command))

    async def login(self) -> bytes:
        """Log in with USER and PASS; gives the answer."""
        assert await self.say("USER ana@example.org") == b"+OK send PASS"
        return await self.say("PASS correct horse")


class Office:
    """A store with the account ana@example.org, and a POP3 service over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = open_store(folder, clock=lambda: NOW)
        self.tasks: list[asyncio.Task[None]] = []
        self.session_ids: list[SessionId] = []
        self.naps: list[float] = []
        self._nonces = itertools.count()
        self._tls: ServerTls | None = None
        self.service: Pop3Service

    async def open(self, settings: Pop3Settings | None = None) -> None:
        """Make the account, when it is not there yet, and a service."""
        if await self.store.read(lambda tx: accounts.find(tx, ANA)) is None:
            await self.store.write(lambda tx: domains.add(tx, "example.org", now=NOW))
            await self.store.write(lambda tx: accounts.add(tx, ANA, password=HASHED, now=NOW))
        self.service = Pop3Service(
            Pop3Environment(
                hostname="mail.example.org",
                store=self.store,
                authenticator=Authenticator(
                    self.store,
                    LoginGuard(LoginSettings(channel_binding=True), lambda: NOW),
                    secret=b"secret",
                    sleep=self._sleep,
                ),
                locks=MaildropLocks(self.folder / "lock"),
                settings=settings or Pop3Settings(),
                clock=lambda: NOW,
                nonce=lambda: f"server{next(self._nonces)}",
            )
        )

    async def _sleep(self, seconds: float) -> None:
        self.naps.append(seconds)

    def tls(self) -> ServerTls:
        """A certificate for loopback, made when it is first asked for."""
        if self._tls is None:
            issued = issue(self.folder / "tls", ["localhost", "127.0.0.1"])
            self._tls = ServerTls(issued.certificate, issued.key)
        return self._tls

    @asynccontextmanager
    async def session(self, peer: str = "127.0.0.1", *, tls: bool = False) -> AsyncIterator[Client]:
        """A client and the session that serves it, whose end is awaited."""
        ours, theirs = pair(client=PeerAddress(peer, 40000))
        serve = self.service.server("pop3 [::]:110", self.tls() if tls else None)
        task = asyncio.ensure_future(serve(theirs))
        self.tasks.append(task)
        client = Client(ours)
        if not self.service.is_closing:
            assert await client.line() == b"+OK mail.example.org POP3 ready"
            self.session_ids.append(max(session.session_id for session in self.service.sessions))
        yield client
        ours.abort()
        await asyncio.wait([task])

    async def _inbox(self) -> Mailbox:
        def find(tx: Transaction) -> Mailbox:
            account = accounts.find(tx, ANA)
            assert account is not None
            return mailboxes.inbox(tx, account.account_id)

        return await self.store.read(find)

    async def deliver(self, *contents: bytes) -> None:
        """Put messages into the INBOX."""
        inbox = await self._inbox()
        version = await self.store.read(directory.version)
        await asyncio.gather(*(self.store.write(self._acceptance(inbox, version, content)) for content in contents))

    def _acceptance(self, inbox: Mailbox, version: int, content: bytes) -> Callable[[Transaction], None]:
        message_id = MessageId(self.store.ids.next_id())
        accepted = Acceptance(
            message_id=message_id,
            accepted_at=NOW,
            content=Content(len(content), content),
            deliveries=(Delivery(inbox.mailbox_id, ForwardPath(ANA), PREFIX),),
            queued=(),
            directory_version=version,
            entry=JournalEntry(EntryKind.TRANSACTION, NOW, None, message_id, {}),
        )
        return lambda tx: acceptance.accept(tx, accepted)

    async def uids(self) -> list[int]:
        """What is in the INBOX."""
        inbox = await self._inbox()
        found = await self.store.read(lambda tx: messages.list_of(tx, inbox.mailbox_id))
        return [message.uid for message in found]

    async def expunge(self, uid: int) -> None:
        """Remove a message as another access would."""
        inbox = await self._inbox()
        await self.store.write(lambda tx: messages.expunge(tx, inbox.mailbox_id, [Uid(uid)]))

    async def last_session(self) -> dict[str, object]:
        """What the journal says of the session that ended last."""
        [entry] = await self.store.read(lambda tx: journal.by_session(tx, self.session_ids[-1]))
        return entry.facts


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.store.close()


def run(scenario: Awaitable[T]) -> T:
    async def within() -> T:
        async with asyncio.timeout(20):
            return await scenario

    return asyncio.run(within())


@pytest.mark.rfc("1939 §6", "Deleted messages are removed by QUIT and by no other ending.")
@pytest.mark.parametrize("quits", [True, False])
def test_deleted_messages_are_removed_by_quit_and_by_no_other_ending(office: Office, quits: bool) -> None:
    async def scenario() -> None:
        await office.open()
        await office.deliver(b"one\r\n", b"two\r\n", b"three\r\n")
        async with office.session() as client:
            assert (await client.login()).startswith(b"+OK 3 messages")
            assert await client.say("DELE 1") == b"+OK message 1 deleted"
            assert await client.say("DELE 3") == b"+OK message 3 deleted"
            assert await office.uids() == [1, 2, 3]
            if quits:
                assert await client.say("QUIT") == b"+OK bye"
                assert await client.line() == b""
            else:
                client.stream.cut()
        assert await office.uids() == ([2] if quits else [1, 2, 3])
        facts = await office.last_session()
        assert facts["ended"] == ("quit" if quits else "lost")
        assert facts["deleted"] == (2 if quits else 0)

    run(scenario())


@pytest.mark.rfc("1939 §3", "An autologout removes nothing and says nothing.")
def test_an_autologout_removes_nothing_and_says_nothing(office: Office) -> None:
    async def scenario() -> None:
        await office.open(Pop3Settings(autologout_after=0.05))
        await office.deliver(b"one\r\n")
        async with office.session() as client:
            await client.login()
            await client.say("DELE 1")
            client.stream.send(b"QU")
            assert await client.line() == b""
        assert await office.uids() == [1]
        assert (await office.last_session())["ended"] == "timeout"

    run(scenario())


@pytest.mark.rfc("1939 §5", "RETR gives what is kept, octet by octet, and LIST its size.")
def test_retr_gives_what_is_kept_octet_by_octet_and_list_its_size(office: Office) -> None:
    contents = [
        HEADER + b"body\r\n",
        HEADER + b".\r\n..\r\n.dot\r\n\r\n",
        b"Subject: \xc3\xb1\r\n\r\n\xff\xfe 8 bit\r\n",
        HEADER + b"large: " + b"x" * 70 + b"\r\n" + b".line of a large message\r\n" * 40_000,
        b"\r\n",
    ]

    async def scenario() -> None:
        await office.open()
        await office.deliver(*contents)
        async with office.session() as client:
            await client.login()
            sizes = [line.decode() for line in await client.ask("LIST")]
            kept = [PREFIX + content for content in contents]
            assert sizes == [f"{number} {len(octets)}" for number, octets in enumerate(kept, 1)]
            assert await client.say("STAT") == f"+OK {len(kept)} {sum(map(len, kept))}".encode()
            for number, octets in enumerate(kept, 1):
                assert await client.content(f"RETR {number}") == octets
            await client.say("QUIT")
        assert (await office.last_session())["retrieved"] == len(contents)

    run(scenario())


def test_messages_read_ahead_come_as_they_are_in_any_order_and_a_damaged_one_spoils_no_other(office: Office) -> None:
    contents = [b"Subject: %d\r\n\r\n" % number + b"x" * 7_000 + b"\r\n" for number in range(30)]
    contents[4] += b"y" * 70_000 + b"\r\n"
    damaged, removed = 17, 23
    needle = contents[damaged - 1][:20].hex().upper() + "%"

    async def scenario() -> None:
        await office.open()
        await office.deliver(*contents)
        connection = apsw.Connection(str(office.folder / DATABASE))
        connection.execute("UPDATE contents SET octets = zeroblob(9) WHERE hex(octets) LIKE ?", (needle,))
        assert connection.changes() == 1
        connection.close()
        async with office.session() as client:
            await client.login()
            await office.expunge(removed)
            for number in (*range(1, 31), *range(30, 0, -1), 1, 2, 2, 3, 5, 6, 4, 5, *range(15, 25)):
                if number == damaged:
                    assert (await client.say(f"RETR {number}")).startswith(b"-ERR [SYS/TEMP] not possible now")
                elif number == removed:
                    assert await client.say(f"RETR {number}") == b"-ERR message was removed by another access"
                else:
                    assert await client.content(f"RETR {number}") == PREFIX + contents[number - 1]

    run(scenario())


def test_top_shows_the_header_and_some_lines(office: Office) -> None:
    async def scenario() -> None:
        await office.open()
        await office.deliver(HEADER + b".first\r\nsecond\r\n", b"Subject: no body\r\n")
        async with office.session() as client:
            await client.login()
            assert await client.content("TOP 1 0") == PREFIX + HEADER
            assert await client.content("TOP 1 1") == PREFIX + HEADER + b".first\r\n"
            assert await client.content("TOP 1 99") == PREFIX + HEADER + b".first\r\nsecond\r\n"
            assert await client.content("TOP 2 5") == PREFIX + b"Subject: no body\r\n"

    run(scenario())


@pytest.mark.rfc("1939 §7", "Unique-ids stay across sessions and are not used again.")
def test_unique_ids_stay_across_sessions_and_are_not_used_again(office: Office) -> None:
    async def scenario() -> None:
        await office.open()
        await office.deliver(b"one\r\n", b"two\r\n")
        async with office.session() as client:
            await client.login()
            before = [line.split()[1] for line in await client.ask("UIDL")]
            await client.say("DELE 2")
            await client.say("QUIT")
        await office.deliver(b"three\r\n")
        async with office.session() as client:
            await client.login()
            after = [line.split()[1] for line in await client.ask("UIDL")]
            assert await client.say("UIDL 1") == b"+OK 1 " + before[0]
        assert after[0] == before[0]
        assert len({*before, *after}) == 3

    run(scenario())


@pytest.mark.rfc("2449 §8.1.2", "A maildrop that is open elsewhere is told with the code IN-USE.")
@pytest.mark.rfc("1939 §4", "A maildrop is open to one session at a time.")
def test_a_maildrop_is_open_to_one_session_at_a_time(office: Office) -> None:
    async def scenario() -> None:
        await office.open()
        async with office.session() as first, office.session() as second:
            assert (await first.login()).startswith(b"+OK")
            assert (await second.login()).startswith(b"-ERR [IN-USE]")
            assert await first.say("QUIT") == b"+OK bye"
            assert (await second.login()).startswith(b"+OK")
            second.stream.cut()
        async with office.session() as third:
            assert (await third.login()).startswith(b"+OK")

    run(scenario())


def test_a_lock_held_elsewhere_is_respected(tmp_path: Path) -> None:
    here, there = MaildropLocks(tmp_path / "locks"), MaildropLocks(tmp_path / "locks")
    lock = here.take(MailboxId(7))
    with pytest.raises(MaildropInUse):
        there.take(MailboxId(7))
    there.take(MailboxId(8)).close()
    lock.close()
    there.take(MailboxId(7)).close()


def test_messages_that_arrive_during_a_session_are_for_the_next(office: Office) -> None:
    async def scenario() -> None:
        await office.open()
        await office.deliver(b"one\r\n")
        async with office.session() as client:
            await client.login()
            await office.deliver(b"two\r\n")
            assert (await client.say("STAT")).startswith(b"+OK 1 ")
            assert (await client.say("RETR 2")).startswith(b"-ERR no such message")

    run(scenario())


def test_a_message_removed_meanwhile_cannot_be_retrieved_and_its_removal_is_no_error(office: Office) -> None:
    async def scenario() -> None:
        await office.open()
        await office.deliver(b"one\r\n", b"two\r\n")
        async with office.session() as client:
            await client.login()
            await office.expunge(1)
            assert await client.say("RETR 1") == b"-ERR message was removed by another access"
            await client.say("DELE 1")
            assert await client.say("QUIT") == b"+OK bye"
        assert await office.uids() == [2]

    run(scenario())


def test_who_has_the_mailbox_open_otherwise_is_told_of_what_quit_removed(office: Office) -> None:
    async def scenario() -> None:
        await office.open()
        await office.deliver(b"one\r\n", b"two\r\n")
        inbox = await office._inbox()
        told = asyncio.Event()
        end = office.store.changes.watch(inbox.mailbox_id, lambda _: told.set())
        try:
            async with office.session() as client:
                await client.login()
                await client.say("DELE 1")
                assert not told.is_set()
                await client.say("QUIT")
                await told.wait()
        finally:
            end()
        since = int(inbox.highest_modseq)
        gone = await office.store.read(lambda tx: messages.expunged_since(tx, inbox.mailbox_id, since))
        assert gone == [(1, 1)]

    run(scenario())


def test_messages_that_another_access_changes_or_moves_keep_their_numbers_and_unique_ids(office: Office) -> None:
    async def scenario() -> None:
        await office.open()
        await office.deliver(b"one\r\n", b"two\r\n", b"three\r\n")
        inbox = await office._inbox()
        async with office.session() as client:
            await client.login()
            before = await client.ask("UIDL")
            await office.store.write(lambda tx: messages.change_flags(tx, inbox.mailbox_id, [(1, 3)], add=DELETED))
            await office.expunge(2)
            await office.deliver(b"four\r\n")
            assert await client.ask("UIDL") == before
            assert (await client.say("STAT")).startswith(b"+OK 3 ")
            assert await client.say("RETR 2") == b"-ERR message was removed by another access"
            assert (await client.content("RETR 3")).endswith(b"three\r\n")
            await client.say("QUIT")
        async with office.session() as client:
            await client.login()
            after = await client.ask("UIDL")
            assert [line.partition(b" ")[2] for line in after][:2] == [before[0][2:], before[2][2:]]
        assert await office.uids() == [1, 3, 4]

    run(scenario())


@pytest.mark.parametrize("is_set", [True, False])
def test_what_was_retrieved_whole_is_seen_where_that_is_set(office: Office, is_set: bool) -> None:
    async def flags() -> list[int]:
        inbox = await office._inbox()
        found = await office.store.read(lambda tx: messages.list_of(tx, inbox.mailbox_id))
        assert inbox.unseen == sum(not message.flags & SEEN for message in found)
        return [message.flags for message in found]

    async def scenario() -> None:
        await office.open(Pop3Settings(retrieved_is_seen=is_set))
        await office.deliver(b"one\r\n", b"two\r\n", b"three\r\n", b"four\r\n")
        async with office.session() as client:
            await client.login()
            for command in ("RETR 1", "RETR 3", "TOP 2 0", "RETR 4"):
                await client.ask(command)
            await client.say("DELE 4")
            assert await flags() == [0, 0, 0, 0]
            await client.say("QUIT")
        assert await flags() == ([SEEN, 0, SEEN] if is_set else [0, 0, 0])

    run(scenario())


@pytest.mark.rfc("2449 §6.6", "Pipelined commands are answered in their order.")
def test_pipelined_commands_are_answered_in_their_order(office: Office) -> None:
    async def scenario() -> None:
        await office.open()
        await office.deliver(b"one\r\n")
        async with office.session() as client:
            client.stream.send(
                b"USER ana@example.org\r\nPASS correct horse\r\nSTAT\r\nRETR 1\r\nDELE 1\r\nSTAT\r\nQUIT\r\n"
            )
            assert await client.line() == b"+OK send PASS"
            assert (await client.line()).startswith(b"+OK 1 messages")
            assert (await client.line()).startswith(b"+OK 1 ")
            assert (await client.line()).startswith(b"+OK")
            assert await client.lines() == [PREFIX.rstrip(), b"one"]
            assert await client.line() == b"+OK message 1 deleted"
            assert await client.line() == b"+OK 0 0"
            assert await client.line() == b"+OK bye"

    run(scenario())


@pytest.mark.rfc("5034", "Each mechanism logs in over TLS.")
@pytest.mark.parametrize("name", ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
@pytest.mark.parametrize("is_initial", [True, False])
def test_each_mechanism_logs_in_over_tls(office: Office, name: str, is_initial: bool) -> None:
    async def scenario() -> None:
        await office.open()
        async with office.session(STRANGER, tls=True) as client:
            assert await client.say("STLS") == b"+OK begin TLS"
            await client.stream.start_tls(None)
            assert client.stream.tls is not None
            binding = client.stream.tls.channel_binding
            mechanism = client_mechanism(
                name,
                "ana@example.org",
                "correct horse",
                nonce="client",
                channel_binding=binding if name.endswith("PLUS") else None,
            )
            initial = mechanism.initial() if is_initial else None
            answer = await client.say(
                f"AUTH {name}" if initial is None else f"AUTH {name} {base64.b64encode(initial).decode()}"
            )
            while answer.startswith(b"+ "):
                challenge = base64.b64decode(answer[2:])
                start = None if initial is not None or challenge else mechanism.initial()
                response = mechanism.step(challenge) if start is None else start
                answer = await client.say(base64.b64encode(response).decode())
            assert answer.startswith(b"+OK 0 messages")
            assert mechanism.is_complete
            await client.say("QUIT")
        facts = await office.last_session()
        assert (facts["account"], facts["mechanism"]) == ("ana@example.org", name)
        assert facts["tls"] == "TLSv1.3 TLS_AES_256_GCM_SHA384"

    run(scenario())


@pytest.mark.rfc("8314 §3", "Passwords are offered over TLS and on loopback, and else only where it is set.")
def test_passwords_are_offered_on_loopback_and_over_tls_and_where_it_is_set(office: Office) -> None:
    async def scenario() -> None:
        await office.open()
        async with office.session(STRANGER, tls=True) as client:
            before = await client.ask("CAPA")
            assert b"STLS" in before
            assert b"USER" not in before
            assert b"SASL SCRAM-SHA-256" in before
            assert (await client.say("USER ana@example.org")).startswith(b"-ERR [AUTH]")
            client.stream.send(b"STLS\r\nUSER eve@example.org\r\n")
            assert await client.line() == b"+OK begin TLS"
            await client.stream.start_tls(None)
            after = await client.ask("CAPA")
            assert b"STLS" not in after
            assert b"USER" in after
            assert b"SASL SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" in after
            assert await client.say("PASS correct horse") == b"-ERR send USER first"
            assert (await client.login()).startswith(b"+OK")
        async with office.session() as client:
            capabilities = await client.ask("CAPA")
            assert b"USER" in capabilities
            assert b"STLS" not in capabilities
        await office.open(Pop3Settings(allow_plaintext_login=True))
        async with office.session(STRANGER) as client:
            assert b"USER" in await client.ask("CAPA")

    run(scenario())


@pytest.mark.rfc("3206 §5", "Failed logins are answered alike, with the code AUTH.")
def test_failed_logins_are_answered_alike_and_end_the_session(office: Office) -> None:
    async def scenario() -> None:
        await office.open(Pop3Settings(login_failures=3))
        async with office.session() as client:
            answers = set()
            for name, password in (("ana", "wrong"), ("nobody", "wrong"), ("ana", "")):
                await client.say(f"USER {name}@example.org")
                answers.add(await client.say(f"PASS {password or 'x'}"))
            assert answers == {b"-ERR [AUTH] authentication failed"}
            assert await client.line() == b""
        facts = await office.last_session()
        assert (facts["ended"], facts.get("account")) == ("too-many-logins", None)

    run(scenario())


@pytest.mark.rfc("2449 §8.1.1", "A login after too many failures is answered with the code LOGIN-DELAY.")
def test_failed_logins_have_to_wait_and_are_locked_out_in_the_end(office: Office) -> None:
    async def scenario() -> None:
        await office.open(Pop3Settings(login_failures=100))
        async with office.session() as client:
            for _ in range(10):
                await client.say("USER ana@example.org")
                assert await client.say("PASS wrong") == b"-ERR [AUTH] authentication failed"
            assert (await client.login()).startswith(b"-ERR [LOGIN-DELAY]")
        assert office.naps[:3] == [1.0, 2.0, 4.0]

    run(scenario())


@pytest.mark.rfc("6856 §5", "Messages with UTF-8 in their header go out or are refused, as it is set.")
def test_messages_with_utf8_headers_are_delivered_or_refused_as_set(office: Office) -> None:
    content = "Subject: ñandú\r\n\r\nbody\r\n".encode()

    async def scenario() -> None:
        await office.open()
        await office.deliver(content)
        async with office.session() as client:
            await client.login()
            assert await client.content("RETR 1") == PREFIX + content
        await office.open(Pop3Settings(undeclared_utf8=UndeclaredUtf8.REFUSE))
        async with office.session() as client:
            await client.login()
            assert (await client.say("RETR 1")).startswith(b"-ERR [UTF8]")
            assert (await client.say("TOP 1 0")).startswith(b"-ERR [UTF8]")
        async with office.session() as client:
            assert (await client.say("UTF8")).startswith(b"+OK")
            await client.login()
            assert await client.content("RETR 1") == PREFIX + content

    run(scenario())


def test_a_server_that_ends_says_so_to_idle_sessions_and_removes_nothing(office: Office) -> None:
    async def scenario() -> None:
        await office.open()
        await office.deliver(b"one\r\n")
        async with office.session() as client:
            await client.login()
            await client.say("DELE 1")
            await office.service.drain()
            assert await client.line() == b"-ERR [SYS/TEMP] server is stopping, try again soon"
            assert await client.line() == b""
        async with office.session() as late:
            assert (await late.line()).startswith(b"-ERR [SYS/TEMP]")
        assert await office.uids() == [1]
        assert (await office.last_session())["ended"] == "closing"

    run(scenario())


def test_a_session_that_is_cancelled_says_so_and_lets_go_of_the_maildrop(office: Office) -> None:
    async def scenario() -> None:
        await office.open()
        async with office.session() as client:
            await client.login()
            office.tasks[-1].cancel()
            assert await client.line() == b"-ERR [SYS/TEMP] server is stopping"
            assert await client.line() == b""
        async with office.session() as client:
            assert (await client.login()).startswith(b"+OK")

    run(scenario())


def test_what_breaks_in_a_session_ends_it_with_an_id_that_the_log_knows(office: Office) -> None:
    async def scenario() -> None:
        await office.open()
        await office.deliver(b"one\r\n")
        with capture_logs() as logs:
            async with office.session() as client:
                await client.login()
                office.store.close()
                answer = await client.say("RETR 1")
                assert await client.line() == b""
        assert answer.startswith(b"-ERR [SYS/TEMP] internal error ")
        assert [entry["incident"] for entry in logs if "incident" in entry] == [answer.split()[4].rstrip(b",").decode()]

    run(scenario())


@pytest.mark.rfc("3206 §4", "What passes is told with the code SYS/TEMP.")
@pytest.mark.rfc("1939 §6", "Messages that cannot be removed are told with -ERR.")
def test_messages_that_cannot_be_removed_are_answered_with_an_error(office: Office) -> None:
    async def scenario() -> None:
        await office.open()
        await office.deliver(b"one\r\n")
        with capture_logs():
            async with office.session() as client:
                await client.login()
                await client.say("DELE 1")
                office.store.close()
                assert await client.say("QUIT") == b"-ERR [SYS/TEMP] some deleted messages not removed"
                assert await client.line() == b""

    run(scenario())


def test_many_messages_are_listed_and_removed_in_steps(office: Office) -> None:
    async def scenario() -> None:
        await office.open()
        await office.deliver(*[b"%d\r\n" % number for number in range(1203)])
        async with office.session() as client:
            await client.login()
            assert len(await client.ask("UIDL")) == 1203
            client.stream.send(b"".join(b"DELE %d\r\n" % number for number in range(1, 1203)))
            for number in range(1, 1203):
                assert await client.line() == b"+OK message %d deleted" % number
            assert await client.say("QUIT") == b"+OK bye"
        assert await office.uids() == [1203]

    run(scenario())


def test_a_client_that_does_not_read_is_given_up(office: Office) -> None:
    async def scenario() -> None:
        await office.open(Pop3Settings(send_after=0.05))
        await office.deliver(b"x" * 70 + b"\r\n" * 1_000_000)
        async with office.session() as client:
            await client.login()
            client.stream.send(b"RETR 1\r\n" * 3)
            await office.tasks[-1]
        assert (await office.last_session())["ended"] == "timeout"

    run(scenario())


@pytest.mark.rfc("8314 §3.1", "A foreign client reads its mail over TLS from the first octet.")
@pytest.mark.parametrize("secures", ["stls", "implicit"])
def test_poplib_reads_and_removes_mail_over_tls(office: Office, secures: str) -> None:
    def read_mail(port: int, context: ssl.SSLContext) -> None:
        client: poplib.POP3
        if secures == "stls":
            client = poplib.POP3("localhost", port, timeout=10)
            assert "STLS" in client.capa()
            client.stls(context)
        else:
            client = poplib.POP3_SSL("localhost", port, timeout=10, context=context)
        assert client.getwelcome() == b"+OK mail.example.org POP3 ready"
        assert client.capa()["SASL"][0] == "SCRAM-SHA-256-PLUS"
        client.utf8()
        client.user("ana@example.org")
        client.pass_("correct horse")
        count, _ = client.stat()
        assert count == 2
        _, lines, size = client.retr(1)
        assert b"\r\n".join([*lines, b""]) == PREFIX + HEADER + b".\r\nbody\r\n"
        assert client.list()[1][0] == f"1 {size}".encode()
        assert client.top(2, 0)[1] == [PREFIX.rstrip(), *HEADER.split(b"\r\n")[:-1]]
        with pytest.raises(poplib.error_proto):
            client.retr(3)
        client.dele(1)
        client.rset()
        client.dele(2)
        assert client.stat() == (1, size)
        assert len(client.uidl()[1]) == 1
        client.quit()

    async def scenario() -> None:
        await office.open()
        await office.deliver(HEADER + b".\r\nbody\r\n", HEADER + b"second\r\n")
        tls = office.tls()
        context = ssl.create_default_context(cafile=str(tls.certificate.parent / "authority.pem"))
        serve = office.service.server("pop3", tls)
        listener = await listen("127.0.0.1", 0, serve, tls=tls if secures == "implicit" else None)
        try:
            await asyncio.to_thread(read_mail, listener.port, context)
        finally:
            await listener.drain(5)
        assert await office.uids() == [1]

    run(scenario())
