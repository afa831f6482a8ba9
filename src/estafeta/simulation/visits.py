"""Owners who come to their mailboxes by IMAP: they read, mark, move, expunge and append, and remember what they saw.

What must hold whatever happens: a UID stands for one message for ever (RFC 9051 §2.3.1.1), MODSEQ never falls
(RFC 7162 §3.1), what was answered OK is so.
"""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass, field

from estafeta.net.errors import NetError
from estafeta.net.stream import Stream, connect
from estafeta.simulation.letters import TOKEN, compose

_WAIT = 120.0
_LITERAL = re.compile(rb"\{([0-9]+)\}\r\n$")
_NUMBER = re.compile(r"\[(UIDVALIDITY|HIGHESTMODSEQ|UIDNEXT) ([0-9]+)\]")
_FETCHED = re.compile(rb"^\* [0-9]+ FETCH \(UID ([0-9]+) MODSEQ \(([0-9]+)\)")
_APPENDED = re.compile(r"\[APPENDUID ([0-9]+) ([0-9]+)\]")


@dataclass(slots=True)
class Owner:
    """What the owner of one account knows, over all visits."""

    account: str
    password: str
    messages: dict[tuple[str, int, int], str] = field(default_factory=dict)
    """The token behind each mailbox, UIDVALIDITY and UID."""
    modseqs: dict[tuple[str, int], int] = field(default_factory=dict)
    """The highest MODSEQ of each mailbox and UIDVALIDITY."""
    expunged: set[str] = field(default_factory=set)
    """Tokens whose EXPUNGE was answered OK."""
    perhaps_expunged: set[str] = field(default_factory=set)
    """Tokens whose EXPUNGE was asked for."""
    appended: dict[str, bool] = field(default_factory=dict)
    """Tokens of drafts, and whether APPEND was answered OK (True) or not at all (False)."""
    faults: list[str] = field(default_factory=list)
    """What must not be."""


class _Lost(Exception):
    """The connection is gone, or the server said NO to something that may fail."""


