"""Whatever stands behind MAIL and RCPT: it is refused with a reply, or read to values without line ends that the client
engine writes again so that the server engine reads the same values (RFC 5321 §4.1.2, all parameters)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.fuzz.inputs import Input

from estafeta.mail.address import Address, AddressError
from estafeta.mail.envelope import Hold, Recipient, Sender
from estafeta.mail.reply import Reply
from estafeta.mail.trace import return_path
from estafeta.wire.smtp import events
from estafeta.wire.smtp.client import ClientEngine
from estafeta.wire.smtp.extensions.dsn import MAX_ENVID, MAX_ORCPT
from estafeta.wire.smtp.server import ServerEngine
from estafeta.wire.smtp.session import ServerOptions

OPTIONS = ServerOptions(
    "mx.example.org",
    mechanisms=("PLAIN",),
    command_line=8192,
    no_soliciting=(),
    screens=True,
    deliver_by=0,
    hold_for=999_999_999,
    hold_until=lambda: datetime(2060, 1, 1, tzinfo=UTC),
    priority_policy="",
)
LINE_END = re.compile("[\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\0]")


def server() -> ServerEngine:
    """Greeted, over TLS."""
    engine = ServerEngine(OPTIONS, is_secure=True)
    engine.feed(b"EHLO client.example.org\r\n")
    engine.next_event()
    engine.answer(engine.hello_reply("mx"))
    return engine


def client() -> ClientEngine:
    """As such a server leaves it."""
    engine = ClientEngine()
    engine.feed(b"220 mx\r\n")
    engine.next_event()
    engine.ehlo("client.example.org")
    engine.feed(server().take_output())
    engine.next_event()
    return engine


def ask(engine: ServerEngine, octets: bytes) -> events.Event | None:
    """One command; a fault is answered."""
    engine.feed(octets)
    event = engine.next_event()
    if isinstance(event, events.Faulty):
        engine.answer(event.reply)
        return None
    return event


def check_text(text: str) -> None:
    """Nothing in it begins a new line, for any reader."""
    assert not LINE_END.search(text), ascii(text)


def check_sender(argument: bytes) -> Sender | None:
    """MAIL, there and back."""
    engine = server()
    event = ask(engine, b"MAIL " + argument + b"\r\n")
    if not isinstance(event, events.Mail):
        return None
    sender = event.sender
    check_text(str(sender.reverse_path))
    assert return_path(sender.reverse_path).count(b"\r\n") == 1
    if sender.reverse_path.address is not None:
        check_address(sender.reverse_path.address)
    again = ask(server(), client().mail(sender))
    assert isinstance(again, events.Mail) and again.sender == _in_whole_seconds(sender), (again, sender)
    return sender


def _in_whole_seconds(sender: Sender) -> Sender:
    """HOLDUNTIL is written in these, and never earlier than it was."""
    until = sender.hold.until if sender.hold is not None else None
    if until is None or not until.microsecond:
        return sender
    return replace(sender, hold=Hold(until=until.replace(microsecond=0) + timedelta(seconds=1)))


def check_recipient(argument: bytes, sender: Sender) -> None:
    """RCPT in a transaction of the sender's, there and back."""
    there, back, writer = server(), server(), client()
    line = writer.mail(sender)
    for engine in (there, back):
        assert isinstance(ask(engine, line), events.Mail)
        engine.answer(Reply.of(250, "ok"))
    writer.feed(b"250 ok\r\n")
    writer.next_event()
    event = ask(there, b"RCPT " + argument + b"\r\n")
    if not isinstance(event, events.Rcpt):
        return
    recipient = event.recipient
    check_text(str(recipient.forward_path))
    if recipient.original is not None:
        check_text(recipient.original.address)
    check_address(recipient.forward_path.address)
    again = ask(back, writer.rcpt(recipient))
    assert isinstance(again, events.Rcpt), again
    assert again.recipient == _without_long_original(recipient, again.recipient), (again, recipient)


def _without_long_original(recipient: Recipient, again: Recipient) -> Recipient:
    """In ASCII an original recipient can become longer than any server takes, and is not said then."""
    if again.original is None and recipient.original is not None and not recipient.original.address.isascii():
        return Recipient(recipient.forward_path, recipient.notify)
    return recipient


def check_address(address: Address) -> None:
    """What is written is read as it was."""
    if address.domain:
        assert Address.parse(str(address)) == address, address


def run(octets: bytes) -> None:
    """One input: the argument of MAIL, and behind a line end that of RCPT."""
    given = Input.of(octets)
    first, _, second = given.octets.partition(b"\n")
    assert MAX_ENVID < MAX_ORCPT < OPTIONS.command_line
    sender = check_sender(first.replace(b"\r", b""))
    if sender is None:
        sender = check_sender(b"FROM:<ana@example.org> SMTPUTF8" if given.has(0) else b"FROM:<ana@example.org>")
    assert sender is not None
    check_recipient(second.replace(b"\r", b"").replace(b"\n", b""), sender)
    try:
        text = given.octets.decode("utf-8")
        check_address(Address.parse(text))
    except (UnicodeDecodeError, AddressError):
        pass
