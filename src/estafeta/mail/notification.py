"""Delivery status notifications: a report becomes octets that people and programs read.

A multipart/report (RFC 6522) of a letter, the status of each recipient (RFC 3464) and what comes back of the message;
in the types of RFC 6533 where an address or a field of the message is in UTF-8. All else is 7-bit, except a message
that is returned in 8 bits. What strangers said is cleaned and bounded before it stands anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from email.header import Header
from hashlib import blake2b

from estafeta.mail.envelope import Body, OriginalRecipient
from estafeta.mail.explanations import Language
from estafeta.mail.header import header_facts, header_size
from estafeta.mail.letter import author_name, letter, subject
from estafeta.mail.line_ends import has_bare_line_ends
from estafeta.mail.quoted_printable import quoted_printable
from estafeta.mail.reply import EnhancedStatusCode, Reply
from estafeta.mail.report import Action, Report, ReportedRecipient, clean
from estafeta.mail.trace import date_time
from estafeta.mail.value import value
from estafeta.mail.xtext import to_unitext, to_xtext

__all__ = ["Action", "ComposedNotification", "Language", "Report", "ReportedRecipient", "compose"]

MAX_ADDRESS = 900
"""Octets of an address, or of an envelope id, in a status field, so that its line is short enough (998)."""
MAX_REPLY_LINES = 20
MAX_REPLY_LINE = 480
"""Of a reply, what is transcribed: nearly all say less (RFC 5321 §4.5.3.1.5 has 512 octets a line)."""
MAX_MESSAGE_ID = 400
"""Letters of a Message-ID that is referred to; longer ones are not people's mail."""

_WIDTH = 76
_MESSAGE_ID = re.compile(r"<[!-;=?-~]+>")
# RFC 3464 §2.1.2, RFC 3461 §9.3: a domain name or an address literal is an MTA name of the type "dns".
_MTA_NAME = re.compile(r"[0-9A-Za-z_.-]{1,255}|\[[0-9A-Za-z:.]{1,60}\]")
_ATOM = re.compile(r"[!#-'*+\-/-9=?A-Z^-~]{1,60}")


@value
class ComposedNotification:
    """A notification ready to be sent."""

    octets: bytes
    """Header section and body, with CRLF."""
    smtputf8: bool
    """Its own header has an address in UTF-8, so that it goes by SMTPUTF8 only (RFC 6531 §3.2)."""
    body: Body
    message_id: str
    """With its angle brackets."""


@value
class _Part:
    """One part of the multipart/report."""

    kind: str
    octets: bytes
    encoding: str
    fields: tuple[str, ...] = ()

    def encode(self) -> bytes:
        lines = [f"Content-Type: {self.kind}", f"Content-Transfer-Encoding: {self.encoding}", *self.fields, "", ""]
        return "\r\n".join(lines).encode("ascii") + self.octets


def compose(report: Report) -> ComposedNotification:
    """Compose the notification; it goes from the null reverse-path to `report.to` (RFC 3461 §6.1)."""
    if report.is_full and not _is_text(report.returned):
        report = replace(report, is_full=False)
    parts = (_letter(report), _status(report), _returned(report))
    encoded = [part.encode() for part in parts]
    boundary = _boundary(report, encoded)
    message_id = f"<{report.notification_id}@{report.reporting_host}>"
    header = "\r\n".join([*_fields(report, message_id, boundary), "", ""]).encode()
    delimiter = b"--" + boundary.encode("ascii")
    body = b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in encoded) + delimiter + b"--\r\n"
    return ComposedNotification(
        octets=header + body,
        smtputf8=not header.isascii(),
        body=Body.SEVEN_BIT if header.isascii() and body.isascii() else Body.EIGHT_BIT,
        message_id=message_id,
    )


