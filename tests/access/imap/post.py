"""A post office in one process, and clients that talk IMAP to it over memory streams."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from estafeta.access.imap.environment import ImapEnvironment
from estafeta.access.imap.office import ImapService
from estafeta.access.imap.searching.remembered import Remembered
from estafeta.access.imap.settings import ImapSettings
from estafeta.access.imap.snapshots import Snapshots
from estafeta.access.indexing import Indexing
from estafeta.mail.address import Address
from estafeta.net.address import PeerAddress
from estafeta.net.memory import MemoryStream, pair
from estafeta.net.tls import ServerTls
from estafeta.policy.guard import LoginGuard, LoginSettings
from estafeta.policy.login import Authenticator
from estafeta.store import accounts, domains, mailboxes, messages
from estafeta.store.engine import Transaction
from estafeta.store.messages import Draft
from estafeta.store.records import Content, Instant, MailboxId, SessionId
from estafeta.store.search import SearchIndexes
from estafeta.store.store import open_store

NOW = Instant(1_800_000_000.0)
ANA = Address("ana", "example.org")
BO = Address("bo", "example.org")
HASHED = accounts.hash_password("secret")
_LITERAL = re.compile(rb"~?\{(\d+)\}\Z")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came for one command."""

    untagged: list[bytes]
    """Untagged responses without `* ` and the last CRLF, literals in them."""
    completion: bytes
    """Without the tag."""

    @property
    def is_ok(self) -> bool:
        """It is done."""
        return self.completion.startswith(b"OK")

    def of(self, kind: str) -> list[bytes]:
        """Untagged responses of a kind: FETCH, EXISTS, VANISHED ..."""
        pattern = re.compile(rb"(?:\d+ )?" + kind.encode() + rb"(?: |\Z)")
        return [each for each in self.untagged if pattern.match(each)]


class Client:
    """One connection."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self._octets = b""
        self._tags = (f"a{number}" for number in itertools.count(1))

    async def _more(self) -> None:
        octets = await asyncio.wait_for(self.stream.receive(), 20)
        assert octets, "the server closed the connection"
        self._octets += octets

    async def response(self) -> bytes:
        """The next response with its literals, without the last CRLF."""
        found = b""
        while True:
            while b"\r\n" not in self._octets:
                await self._more()
            line, _, self._octets = self._octets.partition(b"\r\n")
            found += line
            match = _LITERAL.search(line)
            if match is None:
                return found
            found += b"\r\n"
            size = int(match[1])
            while len(self._octets) < size:
                await self._more()
            found, self._octets = found + self._octets[:size], self._octets[size:]

    async def command(self, text: str | bytes) -> Answer:
        """Send a command, whose literals do not wait, and gather what comes."""
        tag = next(self._tags)
        octets = text.encode() if isinstance(text, str) else text
        self.stream.send(tag.encode() + b" " + octets + b"\r\n")
        await self.stream.drain()
        return await self.completed(tag)

    async def completed(self, tag: str) -> Answer:
        """What comes up to the completion of a command."""
        untagged: list[bytes] = []
        while not (response := await self.response()).startswith(tag.encode() + b" "):
            if response.startswith(b"* "):
                untagged.append(response[2:])
        return Answer(untagged, response[len(tag) + 1 :])

    async def append(self, octets: bytes, mailbox: str = "INBOX", flags: str = "") -> Answer:
        """APPEND one message."""
        words = f"APPEND {mailbox} {flags + ' ' if flags else ''}{{{len(octets)}+}}\r\n"
        return await self.command(words.encode() + octets)

    async def login(self, user: Address = ANA) -> None:
        """Log in."""
        answer = await self.command(f"LOGIN {user} secret")
        assert answer.is_ok, answer


class Post:
    """A store with two accounts, and the IMAP service over it."""

    def __init__(self, folder: Path, settings: ImapSettings | None, large_content: int) -> None:
        self.store = open_store(folder, clock=lambda: NOW, large_content=large_content)
        self.snapshots = Snapshots(self.store)
        self._indexes = SearchIndexes(folder)
        self._tasks: list[asyncio.Task[None]] = []
        self.sessions: list[SessionId] = []
        """In the order in which they began."""
        nonces = itertools.count()
        guard = LoginGuard(LoginSettings(), lambda: NOW)
        self.service = ImapService(
            ImapEnvironment(
                hostname="mail.example.org",
                store=self.store,
                authenticator=Authenticator(self.store, guard, secret=b"secret", sleep=self._sleep),
                snapshots=self.snapshots,
                indexing=Indexing(self.store, self._indexes),
                remembered=Remembered(),
                settings=settings or ImapSettings(),
                clock=lambda: NOW,
                nonce=lambda: f"server{next(nonces)}",
            )
        )

    @staticmethod
    async def _sleep(_seconds: float) -> None:
        return

    async def connect(self, peer: str = "127.0.0.1", tls: ServerTls | None = None) -> Client:
        """A client that has read the greeting."""
        client, server = pair(client=PeerAddress(peer, 40000), server=PeerAddress("127.0.0.1", 143))
        self._tasks.append(asyncio.ensure_future(self.service.server("imap", tls)(server)))
        connected = Client(client)
        assert (await connected.response()).startswith(b"* OK")
        self.sessions.append(max(session.session_id for session in self.service.sessions))
        return connected

    async def client(self, mailbox: str = "INBOX", user: Address = ANA, *, verb: str = "SELECT") -> Client:
        """A client that has logged in and opened a mailbox."""
        client = await self.connect()
        await client.login(user)
        answer = await client.command(f"{verb} {mailbox}")
        assert answer.is_ok, answer
        return client

    async def mailbox_id(self, name: str = "INBOX", user: Address = ANA) -> MailboxId:
        """The id of a mailbox."""

        def query(tx: Transaction) -> MailboxId:
            account = accounts.find(tx, user)
            assert account is not None
            mailbox = mailboxes.find(tx, account.account_id, name)
            assert mailbox is not None
            return mailbox.mailbox_id

        return await self.store.read(query)

    async def put(self, *contents: bytes, flags: tuple[str, ...] = (), mailbox: str = "INBOX") -> None:
        """Messages that come into a mailbox at once."""
        mailbox_id = await self.mailbox_id(mailbox)
        drafts = [Draft(Content(len(each), each), flags, NOW) for each in contents]
        await self.store.write(lambda tx: messages.append(tx, mailbox_id, drafts, now=NOW))

    async def all_ended(self) -> None:
        """Wait until all sessions have ended by themselves."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """End all sessions."""
        await self.service.drain()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.snapshots.close()
        self._indexes.close()
        self.store.close()


@asynccontextmanager
async def post(
    folder: Path, settings: ImapSettings | None = None, *, large_content: int = 256 * 1024
) -> AsyncIterator[Post]:
    """An office with the accounts ana and bo."""
    office = Post(folder, settings, large_content)
    try:
        await office.store.write(lambda tx: domains.add(tx, "example.org", now=NOW))
        for address in (ANA, BO):
            await office.store.write(partial(accounts.add, address=address, password=HASHED, now=NOW))
        yield office
    finally:
        await office.close()


def message(subject: str = "one", body: bytes = b"Hello.\r\n") -> bytes:
    """A small message."""
    return (
        b"Date: Mon, 02 Jan 2006 15:04:05 -0700\r\nFrom: Bo <bo@example.net>\r\nTo: ana@example.org\r\n"
        b"Subject: " + subject.encode() + b"\r\nMessage-ID: <" + subject.encode() + b"@example.net>\r\n\r\n" + body
    )
