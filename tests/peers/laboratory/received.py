"""What a host of the laboratory has received, taken apart: trace fields, the message below them, notifications."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.policy import default

_TRACE = re.compile(
    rb"(?:return-path|received|delivered-to|x-original-to|envelope-to|delivery-date): [^\n]*\n(?:[ \t][^\n]*\n)*",
    re.IGNORECASE,
)


def below_trace(message: bytes) -> bytes:
    """A message as its author wrote it: without the fields that hosts on its way have put before it."""
    end = 0
    while (field := _TRACE.match(message, end)) is not None:
        end = field.end()
    return message[end:]


def in_a_maildir(content: bytes) -> bytes:
    """A message as hosts keep it in a Maildir: with the line ends of the system."""
    return content.replace(b"\r\n", b"\n")


@dataclass(frozen=True)
class Notification:
    """A notification of RFC 3464."""

    message: Message
    text: str
    """What is said to people."""
    of_message: Message
    """The fields about the message."""
    recipients: Sequence[Message]
    """The fields of each recipient."""
    returned: bytes
    """What came back of the message."""

    @property
    def told(self) -> list[tuple[str, str, str]]:
        """Address, action and status of each recipient."""
        return [
            (each["Final-Recipient"].partition(";")[2].strip(), each["Action"], each["Status"])
            for each in self.recipients
        ]


def notification(message: bytes) -> Notification:
    """Read a notification with Python's own parser, which is to find nothing wrong with it."""
    parsed = message_from_bytes(message, policy=default)
    assert parsed.get_content_type() == "multipart/report", message[:2000]
    assert parsed.get_param("report-type") == "delivery-status"
    assert [part.defects for part in parsed.walk() if part.defects] == []
    text, status, returned = parsed.iter_parts()
    assert status.get_content_type() == "message/delivery-status"
    of_message, *recipients = status.iter_parts()
    # The octets of the last part, between its own header section and the closing delimiter.
    delimiter = b"\r\n--" + str(parsed.get_boundary()).encode()
    part = message.rsplit(delimiter, 2)[1]
    assert returned.get_content_type() in ("message/rfc822", "text/rfc822-headers")
    return Notification(parsed, text.get_content(), of_message, recipients, part.partition(b"\r\n\r\n")[2])
