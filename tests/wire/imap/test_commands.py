"""Every command's arguments: what is read of the good ones, and that the bad ones are refused."""

from __future__ import annotations

from datetime import date

import pytest
from tests.wire.imap.owner import Owner

from estafeta.wire.imap.commands import COMMANDS
from estafeta.wire.imap.commands.acl import DeleteAcl, GetAcl, ListRights, MyRights, SetAcl
from estafeta.wire.imap.commands.copy import Copy
from estafeta.wire.imap.commands.create import Create
from estafeta.wire.imap.commands.delete import Delete
from estafeta.wire.imap.commands.enable import Enable
from estafeta.wire.imap.commands.expunge import Expunge
from estafeta.wire.imap.commands.fetch import Fetch
from estafeta.wire.imap.commands.id import Id
from estafeta.wire.imap.commands.list_ import List, ListReturn, LSub
from estafeta.wire.imap.commands.metadata import GetMetadata, SetMetadata
from estafeta.wire.imap.commands.notify import EventGroup, Notify
from estafeta.wire.imap.commands.quota import GetQuota, GetQuotaRoot, SetQuota
from estafeta.wire.imap.commands.rename import Rename
from estafeta.wire.imap.commands.search import CancelUpdate, MultiSearch, Search, Sort, Source, Thread
from estafeta.wire.imap.commands.select import QResync, Select
from estafeta.wire.imap.commands.status import MailboxStatus, StatusItem
from estafeta.wire.imap.commands.store import Store, StoreMode
from estafeta.wire.imap.commands.subscribe import Subscribe
from estafeta.wire.imap.commands.urlauth import GenUrlAuth, ResetKey, UrlFetch
from estafeta.wire.imap.fetching import Binary, BinarySize, Item, Preview, Section, SectionText
from estafeta.wire.imap.numbers import STAR, NumberSet
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

ONE = NumberSet(((1, 1),))
ALL = And(())


def owner(*enabled: str) -> Owner:
    made = Owner()
    made.select()
    made.engine.session.enabled |= set(enabled)
    return made


def request(line: str, *enabled: str) -> Request:
    """What is read of a command."""
    made = owner(*enabled)
    answered = made.hear(b"a " + line.encode() + b"\r\n")
    assert made.told, answered
    told = made.told[0]
    assert isinstance(told, Request)
    return told


def refusal(line: str, *enabled: str) -> str:
    """How a command is refused."""
    made = owner(*enabled)
    answered = made.hear(b"a " + line.encode() + b"\r\n")
    assert made.told == [], line
    assert answered.startswith((b"a BAD ", b"a NO ")) and answered.count(b"\r\n") == 1
    return answered.decode().removeprefix("a ").removesuffix("\r\n")


@pytest.mark.rfc("9051 §6.3", "Commands about mailboxes are read as their syntax says.")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('ID ("name" "x" "v" NIL)', Id((("name", "x"), ("v", None)))),
        ("ID NIL", Id(())),
        ("ID ()", Id(())),
        ("ENABLE CONDSTORE utf8=accept", Enable(("CONDSTORE", "UTF8=ACCEPT"))),
        ("CREATE a/b/", Create("a/b")),
        ("CREATE x (USE (\\sent \\Trash))", Create("x", ("\\Sent", "\\Trash"))),
        ("DELETE inbox", Delete("INBOX")),
        ('RENAME "a b" c/', Rename("a b", "c")),
        ("SUBSCRIBE a", Subscribe("a", True)),
        ("UNSUBSCRIBE a/", Subscribe("a", False)),
        ("SELECT a", Select("a", False)),
        ("EXAMINE a (CONDSTORE)", Select("a", True, True)),
        ("STATUS a (MESSAGES uidnext MESSAGES)", MailboxStatus("a", (StatusItem.MESSAGES, StatusItem.UIDNEXT))),
        ("STATUS a (DELETED-STORAGE)", MailboxStatus("a", (StatusItem.DELETED_STORAGE,))),
        ("GETQUOTA u", GetQuota("u")),
        ('GETQUOTA ""', GetQuota("")),
        ("GETQUOTAROOT INBOX", GetQuotaRoot("INBOX")),
        ("SETQUOTA u (STORAGE 512 message 0)", SetQuota("u", (("STORAGE", 512), ("MESSAGE", 0)))),
        ("SETQUOTA u ()", SetQuota("u", ())),
        ("SETACL a ana +lr", SetAcl("a", "ana", "+lr")),
        ("DELETEACL a ana", DeleteAcl("a", "ana")),
        ("GETACL a", GetAcl("a")),
        ("LISTRIGHTS a ana", ListRights("a", "ana")),
        ("MYRIGHTS a", MyRights("a")),
        ("GENURLAUTH u INTERNAL v internal", GenUrlAuth((("u", "INTERNAL"), ("v", "INTERNAL")))),
        ("RESETKEY", ResetKey(None)),
        ("RESETKEY a INTERNAL", ResetKey("a", ("INTERNAL",))),
        ("URLFETCH u (v BODY binary)", UrlFetch((("u", ()), ("v", ("BODY", "BINARY"))))),
        ('CANCELUPDATE "a" "b"', CancelUpdate(("a", "b"))),
        ("UID EXPUNGE 1", Expunge(ONE)),
        ("EXPUNGE", Expunge()),
        ("COPY 1 b", Copy(ONE, False, "b")),
        ("uid MOVE 1 inbox", Copy(ONE, True, "INBOX", True)),
        ("STORE 1 FLAGS ()", Store(ONE, False, StoreMode.REPLACE, ())),
        ("UID STORE 1 -flags.silent \\Seen a", Store(ONE, True, StoreMode.REMOVE, ("\\Seen", "a"), True)),
        ("STORE 1 (UNCHANGEDSINCE 0) +FLAGS (a)", Store(ONE, False, StoreMode.ADD, ("a",), False, 0)),
    ],
)
def test_a_command_is_read(line: str, expected: Request) -> None:
    assert request(line) == expected


