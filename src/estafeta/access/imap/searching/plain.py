"""What a message must be to match a text, by reading it: the definition that the index is held to.

Texts are compared without case, accents and marks, and every run of white space is one blank (RFC 9051 §6.4.4 asks
for the first, and leaves the others to the server).
"""

from __future__ import annotations

from estafeta.mail.mime.index import index
from estafeta.mail.mime.text import field_texts, folded, searchable
from estafeta.wire.imap.searching import Contains, HasField, Where


def matches(octets: bytes, key: Contains | HasField) -> bool:
    """Whether a message matches; `octets` is all of it."""
    root = index(octets)
    if isinstance(key, HasField):
        bodies = field_texts(octets, root, key.name)
        text = folded(key.text)
        return any(text in folded(body) for body in bodies)
    found = searchable(octets, root)
    match key.where:
        case Where.SUBJECT:
            texts = [found.subject]
        case Where.FROM:
            texts = [found.from_]
        case Where.TO:
            texts = [found.to]
        case Where.CC:
            texts = [found.cc]
        case Where.BCC:
            texts = [found.bcc]
        case Where.BODY:
            texts = [found.body]
        case Where.TEXT:
            # Each field for itself, so that it does not matter which others stand beside it.
            texts = [*found.header.split("\n"), found.body]
    text = folded(key.text)
    return any(text in folded(each) for each in texts)
