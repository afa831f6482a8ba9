"""BDAT on the server's side: chunks are read whole whatever they are answered with (RFC 3030)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.reply import Reply
from estafeta.wire.smtp import events
from estafeta.wire.smtp.data import DataFault
from estafeta.wire.smtp.server import ServerEngine
from estafeta.wire.smtp.session import Phase, ServerOptions

OK = Reply.of(250, "ok", "2.0.0")
NO = Reply.of(452, "no room", "4.3.1")


class Owner:
    """Takes all, and keeps what came."""

    def __init__(self, options: ServerOptions | None = None) -> None:
        self.engine = ServerEngine(options or ServerOptions("mx.example.org", refuse_early_commands=False))
        self.content = b""
        self.ends: list[events.EndOfData | events.EndOfChunk] = []
        self.refuses_chunks = False

    def say(self, *chunks: bytes) -> list[str]:
        """The replies' codes and status codes, EHLO's lines as one."""
        for chunk in chunks:
            self.engine.feed(chunk)
            while (event := self.engine.next_event()) is not None:
                self._answer(event)
        lines = self.engine.take_output().decode().splitlines()
        return [" ".join(line.split()[:2]) for line in lines if line[3] == " "]

    def _answer(self, event: events.Event) -> None:
        match event:
            case events.Hello():
                self.engine.answer(self.engine.hello_reply("mx.example.org"))
            case events.Bdat():
                pass
            case events.Content(octets):
                self.content += octets
            case events.EndOfChunk() | events.EndOfData():
                self.ends.append(event)
                self.engine.answer(NO if self.refuses_chunks else OK)
            case events.Data():
                self.engine.answer(Reply.of(354, "go on"))
            case events.Faulty(_, reply):
                self.engine.answer(reply)
                if event.out_of_step:
                    self.engine.end()
            case _:
                self.engine.answer(OK)


def begun(parameters: bytes = b"") -> Owner:
    """An owner whose client has said MAIL and RCPT."""
    owner = Owner()
    owner.say(b"EHLO c\r\nMAIL FROM:<a@example.net>%b\r\nRCPT TO:<b@example.org>\r\n" % parameters)
    assert owner.engine.phase is Phase.RCPT
    return owner


@pytest.mark.rfc("3030 §2", "Chunks are put together as they stand; each is answered, the last one for the message.")
def test_chunks_make_one_content() -> None:
    owner = begun()
    assert owner.say(b"BDAT 5\r\na\r\n.\r", b"BDAT 2\r\n\nb", b"BDAT 6 LAST\r\n\r\n..\r\n") == ["250 2.0.0"] * 3
    assert owner.content == b"a\r\n.\r\nb\r\n..\r\n"
    assert owner.ends == [
        events.EndOfChunk(5),
        events.EndOfChunk(7),
        events.EndOfData(13, has_8bit=False, fault=None),
    ]
    assert owner.engine.phase is Phase.READY


@pytest.mark.rfc("3030 §2", "The last chunk may be empty, and LAST is written in any case.")
@pytest.mark.parametrize("last", [b"BDAT 0 LAST\r\n", b"bdat 00 last\r\n", b"BDAT 0  Last \r\n"])
def test_the_last_chunk_may_be_empty(last: bytes) -> None:
    owner = begun()
    assert owner.say(b"BDAT 3\r\nabc", last) == ["250 2.0.0"] * 2
    assert owner.content == b"abc"
    assert owner.engine.phase is Phase.READY


@pytest.mark.rfc("3030 §2", "The octets of a chunk are passed over where it is refused, and are never commands.")
@pytest.mark.parametrize(
    ("before", "chunk", "reply"),
    [
        (b"", b"BDAT 6 LAST\r\nQUIT\r\n", "503 5.5.1"),
        (b"EHLO c\r\n", b"BDAT 6 LAST\r\nQUIT\r\n", "503 5.5.1"),
        (b"EHLO c\r\nMAIL FROM:<>\r\n", b"BDAT 6 LAST\r\nQUIT\r\n", "503 5.5.1"),
        (b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@c.example>\r\n", b"BDAT 6 FIRST\r\nQUIT\r\n", "501 5.5.4"),
    ],
)
def test_a_refused_chunk_is_passed_over(before: bytes, chunk: bytes, reply: str) -> None:
    owner = Owner()
    owner.say(before)
    assert owner.say(*(bytes([octet]) for octet in chunk)) == [reply]
    assert owner.say(b"NOOP\r\n") == ["250 2.0.0"]
    assert not owner.content


@pytest.mark.parametrize("argument", [b"", b"x", b"-1", b"0x10 LAST", b"123456789012345678901", b"LAST"])
def test_a_chunk_of_unknown_size_ends_the_session(argument: bytes) -> None:
    owner = begun()
    assert owner.say(b"BDAT %b\r\nMAIL FROM:<evil@example.net>\r\n" % argument) == ["501 5.5.4"]
    assert owner.engine.is_ended


@pytest.mark.rfc("3030 §2", "After a refused chunk only RSET leads on; chunks that were on their way get 503.")
def test_after_a_refused_chunk_the_transaction_is_over() -> None:
    owner = begun()
    owner.refuses_chunks = True
    assert owner.say(b"BDAT 2\r\nabBDAT 2\r\ncdBDAT 2 LAST\r\nef") == ["452 4.3.1", "503 5.5.1", "503 5.5.1"]
    assert owner.content == b"ab"
    assert owner.say(b"DATA\r\n") == ["503 5.5.1"]
    assert owner.say(b"RSET\r\nMAIL FROM:<>\r\n") == ["250 2.0.0"] * 2


@pytest.mark.rfc("3030 §2", "BDAT and DATA do not mix, and no recipient follows the first chunk.")
@pytest.mark.parametrize("command", [b"DATA", b"RCPT TO:<c@example.org>", b"MAIL FROM:<>", b"STARTTLS", b"AUTH PLAIN"])
def test_between_chunks_there_is_nothing_but_chunks(command: bytes) -> None:
    owner = Owner(
        ServerOptions("mx.example.org", starttls=True, insecure_mechanisms=("PLAIN",), refuse_early_commands=False)
    )
    owner.say(b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nBDAT 2\r\nab")
    assert owner.engine.phase is Phase.CHUNKS
    assert owner.say(command + b"\r\n") == ["503 5.5.1"]
    assert owner.say(b"NOOP\r\nBDAT 1 LAST\r\nc") == ["250 2.0.0"] * 2
    assert owner.content == b"abc"


def test_ehlo_between_chunks_drops_the_transaction() -> None:
    owner = begun()
    owner.say(b"BDAT 2\r\nab", b"EHLO c\r\n")
    assert owner.engine.phase is Phase.READY


@pytest.mark.parametrize(
    ("chunks", "fault"),
    [
        ([b"a\r\n", b"b\r\n"], None),
        ([b"a\r", b"\nb"], None),
        ([b"a\r", b"b"], DataFault.BARE_LINE_END),
        ([b"a\r", b"", b"b"], DataFault.BARE_LINE_END),
        ([b"a\nb", b""], DataFault.BARE_LINE_END),
        ([b"a", b"b\r"], DataFault.BARE_LINE_END),
        ([b"a\r", b""], DataFault.BARE_LINE_END),
        ([b"\n", b"b"], DataFault.BARE_LINE_END),
        ([b"\r\r\n"], DataFault.BARE_LINE_END),
        ([b"a\0"], DataFault.NUL),
    ],
)
@pytest.mark.rfc("3030 §3", "CR, LF and NUL of their own are a fault, unless BODY=BINARYMIME was said.")
def test_lines_are_looked_at_unless_it_is_binary(chunks: list[bytes], fault: DataFault | None) -> None:
    for parameters, expected in ((b"", fault), (b" BODY=8BITMIME", fault), (b" BODY=BINARYMIME", None)):
        owner = begun(parameters)
        sent = [b"BDAT %d\r\n%b" % (len(chunk), chunk) for chunk in chunks[:-1]]
        owner.say(*sent, b"BDAT %d LAST\r\n%b" % (len(chunks[-1]), chunks[-1]))
        end = owner.ends[-1]
        assert isinstance(end, events.EndOfData)
        assert end.fault is expected
        assert owner.content == b"".join(chunks)


@pytest.mark.rfc("3030 §3", "BINARYMIME cannot be sent by DATA.")
def test_binary_content_needs_bdat() -> None:
    owner = begun(b" BODY=BINARYMIME")
    assert owner.say(b"DATA\r\n") == ["503 5.5.1"]
    assert owner.say(b"BDAT 3 LAST\r\n\n\r\0") == ["250 2.0.0"]


def test_turned_off_neither_is_offered_nor_taken() -> None:
    owner = Owner(ServerOptions("mx.example.org", chunking=False))
    owner.engine.feed(b"EHLO c\r\n")
    owner.engine.next_event()
    owner.engine.answer(owner.engine.hello_reply("mx.example.org"))
    assert b"CHUNKING" not in owner.engine.take_output()
    assert owner.say(b"MAIL FROM:<> BODY=BINARYMIME\r\n") == ["555 5.5.4"]
    assert owner.say(b"MAIL FROM:<>\r\nBDAT 0\r\n") == ["250 2.0.0", "502 5.5.1"]


@pytest.mark.rfc("2033 §4.3", "LMTP answers the last chunk once for each accepted recipient.")
def test_lmtp_answers_the_last_chunk_for_each_recipient() -> None:
    engine = ServerEngine(ServerOptions("mx.example.org", lmtp=True, refuse_early_commands=False))
    owner = Owner()
    owner.engine = engine
    owner.say(b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n")
    engine.feed(b"BDAT 1 LAST\r\na")
    assert isinstance(engine.next_event(), events.Bdat)
    assert isinstance(engine.next_event(), events.Content)
    assert isinstance(engine.next_event(), events.EndOfData)
    engine.answer_each([OK, NO])
    assert engine.take_output() == b"250 2.0.0 ok\r\n452 4.3.1 no room\r\n"
    assert engine.phase is Phase.READY


DIALOGUE = (
    b"EHLO c\r\nBDAT 4\r\n\r\n.\rMAIL FROM:<a@example.net> BODY=BINARYMIME\r\nBDAT 2\r\nxxRCPT TO:<b@example.org>\r\n"
    b"BDAT 10\r\nRSET\r\n.\r\n\nBDAT 0\r\nBDAT 2 FIRST\r\nyyBDAT 3 LAST\r\n\xff\0\nMAIL FROM:<>\r\nQUIT\r\n"
)


@given(st.lists(st.integers(0, len(DIALOGUE)), max_size=12))
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    whole = Owner()
    replies = whole.say(DIALOGUE)
    assert whole.content == b"RSET\r\n.\r\n\n\xff\0\n"
    at = [0, *sorted(cuts), len(DIALOGUE)]
    cut = Owner()
    assert cut.say(*(DIALOGUE[start:end] for start, end in pairwise(at))) == replies
    assert (cut.content, cut.ends) == (whole.content, whole.ends)