@pytest.mark.rfc("7162 §3.2.5", "QRESYNC is for those who enabled it, and what is known has no `*`.")
def test_select_with_qresync() -> None:
    known = NumberSet(((1, 5), (9, 9)))
    for line, expected in (
        ("(7 20)", QResync(7, 20)),
        ("(7 20 1:5,9)", QResync(7, 20, known)),
        ("(7 20 (1 1))", QResync(7, 20, None, ONE, ONE)),
        ("(7 20 1:5,9 (1 1:5,9))", QResync(7, 20, known, ONE, known)),
    ):
        assert request(f"SELECT a (QRESYNC {line})", "QRESYNC") == Select("a", False, False, expected)
        assert refusal(f"SELECT a (QRESYNC {line})") == "BAD QRESYNC is not enabled"
    for line in (
        "(7)",
        "(0 1)",
        "(7 0)",
        "(7 20 1:*)",
        "(7 20 $)",
        "(7 20 1 (1))",
        "(7 20 1 (* 1))",
        "7 20",
        "(7 20 1",
    ):
        assert refusal(f"SELECT a (QRESYNC {line})", "QRESYNC").startswith("BAD ")


@pytest.mark.rfc("9051 §6.4.5", "Items of FETCH, alone, as macros and in parentheses.")
@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("FLAGS", (Item.FLAGS,)),
        ("(UID rfc822.size UID)", (Item.UID, Item.SIZE)),
        ("ALL", (Item.FLAGS, Item.INTERNALDATE, Item.SIZE, Item.ENVELOPE)),
        ("full", (Item.FLAGS, Item.INTERNALDATE, Item.SIZE, Item.ENVELOPE, Item.BODY)),
        ("(EMAILID THREADID SAVEDATE MODSEQ)", (Item.EMAILID, Item.THREADID, Item.SAVEDATE, Item.MODSEQ)),
        ("BODY[]", (Section(name=b"BODY[]"),)),
        ("BODY[]<5.10>", (Section(partial=(5, 10), name=b"BODY[]"),)),
        ("BODY.PEEK[text]", (Section(text=SectionText.TEXT, peek=True, name=b"BODY[TEXT]"),)),
        ("BODY[1.2]", (Section((1, 2), name=b"BODY[1.2]"),)),
        ("BODY[1.MIME]", (Section((1,), SectionText.MIME, name=b"BODY[1.MIME]"),)),
        (
            'BODY[2.HEADER.FIELDS.NOT (To "x y")]',
            (Section((2,), SectionText.FIELDS_NOT, ("To", "x y"), name=b'BODY[2.HEADER.FIELDS.NOT (To "x y")]'),),
        ),
        ("RFC822", (Section(name=b"RFC822"),)),
        ("RFC822.HEADER", (Section((), SectionText.HEADER, peek=True, name=b"RFC822.HEADER"),)),
        ("BINARY[1]<0.5>", (Binary((1,), (0, 5)),)),
        ("BINARY.PEEK[]", (Binary((), None, True),)),
        ("BINARY.SIZE[1.2]", (BinarySize((1, 2)),)),
        ("(PREVIEW (LAZY) UID)", (Preview(True), Item.UID)),
        ("PREVIEW", (Preview(),)),
    ],
)  # fmt: skip
def test_the_items_of_fetch(items: str, expected: tuple[object, ...]) -> None:
    found = request(f"FETCH 1 {items}")
    assert found == Fetch(ONE, False, expected)  # type: ignore[arg-type]


