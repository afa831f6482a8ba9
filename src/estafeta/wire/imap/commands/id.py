"""ID (RFC 2971)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import ANY, Command
from estafeta.wire.imap.reading import GrammarError, Reader
from estafeta.wire.imap.request import Request


@value
class Id(Request):
    """Who the client is."""

    fields: tuple[tuple[str, str | None], ...]
    """Names and values; none for NIL."""


_MOST = 30
"""Fields (RFC 2971 §3.3)."""


# id = "ID" SP id-params-list; id-params-list = "(" *(string SP nstring) ")" / nil
def _read(reader: Reader) -> Id:
    reader.sp()
    fields: list[tuple[str, str | None]] = []
    if not reader.skip(b"NIL"):
        reader.expect(b"(")
        while not reader.skip(b")"):
            if fields:
                reader.sp()
            name = reader.string()
            reader.sp()
            value = reader.nstring()
            if len(fields) == _MOST or len(name) > 30 or len(value or b"") > 1024:
                raise GrammarError("too many or too long fields")
            fields.append(
                (name.decode("utf-8", "replace"), None if value is None else value.decode("utf-8", "replace"))
            )
    reader.end()
    return Id(tuple(fields))


ID = Command("ID", ANY, _read, "ID")
