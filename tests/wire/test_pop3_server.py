"""The POP3 engine in dialogue: whole, octet by octet, cut anywhere, and against its limits."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire.pop3 import events
from estafeta.wire.pop3.commands import COMMANDS
from estafeta.wire.pop3.maildrop import Entry
from estafeta.wire.pop3.message import end_of_top
from estafeta.wire.pop3.server import ANSWERS_HIGH, Limits, LocalProtocolError, ServerEngine
from estafeta.wire.pop3.session import Code, Command, Offer, State
from estafeta.wire.sasl import Challenge, CheckPassword, ServerMechanism, Step, server_mechanism

DIALOGUES = sorted((Path(__file__).parent / "pop3_dialogues").glob("*.txt"))
OFFER = Offer(mechanisms=("PLAIN", "LOGIN"), user=True, stls=True)
MESSAGES = (
    b"Subject: one\r\n\r\nfirst\r\nsecond\r\nthird\r\n",
    b"Subject: dots\r\n.in-header: yes\r\n\r\n.\r\n..\r\n.two\r\nin . the . middle\r\n",
    b"Subject: no body\r\nX-Last: no CRLF..",
)


class Owner:
    """An engine whose events are answered from memory; `sent` is what the client sees."""

    def __init__(self, offer: Offer = OFFER, limits: Limits | None = None) -> None:
        self.engine = ServerEngine(offer, limits=limits)
        self.engine.greet("ready")
        self.sent = self.engine.take()
        self.seen: list[events.Event] = []
        self.deleted: tuple[int, ...] | None = None
        self._mechanism: ServerMechanism | None = None

    def feed(self, octets: bytes) -> None:
        """Take octets and answer all that follows from them."""
        self.engine.feed(octets)
        while (event := self.engine.next_event()) is not None:
            self.seen.append(event)
            self._answer(event)
            self.sent += self.engine.take()
        self.sent += self.engine.take()

    def _answer(self, event: events.Event) -> None:
        match event:
            case events.Login(user, password):
                self._finish((user, password) == ("ana@example.org", "s3cret"))
            case events.Authenticate(mechanism, initial):
                self._mechanism = server_mechanism(mechanism, nonce="n0nce", channel_binding=None)
                self._step(self._mechanism.step(initial))
            case events.AuthenticationResponse(octets):
                assert self._mechanism is not None
                self._step(self._mechanism.step(octets))
            case events.StartTls():
                self.engine.tls_started(Offer(mechanisms=("PLAIN",), user=True, stls=True))
            case events.Retrieve(number, lines):
                octets = MESSAGES[number - 1]
                if lines is None:
                    self.engine.give_message(f"{len(octets)} octets", octets)
                    return
                self.engine.begin_message("")
                shown = octets[: end_of_top(octets, lines)]
                for start in range(0, len(shown), 7):
                    self.engine.message_octets(shown[start : start + 7])
                self.engine.end_message()
            case events.Quit(deleted):
                self.deleted = deleted
                self.engine.farewell(removed=3 not in deleted)

    def _step(self, step: Step) -> None:
        match step:
            case Challenge(octets):
                self.engine.challenge(octets)
            case CheckPassword(identity, _, password):
                self._finish((identity, password) == ("ana@example.org", "s3cret"))
            case _:
                self._finish(False)

    def _finish(self, is_known: bool) -> None:
        if is_known:
            self.engine.logged_in([Entry(len(octets), f"7.{uid}") for uid, octets in enumerate(MESSAGES, 1)])
        else:
            self.engine.refuse("wrong name or password", Code.AUTH)


def read_dialogue(file: Path) -> list[tuple[str, bytes]]:
    """Pairs of side and line, with CRLF."""
    lines = [line for line in file.read_text(encoding="utf-8").split("\n") if line and line[0] != "#"]
    return [(line[0], line[3:].encode() + b"\r\n") for line in lines]


def side(dialogue: list[tuple[str, bytes]], name: str) -> bytes:
    return b"".join(line for who, line in dialogue if who == name)


@pytest.mark.rfc("1939", "Dialogues go as written, line by line.")
@pytest.mark.parametrize("file", DIALOGUES, ids=lambda file: file.stem)
def test_a_dialogue_goes_as_written_line_by_line(file: Path) -> None:
    owner = Owner()
    expected = b""
    for who, line in read_dialogue(file):
        if who == "C":
            assert owner.sent == expected
            owner.feed(line)
        else:
            expected += line
    assert owner.sent == expected


@pytest.mark.parametrize("file", DIALOGUES, ids=lambda file: file.stem)
def test_a_dialogue_goes_the_same_octet_by_octet(file: Path) -> None:
    dialogue = read_dialogue(file)
    owner = Owner()
    for octet in side(dialogue, "C"):
        owner.feed(bytes((octet,)))
    assert owner.sent == side(dialogue, "S")


@pytest.mark.rfc("2449 §6.6", "Commands may be pipelined.")
@pytest.mark.parametrize("file", DIALOGUES, ids=lambda file: file.stem)
def test_a_dialogue_goes_the_same_pipelined_in_one_piece(file: Path) -> None:
    dialogue = read_dialogue(file)
    owner = Owner()
    owner.feed(side(dialogue, "C"))
    assert owner.sent == side(dialogue, "S")


@given(st.data())
def test_where_the_input_is_cut_changes_nothing(data: st.DataObject) -> None:
    dialogue = read_dialogue(data.draw(st.sampled_from(DIALOGUES)))
    octets = side(dialogue, "C")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=8)))
    owner = Owner()
    for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        owner.feed(octets[start:end])
    assert owner.sent == side(dialogue, "S")


NOISE = st.sampled_from(
    [b"USER a\r\n", b"\0", b"\r", b"\n", b"AUTH PLAIN\r\n", b"STLS\r\n", b"*", b"x" * 300]
) | st.binary(max_size=40)


@given(st.lists(NOISE, max_size=60))
def test_no_input_breaks_the_engine_and_every_answer_is_a_response(pieces: list[bytes]) -> None:
    owner = Owner()
    for piece in pieces:
        owner.feed(piece)
    assert owner.sent.endswith(b"\r\n")
    assert owner.engine.is_ended == (b"too many faults" in owner.sent or owner.deleted is not None)


@pytest.mark.rfc("1939 §3", "Each command is legal in exactly the states of its standard.")
def test_each_command_is_legal_in_exactly_the_states_of_its_standard() -> None:
    legal = {command.name: "".join(sorted(state[0] for state in command.states)) for command in COMMANDS}
    assert legal == {
        "CAPA": "AT",
        "STLS": "A",
        "UTF8": "A",
        "USER": "A",
        "PASS": "A",
        "AUTH": "A",
        "STAT": "T",
        "LIST": "T",
        "UIDL": "T",
        "RETR": "T",
        "TOP": "T",
        "DELE": "T",
        "RSET": "T",
        "NOOP": "T",
        "QUIT": "AT",
    }


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
@pytest.mark.parametrize("state", [State.AUTHORIZATION, State.TRANSACTION])
def test_a_command_in_the_wrong_state_changes_nothing(command: Command, state: State) -> None:
    if state in command.states:
        return
    owner = Owner()
    if state is State.TRANSACTION:
        owner.feed(b"USER ana@example.org\r\nPASS s3cret\r\n")
    before = len(owner.sent)
    owner.feed(f"{command.name} 1 1\r\n".encode())
    assert owner.sent[before:] == f"-ERR {command.name} is not for the {state} state\r\n".encode()
    assert owner.engine.state is state


def test_quit_before_login_removes_nothing_and_after_login_what_is_marked() -> None:
    owner = Owner()
    owner.feed(b"QUIT\r\n")
    assert (owner.deleted, owner.engine.state, owner.engine.is_ended) == ((), State.AUTHORIZATION, True)
    owner = Owner()
    owner.feed(b"USER ana@example.org\r\nPASS s3cret\r\nDELE 2\r\nDELE 1\r\nQUIT\r\nSTAT\r\n")
    assert (owner.deleted, owner.engine.state) == ((1, 2), State.UPDATE)
    assert owner.sent.endswith(b"+OK bye\r\n")


@pytest.mark.rfc("2595 §4", "What comes in the clear behind STLS is thrown away.")
def test_what_comes_with_stls_in_the_clear_is_thrown_away() -> None:
    owner = Owner()
    owner.feed(b"USER eve@example.org\r\nSTLS\r\nPASS injected\r\nNOOP")
    owner.feed(b"\r\n")
    assert owner.sent.endswith(b"+OK begin TLS\r\n-ERR not a command\r\n")
    owner.feed(b"PASS s3cret\r\n")
    assert owner.sent.endswith(b"-ERR send USER first\r\n")
    owner.feed(b"STLS\r\n")
    assert owner.sent.endswith(b"-ERR TLS is active already\r\n")
    owner.feed(b"CAPA\r\n")
    assert b"STLS\r\n" not in owner.sent.rpartition(b"+OK")[2]
    assert b"SASL PLAIN\r\n" in owner.sent.rpartition(b"+OK")[2]


def test_passwords_are_not_taken_where_they_are_not_offered() -> None:
    owner = Owner(Offer(mechanisms=("SCRAM-SHA-256",), user=False, stls=True))
    for line in (b"USER ana@example.org", b"PASS s3cret", b"AUTH PLAIN AGEAYg=="):
        owner.feed(line + b"\r\n")
        assert owner.sent.endswith(b"-ERR [AUTH] use STLS first, or AUTH\r\n")
    assert owner.seen == []
    owner.feed(b"CAPA\r\n")
    assert b"\r\nUSER\r\n" not in owner.sent
    assert b"\r\nSASL SCRAM-SHA-256\r\n" in owner.sent


@pytest.mark.rfc("1939 §7", "A password may have blanks, at its ends too.")
@pytest.mark.parametrize("password", [b" s3cret", b"s3 cret ", "contraseña".encode()])
def test_a_password_is_the_rest_of_its_line(password: bytes) -> None:
    owner = Owner()
    owner.feed(b"USER ana@example.org\r\nPASS " + password + b"\r\n")
    assert owner.seen == [events.Login("ana@example.org", password.decode())]


@pytest.mark.rfc("6856 §2.2", "A name that is not UTF-8 is refused.")
def test_names_that_are_no_utf8_are_refused() -> None:
    owner = Owner()
    owner.feed(b"USER \xff\r\n")
    assert owner.sent.endswith(b"-ERR name is not UTF-8\r\n")
    owner = Owner(Offer(user=True, utf8=False))
    owner.feed("USER peña\r\nUTF8\r\n".encode())
    assert owner.sent.endswith(b"-ERR name is not ASCII\r\n-ERR UTF8 is not offered here\r\n")


@pytest.mark.rfc("2449 §4", "A command line has 255 octets at most, a line of AUTH more.")
def test_a_command_line_has_255_octets_and_an_auth_line_more() -> None:
    owner = Owner()
    owner.feed(b"USER " + b"a" * 248 + b"\r\n")
    assert owner.sent.endswith(b"+OK send PASS\r\n")
    owner.feed(b"USER " + b"a" * 249 + b"\r\n")
    assert owner.sent.endswith(b"-ERR line too long\r\n")
    owner.feed(b"AUTH PLAIN " + base64.b64encode(b"\0ana@example.org\0" + b"x" * 900) + b"\r\n")
    assert owner.sent.endswith(b"-ERR [AUTH] wrong name or password\r\n")
    owner.feed(b"AUTH PLAIN " + b"A" * 13_000 + b"\r\n")
    assert owner.sent.endswith(b"-ERR line too long\r\n")
    owner.feed(b"AUTH PLAIN\r\n" + b"A" * 13_000 + b"\r\n")
    assert owner.sent.endswith(b"+ \r\n-ERR line too long\r\n")


def test_lines_that_end_otherwise_than_crlf_are_refused() -> None:
    owner = Owner()
    owner.feed(b"USER ana@example.org\n")
    assert owner.sent.endswith(b"-ERR line not ended by CRLF\r\n")


def test_too_many_faults_end_the_session() -> None:
    owner = Owner(limits=Limits(faults=3))
    owner.feed(b"NOPE\r\nAUTH PLAIN\r\n!\r\nNOPE\r\nQUIT\r\n")
    assert owner.sent.endswith(b"-ERR too many faults\r\n")
    assert owner.seen[-1] == events.TooManyFaults()
    assert owner.engine.is_ended
    assert owner.deleted is None


def test_pipelined_listings_are_handed_out_piece_by_piece() -> None:
    engine = ServerEngine(OFFER)
    engine.feed(b"USER a\r\nPASS b\r\n" + b"LIST\r\n" * 1000)
    assert isinstance(engine.next_event(), events.Login)
    engine.logged_in([Entry(1000, f"7.{uid}") for uid in range(1000)])
    largest = turns = 0
    while (event := engine.next_event()) is not None:
        assert event == events.AnswersWaiting()
        largest = max(largest, len(engine.take()))
        turns += 1
    assert turns > 50
    assert largest < 2 * ANSWERS_HIGH


def test_an_answer_to_nothing_is_an_error_of_the_owner() -> None:
    engine = ServerEngine(OFFER)
    with pytest.raises(LocalProtocolError):
        engine.logged_in([])
    engine.feed(b"USER a\r\nPASS b\r\n")
    engine.next_event()
    with pytest.raises(LocalProtocolError):
        engine.next_event()
    with pytest.raises(LocalProtocolError):
        engine.farewell()


def test_a_session_that_fails_says_so_except_inside_a_message() -> None:
    engine = ServerEngine(OFFER)
    engine.fail("server is stopping")
    assert engine.take() == b"-ERR [SYS/TEMP] server is stopping\r\n"
    assert engine.is_ended
    engine = ServerEngine(OFFER)
    engine.feed(b"USER a\r\nPASS b\r\nRETR 1\r\n")
    engine.next_event()
    engine.logged_in([Entry(100, "7.1")])
    engine.next_event()
    engine.begin_message("100 octets")
    engine.message_octets(b"Subject")
    engine.take()
    engine.fail("lost")
    assert engine.take() == b""
