"""GENURLAUTH, RESETKEY, URLFETCH (RFC 4467 §7, RFC 5524)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.reading import GrammarError, Reader
from estafeta.wire.imap.request import Request


@value
class GenUrlAuth(Request):
    """Sign URLs."""

    requests: tuple[tuple[str, str], ...]
    """URL with `;URLAUTH=access`, and the mechanism (INTERNAL)."""


@value
class ResetKey(Request):
    """New keys."""

    mailbox: str | None
    """None for all mailboxes."""
    mechanisms: tuple[str, ...] = ()


@value
class UrlFetch(Request):
    """What URLs name."""

    urls: tuple[tuple[str, tuple[str, ...]], ...]
    """URL and its parameters BODYPARTSTRUCTURE, BINARY, BODY (RFC 5524)."""


_MOST = 100
"""URLs of one command."""


# genurlauth = "GENURLAUTH" 1*(SP url-rump SP mechanism)
def _read_generate(reader: Reader) -> GenUrlAuth:
    found: list[tuple[str, str]] = []
    while not found or not reader.at_end():
        reader.sp()
        url = reader.text()
        reader.sp()
        found.append((url, reader.keyword()))
        if len(found) > _MOST:
            raise GrammarError("too many URLs")
    return GenUrlAuth(tuple(found))


# resetkey = "RESETKEY" [SP mailbox *(SP mechanism)]
def _read_reset(reader: Reader) -> ResetKey:
    if reader.at_end():
        return ResetKey(None)
    reader.sp()
    mailbox = reader.mailbox()
    mechanisms: list[str] = []
    while not reader.at_end():
        reader.sp()
        mechanisms.append(reader.keyword())
        reader.limit(mechanisms)
    return ResetKey(mailbox, tuple(mechanisms))


# urlfetch = "URLFETCH" 1*(SP (url-full / "(" url-full *(SP url-fetch-param) ")"))
def _read_fetch(reader: Reader) -> UrlFetch:
    found: list[tuple[str, tuple[str, ...]]] = []
    while not found or not reader.at_end():
        reader.sp()
        parameters: list[str] = []
        if reader.skip(b"("):
            url = reader.text()
            while not reader.skip(b")"):
                reader.sp()
                parameters.append(reader.keyword())
                if parameters[-1] not in ("BODY", "BINARY", "BODYPARTSTRUCTURE"):
                    raise GrammarError("there is no such parameter of URLFETCH")
        else:
            url = reader.text()
        found.append((url, tuple(parameters)))
        if len(found) > _MOST:
            raise GrammarError("too many URLs")
    return UrlFetch(tuple(found))


GENURLAUTH = Command("GENURLAUTH", AUTHENTICATED, _read_generate, "URLAUTH")
RESETKEY = Command("RESETKEY", AUTHENTICATED, _read_reset, "URLAUTH")
URLFETCH = Command("URLFETCH", AUTHENTICATED, _read_fetch, "URLAUTH")