def _fields(report: Report, message_id: str, boundary: str) -> Iterator[str]:
    """The header section."""
    yield f"From: {author_name(report.language)} <{report.author}>"
    yield f"To: <{report.to}>"
    yield f"Subject: {_unstructured(subject(report), 'Subject')}"
    yield f"Date: {date_time(report.at)}"
    yield f"Message-ID: {message_id}"
    original = header_facts(report.returned).message_id
    if original is not None and len(original) <= MAX_MESSAGE_ID and _MESSAGE_ID.fullmatch(original):
        yield f"In-Reply-To: {original}"
        yield f"References: {original}"
    yield "Auto-Submitted: auto-replied"  # RFC 3834 §5
    yield f"Content-Language: {report.language}"
    yield "MIME-Version: 1.0"
    yield f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"'


def _unstructured(text: str, name: str) -> str:
    """Text as a field's body, in encoded words where it must be (RFC 2047)."""
    is_plain = text.isascii() and "=?" not in text
    return Header(text, "us-ascii" if is_plain else "utf-8", header_name=name).encode(linesep="\r\n")


def _boundary(report: Report, parts: list[bytes]) -> str:
    """A boundary that is in none of the parts; the same for the same report."""
    number = 0
    while True:
        text = f"{report.notification_id}@{report.reporting_host} {number}"
        boundary = f"=_{blake2b(text.encode(), digest_size=16).hexdigest()}"
        if not any(boundary.encode("ascii") in part for part in parts):
            return boundary
        number += 1


def _letter(report: Report) -> _Part:
    text = letter(report).replace("\n", "\r\n").encode("utf-8", "replace")
    encoding = "7bit" if text.isascii() else "quoted-printable"
    octets = text if text.isascii() else quoted_printable(text)
    return _Part("text/plain; charset=utf-8", octets, encoding, (f"Content-Language: {report.language}",))


# The status of each recipient.


def _status(report: Report) -> _Part:
    """RFC 3464 §2, RFC 6533 §4.1: a group of fields about the message, and one for each recipient."""
    is_utf8 = any(_is_utf8(recipient) for recipient in report.recipients)
    groups = [list(_of_message(report))]
    groups += [list(_of_recipient(recipient, report, is_utf8=is_utf8)) for recipient in report.recipients]
    text = "\r\n".join("".join(f"{field}\r\n" for field in group) for group in groups)
    if is_utf8:
        return _Part("message/global-delivery-status", text.encode(), "8bit")
    return _Part("message/delivery-status", text.encode("ascii"), "7bit")


def _is_utf8(recipient: ReportedRecipient) -> bool:
    original = recipient.original
    is_utf8 = original is not None and original.address_type.lower() == "utf-8" and not original.address.isascii()
    return is_utf8 or not recipient.final.address.is_ascii


def _of_message(report: Report) -> Iterator[str]:
    if report.envid:
        # RFC 3461 §6.3 (a): decoded from xtext here.
        yield f"Original-Envelope-Id: {_ascii(clean(report.envid, MAX_ADDRESS))}"
    yield f"Reporting-MTA: dns; {report.reporting_host}"
    if report.received_from and _MTA_NAME.fullmatch(report.received_from):
        yield f"Received-From-MTA: dns; {report.received_from}"
    yield f"Arrival-Date: {date_time(report.arrived_at)}"
    if report.deliver_by_at is not None:
        yield f"Deliver-By-Date: {date_time(report.deliver_by_at)}"  # RFC 2852 §5
    if report.hold is not None:
        yield f"Future-Release-Request: {report.hold}"  # RFC 4865 §5.1.2


