"""The MT-Priority field: a message's priority on its way through hosts without MT-PRIORITY (RFC 6758 §4)."""

from __future__ import annotations

import re

from estafeta.mail.header import header_size

_FIELD = re.compile(rb"^MT-Priority[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)\r\n", re.IGNORECASE | re.MULTILINE)
# RFC 6758 §4: [CFWS] priority-value [CFWS]; comments as nobody nests them
_VALUE = re.compile(rb"\s*(?:\([^()]*\)\s*)?(-?[1-9]|0)\s*(?:\([^()]*\)\s*)?")
_MAX_VALUE = 998


def said_priority(head: bytes) -> int | None:
    """What the header section says of it; None where it does not say it once, and well (RFC 6758 §3.1)."""
    found = _FIELD.findall(head)
    if len(found) != 1 or len(found[0]) > _MAX_VALUE:
        return None
    match = _VALUE.fullmatch(found[0])
    return int(match[1]) if match is not None else None


def with_priority(content: bytes, priority: int) -> bytes:
    """The content with this priority alone in its header, or with none where it had none and needs none (§3.3)."""
    size = header_size(content)
    head, removed = _FIELD.subn(b"", content[:size])
    if not removed and not priority:
        return content
    return b"MT-Priority: %d\r\n" % priority + head + content[size:]
