"""SEARCH, ESEARCH, SORT, THREAD, CANCELUPDATE (RFC 9051 §6.4.4, RFC 5256, RFC 5267, RFC 7377)."""

from __future__ import annotations

from collections.abc import Callable

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, SELECTED, Command
from estafeta.wire.imap.commands.fetch import window
from estafeta.wire.imap.commands.notify import mailbox_filter
from estafeta.wire.imap.reading import MAX_MODSEQ, GrammarError, Reader
from estafeta.wire.imap.request import Request
from estafeta.wire.imap.searching import (
    Aged,
    And,
    Contains,
    Criterion,
    Dated,
    Filtered,
    Flag,
    HasField,
    Identified,
    Key,
    Modified,
    Not,
    Numbered,
    Or,
    Return,
    Returning,
    SaveDateSupported,
    Sized,
    SortKey,
    When,
    Where,
    Which,
    Window,
)


@value
class Source:
    """Where ESEARCH looks (RFC 7377 §2.2): the filter names of NOTIFY, and `mailboxes`."""

    filter: str
    mailboxes: tuple[str, ...] = ()


@value
class Search(Request):
    """Find messages."""

    key: Key
    is_uid: bool
    returning: Returning | None = None
    """None: the untagged SEARCH of IMAP4rev1."""
    is_charset_known: bool = True
    """Else the command is answered NO [BADCHARSET]."""


@value
class MultiSearch(Request):
    """ESEARCH: find messages in several mailboxes."""

    sources: tuple[Source, ...]
    key: Key
    returning: Returning | None
    is_charset_known: bool = True


@value
class Sort(Request):
    """Find messages, in an order."""

    criteria: tuple[Criterion, ...]
    key: Key
    is_uid: bool
    returning: Returning | None = None
    is_charset_known: bool = True


@value
class Thread(Request):
    """Find messages, as conversations."""

    algorithm: str
    """In upper case."""
    key: Key
    is_uid: bool
    is_charset_known: bool = True


@value
class CancelUpdate(Request):
    """No more updates of these searches."""

    tags: tuple[str, ...]


MAX_DEPTH = 30
"""Of parentheses, NOT and OR within each other."""
MAX_KEYS = 1000
"""Of one search."""

# Character sets that are decoded; their decoders do nothing but decode.
_CHARSETS = {
    "US-ASCII": "ascii",
    "UTF-8": "utf-8",
    "ISO-2022-JP": "iso2022_jp",
    "EUC-JP": "euc_jp",
    "SHIFT_JIS": "shift_jis",
    "EUC-KR": "euc_kr",
    "GB2312": "gb2312",
    "GBK": "gbk",
    "BIG5": "big5",
    "KOI8-R": "koi8_r",
    "KOI8-U": "koi8_u",
    **{f"ISO-8859-{number}": f"iso8859_{number}" for number in (*range(1, 12), 13, 14, 15, 16)},
    **{f"WINDOWS-{number}": f"cp{number}" for number in range(1250, 1259)},
}
BAD_CHARSETS = "BADCHARSET (UTF-8 US-ASCII ISO-8859-1 ISO-8859-15 WINDOWS-1252)"

_FLAGS = {
    "ANSWERED": "\\Answered",
    "DELETED": "\\Deleted",
    "DRAFT": "\\Draft",
    "FLAGGED": "\\Flagged",
    "SEEN": "\\Seen",
}
_NEW = And((Flag("\\Recent"), Not(Flag("\\Seen"))))
_SIMPLE: dict[str, Key] = {
    "ALL": And(()),
    "NEW": _NEW,
    "OLD": Not(Flag("\\Recent")),
    "RECENT": Flag("\\Recent"),
    "SAVEDATESUPPORTED": SaveDateSupported(),
    **{name: Flag(flag) for name, flag in _FLAGS.items()},
    **{f"UN{name}": Not(Flag(flag)) for name, flag in _FLAGS.items()},
}
_DATES = {
    prefix + when.value: (which, when)
    for prefix, which in (("", Which.INTERNAL), ("SENT", Which.SENT), ("SAVED", Which.SAVED))
    for when in When
}