@pytest.mark.rfc("7162 §3.1.4.1", "CHANGEDSINCE is a modifier of FETCH; VANISHED is for UID FETCH after QRESYNC.")
@pytest.mark.rfc("9394 §3.3", "PARTIAL is a modifier of UID FETCH.")
def test_the_modifiers_of_fetch() -> None:
    assert request("FETCH 1 FLAGS (CHANGEDSINCE 5)") == Fetch(ONE, False, (Item.FLAGS,), 5)
    assert request("FETCH 1 PREVIEW (CHANGEDSINCE 5)") == Fetch(ONE, False, (Preview(),), 5)
    both = (Item.UID, Item.FLAGS)
    assert request("UID FETCH 1 FLAGS") == Fetch(ONE, True, both)
    assert request("UID FETCH 1 FLAGS (CHANGEDSINCE 5 VANISHED)", "QRESYNC") == Fetch(ONE, True, both, 5, True)
    assert request("UID FETCH 1 FLAGS (PARTIAL -1:-9)") == Fetch(ONE, True, both, partial=Window(-1, -9))
    assert request("UID FETCH 1 FLAGS (PARTIAL 9:1)") == Fetch(ONE, True, both, partial=Window(1, 9))


@pytest.mark.rfc("5258 §3", "Selection options, several patterns and return options of LIST are read.")
@pytest.mark.rfc("5819 §2", "RETURN (STATUS ...) of LIST is read.")
def test_the_forms_of_list() -> None:
    assert request('LIST "" ""') == List("", ("",))
    assert request('LIST inbox "&AOE-%"') == List("INBOX", ("á%",))
    extended = request('LIST (SUBSCRIBED RECURSIVEMATCH) "" (a% "b*") RETURN (CHILDREN STATUS (MESSAGES))')
    returning = ListReturn(children=True, status=(StatusItem.MESSAGES,))
    assert extended == List("", ("a%", "b*"), True, False, True, False, returning, True)
    assert request('LIST () "" *') == List("", ("*",), is_extended=True)
    assert request('LIST (SPECIAL-USE REMOTE) "" * RETURN ()') == List(
        "", ("*",), remote=True, special_use=True, returning=ListReturn(), is_extended=True
    )
    found = request('LIST "" * RETURN (SUBSCRIBED SPECIAL-USE MYRIGHTS METADATA ("/shared/a" /private/B))')
    assert isinstance(found, List)
    assert found.returning == ListReturn(True, False, True, True, (), ("/shared/a", "/private/b"))
    assert request('LSUB "" *') == LSub("", "*")


@pytest.mark.rfc("5464 §4", "Options and entries of GETMETADATA and SETMETADATA are read; names in any case.")
def test_annotations() -> None:
    assert request('GETMETADATA "" /Shared/Comment') == GetMetadata("", ("/shared/comment",))
    assert request("GETMETADATA (DEPTH infinity MAXSIZE 9) a (/private/x /shared/y)") == GetMetadata(
        "a", ("/private/x", "/shared/y"), 9, None
    )
    assert request("GETMETADATA a (DEPTH 1) /private/x") == GetMetadata("a", ("/private/x",), None, 1)
    assert request("SETMETADATA a (/private/x NIL /shared/y ~{2+}\r\n\0z)") == SetMetadata(
        "a", (("/private/x", None), ("/shared/y", b"\0z"))
    )


