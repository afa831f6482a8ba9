"""Letters that clients hand in, and what they were told: each attempt is a letter of its own with a token.

So it is known of each token for whom it was taken (250), refused, or left in doubt (the connection broke).
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from estafeta.client import CLIENT_ERRORS, ClientTimeouts, RecipientReply, SmtpClient, TlsMode, TransactionBroken
from estafeta.mail.address import NULL_REVERSE_PATH, Address, ForwardPath, ReversePath
from estafeta.mail.envelope import Notify, Recipient, Sender
from estafeta.simulation.loop import Process
from estafeta.simulation.network import Network

TOKEN = re.compile(rb"X-Letter: (L[0-9]+-[0-9]+-)\r\n")
TIMEOUTS = ClientTimeouts(connect=60, greeting=120, command=120, mail=120, rcpt=120, data=120, block=120, final=300)


class State(Enum):
    """What the client knows of one recipient."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Letter:
    """One attempt."""

    token: str
    reverse_path: str
    content: bytes
    is_foreign: bool
    """It was handed in by a host that we do not know."""
    notify: str = ""
    """What was asked of notifications."""
    states: dict[str, State] = field(default_factory=dict)
    """By forward-path."""

    @property
    def digest(self) -> str:
        """What it is known by."""
        return digest_of(self.content)


def digest_of(content: bytes) -> str:
    """Of the message from its token on: what the way adds stands before that."""
    found = TOKEN.search(content)
    return hashlib.sha256(content[found.start() if found else 0 :]).hexdigest()[:16]


def token_of(content: bytes) -> str:
    """The first token in it; empty where there is none."""
    found = TOKEN.search(content)
    return found[1].decode() if found else ""


def compose(token: str, reverse_path: str, size: int, chance: random.Random) -> bytes:
    """A message of about this size."""
    filler = hashlib.sha256(token.encode()).hexdigest().encode()
    lines = [filler if chance.random() < 0.9 else b"." + filler for _ in range(size // 66)]
    head = (
        f"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nFrom: <{reverse_path or 'postmaster@ext0.test'}>\r\n"
        f"Message-ID: <{token}@letters.test>\r\nX-Letter: {token}\r\nSubject: {token}\r\n\r\n"
    )
    return head.encode() + b"".join(line + b"\r\n" for line in lines) + b"end\r\n"


class Submitter:
    """Hands letters in, from one address of the network."""

    def __init__(self, network: Network, chance: random.Random, letters: dict[str, Letter]) -> None:
        self._network = network
        self._chance = chance
        self._letters = letters

    async def send(
        self,
        number: int,
        source: str,
        target: str,
        reverse_path: str,
        forward_paths: Sequence[str],
        size: int,
        *,
        tries: int,
        is_foreign: bool,
        notify: str,
    ) -> None:
        """Try until it is taken or refused for everybody, so many times at most."""
        process = Process("client")
        self._network.addresses[process] = source
        loop = self._network.loop
        await loop.create_task(
            self._send(number, target, reverse_path, forward_paths, size, tries, is_foreign, notify),
            context=process.context,
        )
        process.is_alive = False

    async def _send(
        self,
        number: int,
        target: str,
        reverse_path: str,
        forward_paths: Sequence[str],
        size: int,
        tries: int,
        is_foreign: bool,
        notify: str,
    ) -> None:
        left = list(forward_paths)
        for attempt in range(tries):
            token = f"L{number}-{attempt}-"
            letter = Letter(token, reverse_path, compose(token, reverse_path, size, self._chance), is_foreign, notify)
            letter.states = dict.fromkeys(left, State.UNKNOWN)
            self._letters[token] = letter
            await self._attempt(letter, target, notify)
            left = [path for path in left if letter.states[path] is not State.ACCEPTED]
            if not left:
                return
            await asyncio.sleep(60.0 * 2**attempt * (0.5 + self._chance.random()))

    async def _attempt(self, letter: Letter, target: str, notify: str) -> None:
        sender = Sender(ReversePath(Address.parse(letter.reverse_path)) if letter.reverse_path else NULL_REVERSE_PATH)
        wanted = frozenset(Notify(word) for word in notify.split(",")) if notify else None
        recipients = [Recipient(ForwardPath(Address.parse(path)), notify=wanted) for path in letter.states]
        try:
            client = await SmtpClient.connect(target, 25, local_name="client.test", tls=TlsMode.NONE, timeouts=TIMEOUTS)
        except CLIENT_ERRORS:
            letter.states = dict.fromkeys(letter.states, State.REFUSED)
            return
        try:
            result = await client.send(sender, recipients, letter.content)
        except TransactionBroken as broken:
            # Without its end nobody can have taken the message.
            state = State.UNKNOWN if broken.is_after_final_dot else State.REFUSED
            letter.states = dict.fromkeys(letter.states, state)
            _note(letter, broken.replies)
            client.abort()
        except CLIENT_ERRORS:
            letter.states = dict.fromkeys(letter.states, State.REFUSED)
            client.abort()
        else:
            _note(letter, result.replies)
            await client.quit()


def _note(letter: Letter, replies: Sequence[RecipientReply]) -> None:
    for reply in replies:
        letter.states[str(reply.forward_path)] = State.ACCEPTED if reply.reply.is_positive else State.REFUSED
