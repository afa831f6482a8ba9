"""Clients that submit mail: STARTTLS, AUTH PLAIN, then messages on one connection, or a connection for each.

python -m bench.loads.submitter PORT SESSIONS MESSAGES SIZE kept|each USER PASSWORD RECIPIENT

Says "ready" when the kept connections are logged in, begins when it is told anything, and says "done". Messages of no
octets are not sent: only logged in for.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from base64 import b64encode
from dataclasses import dataclass

_AT_ONCE = 10
"""Logins of kept connections."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What all clients say."""

    port: int
    login: bytes
    recipient: str
    content: bytes


class Submitter:
    """One connection, logged in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, submission: Submission, context: ssl.SSLContext) -> Submitter:
        """As far as the login."""
        reader, writer = await asyncio.open_connection("127.0.0.1", submission.port)
        made = cls(reader, writer)
        await made.reply()
        await made.say(b"EHLO client.sender.test")
        await made.say(b"STARTTLS")
        await writer.start_tls(context)
        await made.say(b"EHLO client.sender.test")
        await made.say(b"AUTH PLAIN " + submission.login)
        return made

    async def reply(self) -> None:
        """A whole reply, which must be positive."""
        while True:
            line = await self._reader.readline()
            if line[:1] not in (b"2", b"3"):
                raise SystemExit(f"refused: {line!r}")
            if line[3:4] != b"-":
                return

    async def say(self, octets: bytes) -> None:
        """A command and its reply."""
        self._writer.write(octets + b"\r\n")
        await self.reply()

    async def send(self, submission: Submission) -> None:
        """A message."""
        await self.say(b"MAIL FROM:<foo@bench.test>")
        await self.say(f"RCPT TO:<{submission.recipient}>".encode())
        await self.say(b"DATA")
        await self.say(submission.content + b".")

    async def quit(self) -> None:
        """End the connection."""
        await self.say(b"QUIT")
        self._writer.close()


async def _on_one(connection: Submitter, submission: Submission, messages: int) -> None:
    for _ in range(messages):
        await connection.send(submission)


async def _on_many(submission: Submission, context: ssl.SSLContext, messages: int) -> None:
    for _ in range(messages):
        connection = await Submitter.connect(submission, context)
        if submission.content:
            await connection.send(submission)
        await connection.quit()


async def submit(submission: Submission, sessions: int, messages: int, *, is_kept: bool) -> None:
    """All sessions at once."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    shares = [messages // sessions + (number < messages % sessions) for number in range(sessions)]
    connections = []
    if is_kept:
        # In small groups: a server that hashes a password for each would let the others wait too long.
        for first in range(0, sessions, _AT_ONCE):
            some = min(_AT_ONCE, sessions - first)
            connections += await asyncio.gather(*(Submitter.connect(submission, context) for _ in range(some)))
    print("ready", flush=True)
    sys.stdin.readline()
    if is_kept:
        pairs = zip(connections, shares, strict=True)
        await asyncio.gather(*(_on_one(connection, submission, share) for connection, share in pairs))
    else:
        await asyncio.gather(*(_on_many(submission, context, share) for share in shares))
    print("done", flush=True)
    for connection in connections:
        await connection.quit()


def main() -> None:
    """See the module."""
    port, sessions, messages, size = map(int, sys.argv[1:5])
    mode, user, password, recipient = sys.argv[5:9]
    lines = (b"X" * 70 + b"\r\n") * (size // 72)
    header = b"From: <foo@bench.test>\r\nTo: <%s>\r\nSubject: bench\r\n\r\n" % recipient.encode()
    login = b64encode(f"\0{user}\0{password}".encode())
    submission = Submission(port, login, recipient, header + lines if size else b"")
    asyncio.run(submit(submission, sessions, messages, is_kept=mode == "kept"))


if __name__ == "__main__":
    main()