@pytest.mark.rfc("5465 §3", "Groups of mailboxes and events of NOTIFY are read.")
def test_notify() -> None:
    assert request("NOTIFY NONE") == Notify(())
    told = request(
        "NOTIFY SET STATUS (selected (MessageNew (UID FLAGS) messageexpunge)) (subtree (a inbox) NONE)"
        " (mailboxes b (FlagChange)) (personal (Strange))"
    )
    assert told == Notify(
        (
            EventGroup("selected", (), frozenset({"MessageNew", "MessageExpunge"}), (Item.UID, Item.FLAGS)),
            EventGroup("subtree", ("a", "INBOX")),
            EventGroup("mailboxes", ("b",), frozenset({"FlagChange"})),
            EventGroup("personal", (), frozenset({"STRANGE"})),
        ),
        True,
    )


def found_key(program: str) -> Key:
    told = request(f"SEARCH {program}")
    assert isinstance(told, Search)
    return told.key


DAY = date(2026, 2, 1)


@pytest.mark.rfc("9051 §6.4.4", "Every key of SEARCH is read.")
@pytest.mark.rfc("5032 §3", "OLDER and YOUNGER are read.")
@pytest.mark.rfc("7162 §3.1.5", "MODSEQ is read with and without the name of an entry.")
@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("ALL", ALL),
        ("seen", Flag("\\Seen")),
        ("UNDRAFT", Not(Flag("\\Draft"))),
        ("NEW", And((Flag("\\Recent"), Not(Flag("\\Seen"))))),
        ("OLD", Not(Flag("\\Recent"))),
        ("KEYWORD $a", Flag("$a")),
        ("UNKEYWORD $a", Not(Flag("$a"))),
        ("1:*,7", Numbered(NumberSet(((1, STAR), (7, 7))), False)),
        ("*", Numbered(NumberSet(((STAR, STAR),)), False)),
        ("$", Numbered(NumberSet(is_saved=True), False)),
        ("UID 1", Numbered(ONE, True)),
        ("BEFORE 1-Feb-2026", Dated(Which.INTERNAL, When.BEFORE, DAY)),
        ('SENTON "1-Feb-2026"', Dated(Which.SENT, When.ON, DAY)),
        ("SAVEDSINCE 1-Feb-2026", Dated(Which.SAVED, When.SINCE, DAY)),
        ("SAVEDATESUPPORTED", SaveDateSupported()),
        ("OLDER 5", Aged(5, True)),
        ("YOUNGER 5", Aged(5, False)),
        ("LARGER 0", Sized(0, True)),
        ("SMALLER 5", Sized(5, False)),
        ('SUBJECT "a b"', Contains(Where.SUBJECT, "a b")),
        ("TEXT {2+}\r\nñ", Contains(Where.TEXT, "ñ")),
        ('HEADER List-Id ""', HasField("List-Id", "")),
        ("MODSEQ 5", Modified(5)),
        ('MODSEQ "/flags/\\\\seen" all 5', Modified(5)),
        ("EMAILID M1", Identified(False, "M1")),
        ("THREADID T1", Identified(True, "T1")),
        ("FILTER a", Filtered("a")),
        ("NOT NOT SEEN", Not(Not(Flag("\\Seen")))),
        ("OR SEEN (ALL 1)", Or(Flag("\\Seen"), And((ALL, Numbered(ONE, False))))),
        ("SEEN 1", And((Flag("\\Seen"), Numbered(ONE, False)))),
        ("CHARSET us-ascii ALL", ALL),
        ("((ALL))", ALL),
    ],
)
def test_the_keys_of_search(program: str, expected: Key) -> None:
    assert found_key(program) == expected


@pytest.mark.rfc(
    "9051 §6.4.4", "A charset that is not known is the owner's to refuse; texts are decoded from one that is."
)
def test_the_charset_of_search() -> None:
    made = owner()
    made.hear(b'a SEARCH CHARSET ISO-8859-1 FROM "\xe1"\r\nb SEARCH CHARSET X-NONE FROM "\xe1"\r\n')
    assert made.told == [Search(Contains(Where.FROM, "á"), False), Search(ALL, False, None, False)]
    made = owner()
    assert made.hear(b"a SEARCH CHARSET UTF-8 FROM {1+}\r\n\xe1\r\n").startswith(b"a NO [BADCHARSET (UTF-8 ")


