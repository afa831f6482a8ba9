"""An account's mailboxes as imaplib sees them, to compare with what another program made of them."""

from __future__ import annotations

import imaplib
import re
import ssl
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from tests.peers.running import PASSWORD, RunningServer

from estafeta.config.settings import ListenerKind

imaplib._MAXLINE = 100_000_000  # type: ignore[attr-defined]

_FLAGS = re.compile(rb"FLAGS \(([^)]*)\)")
_LIST = re.compile(rb'\(([^)]*)\) "(.)" (.+)')
LASTING = {"\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"}
"""The system flags that every program must carry over (RFC 9051 §2.3.2)."""


class Message(NamedTuple):
    """One message: its octets, and the system flags and keywords that it has, \\Recent left out."""

    octets: bytes
    flags: frozenset[str]


def trusting(server: RunningServer) -> ssl.SSLContext:
    """TLS that trusts the server's authority and nobody else."""
    return ssl.create_default_context(cafile=str(server.issued.authority))


@contextmanager
def session(server: RunningServer, account: str, *, mailbox: str | None = None) -> Iterator[imaplib.IMAP4]:
    """A session over TLS, with a mailbox open when one is named."""
    with imaplib.IMAP4_SSL(
        "localhost", server.ports[ListenerKind.IMAPS], ssl_context=trusting(server), timeout=60
    ) as client:
        done(client.login(account, PASSWORD))
        if mailbox is not None:
            done(client.select(f'"{mailbox}"'))
        yield client


def done(answer: tuple[str, Sequence[object]]) -> list[object]:
    """What imaplib's answer holds; anything but OK fails the test."""
    kind, data = answer
    assert kind == "OK", (kind, data)
    return list(data)


def names(client: imaplib.IMAP4) -> list[str]:
    """All mailboxes that can be opened."""
    found = []
    for line in done(client.list()):
        assert isinstance(line, bytes), line
        match = _LIST.fullmatch(line)
        assert match is not None, line
        if b"\\NoSelect" not in match[1] and b"\\Noselect" not in match[1]:
            found.append(match[3].decode().strip('"'))
    return found


def messages(client: imaplib.IMAP4, mailbox: str) -> list[Message]:
    """The messages of a mailbox in their order."""
    (count,) = done(client.select(f'"{mailbox}"', readonly=True))
    assert isinstance(count, bytes)
    if count == b"0":
        return []
    found = []
    for item in done(client.fetch("1:*", "(FLAGS BODY.PEEK[])")):
        if isinstance(item, tuple):
            match = _FLAGS.search(item[0])
            assert match is not None, item[0]
            found.append(Message(item[1], frozenset(match[1].decode().split()) - {"\\Recent"}))
    assert len(found) == int(count)
    return found


def everything(server: RunningServer, account: str) -> dict[str, Counter[Message]]:
    """All mailboxes that have messages."""
    with session(server, account) as client:
        found = {name: Counter(messages(client, name)) for name in names(client)}
    return {name: content for name, content in found.items() if content}


def fill(server: RunningServer, account: str, mailbox: str, letters: Sequence[bytes], flags: str = "") -> None:
    """Put messages into a mailbox, many with each command (RFC 3502), literals without waiting (RFC 7888)."""
    with session(server, account) as client:
        if mailbox != "INBOX":
            done(client.create(f'"{mailbox}"'))
        for start in range(0, len(letters), 500):
            tag = b"fill%d" % start
            pieces = [tag, b' APPEND "', mailbox.encode(), b'"']
            for letter in letters[start : start + 500]:
                pieces += [b" (%s) {%d+}\r\n" % (flags.encode(), len(letter)), letter]
            client.send(b"".join([*pieces, b"\r\n"]))
            while not (line := client.readline()).startswith(tag):
                assert line, "the connection has ended"
            assert line.startswith(tag + b" OK"), line