class _Keys:
    """Reads the keys of one search."""

    def __init__(self, reader: Reader, charset: str) -> None:
        self.reader = reader
        self.charset = charset
        self.count = 0

    # search-key *(SP search-key), to the end of the command or to a parenthesis
    def all(self, depth: int = 0) -> Key:
        keys = [self.key(depth)]
        while self.reader.skip(b" "):
            keys.append(self.key(depth))
        return keys[0] if len(keys) == 1 else And(tuple(keys))

    def key(self, depth: int) -> Key:
        self.count += 1
        if depth > MAX_DEPTH or self.count > MAX_KEYS:
            raise GrammarError("the search is too deep, or has too many keys", "LIMIT")
        reader = self.reader
        if reader.skip(b"("):
            key = self.all(depth + 1)
            reader.expect(b")")
            return key
        if reader.is_sequence_next():
            numbers = reader.sequence_set()
            if reader.session.is_uid_only and not numbers.is_saved:  # RFC 9586 §3
                raise GrammarError("message numbers are not used any more", "UIDREQUIRED")
            return Numbered(numbers, is_uid=False)
        name = reader.keyword()
        simple = _SIMPLE.get(name)
        if simple is not None:
            return simple
        reader.sp()
        if name in _DATES:
            which, when = _DATES[name]
            return Dated(which, when, reader.date())
        match name:
            case "NOT":
                return Not(self.key(depth + 1))
            case "OR":
                first = self.key(depth + 1)
                reader.sp()
                return Or(first, self.key(depth + 1))
            case "FROM" | "TO" | "CC" | "BCC" | "SUBJECT" | "BODY" | "TEXT":
                return Contains(Where(name), self.text())
            case "HEADER":
                field = reader.text()
                reader.sp()
                return HasField(field, self.text())
            case "KEYWORD":
                return Flag(reader.flag())
            case "UNKEYWORD":
                return Not(Flag(reader.flag()))
            case "LARGER" | "SMALLER":
                return Sized(reader.number(MAX_MODSEQ), name == "LARGER")
            case "UID":
                return Numbered(reader.sequence_set(), is_uid=True)
            case "OLDER" | "YOUNGER":
                return Aged(reader.nz_number(), name == "OLDER")
            case "MODSEQ":
                # RFC 7162 §3.1.5: ["entry-name" SP entry-type-req SP] mod-sequence-valzer
                if reader.is_string_next():
                    reader.string()
                    reader.sp()
                    if reader.keyword() not in ("PRIV", "SHARED", "ALL"):
                        raise GrammarError("an entry type is priv, shared or all")
                    reader.sp()
                return Modified(reader.number(MAX_MODSEQ))
            case "EMAILID" | "THREADID":
                return Identified(name == "THREADID", reader.text())
            case "FILTER":
                return Filtered(reader.text())
        raise GrammarError("there is no such search key")

    def text(self) -> str:
        octets = self.reader.astring()
        if b"\0" in octets:
            raise GrammarError("NUL in a string")
        try:
            return octets.decode(self.charset)
        except UnicodeDecodeError:
            raise GrammarError("a string is not in its charset", BAD_CHARSETS) from None


# [SP "CHARSET" SP charset] 1*(SP search-key)
def _program(reader: Reader) -> tuple[Key, bool]:
    """The key, and whether the charset is known; without it the key cannot be read."""
    charset = "utf-8"
    if reader.skip(b"CHARSET "):
        name = reader.text().upper()
        known = _CHARSETS.get(name)
        if known is None:
            return And(()), False
        charset = known
        reader.sp()
    key = _Keys(reader, charset).all()
    reader.end()
    return key, True


def search_key(text: bytes, reader: Reader) -> Key:
    """The key that a filter stands for (RFC 5466 §3.1), read as the session reads; raises GrammarError."""
    return _program(Reader(text, reader.session))[0]


# search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"
def _returning(reader: Reader) -> Returning | None:
    if not reader.skip(b"RETURN "):
        return None
    reader.expect(b"(")
    options: set[Return] = set()
    partial: Window | None = None
    while not reader.skip(b")"):
        if options:
            reader.sp()
        name = reader.keyword()
        try:
            option = Return(name)
        except ValueError:
            raise GrammarError("there is no such result option") from None
        if option is Return.PARTIAL:
            if partial is not None:
                raise GrammarError("PARTIAL is said twice")
            reader.sp()
            partial = window(reader)
        options.add(option)
    reader.sp()
    if options & {Return.PARTIAL} and Return.ALL in options:  # RFC 9394 §3.1
        raise GrammarError("ALL and PARTIAL exclude each other")
    if not options - {Return.SAVE, Return.UPDATE, Return.CONTEXT} and Return.SAVE not in options:
        options.add(Return.ALL)
    return Returning(frozenset(options), partial)