@pytest.mark.rfc("4731 §3.1", "Result options are read; none are ALL.")
@pytest.mark.rfc("5182 §2.1", "SAVE alone asks for no result.")
@pytest.mark.rfc("9394 §3.1", "PARTIAL is read, from the end too.")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("()", Returning(frozenset({Return.ALL}))),
        ("(MIN max)", Returning(frozenset({Return.MIN, Return.MAX}))),
        ("(SAVE)", Returning(frozenset({Return.SAVE}))),
        ("(UPDATE CONTEXT)", Returning(frozenset({Return.UPDATE, Return.CONTEXT, Return.ALL}))),
        ("(PARTIAL 1:100 COUNT)", Returning(frozenset({Return.PARTIAL, Return.COUNT}), Window(1, 100))),
        ("(PARTIAL -100:-1)", Returning(frozenset({Return.PARTIAL}), Window(-1, -100))),
    ],
)
def test_the_result_options_of_search(options: str, expected: Returning) -> None:
    assert request(f"UID SEARCH RETURN {options} ALL") == Search(ALL, True, expected)


@pytest.mark.rfc("5256 §3", "SORT and THREAD are read with their charset and criteria.")
@pytest.mark.rfc("7377 §2.1", "ESEARCH is read with its sources.")
def test_sort_thread_and_esearch() -> None:
    assert request("SORT (REVERSE DATE DISPLAYFROM) UTF-8 ALL") == Sort(
        (Criterion(SortKey.DATE, True), Criterion(SortKey.DISPLAYFROM)), ALL, False
    )
    assert request("UID SORT RETURN (COUNT) (SIZE) X-NONE ALL") == Sort(
        (Criterion(SortKey.SIZE),), ALL, True, Returning(frozenset({Return.COUNT})), False
    )
    assert request("UID THREAD references UTF-8 SEEN") == Thread("REFERENCES", Flag("\\Seen"), True)
    assert request("ESEARCH IN (mailboxes (a b) personal) RETURN (MIN) ALL") == MultiSearch(
        (Source("mailboxes", ("a", "b")), Source("personal")), ALL, Returning(frozenset({Return.MIN}))
    )
    assert request("ESEARCH ALL") == MultiSearch((Source("selected"),), ALL, None)