class Visits:
    """Makes visits; between two steps a visitor rests for up to `rest` seconds."""

    def __init__(self, chance: random.Random, *, rest: float) -> None:
        self._chance = chance
        self._rest = rest
        self._drafts = 0

    async def visit(self, owner: Owner, host: str, port: int, steps: int) -> None:
        """One session of so many steps; ends early where the connection breaks."""
        try:
            stream = await connect(host, port, timeout=60.0)
        except NetError:
            return
        session = _Session(stream)
        try:
            await session.line()
            await session.ask(f"LOGIN {owner.account} {_quoted(owner.password)}")
            await session.ask("ENABLE CONDSTORE")
            for _ in range(steps):
                await self._step(owner, session)
                await asyncio.sleep(self._chance.random() * self._rest)
            await session.ask("LOGOUT")
            await stream.close()
        except (_Lost, NetError):
            pass
        finally:
            stream.abort()

    async def _step(self, owner: Owner, session: _Session) -> None:
        mailbox = self._chance.choice(("INBOX", "INBOX", "Archive"))
        facts = dict(_NUMBER.findall(" ".join(await session.ask(f"SELECT {mailbox}"))))
        validity, modseq = int(facts["UIDVALIDITY"]), int(facts["HIGHESTMODSEQ"])
        self._see_modseq(owner, mailbox, validity, modseq)
        found = await session.fetch("UID FETCH 1:* (UID MODSEQ BODY.PEEK[HEADER.FIELDS (X-Letter)])")
        top = await self._modseq_of(session, mailbox)
        self._see_modseq(owner, mailbox, validity, top)
        for uid, message_modseq, token in found:
            if message_modseq > top:
                owner.faults.append(f"{mailbox} {uid}: MODSEQ {message_modseq} above {top}, that of its mailbox")
            known = owner.messages.setdefault((mailbox, validity, uid), token)
            if known != token:
                owner.faults.append(f"{mailbox} {validity}/{uid} was {known!r} and is {token!r}")
        choice = self._chance.random()
        mine = [(uid, token) for uid, _, token in found if token]
        if choice < 0.3 and mine:
            await self._expunge(owner, session, self._chance.choice(mine))
        elif choice < 0.6 and mine:
            uid, _ = self._chance.choice(mine)
            other = "Archive" if mailbox == "INBOX" else "INBOX"
            await session.ask(f"UID MOVE {uid} {other}")
        elif choice < 0.8 and mine:
            uid, _ = self._chance.choice(mine)
            await session.ask(f"UID STORE {uid} +FLAGS (\\Seen $Done{self._chance.randrange(3)})")
        else:
            await self._append(owner, session, mailbox)

    async def _modseq_of(self, session: _Session, mailbox: str) -> int:
        said = " ".join(await session.ask(f"STATUS {mailbox} (HIGHESTMODSEQ)"))
        return int(said.partition("HIGHESTMODSEQ ")[2].partition(")")[0])

    def _see_modseq(self, owner: Owner, mailbox: str, validity: int, modseq: int) -> None:
        before = owner.modseqs.get((mailbox, validity), 0)
        if modseq < before:
            owner.faults.append(f"{mailbox}: MODSEQ fell from {before} to {modseq}")
        owner.modseqs[mailbox, validity] = max(modseq, before)
        others = [each for name, each in owner.modseqs if name == mailbox and each != validity]
        if others:
            owner.faults.append(f"{mailbox}: UIDVALIDITY changed to {validity}")

    async def _expunge(self, owner: Owner, session: _Session, message: tuple[int, str]) -> None:
        uid, token = message
        await session.ask(f"UID STORE {uid} +FLAGS.SILENT (\\Deleted)")
        owner.perhaps_expunged.add(token)
        await session.ask(f"UID EXPUNGE {uid}")
        owner.expunged.add(token)

    async def _append(self, owner: Owner, session: _Session, mailbox: str) -> None:
        self._drafts += 1
        token = f"L{self._drafts}-{self._chance.randrange(10**9)}-"
        content = compose(token, owner.account, self._chance.choice((200, 3000, 9000)), self._chance)
        owner.appended[token] = False
        said = await session.ask(f"APPEND {mailbox} (\\Draft) {{{len(content)}+}}", content)
        owner.appended[token] = True
        appended = _APPENDED.search(said[-1])
        if appended is None:
            owner.faults.append(f"APPEND without APPENDUID: {said[-1]}")
            return
        key = (mailbox, int(appended[1]), int(appended[2]))
        if owner.messages.setdefault(key, token) != token:
            owner.faults.append(f"{key} was {owner.messages[key]!r} and is the draft {token!r}")


class _Session:
    """Lines to an IMAP server and back."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = b""
        self._number = 0

    async def line(self) -> bytes:
        """One line, with the literals that are in it."""
        whole = b""
        while True:
            end = self._buffer.find(b"\r\n")
            while end < 0:
                await self._more()
                end = self._buffer.find(b"\r\n")
            line, self._buffer = self._buffer[: end + 2], self._buffer[end + 2 :]
            whole += line
            literal = _LITERAL.search(line)
            if literal is None:
                return whole
            size = int(literal[1])
            while len(self._buffer) < size:
                await self._more()
            whole, self._buffer = whole + self._buffer[:size], self._buffer[size:]

    async def _more(self) -> None:
        self._stream.set_deadline(_WAIT)
        octets = await self._stream.receive()
        if not octets:
            raise _Lost
        self._buffer += octets

    async def _run(self, command: str, literal: bytes = b"") -> list[bytes]:
        self._number += 1
        tag = f"A{self._number}"
        self._stream.send(f"{tag} {command}\r\n".encode() + (literal + b"\r\n" if literal else b""))
        lines = []
        while True:
            line = await self.line()
            lines.append(line)
            if line.startswith(tag.encode() + b" "):
                if not line.startswith(f"{tag} OK".encode()):
                    raise _Lost
                return lines

    async def ask(self, command: str, literal: bytes = b"") -> list[str]:
        """A command and all that is said up to its OK; raises _Lost for a NO."""
        return [line.decode("latin-1") for line in await self._run(command, literal)]

    async def fetch(self, command: str) -> list[tuple[int, int, str]]:
        """UID, MODSEQ and token of messages."""
        found = []
        for line in await self._run(command):
            fetched = _FETCHED.match(line)
            if fetched is not None:
                token = TOKEN.search(line)
                found.append((int(fetched[1]), int(fetched[2]), token[1].decode() if token else ""))
        return found


def _quoted(text: str) -> str:
    return f'"{text}"'
