"""Whatever is asked for of whatever message: what is said of it in memory and of its file, piece by piece, is the same
response, whose literals have as many octets as they say, and no NUL but where a client asked for binary octets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing
from typing import BinaryIO

from tests.fuzz.inputs import Input
from tests.wire.imap.owner import OFFER

from estafeta.access.imap.large import _Source
from estafeta.access.imap.rendering import Batch, compiled, response_name
from estafeta.mail.mime.index import index, pack
from estafeta.store import fetching
from estafeta.store.flags import Keywords
from estafeta.wire.imap.commands import BY_NAME
from estafeta.wire.imap.commands.fetch import Fetch
from estafeta.wire.imap.fetching import Binary, BinarySize, Section
from estafeta.wire.imap.reading import GrammarError, Reader
from estafeta.wire.imap.session import Session

PREFIXED, UNINDEXED = range(2)
"""Flags: fields were put before the content here; its parts are not known yet."""
PREFIX = b"Return-Path: <ana@example.org>\r\nReceived: from a\r\n\tby b; Mon, 1 Jan 2029 00:00:00 +0000\r\n"
MOST = 8
_LITERAL = re.compile(rb"(~?)\{(\d+)\}\r\n")


def items_of(octets: bytes) -> list[Section | Binary | BinarySize]:
    """The sections that a FETCH asks for."""
    try:
        read = BY_NAME["FETCH"].read(Reader(b" 1 (" + octets + b")", Session(OFFER, is_secure=True)))
    except GrammarError as error:
        assert str(error)
        return []
    assert isinstance(read, Fetch)
    return [item for item in read.items if isinstance(item, Section | Binary | BinarySize)][:MOST]


def batch_of(given: Input, content: bytes, shape: fetching.Shape) -> Batch:
    """The message as the store gives it."""
    prefix = PREFIX if given.has(PREFIXED) else b""
    values = {
        "uid": 1,
        "size": len(prefix) + len(content),
        "prefix": prefix,
        "octets": content,
        "content_size": len(content),
        "parts": pack(index(content)),
    }
    row = tuple(values.get(name) for name in shape.columns)
    return Batch([1], [1], [0], [1], Keywords(), [row], shape)


def from_file(file: BinaryIO, batch: Batch, item: Section | Binary | BinarySize) -> bytes:
    """As the pieces of a large message come."""
    found = bytearray()
    for part in _Source(file, batch).section(item):
        if isinstance(part, bytes):
            found += part
        else:
            found += os.pread(file.fileno(), max(part.last - part.first, 0), part.first).replace(b"\0", b"\x80")
    return bytes(found)


def literals(said: bytes) -> Iterator[tuple[bool, bytes]]:
    """Those of a response that is one literal: whether it is binary, and its octets."""
    match = _LITERAL.match(said)
    if match is not None:
        assert len(said) - match.end() == int(match[2]), said
        yield bool(match[1]), said[match.end() :]


def check(given: Input, content: bytes, item: Section | Binary | BinarySize) -> None:
    """One item, in both ways."""
    plan = compiled((item,))
    assert plan.shape is not None
    batch = batch_of(given, content, plan.shape if given.has(UNINDEXED) else fetching.DESCRIBED_WHOLE)
    said = plan.render(batch)
    name = response_name(item) + b" "
    assert said.startswith(b"* 1 FETCH (" + name) and said.endswith(b")\r\n")
    body = said[len(b"* 1 FETCH (" + name) : -3]
    for is_binary, octets in literals(body):
        assert b"\0" not in octets or is_binary, item
        assert item.partial is None or len(octets) <= item.partial[1]  # type: ignore[union-attr]
    with closing(os.fdopen(os.memfd_create("content"), "w+b")) as file:
        file.write(content)
        file.flush()
        wide = batch_of(given, content, fetching.DESCRIBED_WHOLE)
        assert from_file(file, wide, item) == name + body, (item, body)


def run(octets: bytes) -> None:
    """One input: what is asked for, 0xFE, the message."""
    given = Input.of(octets)
    asked, _, content = given.octets.partition(b"\xfe")
    for item in items_of(asked):
        assert isinstance(item, Section | Binary | BinarySize)
        check(given, content, item)
