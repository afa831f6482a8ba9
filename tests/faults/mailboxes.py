"""Everything at once: letters come in and go out, owners read, move, append and expunge; and the account of it all."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from tests.peers.running import PASSWORD

from estafeta.simulation.letters import compose, token_of
from estafeta.simulation.visits import Owner, Visits

FAR = "far@[127.0.0.1]"
_END = re.compile(rb"^\d{3} [^\r\n]*\r\n", re.MULTILINE)


@dataclass
class Account:
    """What was promised, and what was found."""

    answered: dict[str, str] = field(default_factory=dict)
    """The recipient of each letter that was answered 250, by its token."""
    begun: int = 0
    owners: list[Owner] = field(default_factory=list)

    def faults(self, mailboxes: dict[str, Counter[str]], relayed: Counter[str]) -> list[str]:
        """What must not be: letters lost or twice in the mailboxes, and what the owners saw."""
        found = []
        for token, recipient in self.answered.items():
            if recipient == FAR:
                if not relayed[token]:
                    found.append(f"{token} was not relayed")
                continue
            copies = self._copies(token, recipient, mailboxes)
            if copies != 1:
                found.append(f"{token} is {copies} times at {recipient}")
        for owner in self.owners:
            found += [f"{owner.account}: {fault}" for fault in owner.faults]
            for token, is_told in owner.appended.items():
                copies = self._copies(token, owner.account, mailboxes)
                if copies > 1 or (is_told and copies != 1):
                    found.append(f"the draft {token} of {owner.account} is there {copies} times, told: {is_told}")
        return found

    def _copies(self, token: str, address: str, mailboxes: dict[str, Counter[str]]) -> int:
        owner = next(owner for owner in self.owners if owner.account == address)
        copies = mailboxes[address][token]
        if token in owner.expunged:
            return copies + 1
        if token in owner.perhaps_expunged and not copies:
            return 1
        return copies


class Everything:
    """The load; `go` until it is cancelled."""

    def __init__(self, smtp: int, imap: int, addresses: list[str], chance: random.Random) -> None:
        self._smtp, self._imap = smtp, imap
        self._chance = chance
        self._number = 0
        self._visits = Visits(chance, rest=0.02)
        self.account = Account(owners=[Owner(address, PASSWORD) for address in addresses])

    async def go(self, *, senders: int = 12) -> None:
        """Until it is cancelled; connections that break are made again."""
        tasks = [self._send() for _ in range(senders)] + [self._own(owner) for owner in self.account.owners]
        await asyncio.gather(*tasks)

    async def _own(self, owner: Owner) -> None:
        while True:
            await self._visits.visit(owner, "127.0.0.1", self._imap, 8)
            await asyncio.sleep(0.05)

    async def _send(self) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._smtp)
                try:
                    await self._session(reader, writer)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(0.05)

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not (await reader.readuntil(b"\r\n")).startswith(b"220"):
            return
        writer.write(b"HELO load.example.net\r\n")
        await reader.readuntil(b"\r\n")
        for _ in range(self._chance.choice((1, 20))):
            if not await self._letter(reader, writer):
                return
        writer.write(b"QUIT\r\n")
        await reader.readuntil(b"\r\n")

    async def _letter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self._number += 1
        token = f"L{self._number}-0-"
        recipient = self._chance.choice([*(owner.account for owner in self.account.owners), FAR])
        self.account.begun += 1
        for command, wanted in (
            (b"MAIL FROM:<load@example.net>\r\n", b"250"),
            (b"RCPT TO:<%s>\r\n" % recipient.encode(), b"250"),
            (b"DATA\r\n", b"354"),
        ):
            writer.write(command)
            if not (await reader.readuntil(b"\r\n")).startswith(wanted):
                return False
        size = self._chance.choice((200, 1000, 9000))
        writer.write(compose(token, "load@example.net", size, self._chance).replace(b"\r\n.", b"\r\n..") + b".\r\n")
        if (await reader.readuntil(b"\r\n")).startswith(b"250"):
            self.account.answered[token] = recipient
            return True
        return False


def tokens(messages: list[bytes]) -> Counter[str]:
    """How often each letter is among them."""
    return Counter(token for message in messages if (token := token_of(message)))
