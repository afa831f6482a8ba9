"""Whatever arrives at the POP3 engine, in whatever cuts: it raises nothing, holds no more than a line, answers in whole
lines, and tells the same events."""

from __future__ import annotations

from tests.fuzz.inputs import OCTETS, WHOLE, Input, pieces

from estafeta.wire.pop3 import events
from estafeta.wire.pop3.maildrop import Entry
from estafeta.wire.pop3.message import end_of_top
from estafeta.wire.pop3.server import Limits, ServerEngine
from estafeta.wire.pop3.session import Code, Offer

MESSAGES = (b"Subject: one\r\n\r\n.\r\n..\r\nthree\r\n", b"no body", b".")
OFFER = Offer(mechanisms=("PLAIN", "LOGIN"), user=True, stls=True)


class Owner:
    """Answers by what an event says and by nothing else."""

    def __init__(self, given: Input) -> None:
        self.limits = Limits(faults=1000, auth_line=300)
        self.engine = ServerEngine(OFFER, is_secure=given.has(0), limits=self.limits)
        self.is_strict = given.has(1)
        self.told: list[events.Event] = []
        self.output = b""

    def hear(self, octets: bytes) -> None:
        """What arrives."""
        engine = self.engine
        engine.feed(octets)
        while (event := engine.next_event()) is not None:
            if not isinstance(event, events.AnswersWaiting):
                self.told.append(event)
            self.answer(event)
            self.output += engine.take()
        self.output += engine.take()
        assert engine.is_ended or len(engine._input) <= max(self.limits.auth_line, self.limits.command_line)

    def answer(self, event: events.Event) -> None:
        """What a small server would."""
        engine = self.engine
        match event:
            case events.Login(user, _):
                self._log_in(user == "ana")
            case events.Authenticate(_, None):
                engine.challenge(b"")
            case events.Authenticate(_, octets) | events.AuthenticationResponse(octets):
                self._log_in(octets is not None and octets.endswith(b"s3cret"))
            case events.StartTls():
                engine.tls_started(OFFER)
            case events.Retrieve(number, lines):
                octets = MESSAGES[number - 1]
                if lines is None:
                    engine.give_message("follows", octets)
                    return
                engine.begin_message("follows")
                engine.message_octets(octets[: end_of_top(octets, lines)])
                engine.end_message()
            case events.Quit():
                engine.farewell()

    def _log_in(self, is_known: bool) -> None:
        if is_known:
            self.engine.logged_in([Entry(len(octets), f"7.{uid}") for uid, octets in enumerate(MESSAGES, 1)])
        else:
            self.engine.refuse("wrong name or password", Code.AUTH)


def hear(given: Input, cut: int) -> Owner:
    """The whole input by one cut."""
    owner = Owner(given)
    for piece in pieces(given.octets, cut):
        if owner.engine.is_ended:
            break
        owner.hear(piece)
    if owner.output:
        assert owner.output.endswith(b"\r\n")
        assert owner.output.count(b"\r") == owner.output.count(b"\n") == owner.output.count(b"\r\n")
    return owner


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    cut = hear(given, given.cut)
    if b"STLS" in given.octets.upper():  # what is thrown away then depends on the cuts
        return
    for other in {WHOLE, OCTETS} - {given.cut}:
        again = hear(given, other)
        assert (again.told, again.output) == (cut.told, cut.output)
