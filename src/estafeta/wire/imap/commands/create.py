"""CREATE with CREATE-SPECIAL-USE (RFC 9051 §6.3.4, RFC 6154 §3)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.reading import GrammarError, Reader
from estafeta.wire.imap.request import Request


@value
class Create(Request):
    """Make a mailbox."""

    mailbox: str
    """Without a trailing separator."""
    special_uses: tuple[str, ...] = ()
    """Such as `\\\\Sent`, in their proper case."""


_USES = {use.upper(): use for use in ("\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash")}


# create = "CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]
def _read(reader: Reader) -> Create:
    reader.sp()
    mailbox = reader.mailbox()
    uses: list[str] = []
    if not reader.at_end():
        reader.sp()
        reader.expect(b"(USE ")
        for name in reader.flag_list():
            if name.upper() not in _USES:
                raise GrammarError("there is no such use of a mailbox", "USEATTR")
            uses.append(_USES[name.upper()])
        reader.expect(b")")
    reader.end()
    # RFC 9051 §6.3.4: a separator at the end says that there will be names below.
    return Create(mailbox.rstrip("/") or mailbox, tuple(uses))


CREATE = Command("CREATE", AUTHENTICATED, _read)
