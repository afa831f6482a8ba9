"""What FETCH can be asked for (fetch-att, RFC 9051 §6.4.5 and its extensions)."""

from __future__ import annotations

from enum import StrEnum

from estafeta.mail.value import value


class Item(StrEnum):
    """Items without arguments; the value is the name in the response."""

    FLAGS = "FLAGS"
    INTERNALDATE = "INTERNALDATE"
    SIZE = "RFC822.SIZE"
    ENVELOPE = "ENVELOPE"
    BODY = "BODY"
    BODYSTRUCTURE = "BODYSTRUCTURE"
    UID = "UID"
    MODSEQ = "MODSEQ"  # RFC 7162
    EMAILID = "EMAILID"  # RFC 8474
    THREADID = "THREADID"
    SAVEDATE = "SAVEDATE"  # RFC 8514


class SectionText(StrEnum):
    """What of a part is meant (section-text, RFC 9051 §9)."""

    ALL = ""
    HEADER = "HEADER"
    FIELDS = "HEADER.FIELDS"
    FIELDS_NOT = "HEADER.FIELDS.NOT"
    TEXT = "TEXT"
    MIME = "MIME"


@value
class Section:
    """BODY[...], BODY.PEEK[...], and RFC822, RFC822.HEADER, RFC822.TEXT of IMAP4rev1, which are sections too."""

    path: tuple[int, ...] = ()
    """Part numbers, from 1; empty for the message."""
    text: SectionText = SectionText.ALL
    fields: tuple[str, ...] = ()
    """Names as they were said, for FIELDS and FIELDS_NOT."""
    partial: tuple[int, int] | None = None
    """First octet and most octets, `<first.most>`."""
    peek: bool = False
    """Does not set \\Seen."""
    name: bytes = b""
    """The name in the response without partial, such as `BODY[1.2]` or `RFC822.TEXT`; the response adds `<first>`."""


@value
class Binary:
    """BINARY[...] and BINARY.PEEK[...] (RFC 3516, RFC 9051 §6.4.5): a part with its encoding undone."""

    path: tuple[int, ...]
    partial: tuple[int, int] | None = None
    peek: bool = False


@value
class BinarySize:
    """BINARY.SIZE[...]."""

    path: tuple[int, ...]


@value
class Preview:
    """PREVIEW (RFC 8970)."""

    is_lazy: bool = False


FetchItem = Item | Section | Binary | BinarySize | Preview