# search = "SEARCH" [search-return-opts] SP search-program
def _read_search(reader: Reader, is_uid: bool) -> Search:
    reader.sp()
    returning = _returning(reader)
    key, is_known = _program(reader)
    return Search(key, is_uid, returning, is_known)


# RFC 7377 §3: "ESEARCH" [SP "IN" SP "(" source-mbox ")"] [search-return-opts] SP search-program
def _read_multi(reader: Reader) -> MultiSearch:
    reader.sp()
    sources: list[Source] = []
    if reader.skip(b"IN "):
        reader.expect(b"(")
        while not reader.skip(b")"):
            if sources:
                reader.sp()
            sources.append(Source(*mailbox_filter(reader)))
            # RFC 7377 §2.2: [SP scope-options] of none that are known
            if len(sources) > 100:
                raise GrammarError("too many sources")
        if not sources:
            raise GrammarError("expected a source")
        reader.sp()
    returning = _returning(reader)
    key, is_known = _program(reader)
    return MultiSearch(tuple(sources) or (Source("selected"),), key, returning, is_known)


# sort = ["UID" SP] "SORT" [search-return-opts] SP sort-criteria SP search-criteria
def _read_sort(reader: Reader, is_uid: bool) -> Sort:
    reader.sp()
    returning = _returning(reader)
    reader.expect(b"(")
    criteria: list[Criterion] = []
    while not reader.skip(b")"):
        if criteria:
            reader.sp()
        is_reverse = reader.skip(b"REVERSE ")
        try:
            criteria.append(Criterion(SortKey(reader.keyword()), is_reverse))
        except ValueError:
            raise GrammarError("there is no such sort key") from None
        if len(criteria) > 20:
            raise GrammarError("too many sort keys")
    if not criteria:
        raise GrammarError("expected a sort key")
    key, is_known = _charset_first(reader)
    return Sort(tuple(criteria), key, is_uid, returning, is_known)


# search-criteria = charset 1*(SP search-key); charset = atom / quoted
def _charset_first(reader: Reader) -> tuple[Key, bool]:
    reader.sp()
    charset = _CHARSETS.get(reader.text().upper())
    if charset is None:
        return And(()), False
    reader.sp()
    key = _Keys(reader, charset).all()
    reader.end()
    return key, True


# thread = ["UID" SP] "THREAD" SP thread-alg SP search-criteria
def _read_thread(reader: Reader, is_uid: bool) -> Thread:
    reader.sp()
    algorithm = reader.keyword()
    if algorithm not in ("ORDEREDSUBJECT", "REFERENCES"):
        raise GrammarError("there is no such algorithm")
    key, is_known = _charset_first(reader)
    return Thread(algorithm, key, is_uid, is_known)


# cancelupdate = "CANCELUPDATE" 1*(SP quoted)
def _read_cancel(reader: Reader) -> CancelUpdate:
    tags: list[str] = []
    while not tags or not reader.at_end():
        reader.sp()
        tags.append(reader.text())
        reader.limit(tags)
    return CancelUpdate(tuple(tags))


def _by_uid(read: Callable[[Reader, bool], Request], is_uid: bool) -> Callable[[Reader], Request]:
    return lambda reader: read(reader, is_uid)


SEARCH = Command("SEARCH", SELECTED, _by_uid(_read_search, False))
UID_SEARCH = Command("UID SEARCH", SELECTED, _by_uid(_read_search, True))
ESEARCH = Command("ESEARCH", AUTHENTICATED, _read_multi, "MULTISEARCH")
SORT = Command("SORT", SELECTED, _by_uid(_read_sort, False), "SORT")
UID_SORT = Command("UID SORT", SELECTED, _by_uid(_read_sort, True), "SORT")
THREAD = Command("THREAD", SELECTED, _by_uid(_read_thread, False), "THREAD=REFERENCES")
UID_THREAD = Command("UID THREAD", SELECTED, _by_uid(_read_thread, True), "THREAD=REFERENCES")
CANCELUPDATE = Command("CANCELUPDATE", AUTHENTICATED, _read_cancel, "CONTEXT=SEARCH")
