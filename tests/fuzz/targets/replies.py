"""Whatever a server sends, in whatever cuts: the reader gives the same replies, raises nothing but RemoteProtocolError,
holds no more than one reply, and lets no control character through; what it gives is read again from its octets."""

from __future__ import annotations

import re

from tests.fuzz.inputs import OCTETS, WHOLE, Input, pieces

from estafeta.mail.reply import Reply
from estafeta.wire.errors import RemoteProtocolError
from estafeta.wire.smtp.replies import MAX_LINE, MAX_LINES, Capabilities, ReplyReader

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


def read(octets: bytes, cut: int) -> tuple[list[Reply], str]:
    """The replies, and the error at their end."""
    reader, replies = ReplyReader(), []
    for piece in pieces(octets, cut):
        reader.feed(piece)
        try:
            while (reply := reader.next_reply()) is not None:
                replies.append(reply)
        except RemoteProtocolError as error:
            return replies, str(error)
        assert len(reader._octets) - reader._at < MAX_LINE and len(reader._lines) <= MAX_LINES
    return replies, ""


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    found = read(given.octets, given.cut)
    for other in {WHOLE, OCTETS} - {given.cut}:
        assert read(given.octets, other) == found
    for reply in found[0]:
        assert 200 <= reply.code < 600
        assert not any(_CONTROL.search(line) for line in reply.lines), reply
        capabilities = Capabilities.of(reply)
        assert capabilities.size is None or capabilities.size > 0
        again, error = read(reply.encode(), WHOLE)
        assert not error and len(again) == 1 and again[0].code == reply.code
