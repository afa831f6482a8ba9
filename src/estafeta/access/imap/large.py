"""A message too large for memory: what is asked of it as octets and stretches of its file, sent piece by piece."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import BinaryIO

from estafeta.access.imap.rendering import HEADER_OCTETS, Batch, Plan, binary_literal, response_name, without_nul
from estafeta.mail.mime.decoding import transfer_decoded
from estafeta.mail.mime.fields import header_end
from estafeta.mail.mime.index import Part, find, unpack
from estafeta.mail.mime.section import UnknownEncoding, header_fields, section_span
from estafeta.mail.value import value
from estafeta.store.content import ContentStore
from estafeta.wire.imap.fetching import Binary, BinarySize, Section, SectionText

PIECE = 512 * 1024
"""Octets read from the file, and in memory, at once."""


@value
class Stretch:
    """Octets of the file, from `first` up to before `last`."""

    first: int
    last: int


@value
class LargeMessage:
    """The response for one message. `octets` closes the file; so does `close`."""

    file: BinaryIO
    parts: list[bytes | Stretch]

    async def octets(self) -> AsyncIterator[bytes]:
        """The response in pieces, the next one read while one is sent."""
        try:
            for part in self.parts:
                if isinstance(part, bytes):
                    yield part
                    continue
                at = part.first
                while at < part.last:
                    octets = await asyncio.to_thread(self._read, at, min(PIECE, part.last - at))
                    at += len(octets)
                    yield without_nul(octets)
        finally:
            self.close()

    def _read(self, first: int, size: int) -> bytes:
        octets = os.pread(self.file.fileno(), size, first)
        if not octets:
            raise OSError("the content is shorter than it was")
        return octets

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()


def large_message(contents: ContentStore, plan: Plan, batch: Batch) -> LargeMessage:
    """The response for the one message of a batch, whose content is in a file. Raises NotFound."""
    file = contents.open(batch.column("file")[0])
    try:
        source = _Source(file, batch)
        parts: list[bytes | Stretch] = [plan.head % batch.numbers[0]]
        for place, column in enumerate(plan.columns):
            if place and column.item is not None:
                parts.append(b" ")
            if isinstance(column.item, Section | Binary | BinarySize):
                parts += source.section(column.item)
            else:
                parts.append(column.fragment % tuple(next(iter(values)) for values in column.values(batch)))
        parts.append(b")\r\n")
    except BaseException:
        file.close()
        raise
    return LargeMessage(file, parts)


class _Source:
    """What sections are taken from."""

    def __init__(self, file: BinaryIO, batch: Batch) -> None:
        self._file = file
        self._batch = batch
        self._prefix: bytes = batch.column("prefix")[0]
        self._size: int = batch.column("content_size")[0]
        self._root: Part | None = None

    def _read(self, first: int, last: int) -> bytes:
        found = bytearray()
        while first < last and (octets := os.pread(self._file.fileno(), last - first, first)):
            found += octets
            first += len(octets)
        return bytes(found)

    @property
    def root(self) -> Part:
        """The parts, at their places in the file."""
        if self._root is None:
            if "parts" in self._batch.shape.columns:
                self._root = unpack(self._batch.column("parts")[0])
            else:  # only the message's own sections are asked for
                body = header_end(head := self._read(0, HEADER_OCTETS), 0, len(head))
                if body == len(head) < self._size:
                    body = header_end(whole := self._read(0, self._size), 0, len(whole))
                self._root = Part(0, body, self._size, 0)
        return self._root

    def section(self, item: Section | Binary | BinarySize) -> list[bytes | Stretch]:
        name = response_name(item) + b" "
        if isinstance(item, Section):
            return [name, *self._stretches(item)]
        if not item.path:
            if isinstance(item, BinarySize):
                return [name + b"%d" % (len(self._prefix) + self._size)]
            return [name, binary_literal(self._prefix + self._read(0, self._size), item.partial)]
        octets = self._decoded(item.path)
        if isinstance(item, BinarySize):
            return [name + b"%d" % (0 if octets is None else len(octets))]
        return [name, binary_literal(octets, item.partial)]

    def _stretches(self, item: Section) -> list[bytes | Stretch]:
        span = section_span(self.root, item.path, item.text.value)
        if span is None:
            return [b"NIL"]
        # The MIME fields of a message's only body are those of the message.
        is_of_message = not item.path or (item.text is SectionText.MIME and span[0] == self.root.start)
        is_from_start = is_of_message and item.text is not SectionText.TEXT
        before = self._prefix if is_from_start else b""
        if item.text in (SectionText.FIELDS, SectionText.FIELDS_NOT):
            chosen = header_fields(before + self._read(*span), item.text.value, item.fields)
            return self._literal(chosen, (0, 0), item.partial)
        return self._literal(before, span, item.partial)

    @staticmethod
    def _literal(before: bytes, span: tuple[int, int], partial: tuple[int, int] | None) -> list[bytes | Stretch]:
        """Octets and a stretch behind them, of which only a partial may be wanted."""
        first, last = span
        if partial is not None:
            origin, most = partial
            skipped = max(0, origin - len(before))
            before = before[origin : origin + most]
            first = min(last, first + skipped)
            last = min(last, first + most - len(before))
        return [b"{%d}\r\n%b" % (len(before) + last - first, without_nul(before)), Stretch(first, last)]

    def _decoded(self, path: tuple[int, ...]) -> bytes | None:
        part = find(self.root, path)
        if part is None:
            return None
        body = self._read(part.body, part.end)
        if part.is_multipart or part.parts:
            return body
        try:
            return transfer_decoded(body, part.encoding)
        except UnknownEncoding:
            self._batch.has_unknown_encoding = True
            return None
