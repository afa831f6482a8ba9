"""The server engine by dialogue: lines of C: and S:, played whole, octet by octet and cut anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estafeta.mail.reply import Reply
from estafeta.wire.errors import LocalProtocolError
from estafeta.wire.smtp import events
from estafeta.wire.smtp.server import ServerEngine
from estafeta.wire.smtp.session import Phase, ServerOptions

OPTIONS = ServerOptions(
    "mx.example.org",
    starttls=True,
    mechanisms=("PLAIN",),
    insecure_mechanisms=("PLAIN",),
    message_size=1000,
)


class Owner:
    """Answers every event as a small server would; keeps what it was told."""

    def __init__(self, options: ServerOptions = OPTIONS, *, is_secure: bool = False) -> None:
        self.engine = ServerEngine(options, is_secure=is_secure)
        self.told: list[events.Event] = []
        self.content = b""
        self.messages: list[bytes] = []

    def hear(self, octets: bytes) -> bytes:
        self.engine.feed(octets)
        while (event := self.engine.next_event()) is not None:
            self.told.append(event)
            self.answer(event)
        return self.engine.take_output()

    def answer(self, event: events.Event) -> None:
        match event:
            case events.Content(octets):
                self.content += octets
            case events.Hello():
                self.engine.answer(self.engine.hello_reply("mx.example.org"))
            case events.Faulty(reply=reply):
                self.engine.answer(reply)
            case events.Rcpt(recipient) if recipient.forward_path.address.local_part == "nobody":
                self.engine.answer(Reply.of(550, "no such mailbox", "5.1.1"))
            case events.Data():
                self.content = b""
                self.engine.answer(Reply.of(354, "go"))
            case events.EndOfData(fault=None):
                self.messages.append(self.content)
                if OPTIONS.lmtp or self.engine.hello is None:
                    raise AssertionError
                self.engine.answer(Reply.of(250, "accepted", "2.0.0"))
            case events.EndOfData() | events.FalseEndOfData():
                self.engine.answer(Reply.of(550, "bad data", "5.6.0"))
            case events.Auth(response=None):
                self.engine.answer(Reply(334, None, ("",)))
            case events.AuthResponse(response=None):
                self.engine.answer(Reply.of(501, "cancelled", "5.7.0"))
            case events.Auth() | events.AuthResponse():
                self.engine.answer(Reply.of(235, "welcome", "2.7.0"))
            case events.StartTls():
                self.engine.answer(Reply.of(220, "go", "2.0.0"))
            case events.Quit():
                self.engine.answer(Reply.of(221, "bye", "2.0.0"))
            case events.Help(topic):
                self.engine.answer(self.engine.help_reply(topic))
            case events.Vrfy():
                self.engine.answer(Reply.of(252, "perhaps", "2.1.5"))
            case _:
                self.engine.answer(Reply.of(250, "ok", "2.0.0"))


def codes(output: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"^(\d{3}) ", output, re.MULTILINE)]


def say(owner: Owner, *lines: str) -> list[int]:
    """Each line waits for its reply, as a client without pipelining does."""
    return [code for line in lines for code in codes(owner.hear(line.encode() + b"\r\n"))]


HELLO = "EHLO client.example.net"
MAIL = "MAIL FROM:<ana@example.net>"
RCPT = "RCPT TO:<luis@example.org>"


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.mark.rfc("5321 §3.3", "MAIL, RCPT, DATA and the final dot pass a message on.")
def test_a_message_goes_through(owner: Owner) -> None:
    assert say(owner, HELLO, MAIL, RCPT, "DATA", "Subject: x", "", "..", "..dot", ".", "QUIT") == [
        250, 250, 250, 354, 250, 221,
    ]  # fmt: skip
    assert owner.messages == [b"Subject: x\r\n\r\n.\r\n.dot\r\n"]
    assert owner.engine.is_ended


@pytest.mark.rfc("5321 §2.2", "EHLO names the extensions, and HELO none.")
@pytest.mark.rfc("2034 §4", "Replies to EHLO and HELO carry no status code.")
def test_ehlo_names_the_extensions_and_helo_none(owner: Owner) -> None:
    output = owner.hear(b"EHLO c\r\n").decode()
    for keyword in (
        "PIPELINING",
        "SIZE 1000",
        "STARTTLS",
        "AUTH PLAIN",
        "8BITMIME",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
    ):
        assert re.search(rf"^250[ -]{keyword}\r$", output, re.MULTILINE), keyword
    assert owner.hear(b"HELO c\r\n") == b"250 mx.example.org\r\n"


@pytest.mark.rfc("5321 §4.1.1.9", "NOOP is 250.")
@pytest.mark.rfc("5321 §2.4", "Verbs come in any case.")
def test_verbs_come_in_any_case(owner: Owner) -> None:
    assert say(owner, "ehlo c", "mail from:<a@example.net>", "Rcpt To:<b@example.org>", "rSet", "nOOp") == [250] * 5


@pytest.mark.rfc("5321 §4.1.1.3", "Quoted strings, literals, source routes and <Postmaster> in any case are read.")
@pytest.mark.parametrize(
    ("line", "local_part", "domain"),
    [
        ("RCPT TO: <a@example.org>", "a", "example.org"),
        ("RCPT TO:  <a@example.org>  ", "a", "example.org"),
        ("RCPT TO:<@one.example,@two.example:a@example.org>", "a", "example.org"),
        ('RCPT TO:<"a b"@example.org>', "a b", "example.org"),
        (r'RCPT TO:<"a\"b>"@example.org>', 'a"b>', "example.org"),
        ("RCPT TO:<a@[192.0.2.1]>", "a", "[192.0.2.1]"),
        ("RCPT TO:<a@[IPv6:2001:db8::1]>", "a", "[IPv6:2001:db8::1]"),
        ("RCPT TO:<Postmaster>", "postmaster", ""),
        ("RCPT TO:<POSTMASTER>", "postmaster", ""),
        ("RCPT TO:<a@EXAMPLE.org.>", "a", "example.org"),
        ("RCPT TO:<a@under_score.example.org>", "a", "under_score.example.org"),
    ],
)
def test_paths_are_read_as_the_world_writes_them(owner: Owner, line: str, local_part: str, domain: str) -> None:
    assert say(owner, HELLO, MAIL, line) == [250, 250, 250]
    address = owner.engine.recipients[0].forward_path.address
    assert (address.local_part, address.domain) == (local_part, domain)


@pytest.mark.rfc("5321 §4.1.1.5", "RSET with an argument is 501.")
@pytest.mark.rfc("5321 §4.1.1.6", "VRFY without an argument is 501.")
@pytest.mark.rfc("5321 §4.1.1.8", "HELP about what is not known is 504.")
@pytest.mark.rfc("5321 §4.1.1.11", "An unknown parameter is 555, a bad value 501.")
@pytest.mark.rfc("5321 §4.1.5", "Private X commands are unknown: 500.")
@pytest.mark.rfc("5321 §4.2.4", "A verb that is known and not offered is 502, an unknown one 500.")
@pytest.mark.rfc("1870 §6.1", "A declared size over the limit is 552 at MAIL.")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("MAIL FROM:a@example.net", 501),
        ("MAIL <a@example.net>", 501),
        ("MAIL FROM:<a>", 501),
        ("MAIL FROM:<a@b..c>", 501),
        ("MAIL FROM:<a@example.net> SIZE=x", 501),
        ("MAIL FROM:<a@example.net> SIZE=1 SIZE=1", 501),
        ("MAIL FROM:<a@example.net> SIZE=1001", 552),
        ("MAIL FROM:<a@example.net> BODY=9BIT", 501),
        ("MAIL FROM:<a@example.net> XYZZY=1", 555),
        ("MAIL FROM:<a@example.net> SMTPUTF8=1", 501),
        ("MAIL FROM:<a@example.net>SIZE=1", 501),
        ("MAIL FROM:<ñ@example.net>", 550),
        ("MAIL FROM:<a@españa.example>", 550),
        ("MAIL FROM:<" + "a" * 520 + "@example.net>", 501),
        ("RCPT TO:<a@example.org>", 503),
        ("DATA", 503),
        ("XYZZY", 500),
        ("TURN", 502),
        ("SEND FROM:<a@example.net>", 502),
        ("SOML FROM:<a@example.net>", 502),
        ("SAML FROM:<a@example.net>", 502),
        ("LHLO c", 500),
        ("AUTH XYZZY", 504),
        ("AUTH PLAIN !!!", 501),
        ("HELP XYZZY", 504),
        ("VRFY", 501),
        ("EHLO", 501),
        ("RSET now", 501),
    ],
)
def test_what_is_wrong_is_answered_and_the_session_stays_where_it_was(owner: Owner, line: str, code: int) -> None:
    assert say(owner, HELLO, line, MAIL) == [250, code, 250]


@pytest.mark.parametrize(
    "argument",
    ["<" + "@a," * 600 + "x", "<" + "@a" * 900, '<"' + "\\a" * 900, "<" + "a." * 900 + ">", "<a@" + "a-" * 900 + ">"],
)
def test_a_path_made_to_be_slow_is_answered_at_once(owner: Owner, argument: str) -> None:
    # A pattern that tries every way to part the text would not come back within the life of the test run.
    assert say(owner, HELLO, MAIL, f"RCPT TO:{argument}") == [250, 250, 501]


@pytest.mark.rfc("6531 §3.4", "Addresses in UTF-8 need SMTPUTF8 on MAIL, and come through with it.")
@pytest.mark.rfc("6531 §3.5", "An address in UTF-8 without SMTPUTF8 is refused.")
def test_utf8_addresses_need_smtputf8_and_then_come_through(owner: Owner) -> None:
    assert say(owner, HELLO, "MAIL FROM:<ñ@españa.example> SMTPUTF8", "RCPT TO:<josé@example.org>") == [250] * 3
    transaction = owner.engine.transaction
    assert transaction is not None and transaction.sender.smtputf8
    assert str(transaction.sender.reverse_path) == "ñ@xn--espaa-rta.example"
    assert say(owner, "RSET", MAIL, "RCPT TO:<josé@example.org>") == [250, 250, 553]


@pytest.mark.rfc("6531 §3.3", "A path that is not UTF-8 is refused.")
def test_octets_that_are_not_utf8_are_refused(owner: Owner) -> None:
    say(owner, HELLO)
    assert codes(owner.hear(b"MAIL FROM:<\xff@example.net> SMTPUTF8\r\n")) == [501]


@pytest.mark.rfc("5321 §4.1.1.2", "MAIL takes the null reverse-path and parameters.")
@pytest.mark.rfc("4954 §5", "The AUTH parameter is read as xtext.")
@pytest.mark.rfc("1870 §6", "The declared size is read.")
def test_parameters_of_mail_are_kept(owner: Owner) -> None:
    say(owner, HELLO, "MAIL FROM:<> SIZE=100 BODY=8bitmime AUTH=e+3Dmc2@example.com")
    transaction = owner.engine.transaction
    assert transaction is not None
    sender = transaction.sender
    assert (sender.reverse_path.is_null, sender.size, sender.body, sender.auth) == (
        True, 100, "8BITMIME", "e=mc2@example.com",
    )  # fmt: skip


@pytest.mark.rfc("5321 §4.5.3.1.4", "A command line that is too long is 500, and the next one is read.")
def test_a_line_over_the_limit_is_refused_and_no_step_is_lost(owner: Owner) -> None:
    say(owner, HELLO, MAIL)
    assert codes(owner.hear(b"RCPT TO:<" + b"a" * 5000 + b"@example.org>\r\n")) == [500]
    assert say(owner, RCPT, "DATA") == [250, 354]


@pytest.mark.rfc("5321 §2.3.8", "A bare CR or LF, or a NUL, in a command is 500.")
@pytest.mark.parametrize("octets", [b"NOOP\n", b"NO\rOP\r\n", b"NOOP \0\r\n", b"RSET\r\r\n"])
def test_bare_cr_lf_and_nul_in_commands_are_refused(owner: Owner, octets: bytes) -> None:
    say(owner, HELLO, MAIL)
    assert codes(owner.hear(octets)) == [500]
    assert owner.engine.phase is Phase.MAIL


@pytest.mark.rfc("2920 §3.2", "Commands in a group are all answered, in order.")
def test_commands_in_a_group_are_all_answered(owner: Owner) -> None:
    say(owner, HELLO)
    group = f"{MAIL}\r\nRCPT TO:<nobody@example.org>\r\n{RCPT}\r\nDATA\r\n"
    assert codes(owner.hear(group.encode())) == [250, 550, 250, 354]


@pytest.mark.rfc("2920 §3.1", "Input behind EHLO, AUTH or VRFY is answered 554.")
@pytest.mark.parametrize(
    "octets",
    [b"EHLO c\r\nMAIL FROM:<a@example.net>\r\n", b"AUTH PLAIN\r\nAGEAYg==\r\n", b"VRFY a\r\nNOOP\r\n"],
)
def test_input_behind_a_command_that_ends_a_group_is_out_of_step(owner: Owner, octets: bytes) -> None:
    say(owner, HELLO)
    assert codes(owner.hear(octets))[0] == 554
    assert any(isinstance(event, events.Faulty) and event.out_of_step for event in owner.told)


@pytest.mark.rfc("2920 §3.1", "Mail data before 354 is answered 554.")
def test_mail_data_before_354_is_out_of_step(owner: Owner) -> None:
    say(owner, HELLO, MAIL, RCPT)
    assert codes(owner.hear(b"DATA\r\nSubject: x\r\n\r\n.\r\n"))[0] == 554


@pytest.mark.rfc("3207 §4.2", "What waits behind STARTTLS is thrown away, and nothing said before counts.")
def test_what_waits_behind_starttls_is_discarded(owner: Owner) -> None:
    say(owner, HELLO)
    assert codes(owner.hear(b"STARTTLS\r\nMAIL FROM:<injected@example.net>\r\n")) == [220]
    owner.engine.feed(b"RCPT TO:<x@example.org>\r\n")
    owner.engine.tls_started()
    assert owner.hear(b"") == b""
    assert owner.engine.hello is None
    assert owner.engine.is_secure
    assert say(owner, MAIL, HELLO, "STARTTLS", MAIL) == [503, 250, 503, 250]


@pytest.mark.rfc("4954 §4", "AUTH goes by initial response and by challenge, ends by *, and is 503 after a login.")
@pytest.mark.rfc("4648 §4", "Base64 is read without leniency: 501.")
def test_auth_by_initial_response_and_by_challenge(owner: Owner) -> None:
    assert say(owner, HELLO, "AUTH PLAIN AGEAYg==") == [250, 235]
    assert owner.told[-1] == events.Auth("PLAIN", b"\0a\0b")
    assert say(owner, "AUTH PLAIN AGEAYg==", MAIL) == [503, 250]
    other = Owner()
    assert say(other, HELLO, "AUTH PLAIN", "*", "AUTH PLAIN", "AGEAYg==", MAIL) == [
        250,
        334,
        501,
        334,
        235,
        250,
    ]
    third = Owner()
    assert say(third, HELLO, "AUTH PLAIN", "not base64!", "AUTH PLAIN =") == [250, 334, 501, 235]
    assert third.told[-1] == events.Auth("PLAIN", b"")


@pytest.mark.rfc("4954 §6", "AUTH before TLS is refused, and not announced there.")
def test_passwords_are_not_asked_before_tls_unless_offered() -> None:
    owner = Owner(ServerOptions("mx", starttls=True, mechanisms=("PLAIN",)))
    assert b"AUTH" not in owner.hear(b"EHLO c\r\n")
    assert say(owner, "AUTH PLAIN AGEAYg==") == [523]


@pytest.mark.rfc("5321 §4.1.1.1", "A new EHLO drops the open transaction.")
def test_a_new_ehlo_drops_the_transaction(owner: Owner) -> None:
    assert say(owner, HELLO, MAIL, RCPT, HELLO, RCPT, MAIL) == [250, 250, 250, 250, 503, 250]


@pytest.mark.rfc("5321 §4.1.4", "MAIL, RCPT and DATA before EHLO are 503; NOOP, HELP, RSET and VRFY are not.")
def test_commands_before_hello_are_refused(owner: Owner) -> None:
    assert say(owner, MAIL, RCPT, "DATA", "NOOP", "RSET", "HELP", "VRFY a") == [
        503,
        503,
        503,
        250,
        250,
        214,
        252,
    ]


@pytest.mark.rfc("5321 §3.3", "DATA without a recipient is 503, and 554 where all recipients were rejected.")
def test_data_without_recipients_is_refused(owner: Owner) -> None:
    assert say(owner, HELLO, MAIL, "DATA", "RCPT TO:<nobody@example.org>", "DATA", RCPT, "DATA") == [
        250, 250, 503, 550, 554, 250, 354,
    ]  # fmt: skip


@pytest.mark.rfc("2033 §4.1", "LMTP has LHLO; EHLO is 500 there.")
def test_lmtp_answers_the_final_dot_for_each_recipient() -> None:
    engine = ServerEngine(ServerOptions("mx", lmtp=True))

    def hear(octets: bytes) -> events.Event:
        engine.feed(octets)
        event = engine.next_event()
        assert event is not None
        return event

    faulty = hear(b"EHLO c\r\n")
    assert isinstance(faulty, events.Faulty) and faulty.reply.code == 500
    engine.answer(faulty.reply)
    hear(b"LHLO c\r\n")
    engine.answer(engine.hello_reply("mx"))
    hear(b"MAIL FROM:<>\r\n")
    engine.answer(Reply.of(250, "ok"))
    for local_part in (b"a", b"b"):
        hear(b"RCPT TO:<" + local_part + b"@example.org>\r\n")
        engine.answer(Reply.of(250, "ok"))
    hear(b"DATA\r\n")
    engine.answer(Reply.of(354, "go"))
    engine.take_output()
    assert isinstance(hear(b"x\r\n.\r\n"), events.Content)
    assert isinstance(engine.next_event(), events.EndOfData)
    with pytest.raises(LocalProtocolError):
        engine.answer_each([Reply.of(250, "only one")])
    engine.answer_each([Reply.of(250, "a", "2.0.0"), Reply.of(452, "b", "4.2.2")])
    assert engine.take_output() == b"250 2.0.0 a\r\n452 4.2.2 b\r\n"
    assert engine.phase is Phase.READY


def test_an_event_must_be_answered_before_the_next_is_asked(owner: Owner) -> None:
    owner.engine.feed(b"NOOP\r\nNOOP\r\n")
    owner.engine.next_event()
    with pytest.raises(LocalProtocolError):
        owner.engine.next_event()


@pytest.mark.rfc("5321 §4.1.1.10", "Nothing behind QUIT is read.")
def test_nothing_behind_quit_is_read(owner: Owner) -> None:
    assert say(owner, HELLO, "QUIT", MAIL) == [250, 221]


DIALOGUE = (
    b"EHLO c\r\nMAIL FROM:<a@example.net> BODY=8BITMIME\r\nRCPT TO:<b@example.org>\r\n"
    b"RCPT TO:<nobody@example.org>\r\nBOGUS\r\nDATA\r\nSubject: x\r\n\r\n..\r\n...\r\n\r\n.\r\n"
    b"RSET\r\nDATA\r\nMAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\nDATA\r\n.\r\nNOOP\r\nQUIT\r\n"
)


def play(chunks: Iterable[bytes]) -> tuple[list[int], list[bytes]]:
    owner = Owner(ServerOptions("mx", refuse_early_commands=False))
    output = b"".join(owner.hear(chunk) for chunk in chunks)
    return codes(output), owner.messages


def cut(octets: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    return (octets[start:end] for start, end in pairwise(edges))


@given(st.lists(st.integers(0, 1000)))
def test_a_dialogue_means_the_same_however_it_is_cut(cuts: list[int]) -> None:
    whole = play([DIALOGUE])
    assert whole[0] == [250, 250, 250, 550, 500, 354, 250, 250, 503, 250, 250, 354, 250, 250, 221]
    assert play(cut(DIALOGUE, cuts)) == whole


@pytest.mark.rfc("5321 §4.3", "Each line is answered with a reply, whatever it says.")
@settings(max_examples=200)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(DIALOGUE.splitlines(keepends=True)),
            st.sampled_from(
                [b"STARTTLS\r\n", b"AUTH PLAIN\r\n", b"*\r\n", b"RSET\r\n", b"HELP\r\n", b"\r\n", b".\r\n"]
            ),
        )
    )
)
def test_whatever_comes_every_line_is_answered_and_nothing_is_raised(parts: list[bytes]) -> None:
    owner = Owner()
    for part in parts:
        output = owner.hear(part)
        assert all(re.match(rb"[2-5]\d\d[ -]", line) for line in output.splitlines())
