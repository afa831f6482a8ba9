"""LIST with LIST-EXTENDED, LIST-STATUS, LIST-MYRIGHTS, SPECIAL-USE, and LSUB (RFC 9051 §6.3.9, RFC 3501 §6.3.9)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.commands.metadata import entry
from estafeta.wire.imap.commands.status import StatusItem, status_items
from estafeta.wire.imap.reading import GrammarError, Reader
from estafeta.wire.imap.request import Request


@value
class ListReturn:
    """RETURN (...) of LIST (RFC 5258 §3.1, RFC 5819, RFC 8440, RFC 6154, RFC 9590)."""

    subscribed: bool = False
    children: bool = False
    special_use: bool = False
    my_rights: bool = False
    status: tuple[StatusItem, ...] = ()
    metadata: tuple[str, ...] = ()
    """Entries (RFC 9590)."""


@value
class List(Request):
    """Names of mailboxes."""

    reference: str
    patterns: tuple[str, ...]
    """With `*` and `%`; one, or several in parentheses."""
    subscribed: bool = False
    """Selection options (RFC 5258 §3.1)."""
    remote: bool = False
    recursive_match: bool = False
    special_use: bool = False
    returning: ListReturn | None = None
    """None without RETURN."""
    is_extended: bool = False
    """Said with selection options, several patterns or RETURN."""


@value
class LSub(Request):
    """Subscribed names, after IMAP4rev1."""

    reference: str
    pattern: str


# list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]
def _read(reader: Reader) -> List:
    reader.sp()
    selected: set[str] = set()
    is_extended = False
    if reader.skip(b"("):
        is_extended = True
        while not reader.skip(b")"):
            if selected:
                reader.sp()
            option = reader.keyword()
            if option not in ("SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE"):
                raise GrammarError("there is no such selection option")
            selected.add(option)
        # RFC 5258 §3.1: not without another one
        if "RECURSIVEMATCH" in selected and not selected & {"SUBSCRIBED", "SPECIAL-USE"}:
            raise GrammarError("RECURSIVEMATCH needs another selection option")
        reader.sp()
    reference = reader.mailbox_of(reader.astring())
    reader.sp()
    patterns: list[str] = []
    if reader.skip(b"("):
        is_extended = True
        while not reader.skip(b")"):
            if patterns:
                reader.sp()
            patterns.append(reader.list_mailbox())
            reader.limit(patterns)
        if not patterns:
            raise GrammarError("expected a pattern")
    else:
        patterns.append(reader.list_mailbox())
    returning: ListReturn | None = None
    if not reader.at_end():
        reader.sp()
        reader.expect(b"RETURN ")
        returning = _returning(reader)
    reader.end()
    return List(
        reference,
        tuple(patterns),
        subscribed="SUBSCRIBED" in selected,
        remote="REMOTE" in selected,
        recursive_match="RECURSIVEMATCH" in selected,
        special_use="SPECIAL-USE" in selected,
        returning=returning,
        is_extended=is_extended or returning is not None,
    )


# list-return-opts = "RETURN" SP "(" [return-option *(SP return-option)] ")"
def _returning(reader: Reader) -> ListReturn:
    reader.expect(b"(")
    options: dict[str, object] = {}
    while not reader.skip(b")"):
        if options:
            reader.sp()
        option = reader.keyword()
        match option:
            case "SUBSCRIBED" | "CHILDREN" | "SPECIAL-USE":
                options[option] = True
            case "MYRIGHTS":
                options[option] = True
            case "STATUS":
                reader.sp()
                options[option] = status_items(reader)
            case "METADATA":
                reader.sp()
                reader.expect(b"(")
                entries: list[str] = []
                while not reader.skip(b")"):
                    if entries:
                        reader.sp()
                    entries.append(entry(reader))
                    reader.limit(entries)
                options[option] = tuple(entries)
            case _:
                raise GrammarError("there is no such return option")
    status, metadata = options.get("STATUS", ()), options.get("METADATA", ())
    assert isinstance(status, tuple) and isinstance(metadata, tuple)
    return ListReturn(
        "SUBSCRIBED" in options,
        "CHILDREN" in options,
        "SPECIAL-USE" in options,
        "MYRIGHTS" in options,
        status,
        metadata,
    )


def _read_lsub(reader: Reader) -> LSub:
    reader.sp()
    reference = reader.mailbox_of(reader.astring())
    reader.sp()
    pattern = reader.list_mailbox()
    reader.end()
    return LSub(reference, pattern)


LIST = Command("LIST", AUTHENTICATED, _read)
LSUB = Command("LSUB", AUTHENTICATED, _read_lsub)
