"""Whatever comes back of a message and whatever a host said of it: the notification is lines of at most 998 octets, has
three parts that others (email) find, its own header alone, each recipient's status once, and what is returned whole."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage

from tests.fuzz.inputs import Input

from estafeta.mail.address import Address, AddressError, ForwardPath
from estafeta.mail.downgrade import CannotDowngrade, to_seven_bit
from estafeta.mail.envelope import Body, OriginalRecipient
from estafeta.mail.explanations import Language
from estafeta.mail.header import fields, header_size
from estafeta.mail.line_ends import has_bare_line_ends
from estafeta.mail.notification import Action, ComposedNotification, Report, ReportedRecipient, compose
from estafeta.mail.reply import EnhancedStatusCode, Reply
from estafeta.wire.errors import RemoteProtocolError
from estafeta.wire.smtp.replies import ReplyReader

SPANISH, FULL, REMOTE, DELAYED, EXPIRED = range(5)
"""Flags."""
STAGES = ("", "connection", "MAIL", "RCPT", "DATA", "content", "STARTTLS")
OWN = (
    *("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted"),
    *("Content-Language", "MIME-Version", "Content-Type"),
)


def reply_of(octets: bytes) -> Reply:
    """As the client's engine would have read it."""
    reader = ReplyReader()
    reader.feed(octets.replace(b"\n", b"\r\n") + b"\r\n550 no\r\n")
    try:
        return reader.next_reply() or Reply.of(550, "no")
    except RemoteProtocolError as error:
        return Reply.of(550, str(error))


def address_of(text: str) -> Address:
    """An address, or an honest one in its place."""
    try:
        return Address.parse(text)
    except AddressError:
        return Address("ana", "example.org")


def report_of(given: Input) -> Report:
    """The reply, two addresses, the name of a host and what came back stand behind one another, parted by 0xFE."""
    said, final, original, host, returned = (*given.octets.split(b"\xfe", 4), b"", b"", b"", b"", b"")[:5]
    status = EnhancedStatusCode(4 if given.has(DELAYED) else 5, given.cut & 7, given.cut)
    text = original.decode("utf-8", "replace")
    kind, _, rest = text.partition(";")
    recipients = (
        ReportedRecipient(
            ForwardPath(address_of(final.decode("utf-8", "replace"))),
            Action.DELAYED if given.has(DELAYED) else Action.FAILED,
            status,
            original=OriginalRecipient(kind, rest) if text else None,
            remote_host=host.decode("utf-8", "replace"),
            reply=reply_of(said),
            is_remote=given.has(REMOTE),
            stage=STAGES[given.cut % len(STAGES)],
            is_expired=given.has(EXPIRED),
            last_attempt_at=5.0,
            will_retry_until=9.0 if given.has(DELAYED) else None,
        ),
        ReportedRecipient(ForwardPath(Address("luis", "example.net")), Action.RELAYED, status),
    )
    return Report(
        notification_id="0123456789abc",
        at=9.0,
        to=Address("ana", "example.org"),
        author=Address("postmaster", "mx.example.org"),
        reporting_host="mx.example.org",
        language=Language.ES if given.has(SPANISH) else Language.EN,
        arrived_at=1.0,
        recipients=recipients,
        returned=returned if given.has(FULL) else returned[: header_size(returned)],
        is_full=given.has(FULL),
        envid=text or None,
        received_from=host.decode("utf-8", "replace") or None,
        queue_id="0123456789abc",
    )


def is_text(octets: bytes) -> bool:
    """Whether it is lines."""
    return b"\0" not in octets and not has_bare_line_ends(octets)


def check_octets(made: ComposedNotification, report: Report) -> None:
    """What stands on the wire."""
    head = made.octets[: header_size(made.octets)]
    assert is_text(made.octets)
    assert (made.body is Body.SEVEN_BIT) == made.octets.isascii()
    theirs = set(report.returned.split(b"\r\n"))
    assert all(len(line) <= 998 or line in theirs for line in made.octets.split(b"\r\n"))
    names = [each.name for each in fields(head)]
    assert len(names) == len(set(names)) and set(names) <= set(OWN), names
    assert head.isascii() != made.smtputf8


def check_parts(made: ComposedNotification, report: Report) -> None:
    """What others find in it."""
    read = message_from_bytes(made.octets, policy=policy.default)
    assert isinstance(read, EmailMessage) and read.get_content_type() == "multipart/report"
    parts = list(read.iter_parts())
    assert len(parts) == 3, len(parts)
    written = parts[0].get_payload(decode=True)
    assert isinstance(written, bytes)
    text = written.decode("utf-8")
    assert all(each.isprintable() for each in text.replace("\r", "").split("\n")), ascii(text)
    assert parts[1].get_content_type() in ("message/delivery-status", "message/global-delivery-status")
    groups = made.octets.split(b"delivery-status\r\n", 1)[1].split(b"\r\n\r\n")[1 : 2 + len(report.recipients)]
    for group in groups[1:]:
        names = [each.name for each in fields(group + b"\r\n\r\n")]
        assert names.count("Final-Recipient") == names.count("Action") == names.count("Status") == 1
        assert len(names) == len(set(names)), names
    if b"\r\n\r\n" + report.returned not in made.octets:
        assert not report.is_full or not is_text(report.returned)
        assert parts[2].get_content_type() in ("text/rfc822-headers", "message/global-headers")


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    report = report_of(given)
    made = compose(report)
    assert compose(report) == made
    check_octets(made, report)
    check_parts(made, report)
    if not made.smtputf8:
        try:
            assert to_seven_bit(made.octets).isascii()
        except CannotDowngrade as error:
            assert str(error)