def _of_recipient(recipient: ReportedRecipient, report: Report, *, is_utf8: bool) -> Iterator[str]:
    if recipient.original is not None:
        yield f"Original-Recipient: {_original(recipient.original, is_utf8=is_utf8)}"
    kind = "rfc822" if recipient.final.address.is_ascii else "utf-8"
    yield f"Final-Recipient: {kind}; {recipient.final}"
    yield f"Action: {recipient.action}"
    yield f"Status: {_code(recipient.status)}"
    if recipient.remote_host and _MTA_NAME.fullmatch(recipient.remote_host):
        yield f"Remote-MTA: dns; {recipient.remote_host}"
    if recipient.reply is not None:
        kind = "smtp" if recipient.is_remote else "X-Estafeta"
        yield f"Diagnostic-Code: {kind}; {_diagnostic(recipient.reply, kind, is_utf8=is_utf8)}"
    if recipient.last_attempt_at is not None:
        yield f"Last-Attempt-Date: {date_time(recipient.last_attempt_at)}"
    if report.queue_id:
        yield f"Final-Log-ID: {report.queue_id}"
    if recipient.action is Action.DELAYED and recipient.will_retry_until is not None:
        yield f"Will-Retry-Until: {date_time(recipient.will_retry_until)}"


def _original(original: OriginalRecipient, *, is_utf8: bool) -> str:
    """RFC 3461 §6.3 (d): as ORCPT had it, decoded. What cannot stand here keeps the encoding that it had there."""
    kind = original.address_type if _ATOM.fullmatch(original.address_type) else "unknown"
    address = original.address
    if not (address.isprintable() and (address.isascii() or (is_utf8 and kind.lower() == "utf-8"))):
        address = to_unitext(address, utf8=is_utf8) if kind.lower() == "utf-8" else to_xtext(address)
    return f"{kind};{address[:MAX_ADDRESS]}"


def _code(status: EnhancedStatusCode) -> str:
    """RFC 3463 §2: the second and the third number have at most three digits."""
    return f"{status.klass}.0.0" if max(status.subject, status.detail) > 999 else str(status)


def _diagnostic(reply: Reply, kind: str, *, is_utf8: bool) -> str:
    """The reply as it was said, each line of it on a line of its own (RFC 3461 §9.2)."""
    lines = [clean(line, MAX_REPLY_LINE) for line in reply.lines[:MAX_REPLY_LINES]] or [""]
    if len(reply.lines) > MAX_REPLY_LINES:
        lines[-1] = "..."
    status = "" if reply.status is None else f"{_code(reply.status)} "
    told = [f"{reply.code:03}-{status}{line}" for line in lines[:-1]] + [f"{reply.code:03} {status}{lines[-1]}"]
    told = [line if is_utf8 else _ascii(line) for line in told]
    return _folded(told, len(f"Diagnostic-Code: {kind}; "))


def _folded(lines: list[str], column: int) -> str:
    """Each of the lines begins a line of the field, and goes on in others where it is long."""
    folded = []
    for line in lines:
        made = ""
        for word in line.rstrip().split(" "):
            if made and column + 1 + len(word) > _WIDTH:
                folded.append(made)
                made, column = word, 1 + len(word)
            else:
                made = f"{made} {word}" if made else word
                column += 1 + len(word)
        folded.append(made)
        column = 1
    return "\r\n ".join(folded)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")


# What comes back of the message.


def _returned(report: Report) -> _Part:
    """RFC 6522 §3: the message whole, or the fields of its header."""
    content = report.returned
    size = header_size(content)
    header = content[:size]
    is_utf8 = not header.isascii() and _is_valid_utf8(header)
    if report.is_full:
        # A header in another charset is nobody's standard; the message comes back as it came.
        kind = "message/global" if is_utf8 else "message/rfc822"
        return _Part(kind, content, "7bit" if content.isascii() else "8bit")
    fields = header[:-2] if header.endswith(b"\r\n\r\n") else header
    is_text = _is_text(fields)
    if is_utf8 and is_text:
        return _Part("message/global-headers", fields, "8bit")
    if fields.isascii() and is_text:
        return _Part("text/rfc822-headers", fields, "7bit")
    return _Part("text/rfc822-headers", quoted_printable(fields), "quoted-printable")  # RFC 6522 §4


def _is_text(octets: bytes) -> bool:
    """Whether it is lines; what is not can end the data for the hosts that the notification goes by (RFC 3030 §3)."""
    return b"\0" not in octets and not has_bare_line_ends(octets)


def _is_valid_utf8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