@pytest.mark.rfc("9051 §2.2.1", "Faulty arguments are answered BAD.")
@pytest.mark.parametrize(
    "line",
    [
        'ID ("a")', "ID (a b)", "ID", "ENABLE", "ENABLE ", "CREATE", "CREATE a b", "CREATE a (USE \\Sent)",
        "DELETE a b", "RENAME a", "SELECT", "SELECT a CONDSTORE", "SELECT a (NONE)", "SELECT a ()", "STATUS a",
        "STATUS a ()", "STATUS a MESSAGES", "STATUS a (NONE)", "GETQUOTA", "SETQUOTA u", "SETQUOTA u (STORAGE)",
        "SETQUOTA u (STORAGE -1)", "SETQUOTA u (" + " ".join(["A 1"] * 11) + ")", "SETACL a b", "GETACL",
        "LISTRIGHTS a", "GENURLAUTH u", "GENURLAUTH " + " ".join(["u X"] * 101), "URLFETCH", "URLFETCH (u NONE)",
        "URLFETCH (u", "CANCELUPDATE", "UID EXPUNGE", "EXPUNGE 1", "COPY 1", "COPY a b", "COPY 0 b", "STORE 1",
        "STORE 1 FLAGS", "STORE 1 *FLAGS (a)", "STORE 1 FLAGS.LOUD (a)", "STORE 1 FLAGS (a) b",
        "STORE 1 (UNCHANGEDSINCE -1) FLAGS a", "STORE 1 FLAGS \\*", "FETCH 1", "FETCH 1 ()", "FETCH 1 NONE",
        "FETCH 1 (ALL)", "FETCH 1 (UID", "FETCH 1 BODY[", "FETCH 1 BODY[MIME]", "FETCH 1 BODY[1.]",
        "FETCH 1 BODY[1TEXT]", "FETCH 1 BODY[0]", "FETCH 1 BODY[1..2]", "FETCH 1 BODY[HEADER.FIELDS]",
        "FETCH 1 BODY[HEADER.FIELDS ()]", "FETCH 1 BODY[]<1>", "FETCH 1 BODY[]<0.0>", "FETCH 1 BINARY[TEXT]",
        "FETCH 1 BINARY[1.]", "FETCH 1 BINARY.SIZE[1.]", "FETCH 1 BODY.PEEK", "FETCH 1 FLAGS[1]",
        "FETCH 1 BODY[" + "1." * 100 + "1]", "FETCH 1 FLAGS (NONE)", "FETCH 1 FLAGS ()",
        "FETCH 1 FLAGS (CHANGEDSINCE 0)", "FETCH 1 FLAGS (PARTIAL 1:2)", "UID FETCH 1 FLAGS (PARTIAL 0:2)",
        "UID FETCH 1 FLAGS (PARTIAL -1:2)", "UID FETCH 1 FLAGS (CHANGEDSINCE 5 VANISHED)", "LIST", 'LIST ""',
        'LIST (NONE) "" *', 'LIST (RECURSIVEMATCH) "" *', 'LIST "" ()', 'LIST "" * RETURN',
        'LIST "" * RETURN (NONE)', 'LIST "" * RETURN (STATUS)', 'LIST "" * RETURN (METADATA (a))', 'LSUB ""',
        'LSUB "" a b', 'GETMETADATA ""', 'GETMETADATA "" ()', 'GETMETADATA "" a', 'GETMETADATA "" /a/',
        'GETMETADATA "" /a//b', 'GETMETADATA "" /a*', "GETMETADATA (DEPTH 2) a /b", "GETMETADATA (NONE 2) a /b",
        'SETMETADATA "" ()', 'SETMETADATA "" (/a)', 'SETMETADATA "" (/a b)', "NOTIFY", "NOTIFY NONE x", "NOTIFY SET",
        "NOTIFY SET (selected)", "NOTIFY SET (selected ())", "NOTIFY SET (nobody NONE)",
        "NOTIFY SET (subtree () NONE)", "NOTIFY SET (selected (MessageNew ()))", "SEARCH", "SEARCH ()",
        "SEARCH NONE", "SEARCH FROM", "SEARCH OR ALL", "SEARCH (ALL", "SEARCH ALL)", "SEARCH ON 31-Feb-2026",
        "SEARCH OLDER 0", "SEARCH LARGER -1", "SEARCH MODSEQ x", 'SEARCH MODSEQ "/f" none 5', "SEARCH UID",
        "SEARCH CHARSET UTF-8", "SEARCH RETURN (NONE) ALL", "SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL",
        "SEARCH RETURN (PARTIAL 1:2 ALL) ALL", "SEARCH RETURN (MIN", "SEARCH FROM {1+}\r\n\0", "SORT () UTF-8 ALL",
        "SORT (NONE) UTF-8 ALL", "SORT (" + " ".join(["DATE"] * 21) + ") UTF-8 ALL", "THREAD NONE UTF-8 ALL",
        "THREAD REFERENCES UTF-8", "ESEARCH", "ESEARCH IN () ALL", "ESEARCH IN (nobody) ALL", "COMPRESS",
        "RESETKEY a ", "NOOP ", "IDLE x",
    ],
)  # fmt: skip
def test_faulty_arguments_are_answered_bad(line: str) -> None:
    assert refusal(line).startswith("BAD ")


@pytest.mark.rfc("5530 §3", "What is understood and cannot be is answered NO with a code.")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("CREATE a (USE (\\None))", "NO [USEATTR] There is no such use of a mailbox"),
        ("SEARCH " + "(" * 40 + "ALL" + ")" * 40, "NO [LIMIT] The search is too deep, or has too many keys"),
        ("SEARCH " + "ALL " * 1001 + "ALL", "NO [LIMIT] The search is too deep, or has too many keys"),
        ("COPY " + "1," * 10_000 + "1 b", "NO [LIMIT] Too many ranges"),
        ('SETMETADATA "" (' + " ".join(["/a NIL"] * 101) + ")", "NO [METADATA TOOMANY] Too many entries"),
        ("CREATE &AGE-", "NO A mailbox name is not modified UTF-7 as it must be written"),
    ],
)
def test_what_cannot_be_is_answered_no(line: str, expected: str) -> None:
    assert refusal(line) == expected


@pytest.mark.rfc("9586 §3", "With UIDONLY each command by message number is answered BAD [UIDREQUIRED].")
def test_after_uidonly_message_numbers_are_refused() -> None:
    by_number = {command.name.removeprefix("UID ") for command in COMMANDS if command.name.startswith("UID ")} - {
        "EXPUNGE"
    }
    for name in by_number:
        assert refusal(f"{name} 1 x", "UIDONLY") == "BAD [UIDREQUIRED] Message numbers are not used any more"
    assert request("UID FETCH 1 UID", "UIDONLY") == Fetch(ONE, True, (Item.UID,))
    assert request("EXPUNGE", "UIDONLY") == Expunge()
