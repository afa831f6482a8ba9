"""DSN (RFC 3461, RFC 6533 §3) and REQUIRETLS (RFC 8689): what each engine reads and writes, and both face to face."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.address import NULL_REVERSE_PATH, Address, ForwardPath, ReversePath
from estafeta.mail.envelope import Notify, OriginalRecipient, Recipient, Ret, Sender
from estafeta.mail.reply import Reply
from estafeta.wire.errors import ExtensionMissing
from estafeta.wire.smtp import events
from estafeta.wire.smtp.client import ClientEngine
from estafeta.wire.smtp.server import ServerEngine
from estafeta.wire.smtp.session import ServerOptions

FROM = ReversePath(Address("ana", "example.org"))
TO = ForwardPath(Address("luis", "example.net"))
OPTIONS = ServerOptions("mx.example.net", starttls=True)


def server(options: ServerOptions = OPTIONS, *, is_secure: bool = False) -> ServerEngine:
    """An engine that has heard EHLO or LHLO."""
    engine = ServerEngine(options, is_secure=is_secure)
    engine.feed(b"LHLO c\r\n" if options.lmtp else b"EHLO c\r\n")
    assert isinstance(engine.next_event(), events.Hello)
    engine.answer(engine.hello_reply("mx.example.net"))
    return engine


def hear(engine: ServerEngine, line: str) -> events.Event:
    """What the line means; a MAIL or RCPT that is right is taken."""
    engine.feed(line.encode() + b"\r\n")
    event = engine.next_event()
    assert event is not None
    engine.answer(event.reply if isinstance(event, events.Faulty) else Reply.of(250, "ok", "2.0.0"))
    return event


def mail(line: str, engine: ServerEngine | None = None) -> Sender:
    event = hear(engine or server(), line)
    assert isinstance(event, events.Mail)
    return event.sender


def rcpt(parameters: str, options: ServerOptions = OPTIONS) -> Recipient:
    engine = server(options)
    mail("MAIL FROM:<ana@example.org>", engine)
    event = hear(engine, f"RCPT TO:<luis@example.net> {parameters}")
    assert isinstance(event, events.Rcpt)
    assert engine.recipients == (event.recipient,)
    return event.recipient


def fault(line: str, options: ServerOptions = OPTIONS, *, is_secure: bool = False) -> str:
    engine = server(options, is_secure=is_secure)
    if line.startswith("RCPT"):
        mail("MAIL FROM:<ana@example.org>", engine)
    event = hear(engine, line)
    assert isinstance(event, events.Faulty)
    return f"{event.reply.code} {event.reply.status}"


def client(*keywords: str, lmtp: bool = False) -> ClientEngine:
    engine = ClientEngine(lmtp)
    engine.feed(b"220 mx\r\n")
    engine.next_event()
    engine.ehlo("c")
    engine.feed(
        b"".join(f"250-{keyword}\r\n".encode() for keyword in ("mx", "PIPELINING", *keywords)) + b"250 HELP\r\n"
    )
    engine.next_event()
    return engine


# The server's side


@pytest.mark.parametrize("options", [OPTIONS, ServerOptions("store", lmtp=True)])
def test_dsn_is_announced(options: ServerOptions) -> None:
    assert b"\r\n250-DSN\r\n" in server(options).take_output()


@pytest.mark.rfc("3461 §4.3", "RET is FULL or HDRS.")
@pytest.mark.rfc("3461 §4.4", "ENVID is read as xtext.")
def test_ret_and_envid_are_read() -> None:
    sender = mail("MAIL FROM:<ana@example.org> RET=hdrs ENVID=QQ+2B314+3D159+20x")
    assert sender == Sender(FROM, ret=Ret.HDRS, envid="QQ+314=159 x")
    assert mail("MAIL FROM:<> ret=FULL SIZE=1").ret is Ret.FULL
    assert mail("MAIL FROM:<ana@example.org> ENVID=" + "x" * 100).envid == "x" * 100


@pytest.mark.rfc("3461 §4.1", "NOTIFY is read in any case, with empty elements.")
@pytest.mark.rfc("822 §2.7", "Elements of a list may be empty.")
@pytest.mark.parametrize(
    ("value", "notify"),
    [
        ("NEVER", {Notify.NEVER}),
        ("never", {Notify.NEVER}),
        ("Success,FAILURE,delay", {Notify.SUCCESS, Notify.FAILURE, Notify.DELAY}),
        ("FAILURE,,FAILURE", {Notify.FAILURE}),
    ],
)
def test_notify_is_read(value: str, notify: set[Notify]) -> None:
    assert rcpt(f"NOTIFY={value}").notify == frozenset(notify)


@pytest.mark.rfc("3461 §4.2", "ORCPT is kept as it came.")
@pytest.mark.parametrize(
    ("value", "address_type", "address"),
    [
        ("rfc822;Luis@Example.NET", "rfc822", "Luis@Example.NET"),
        ("RFC822;a+2Bb+20c+3Dd@example.net", "RFC822", "a+b c=d@example.net"),
        ("x400;/C=us".replace("=", "+3D"), "x400", "/C=us"),
        ("utf-8;jos\\x{E9}@example.net", "utf-8", "josé@example.net"),
        ("UTF-8;\\x{43F}o\\x{5C}\\x{20}@example.net", "UTF-8", "пo\\ @example.net"),
        ("utf-8;josé@example.net", "utf-8", "josé@example.net"),
        ("rfc822;" + "x" * 493, "rfc822", "x" * 493),
    ],
)
def test_the_original_recipient_is_kept_as_it_came(value: str, address_type: str, address: str) -> None:
    assert rcpt(f"ORCPT={value}").original == OriginalRecipient(address_type, address)


@pytest.mark.rfc("3461 §4.1", "A parameter of DSN that is not well formed is 501.")
@pytest.mark.parametrize(
    "line",
    [
        "MAIL FROM:<ana@example.org> RET",
        "MAIL FROM:<ana@example.org> RET=BODY",
        "MAIL FROM:<ana@example.org> RET=hdrſ",
        "MAIL FROM:<ana@example.org> RET=FULL RET=FULL",
        "MAIL FROM:<ana@example.org> ENVID",
        "MAIL FROM:<ana@example.org> ENVID=",
        "MAIL FROM:<ana@example.org> ENVID=a+b",
        "MAIL FROM:<ana@example.org> ENVID=a+0D+0Ab",
        "MAIL FROM:<ana@example.org> ENVID=a+C3+A9",
        "MAIL FROM:<ana@example.org> ENVID=é",
        "MAIL FROM:<ana@example.org> ENVID=" + "x" * 101,
        "RCPT TO:<luis@example.net> NOTIFY",
        "RCPT TO:<luis@example.net> NOTIFY=,",
        "RCPT TO:<luis@example.net> NOTIFY=ALWAYS",
        "RCPT TO:<luis@example.net> NOTIFY=ſUCCESS",
        "RCPT TO:<luis@example.net> NOTIFY=NEVER,FAILURE",
        "RCPT TO:<luis@example.net> NOTIFY=DELAY NOTIFY=DELAY",
        "RCPT TO:<luis@example.net> ORCPT",
        "RCPT TO:<luis@example.net> ORCPT=luis@example.net",
        "RCPT TO:<luis@example.net> ORCPT=rfc822;",
        "RCPT TO:<luis@example.net> ORCPT=;luis@example.net",
        "RCPT TO:<luis@example.net> ORCPT=rfc 822;x",
        "RCPT TO:<luis@example.net> ORCPT=rfc822;a+zz",
        "RCPT TO:<luis@example.net> ORCPT=rfc822;a+0Ab",
        "RCPT TO:<luis@example.net> ORCPT=rfc822;josé@example.net",
        "RCPT TO:<luis@example.net> ORCPT=utf-8;",
        "RCPT TO:<luis@example.net> ORCPT=utf-8;a\\x{0A}b",
        "RCPT TO:<luis@example.net> ORCPT=utf-8;a\\x{2028}b",
        "RCPT TO:<luis@example.net> ORCPT=utf-8;a\\x{D800}b",
        "RCPT TO:<luis@example.net> ORCPT=rfc822;" + "x" * 494,
    ],
)
def test_what_is_wrong_in_a_parameter_of_dsn_is_501(line: str) -> None:
    assert fault(line) == "501 5.5.4"


def test_an_original_recipient_in_utf8_needs_a_server_with_smtputf8_alone() -> None:
    line = "RCPT TO:<luis@example.net> ORCPT=utf-8;josé@example.net"
    assert fault(line, ServerOptions("mx", smtputf8=False)) == "501 5.5.4"
    assert fault("RCPT TO:<josé@example.net> ORCPT=rfc822;x") == "553 5.6.7"


@pytest.mark.rfc("8689 §2", "REQUIRETLS is offered over TLS alone.")
def test_requiretls_is_offered_over_tls_alone() -> None:
    assert b"REQUIRETLS" not in server().take_output()
    assert b"\r\n250-REQUIRETLS\r\n" in server(is_secure=True).take_output()
    assert b"REQUIRETLS" not in server(ServerOptions("mx", requiretls=False), is_secure=True).take_output()


@pytest.mark.rfc("8689 §2", "REQUIRETLS is read where it is offered, and has no value.")
def test_requiretls_is_read_where_it_is_offered() -> None:
    line = "MAIL FROM:<ana@example.org> REQUIRETLS"
    assert mail(line, server(is_secure=True)).requires_tls
    assert fault(line + "=1", is_secure=True) == "501 5.5.4"
    assert fault(line) == "530 5.7.0"
    assert fault(line, ServerOptions("mx")) == "555 5.5.4"
    assert fault(line, ServerOptions("mx", requiretls=False), is_secure=True) == "555 5.5.4"


# The client's side

ALL = Sender(FROM, ret=Ret.FULL, envid="a b=1")


@pytest.mark.rfc("3461 §5.2.2", "RET, ENVID, NOTIFY and ORCPT are not said to a host that does not announce DSN.")
def test_parameters_of_dsn_are_written_where_it_was_announced() -> None:
    assert client().mail(ALL) == b"MAIL FROM:<ana@example.org>\r\n"
    assert client("DSN").mail(ALL) == b"MAIL FROM:<ana@example.org> RET=FULL ENVID=a+20b+3D1\r\n"
    assert client("DSN", lmtp=True).mail(ALL) == b"MAIL FROM:<ana@example.org> RET=FULL ENVID=a+20b+3D1\r\n"
    wanted = Recipient(TO, frozenset({Notify.DELAY, Notify.SUCCESS}), OriginalRecipient("rfc822", "a+b@Example.net"))
    without, with_dsn = client(), client("DSN")
    without.mail(ALL)
    with_dsn.mail(ALL)
    assert without.rcpt(wanted) == b"RCPT TO:<luis@example.net>\r\n"
    assert with_dsn.rcpt(wanted) == (
        b"RCPT TO:<luis@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@Example.net\r\n"
    )
    assert with_dsn.rcpt(Recipient(TO)) == b"RCPT TO:<luis@example.net>\r\n"


def test_an_original_recipient_in_utf8_is_said_in_ascii_where_it_must_be() -> None:
    wanted = Recipient(TO, None, OriginalRecipient("utf-8", "josé+x@example.net"))
    engine = client("DSN", "SMTPUTF8")
    engine.mail(Sender(FROM))
    assert engine.rcpt(wanted) == b"RCPT TO:<luis@example.net> ORCPT=utf-8;jos\\x{E9}\\x{2B}x@example.net\r\n"
    engine.rset()
    engine.mail(Sender(FROM, smtputf8=True))
    assert engine.rcpt(wanted) == "RCPT TO:<luis@example.net> ORCPT=utf-8;josé\\x{2B}x@example.net\r\n".encode()
    engine.rset()
    engine.mail(Sender(FROM))
    # RFC 3461 §4.2: no longer than 500 characters
    long = Recipient(TO, None, OriginalRecipient("utf-8", "й" * 100))
    assert engine.rcpt(long) == b"RCPT TO:<luis@example.net>\r\n"


@pytest.mark.rfc("8689 §4.2.1", "What requires TLS goes where REQUIRETLS was announced, or not at all.")
@pytest.mark.rfc("8689 §5", "A notification is not lost for it.")
def test_requiretls_goes_where_it_was_announced_or_nothing_goes() -> None:
    sender = Sender(FROM, requires_tls=True)
    assert client("REQUIRETLS").mail(sender) == b"MAIL FROM:<ana@example.org> REQUIRETLS\r\n"
    engine = client()
    with pytest.raises(ExtensionMissing) as missing:
        engine.mail(sender)
    assert missing.value.keyword == "REQUIRETLS"
    # RFC 8689 §5: a notification is not held back
    assert engine.mail(Sender(NULL_REVERSE_PATH, requires_tls=True)) == b"MAIL FROM:<>\r\n"


# Face to face

PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=33)
UNICODE = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], max_codepoint=0xFFFF), min_size=1, max_size=50
)
ORIGINALS = st.one_of(
    st.builds(OriginalRecipient, st.sampled_from(["rfc822", "X400"]), PRINTABLE),
    st.builds(OriginalRecipient, st.sampled_from(["utf-8", "UTF-8"]), UNICODE),
)
NOTIFY = st.one_of(
    st.just(frozenset({Notify.NEVER})),
    st.frozensets(st.sampled_from([Notify.SUCCESS, Notify.FAILURE, Notify.DELAY]), min_size=1),
)


@given(
    ret=st.none() | st.sampled_from(Ret),
    envid=st.none() | PRINTABLE,
    notify=st.none() | NOTIFY,
    original=st.none() | ORIGINALS,
    smtputf8=st.booleans(),
)
def test_what_the_client_says_of_notifications_the_server_reads(
    ret: Ret | None,
    envid: str | None,
    notify: frozenset[Notify] | None,
    original: OriginalRecipient | None,
    smtputf8: bool,
) -> None:
    theirs, ours = server(is_secure=True), ClientEngine()
    ours.feed(b"220 mx\r\n" + theirs.take_output())
    ours.next_event()
    ours.ehlo("c")
    ours.next_event()
    sender = Sender(FROM, smtputf8=smtputf8, ret=ret, envid=envid, requires_tls=True)
    recipient = Recipient(TO, notify, original)
    theirs.feed(ours.mail(sender) + ours.rcpt(recipient))
    for expected in (events.Mail(sender), events.Rcpt(recipient)):
        assert theirs.next_event() == expected
        theirs.answer(Reply.of(250, "ok"))
