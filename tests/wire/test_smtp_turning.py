"""ETRN (RFC 1985), ATRN (RFC 2645) and TURN (RFC 821 §3.8), by both engines, fed whole and octet by octet."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from estafeta.mail.address import NULL_REVERSE_PATH
from estafeta.mail.envelope import Sender
from estafeta.mail.reply import Reply
from estafeta.wire.errors import ExtensionMissing, LocalProtocolError, RemoteProtocolError
from estafeta.wire.smtp import events
from estafeta.wire.smtp.client import ClientEngine
from estafeta.wire.smtp.dialogue import Answered, Command, Phase, Verb
from estafeta.wire.smtp.server import ServerEngine
from estafeta.wire.smtp.session import ServerOptions

OPTIONS = ServerOptions("mx.example.net", insecure_mechanisms=("PLAIN",), etrn=True, atrn=True, turn=True)
LOGIN = "AUTH PLAIN AGEAYg=="


@pytest.fixture(params=[1000, 1], ids=["whole", "octets"])
def cut(request: pytest.FixtureRequest) -> int:
    size: int = request.param
    return size


class Owner:
    """Answers what it is told: 250 to all, but for a login and what `replies` has."""

    def __init__(self, options: ServerOptions = OPTIONS, cut: int = 1000) -> None:
        self.engine = ServerEngine(options)
        self.cut = cut
        self.told: list[events.Event] = []
        self.replies: dict[type, Reply] = {events.Auth: Reply.of(235, "welcome", "2.7.0")}

    def hear(self, text: str) -> str:
        octets = text.encode().replace(b"\n", b"\r\n")
        for start in range(0, len(octets), self.cut):
            self.engine.feed(octets[start : start + self.cut])
            while (event := self.engine.next_event()) is not None:
                self.told.append(event)
                self.engine.answer(self._reply(event))
        return self.engine.take_output().decode()

    def codes(self, text: str) -> list[str]:
        """The first word of each reply, and the status code."""
        return [" ".join(line.split()[:2]) for line in self.hear(text).splitlines() if line[3] == " "]

    def _reply(self, event: events.Event) -> Reply:
        match event:
            case events.Faulty(reply=reply):
                return reply
            case events.Hello():
                return self.engine.hello_reply("mx.example.net")
            case _:
                return self.replies.get(type(event), Reply.of(250, "ok", "2.0.0"))


def keywords(output: str) -> list[str]:
    return [line[4:] for line in output.splitlines()]


# The server's side


@pytest.mark.rfc("2645 §4", "ATRN is announced before the login too.")
def test_etrn_and_atrn_are_announced_where_they_are_offered() -> None:
    named = keywords(Owner().hear("EHLO c\n"))
    assert "ETRN" in named and "ATRN" in named and "TURN" not in named
    named = keywords(Owner(ServerOptions("mx", etrn=True)).hear("EHLO c\n"))
    assert "ETRN" in named and "ATRN" not in named
    assert not {"ETRN", "ATRN"} & set(keywords(Owner(ServerOptions("mx")).hear("EHLO c\n")))


def test_verbs_that_are_not_offered_are_502(cut: int) -> None:
    owner = Owner(ServerOptions("mx", insecure_mechanisms=("PLAIN",)), cut)
    owner.hear(f"EHLO c\n{LOGIN}\n" if cut == 1 else "EHLO c\n")
    assert owner.codes("ETRN example.org\nATRN\nTURN\n") == ["502 5.5.1"] * 3


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("Example.ORG", "example.org"),
        ("@example.org", "@example.org"),
        ("españa.example", "xn--espaa-rta.example"),
        ("#Uucp/2", "#Uucp/2"),
        ("backup", "backup"),
    ],
)
def test_etrn_names_a_host_a_domain_or_a_queue(cut: int, argument: str, name: str) -> None:
    owner = Owner(cut=cut)
    owner.replies[events.Etrn] = Reply.of(253, f"4 pending messages for node {name} started")
    owner.hear("EHLO c\n")
    assert owner.codes(f"ETRN {argument}\n") == ["253 4"]
    assert owner.told[-1] == events.Etrn(name)
    assert owner.codes("MAIL FROM:<>\n") == ["250 2.0.0"]


@pytest.mark.rfc("1985 §5", "ETRN of nothing that could be named is 501.")
@pytest.mark.parametrize("argument", ["", " @", " #", " a..b", " [192.0.2.1]", " a b", " #a b", " !x", " @@x"])
def test_etrn_of_nothing_that_could_be_named_is_501(argument: str) -> None:
    owner = Owner()
    owner.hear("EHLO c\n")
    assert owner.codes(f"ETRN{argument}\n") == ["501 5.5.4"]


def test_none_of_them_is_legal_inside_a_transaction_or_before_ehlo(cut: int) -> None:
    owner = Owner(cut=cut)
    assert owner.codes("ETRN example.org\n") == ["503 5.5.1"]
    owner.hear("EHLO c\n")
    owner.hear(f"{LOGIN}\n")
    assert owner.codes("MAIL FROM:<>\n") == ["250 2.0.0"]
    for line in ("ETRN example.org\n", "ATRN\n", "TURN\n"):
        assert owner.codes(line) == ["503 5.5.1"]
    owner.hear("RSET\n")
    assert owner.codes("ETRN example.org\nNOOP\n") == ["250 2.0.0"] * 2


@pytest.mark.rfc("2645 §5.2", "ATRN before a login is 530.")
def test_atrn_needs_a_login_and_turn_is_unknown_before_one(cut: int) -> None:
    owner = Owner(cut=cut)
    owner.hear("EHLO c\n")
    assert owner.codes("ATRN example.org\n") == ["530 5.7.0"]
    assert owner.codes("TURN\n") == ["502 5.5.1"]
    assert not owner.engine.has_turned


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("ATRN", events.Atrn(())),
        ("atrn example.org", events.Atrn(("example.org",))),
        ("ATRN Example.org,example.COM, example.org", events.Atrn(("example.org", "example.com"))),
        ("TURN", events.Turn()),
    ],
)
def test_after_250_the_roles_are_turned_and_nothing_more_is_read(cut: int, line: str, event: events.Event) -> None:
    owner = Owner(cut=cut)
    owner.hear("EHLO c\n")
    owner.hear(f"{LOGIN}\n")
    assert owner.codes(f"{line}\n") == ["250 2.0.0"]
    assert owner.told[-1] == event
    assert owner.engine.has_turned
    assert owner.hear("220 customer ready\nNOOP\n") == ""
    assert owner.told[-1] == event


@pytest.mark.parametrize(("line", "kind"), [("ATRN example.org", events.Atrn), ("TURN", events.Turn)])
def test_a_turn_that_is_refused_leaves_the_session_as_it_was(cut: int, line: str, kind: type) -> None:
    owner = Owner(cut=cut)
    owner.replies[kind] = Reply.of(453, "you have no mail", "4.4.0")
    owner.hear("EHLO c\n")
    owner.hear(f"{LOGIN}\n")
    assert owner.codes(f"{line}\n") == ["453 4.4.0"]
    assert not owner.engine.has_turned
    assert owner.codes("MAIL FROM:<>\n") == ["250 2.0.0"]


@pytest.mark.parametrize(
    "line", ["ATRN ,", "ATRN example.org,", "ATRN a..b", "ATRN example.org example.com", "TURN now"]
)
def test_a_turn_with_a_bad_argument_is_501(line: str) -> None:
    owner = Owner()
    owner.hear("EHLO c\n")
    owner.hear(f"{LOGIN}\n")
    assert owner.codes(f"{line}\n") == ["501 5.5.4"]
    assert not owner.engine.has_turned


@pytest.mark.parametrize("line", ["ATRN", "TURN"])
@pytest.mark.parametrize("refuses", [True, False])
def test_what_is_pipelined_behind_a_turn_is_out_of_step(line: str, refuses: bool) -> None:
    # It would be lost, so it is refused also where other early commands are let pass.
    options = ServerOptions("mx", insecure_mechanisms=("PLAIN",), atrn=True, turn=True, refuse_early_commands=refuses)
    owner = Owner(options)
    owner.hear("EHLO c\n")
    owner.hear(f"{LOGIN}\n")
    assert owner.codes(f"{line}\n220 customer ready\n")[0] == "554 5.5.0"
    assert any(isinstance(event, events.Faulty) and event.out_of_step for event in owner.told)
    assert not owner.engine.has_turned


def test_help_names_the_verbs_that_are_offered() -> None:
    owner = Owner()
    owner.replies.clear()
    owner.engine.feed(b"HELP\r\n")
    owner.engine.next_event()
    text = owner.engine.help_reply("").text
    assert "ETRN" in text and "ATRN" in text and "TURN" not in text.replace("ATRN", "").replace("ETRN", "")


# The client's side


def ready(*keywords: str) -> ClientEngine:
    engine = ClientEngine()
    engine.feed(b"220 mx\r\n")
    engine.next_event()
    engine.ehlo("c")
    engine.feed(b"250-mx\r\n" + b"".join(f"250-{keyword}\r\n".encode() for keyword in keywords) + b"250 HELP\r\n")
    engine.next_event()
    return engine


def heard(engine: ClientEngine, text: str, cut: int) -> Iterator[tuple[Verb, int]]:
    octets = text.encode().replace(b"\n", b"\r\n")
    for start in range(0, len(octets), cut):
        engine.feed(octets[start : start + cut])
        while (event := engine.next_event()) is not None:
            assert isinstance(event, Answered)
            yield event.command.verb, event.reply.code


@pytest.mark.parametrize("code", [250, 251, 252, 253, 458, 459, 501])
def test_etrn_is_answered_and_the_session_goes_on(cut: int, code: int) -> None:
    engine = ready("ETRN")
    assert engine.etrn("@example.org") == b"ETRN @example.org\r\n"
    assert list(heard(engine, f"{code} node example.org\n", cut)) == [(Verb.ETRN, code)]
    assert engine.phase is Phase.READY


@pytest.mark.parametrize(
    ("say", "line", "verb"),
    [
        (lambda engine: engine.atrn(), b"ATRN\r\n", Verb.ATRN),
        (lambda engine: engine.atrn(["example.org", "example.com"]), b"ATRN example.org,example.com\r\n", Verb.ATRN),
        (lambda engine: engine.turn(), b"TURN\r\n", Verb.TURN),
    ],
)
def test_after_a_positive_reply_the_client_is_at_its_end(
    cut: int, say: Callable[[ClientEngine], bytes], line: bytes, verb: Verb
) -> None:
    engine = ready("ATRN")
    assert say(engine) == line
    assert list(heard(engine, "453 you have no mail\n", cut)) == [(verb, 453)]
    assert not engine.has_turned
    say(engine)
    assert list(heard(engine, "250 OK now reversing the connection\nEHLO provider\n", cut)) == [(verb, 250)]
    assert engine.has_turned
    assert engine.take_rest() == b"EHLO provider\r\n"
    engine.feed(b"")
    assert engine.next_event() is None
    with pytest.raises(LocalProtocolError):
        engine.quit()


def test_they_must_be_announced_and_have_names() -> None:
    with pytest.raises(ExtensionMissing):
        ready().etrn("example.org")
    with pytest.raises(ExtensionMissing):
        ready().atrn()
    for domains in (["a,b"], ["a b"], [""], ["a\r\nb"]):
        with pytest.raises(LocalProtocolError):
            ready("ATRN").atrn(domains)
    with pytest.raises(LocalProtocolError):
        ready("ETRN").etrn("")


def test_they_are_not_said_inside_a_transaction_nor_in_a_group() -> None:
    engine = ready("ETRN", "ATRN", "PIPELINING")
    engine.mail(Sender(NULL_REVERSE_PATH))
    with pytest.raises(LocalProtocolError):
        engine.etrn("example.org")
    with pytest.raises(LocalProtocolError):
        engine.atrn()
    with pytest.raises(LocalProtocolError):
        engine.turn()
    assert engine.waiting == (Command(Verb.MAIL),)
    other = ready("ATRN", "PIPELINING")
    other.turn()
    with pytest.raises(LocalProtocolError):
        other.noop()


def test_a_turn_is_not_answered_with_3yz() -> None:
    engine = ready("ATRN")
    engine.atrn()
    engine.feed(b"354 go on\r\n")
    with pytest.raises(RemoteProtocolError):
        engine.next_event()
