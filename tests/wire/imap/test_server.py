"""The IMAP engine in dialogue: whole, octet by octet, cut anywhere, and against its limits.

A line of a dialogue is `C:` and what the client says, `D:` and octets with escapes (`x*7` is seven times x), `S:` and
what the server says, or `T:` and what a stranger says in the clear behind the last command, before TLS begins.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.imap.owner import OFFER, Owner

from estafeta.wire.imap import events
from estafeta.wire.imap.capabilities import CAPABILITIES, capabilities
from estafeta.wire.imap.command import ANY, AUTHENTICATED, NOT_AUTHENTICATED, SELECTED, Command
from estafeta.wire.imap.commands import COMMANDS
from estafeta.wire.imap.commands.append import Append
from estafeta.wire.imap.commands.id import Id
from estafeta.wire.imap.commands.noop import Noop
from estafeta.wire.imap.completion import ok
from estafeta.wire.imap.compression import MOST_AT_ONCE
from estafeta.wire.imap.server import ANSWERS_HIGH, Limits, LocalProtocolError, ServerEngine
from estafeta.wire.imap.session import Offer, Session, State

DIALOGUES = sorted((Path(__file__).parent / "dialogues").glob("*.txt"))


def octets_of(text: str) -> bytes:
    if text.startswith("x*"):
        return b"x" * int(text[2:])
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def read_dialogue(file: Path) -> list[tuple[str, bytes]]:
    lines = [line for line in file.read_text(encoding="utf-8").split("\n") if line and line[0] != "#"]
    return [(line[0], octets_of(line[3:]) if line[0] == "D" else line[3:].encode() + b"\r\n") for line in lines]


def server_side(dialogue: list[tuple[str, bytes]]) -> bytes:
    return b"".join(line for who, line in dialogue if who == "S")


def arrivals(dialogue: list[tuple[str, bytes]]) -> list[bytes]:
    """What the client says, in pieces that end where TLS begins."""
    found = [b""]
    for who, line in dialogue:
        if who == "T":
            found.append(b"")
        elif who != "S":
            found[-1] += line
    return found


@pytest.mark.rfc("9051 §2.2", "Dialogues go as written, line by line.")
@pytest.mark.parametrize("file", DIALOGUES, ids=lambda file: file.stem)
def test_a_dialogue_goes_as_written_line_by_line(file: Path) -> None:
    owner = Owner()
    expected = b""
    waiting = b""
    for who, line in [*read_dialogue(file), ("S", b"")]:
        if who == "S":
            if waiting:
                owner.hear(waiting)
                waiting = b""
            expected += line
            assert owner.sent.startswith(expected)
        else:
            if not waiting:
                assert owner.sent == expected
            if who == "T":
                continue
            waiting += line
    assert owner.sent == expected


def test_what_a_stranger_says_before_tls_is_thrown_away() -> None:
    dialogue = read_dialogue(next(file for file in DIALOGUES if file.stem == "starttls"))
    said = b"".join(line for who, line in dialogue if who in "CT")
    start, _, _ = said.partition(b"a4 STARTTLS")
    owner = Owner()
    assert owner.hear(start).endswith(b"a2 OK Begin TLS\r\n")
    assert owner.hear(b"a5 NOOP\r\n") == b"a5 OK Done\r\n"
    assert sum(isinstance(event, Noop) for event in owner.told) == 1


@pytest.mark.parametrize("file", DIALOGUES, ids=lambda file: file.stem)
def test_a_dialogue_goes_the_same_octet_by_octet(file: Path) -> None:
    dialogue = read_dialogue(file)
    owner = Owner()
    for arrived in arrivals(dialogue):
        for octet in arrived:
            owner.hear(bytes((octet,)))
    assert owner.sent == server_side(dialogue)


@pytest.mark.rfc("9051 §5.5", "Commands may be sent ahead, and are answered one after the other.")
@pytest.mark.parametrize("file", DIALOGUES, ids=lambda file: file.stem)
def test_a_dialogue_goes_the_same_pipelined_in_one_piece(file: Path) -> None:
    dialogue = read_dialogue(file)
    owner = Owner()
    for arrived in arrivals(dialogue):
        owner.hear(arrived)
    assert owner.sent == server_side(dialogue)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_where_the_input_is_cut_changes_nothing(data: st.DataObject) -> None:
    dialogue = read_dialogue(data.draw(st.sampled_from(DIALOGUES)))
    owner = Owner()
    for arrived in arrivals(dialogue):
        cuts = sorted(data.draw(st.lists(st.integers(0, len(arrived)), max_size=8)))
        for start, end in zip([0, *cuts], [*cuts, len(arrived)], strict=True):
            owner.hear(arrived[start:end])
    assert owner.sent == server_side(dialogue)


@pytest.mark.parametrize("file", DIALOGUES, ids=lambda file: file.stem)
def test_the_same_is_told_however_it_is_cut(file: Path) -> None:
    whole, octets = Owner(), Owner()
    for arrived in arrivals(read_dialogue(file)):
        whole.hear(arrived)
        for octet in arrived:
            octets.hear(bytes((octet,)))
    if file.stem == "append":  # how much of a message that is refused was read depends on the cut
        whole.told, octets.told = (
            [each for each in owner.told if not isinstance(each, bytearray)] for owner in (whole, octets)
        )
    assert whole.told == octets.told
    assert whole.messages == octets.messages


# Messages.


@pytest.mark.rfc("3502 §6.3.11", "Messages of one command come one after the other, with flags and dates of their own.")
def test_messages_come_in_pieces_with_their_flags_and_dates() -> None:
    owner = Owner()
    owner.log_in()
    owner.hear(b'a APPEND box (\\Seen) "10-Feb-2026 01:02:03 +0100" {5}\r\n')
    owner.hear(b"hello {3+}\r\ntwo\r\n")
    assert owner.told == [
        Append("box"),
        events.AppendMessage(("\\Seen",), 1770681723.0, 5),
        bytearray(b"hello"),
        events.AppendMessageEnd(),
        events.AppendMessage((), None, 3),
        bytearray(b"two"),
        events.AppendMessageEnd(),
        events.AppendEnd(),
    ]
    assert owner.messages == [b"hello", b"two"]


@pytest.mark.rfc("4469 §3", "Texts and URLs come in their order.")
def test_the_parts_of_catenate_come_in_order() -> None:
    owner = Owner()
    owner.log_in()
    owner.hear(b'a APPEND box CATENATE (TEXT {2+}\r\nab URL "/x;UID=1" URL {8+}\r\n/y;UID=2 TEXT {1+}\r\nc)\r\n')
    assert owner.messages == [b"ab</x;UID=1></y;UID=2>c"]


def test_a_faulty_fragment_in_the_middle_ends_the_command_once() -> None:
    owner = Owner()
    owner.log_in()
    assert owner.hear(b"a APPEND box {2+}\r\nab (\\Seen) oops\r\nb NOOP\r\n") == (
        b"a BAD Expected a literal\r\nb OK Done\r\n"
    )
    assert events.AppendEnd(is_whole=False) in owner.told
    assert owner.messages == []


def test_a_line_in_the_middle_of_a_command_with_messages_may_be_too_long() -> None:
    owner = Owner(limits=Limits(command=100))
    owner.log_in()
    answered = owner.hear(b"a APPEND box {2+}\r\nab (" + b"\\Seen " * 50 + b"\\Seen) {2}\r\nb NOOP\r\n")
    assert answered == b"a BAD Line too long\r\nb OK Done\r\n"


@pytest.mark.rfc("7888 §4", "A literal that a line announces which is too long is no command.")
@pytest.mark.parametrize("size", [1, 50, 70_000])
def test_the_literal_of_a_line_that_is_too_long_is_passed_over(size: int) -> None:
    said = b"a NOOP " + b"x" * 100_000 + b" {12+}\r\nx LOGOUT\r\nab\r\nb NOOP\r\n"
    owner = Owner()
    owner.log_in()
    answered = b"".join(owner.hear(said[at : at + size]) for at in range(0, len(said), size))
    assert answered == b"* BAD Line too long\r\nb OK Done\r\n"


def test_too_many_parts_of_a_message_are_refused() -> None:
    owner = Owner()
    owner.log_in()
    said = b"a APPEND box CATENATE (" + b" ".join([b"URL x"] * 1001) + b")\r\nb NOOP\r\n"
    assert owner.hear(said) == b"a NO [LIMIT] Too many messages\r\nb OK Done\r\n"


def test_an_unasked_message_of_a_mailbox_that_is_missing_is_not_kept() -> None:
    engine = Owner().engine
    engine.session.state = State.AUTHENTICATED
    engine.feed(b"a APPEND box {1000+}\r\n")
    assert engine.next_event() == Append("box")
    assert engine.next_event() is None
    assert engine.take() == b""


@pytest.mark.rfc("7888 §4", "A literal that is too large to be passed over ends the session.")
@pytest.mark.parametrize("command", [b"a CREATE", b"a APPEND box", b"a NONE", b"a APPEND box {2+}\r\nab"])
def test_a_literal_that_cannot_be_passed_over_ends_the_session(command: bytes) -> None:
    owner = Owner()
    owner.log_in()
    answered = owner.hear(command + b" {99999999999+}\r\nx").split(b"\r\n")
    assert len(answered) == 3
    assert answered[0].startswith((b"a NO ", b"a BAD "))
    assert answered[1] == b"* BYE [TOOBIG] The literal is too large"
    assert owner.engine.is_ended
    assert owner.told[-1] == events.TooManyFaults()
    assert owner.hear(b"b NOOP\r\n") == b""


# Limits.


@pytest.mark.parametrize("is_known", [False, True])
def test_a_line_may_be_as_long_as_the_limit(is_known: bool) -> None:
    most = 65_536 if is_known else 36_864
    for size, expected in ((most, b"a OK Done\r\n"), (most + 1, b"* BAD Line too long\r\n")):
        owner = Owner()
        if is_known:
            owner.log_in()
        start = b'a ID ("x" "'
        answered = owner.hear(start + b"y" * (size - len(start) - 4) + b'")\r\n')
        # A field of that size is not taken either way: the line was read, or not.
        assert answered == (b"a BAD Too many or too long fields\r\n" if expected.startswith(b"a") else expected)


@pytest.mark.rfc("2971 §3.3", "Fields have at most 30 and 1024 octets, and there are at most 30 of them.")
def test_the_largest_id_is_taken_before_login() -> None:
    fields = [(f"{number:030}", "v" * 1024) for number in range(30)]
    said = " ".join(f'"{name}" "{value}"' for name, value in fields)
    owner = Owner()
    assert owner.hear(f"a ID ({said})\r\n".encode()) == b"a OK Done\r\n"
    assert owner.told == [Id(tuple(fields))]
    assert owner.hear(f'b ID ({said} "x" NIL)\r\n'.encode()) == b"b BAD Too many or too long fields\r\n"
    for faulty in ('("%s" "x")' % ("n" * 31), '("x" "%s")' % ("v" * 1025)):
        assert owner.hear(f"c ID {faulty}\r\n".encode()) == b"c BAD Too many or too long fields\r\n"


def test_literals_before_login_are_small() -> None:
    owner = Owner()
    assert owner.hear(b"a LOGIN {36865}\r\n") == b"a NO [TOOBIG] The literal is too large\r\n"
    assert owner.hear(b"a LOGIN {36864}\r\n") == b"+ Go on\r\n"


def test_a_command_has_not_too_many_literals() -> None:
    owner = Owner()
    owner.log_in()
    answered = owner.hear(b"a CREATE" + b" {0+}\r\n" * 1001 + b"\r\nb NOOP\r\n")
    assert answered == b"a NO [TOOBIG] The literal is too large\r\nb OK Done\r\n"


def test_too_many_faults_end_the_session() -> None:
    owner = Owner(limits=Limits(faults=3))
    answered = owner.hear(b"a NOPE\r\nb NOPE\r\nc NOOP\r\nd NOPE\r\ne NOPE\r\nf NOPE\r\ng NOOP\r\n")
    assert answered.endswith(b"f BAD There is no command NOPE\r\n* BYE Too many faulty commands\r\n")
    assert owner.told == [Noop(), events.TooManyFaults()]
    assert owner.engine.is_ended


def test_faulty_ends_of_idle_and_append_are_faults_too() -> None:
    owner = Owner(limits=Limits(faults=3))
    owner.log_in()
    answered = owner.hear(b"a IDLE\r\nx\r\nb NOPE\r\nc NOPE\r\nd NOPE\r\n")
    assert answered.endswith(b"* BYE Too many faulty commands\r\n")
    assert b"a BAD Expected DONE\r\n" in answered
    assert b"d BAD" not in answered


def test_a_tag_has_an_end_and_an_unknown_name_is_not_sent_back_whole() -> None:
    owner = Owner()
    assert owner.hear(b"t" * 256 + b" NOOP\r\n") == b"* BAD Expected a tag and a command\r\n"
    assert owner.hear(b"t" * 255 + b" NOOP\r\n") == b"t" * 255 + b" OK Done\r\n"
    assert len(owner.hear(b"a " + b"N" * 30_000 + b"\r\n")) < 100


def test_answers_are_handed_out_piece_by_piece() -> None:
    engine = ServerEngine(OFFER)
    engine.feed(b"a NOPE\r\na NOOP\r\n" * 4000)
    largest = turns = 0
    while (event := engine.next_event()) is not None:
        if isinstance(event, Noop):
            engine.complete(ok("Done"))
        else:
            assert event == events.AnswersWaiting()
            largest = max(largest, len(engine.take()))
            turns += 1
    assert turns == 2
    assert largest < 2 * ANSWERS_HIGH


@pytest.mark.parametrize(
    "said",
    [
        b"a SEARCH " + b"NOT " * 10_000 + b"ALL\r\n",
        b"a SEARCH " + b"(" * 30_000 + b"\r\n",
        b'a CREATE "' + b"\\\\" * 30_000 + b"\r\n",
        b"a CREATE " + b"&" * 60_000 + b"\r\n",
        b"a FETCH " + b"1," * 30_000 + b"\r\n",
        b"a FETCH 1 BODY[" + b"1." * 30_000 + b"\r\n",
        b"a ESEARCH IN (" + b"mailboxes x " * 5000 + b"\r\n",
        b"a CREATE " + b"{1+}\r\nx" * 900 + b"\r\n",
    ],
    ids=lambda said: said[:24].decode(),
)
def test_long_commands_are_answered_at_once(said: bytes) -> None:
    owner = Owner()
    owner.select()
    start = perf_counter()
    answered = owner.hear(said)
    assert perf_counter() - start < 2
    assert answered.startswith(b"a ") and answered.count(b"\r\n") == 1


# Compression.


def deflated(octets: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(octets) + packer.flush(zlib.Z_SYNC_FLUSH)


def compressed_owner() -> Owner:
    owner = Owner()
    owner.log_in()
    assert owner.hear(b"a COMPRESS DEFLATE\r\n") == b"a OK Done\r\n"
    return owner


@pytest.mark.rfc("4978 §3", "Both directions are compressed from behind the OK, which is not.")
def test_both_directions_are_compressed() -> None:
    owner = compressed_owner()
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    unpacker = zlib.decompressobj(-15)
    for number in range(3):
        said = packer.compress(b"b%d NOOP\r\n" % number) + packer.flush(zlib.Z_SYNC_FLUSH)
        answered = b"".join(owner.hear(bytes((octet,))) for octet in said)
        assert unpacker.decompress(answered) == b"b%d OK Done\r\n" % number


def test_octets_behind_compress_are_compressed_ones() -> None:
    owner = Owner()
    owner.log_in()
    answered = owner.hear(b"a COMPRESS DEFLATE\r\n" + deflated(b"b NOOP\r\nc NOOP\r\n"))
    plain = b"a OK Done\r\n"
    assert answered.startswith(plain)
    assert zlib.decompressobj(-15).decompress(answered[len(plain) :]) == b"b OK Done\r\nc OK Done\r\n"


@pytest.mark.rfc("4978 §3", "A second COMPRESS is refused with COMPRESSIONACTIVE.")
def test_compress_is_refused_when_it_is_on_or_not_offered() -> None:
    owner = compressed_owner()
    answered = zlib.decompressobj(-15).decompress(owner.hear(deflated(b"b COMPRESS DEFLATE\r\n")))
    assert answered == b"b NO [COMPRESSIONACTIVE] The connection is compressed already\r\n"
    owner = Owner(Offer(compress=False))
    owner.log_in()
    assert owner.hear(b"a COMPRESS DEFLATE\r\n") == b"a BAD This compression is not offered\r\n"
    owner = Owner()
    owner.log_in()
    assert owner.hear(b"a COMPRESS LZW\r\n") == b"a BAD This compression is not offered\r\n"


@pytest.mark.rfc("9586 §3", "With UIDONLY a search key that is a message number is refused.")
def test_numbers_in_a_search_are_refused_with_uidonly() -> None:
    owner = Owner()
    owner.log_in()
    owner.engine.session.state = State.SELECTED
    owner.engine.session.enabled.add("UIDONLY")
    assert owner.hear(b"a UID SEARCH 1:3\r\n").startswith(b"a BAD [UIDREQUIRED] ")
    assert owner.hear(b"b UID SEARCH UID 1:3\r\n") == b"b OK Done\r\n"


def test_a_faulty_line_behind_a_literal_that_is_passed_over_ends_the_passing_over() -> None:
    owner = Owner()
    owner.log_in()
    answered = owner.hear(b"a FOO {3+}\r\nabc\0\r\nb NOOP\r\n")
    assert answered == b"a BAD There is no command FOO\r\nb OK Done\r\n"


@pytest.mark.rfc("9051 §6.2.3", "Where LOGIN is disabled nobody is asked for the literal of a password.")
def test_no_literal_is_asked_for_where_login_is_disabled() -> None:
    engine = ServerEngine(Offer(login=False))
    engine.feed(b"a LOGIN {3}\r\n")
    assert engine.next_event() is None
    assert engine.take() == b"a NO [PRIVACYREQUIRED] LOGIN is disabled here: use TLS\r\n"


def test_what_is_not_compressed_ends_the_session() -> None:
    for octets in (b"b NOOP\r\n" + b"\xff" * 20, zlib.compress(b"b NOOP\r\n")):
        owner = compressed_owner()
        answered = zlib.decompressobj(-15).decompress(owner.hear(octets))
        assert answered.endswith(b"* BYE What you send is not compressed as agreed\r\n")
        assert owner.told[-1] == events.TooManyFaults()
        assert owner.engine.is_ended


def test_a_bomb_fills_no_memory() -> None:
    owner = compressed_owner()
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    owner.engine.feed(packer.compress(b"x" * 64_000_000) + packer.flush(zlib.Z_SYNC_FLUSH))
    turns = 0
    while owner.engine.next_event() is not None:  # others have their turn in between
        turns += 1
    assert turns > 10
    assert len(owner.engine._input) <= MOST_AT_ONCE
    owner.engine.feed(packer.compress(b"\r\n") + packer.flush(zlib.Z_SYNC_FLUSH))
    assert owner.engine.next_event() is None
    assert zlib.decompressobj(-15).decompress(owner.engine.take()) == b"* BAD Line too long\r\n"


# States and capabilities.


STATES = (State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED)


@pytest.mark.rfc("9051 §6", "Each command is legal in exactly the states of its standard.")
def test_each_command_is_legal_in_exactly_the_states_of_its_standard() -> None:
    by_states = {
        ANY: "CAPABILITY NOOP LOGOUT ID",
        NOT_AUTHENTICATED: "STARTTLS AUTHENTICATE LOGIN",
        SELECTED: "CLOSE UNSELECT CHECK EXPUNGE SEARCH SORT THREAD FETCH STORE COPY MOVE REPLACE",
        AUTHENTICATED: "ENABLE SELECT EXAMINE CREATE DELETE RENAME SUBSCRIBE UNSUBSCRIBE LIST LSUB NAMESPACE STATUS"
        " APPEND IDLE COMPRESS UNAUTHENTICATE GETQUOTA GETQUOTAROOT SETQUOTA SETACL DELETEACL GETACL LISTRIGHTS"
        " MYRIGHTS GETMETADATA SETMETADATA NOTIFY GENURLAUTH RESETKEY URLFETCH ESEARCH CANCELUPDATE",
    }
    for states, names in by_states.items():
        found = {command.name for command in COMMANDS if command.states == states}
        assert {name for name in found if not name.startswith("UID ")} == set(names.split())
    by_uid = {command.name for command in COMMANDS if command.name.startswith("UID ")}
    assert by_uid == {
        f"UID {name}" for name in ("EXPUNGE", "SEARCH", "SORT", "THREAD", "FETCH", "STORE", "COPY", "MOVE", "REPLACE")
    }


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
@pytest.mark.parametrize("state", STATES)
def test_a_command_in_the_wrong_state_changes_nothing(command: Command, state: State) -> None:
    owner = Owner()
    owner.engine.session.state = state
    answered = owner.hear(f"a {command.name} )\r\n".encode())
    if state in command.states:
        assert answered.startswith((b"a BAD", b"a NO")), answered
        assert b"is not for" not in answered
    else:
        assert answered == f"a BAD {command.name} is not for the {state} state\r\n".encode()
    assert owner.told == [] and owner.engine.session.state is state


def words(offer: Offer = OFFER, state: State = State.NOT_AUTHENTICATED) -> list[str]:
    session = Session(offer)
    session.state = state
    return capabilities(session).split()


@pytest.mark.rfc("9051 §6.1.1", "IMAP4rev2 and IMAP4rev1 are offered in all states.")
@pytest.mark.rfc("9051 §11.2", "LOGINDISABLED is said where no password may be sent.")
@pytest.mark.rfc("7889 §3", "The largest message is told as APPENDLIMIT.")
@pytest.mark.rfc("4978 §2", "COMPRESS=DEFLATE is offered until it is in use.")
def test_what_is_offered_in_which_state() -> None:
    before = words()
    assert before[:3] == ["CAPABILITY", "IMAP4rev2", "IMAP4rev1"]
    assert {"STARTTLS", "AUTH=PLAIN", "SASL-IR", "LITERAL+", "ID", "ENABLE"} <= set(before)
    assert "LOGINDISABLED" not in before and "MOVE" not in before and "COMPRESS=DEFLATE" not in before
    assert {"LOGINDISABLED"} < set(words(Offer(login=False)))
    assert not {"STARTTLS", "AUTH=PLAIN"} & set(words(Offer()))
    after = words(state=State.AUTHENTICATED)
    assert not {"STARTTLS", "AUTH=PLAIN", "LOGINDISABLED"} & set(after)
    assert {"MOVE", "CONDSTORE", "QRESYNC", "COMPRESS=DEFLATE", "APPENDLIMIT=1000", "UNAUTHENTICATE"} <= set(after)
    assert words(state=State.SELECTED) == after
    assert "MESSAGELIMIT=500" in words(Offer(message_limit=500), State.AUTHENTICATED)
    session = Session(OFFER)
    session.state = State.AUTHENTICATED
    session.is_compressed = True
    assert "COMPRESS=DEFLATE" not in capabilities(session)


def test_no_capability_is_said_twice_and_commands_belong_to_those_offered() -> None:
    everything = Offer(("PLAIN",), True, True, True, 1, 1)
    said = {state: words(everything, state) for state in STATES}
    for each in said.values():
        assert len(each) == len(set(each))
    assert {command.capability for command in COMMANDS} - {""} <= set(said[State.AUTHENTICATED])
    assert len({capability.name for capability in CAPABILITIES}) == len(CAPABILITIES)


@pytest.mark.rfc("9051 §6.2.3", "LOGIN is refused where it is disabled, with PRIVACYREQUIRED.")
def test_login_is_refused_where_it_is_disabled() -> None:
    owner = Owner(Offer(login=False))
    assert owner.hear(b"a LOGIN ana s3cret\r\n") == b"a NO [PRIVACYREQUIRED] LOGIN is disabled here: use TLS\r\n"


# The owner's side.


@pytest.mark.rfc("9051 §7.1.1", "The greeting has the capabilities in it.")
def test_the_greeting_tells_what_is_offered() -> None:
    engine = ServerEngine(OFFER)
    engine.greet("ready")
    assert engine.take() == f"* OK [{' '.join(words())}] ready\r\n".encode()


def test_an_answer_to_nothing_is_an_error_of_the_owner() -> None:
    engine = ServerEngine(OFFER)
    for answer in (engine.go_on, engine.idling, lambda: engine.challenge(b""), lambda: engine.complete(ok("Done"))):
        with pytest.raises(LocalProtocolError):
            answer()


def test_one_request_is_open_at_a_time() -> None:
    engine = ServerEngine(OFFER)
    engine.feed(b"a NOOP\r\nb NOOP\r\n")
    assert engine.next_event() == Noop()
    assert engine.next_event() is None
    engine.complete(ok("Done"))
    assert engine.next_event() == Noop() and engine.tag == "b"


def test_the_owner_ends_a_session_once_and_an_exchange_or_idle_at_any_time() -> None:
    engine = ServerEngine(OFFER)
    engine.session.state = State.AUTHENTICATED
    engine.feed(b"a IDLE\r\n")
    engine.next_event()
    engine.idling()
    engine.complete(ok("Enough"))
    assert engine.take() == b"+ idling\r\na OK Enough\r\n"
    engine.bye("Stopping", "UNAVAILABLE")
    engine.bye("Stopping")
    assert engine.take() == b"* BYE [UNAVAILABLE] Stopping\r\n"
    engine.feed(b"b NOOP\r\n")
    assert engine.is_ended and engine.next_event() is None
