"""Whatever arrives at the SMTP server engine, in whatever cuts: it raises nothing, holds no more than a line,
answers each command with exactly one reply of printable lines of at most 512 octets, and tells the same events."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tests.fuzz.inputs import OCTETS, WHOLE, Input, pieces
from tests.wire.owner import Owner

from estafeta.wire.smtp import events
from estafeta.wire.smtp.session import Phase, ServerOptions

STRICT, LMTP, SMALL, SECURE, BARE, LOGGED_IN, SPEAKS, OWN = range(8)

_LINE = re.compile(r"[2-5][0-9]{2}[ -][^\x00-\x1f\x7f-\x9f\u2028\u2029]*")


def options(given: Input) -> ServerOptions:
    """With `STRICT` what waits behind the last command of a group counts, so where the input is cut counts too."""
    strict, bare = given.has(STRICT), given.has(BARE)
    return ServerOptions(
        "mx.example.org",
        lmtp=given.has(LMTP),
        message_size=1000,
        command_line=100 if given.has(SMALL) else 4096,
        auth_line=200 if given.has(SMALL) else 12288,
        smtputf8=not bare,
        starttls=True,
        mechanisms=("PLAIN", "SCRAM-SHA-256"),
        insecure_mechanisms=("PLAIN",),
        vrfy=not bare,
        expn=not bare,
        chunking=not bare,
        recipients=2,
        transactions=10,
        no_soliciting=None if bare else ("org.example:adv",),
        screens=not bare,
        deliver_by=None if bare else 60,
        hold_for=0 if bare else 1000,
        hold_until=None if bare else (lambda: datetime(2030, 1, 1, tzinfo=UTC)),
        priority_policy=None if bare else "MIXER",
        etrn=not bare,
        atrn=strict and not bare,
        turn=strict and not bare,
        xclient=True if given.has(SPEAKS) else None,
        xforward=True if given.has(SPEAKS) else None,
        burl=given.has(OWN) and not bare,
        repairs_line_ends=given.has(OWN),
        bare_addresses=given.has(OWN),
        refuse_early_commands=strict,
    )


class Watched(Owner):
    """An owner that looks at the engine behind each answer."""

    def __init__(self, given: Input) -> None:
        super().__init__(options(given), is_secure=given.has(SECURE), is_authenticated=given.has(LOGGED_IN))
        self.takes_tls = given.has(STRICT)  # what is thrown away then depends on the cuts
        self.limit = max(self.options.auth_line, self.options.command_line)

    def hear(self, octets: bytes) -> bytes:
        engine = self.engine
        if engine.is_ended or engine.has_turned:
            return b""
        answered = super().hear(octets)
        assert engine.is_ended or engine.has_turned or len(engine._buffer) <= self.limit
        return answered

    def answer(self, event: events.Event) -> None:
        before = self.engine.phase
        super().answer(event)
        engine = self.engine
        assert (engine.transaction is None) == (engine.phase in (Phase.GREETED, Phase.READY))
        assert not isinstance(event, events.Faulty) or engine.phase is before or engine.is_ended
        if isinstance(event, events.StartTls) and self.takes_tls:
            engine.tls_started()
            assert engine.phase is Phase.GREETED and not len(engine._buffer)


def hear(given: Input, cut: int) -> Watched:
    """The whole input by one cut."""
    owner = Watched(given)
    for piece in pieces(given.octets, cut):
        owner.hear(piece)
    check_replies(owner)
    if not owner.engine.is_ended and not owner.engine.has_turned and b"BDAT" not in given.octets.upper():
        has_data = any(isinstance(event, events.Data) for event in owner.told)
        assert has_data or given.has(STRICT) or owner.replies == given.octets.count(b"\n")
    return owner


def check_replies(owner: Owner) -> None:
    """Whole lines, nothing in them that another reader could take for the end of one."""
    finals = 0
    if owner.output:
        assert owner.output.endswith(b"\r\n")
        for line in owner.output[:-2].split(b"\r\n"):
            assert len(line) + 2 <= 512  # RFC 5321 §4.5.3.1.5
            assert _LINE.fullmatch(line.decode("utf-8")), line
            finals += line[3:4] == b" "
    assert finals == owner.replies


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    cut = hear(given, given.cut)
    if given.has(STRICT):
        return
    for other in {WHOLE, OCTETS} - {given.cut}:
        told = hear(given, other)
        assert told.told == cut.told, (told.told, cut.told)
        assert told.output == cut.output
