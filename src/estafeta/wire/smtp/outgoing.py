"""A transaction as the client has it, and what the client says behind MAIL and RCPT.

A parameter goes where its extension was announced. What cannot be said without one raises ExtensionMissing,
before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeAlias

from estafeta.mail.envelope import Body, ByMode, Recipient, Sender
from estafeta.mail.reply import Reply
from estafeta.wire.errors import ExtensionMissing, RemoteProtocolError
from estafeta.wire.smtp.dialogue import Command
from estafeta.wire.smtp.extensions import EXTENSIONS
from estafeta.wire.smtp.extensions.deliver_by import least_time
from estafeta.wire.smtp.replies import Capabilities
from estafeta.wire.smtp.session import Fields

# To reach for a member of an enum costs a call in Python 3.11.
_BINARY: Final = Body.BINARY

Write: TypeAlias = Callable[[Fields, bool], str | None]


@dataclass(slots=True)
class OutgoingTransaction:
    """From MAIL to the reply to its content, or to RSET."""

    is_utf8: bool
    is_lmtp: bool
    is_refused: bool = False
    """MAIL was."""
    accepted: list[Recipient] = field(default_factory=list)
    recipients_waiting: int = 0
    replies_waiting: int = 0
    """Commands of it without a reply, those for recipients included."""
    is_data_sent: bool = False
    data: Reply | None = None
    is_chunked: bool = False
    """A BDAT was sent: neither RCPT nor DATA may follow (RFC 3030 §2)."""
    is_last_sent: bool = False
    is_chunk_refused: bool = False
    """No other chunk may follow (RFC 3030 §2)."""
    is_taken: bool = False
    """The content has a positive reply."""

    @property
    def is_data_open(self) -> bool:
        """DATA was sent and is not refused."""
        return self.is_data_sent and (self.data is None or self.data.is_positive)

    @property
    def may_have_recipients(self) -> bool:
        """Whether a recipient is accepted, or not yet answered."""
        return bool(self.recipients_waiting or self.deliverable)

    @property
    def deliverable(self) -> list[Recipient]:
        """A recipient counts only in a transaction that was accepted."""
        return [] if self.is_refused else self.accepted

    @property
    def is_over(self) -> bool:
        """Whether the server has none open any more: MAIL was refused, or all of the content is answered.

        Not after a refused chunk: then a RSET is due (RFC 3030 §2).
        """
        if self.replies_waiting:
            return False
        if self.is_chunked:
            return self.is_last_sent and self.is_taken
        return self.is_refused and (self.data is None or not self.data.is_positive)

    # What the replies to its commands change.

    def mail_answered(self, command: Command, reply: Reply) -> None:
        """To MAIL."""
        self.is_refused = reply.code >= 400

    def rcpt_answered(self, command: Command, reply: Reply) -> None:
        """To RCPT."""
        self.recipients_waiting -= 1
        if reply.code < 400 and command.recipient is not None:
            self.accepted.append(command.recipient)

    def data_answered(self, command: Command, reply: Reply) -> None:
        """To DATA."""
        if 200 <= reply.code < 300:
            raise RemoteProtocolError(f"{reply.code} in answer to DATA")
        self.data = reply
        # RFC 2033 §4.2: DATA fails without recipients; there a lone dot would have no reply.
        if self.is_lmtp and reply.is_positive and not self.deliverable:
            raise RemoteProtocolError("354 though no recipient was accepted")

    def chunk_answered(self, command: Command, reply: Reply) -> None:
        """To a BDAT that is not the last one."""
        if not reply.is_positive:
            self.is_chunk_refused = True

    def content_answered(self, command: Command, reply: Reply) -> None:
        """To the final dot or the last chunk; with LMTP for one recipient."""
        if reply.code < 400:
            self.is_taken = True


@lru_cache(maxsize=256)
def _writers(keywords: frozenset[str]) -> tuple[tuple[Write[Sender], ...], tuple[Write[Recipient], ...]]:
    """Those of the parameters whose extensions were announced (RFC 3461 §5.2.2 (a): not where they were not)."""
    known = [extension for extension in EXTENSIONS if extension.keyword in keywords]
    return (
        tuple(parameter.write for extension in known for parameter in extension.mail_parameters),
        tuple(parameter.write for extension in known for parameter in extension.rcpt_parameters),
    )


def _can_be_in_time(seconds: int, keywords: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether the server takes a message that is to come back after so many seconds (RFC 2852 §4.1.4.1)."""
    return "DELIVERBY" in keywords and seconds >= max(1, least_time(keywords["DELIVERBY"]))


def mail_argument(sender: Sender, capabilities: Capabilities) -> tuple[str, bool]:
    """What stands behind MAIL, and whether SMTPUTF8 is among it."""
    keywords = capabilities.keywords
    path = sender.reverse_path
    is_foreign = path.address is not None and not path.address.is_ascii
    if is_foreign and "SMTPUTF8" not in keywords:
        raise ExtensionMissing("SMTPUTF8", f"the address {path}")
    if sender.body is _BINARY and not capabilities.takes_binary:
        raise ExtensionMissing("BINARYMIME", "the content of the message")
    if sender.requires_tls and "REQUIRETLS" not in keywords and not path.is_null:
        raise ExtensionMissing("REQUIRETLS", "the message")  # RFC 8689 §5: a notification is not lost for it
    if sender.hold is not None and "FUTURERELEASE" not in keywords:
        raise ExtensionMissing("FUTURERELEASE", "the message")  # RFC 4865 §4.1 (1)
    by = sender.deliver_by
    if by is not None and by.mode is ByMode.RETURN and not _can_be_in_time(by.seconds, keywords):
        raise ExtensionMissing("DELIVERBY", "the message")
    is_utf8 = (is_foreign or sender.smtputf8) and "SMTPUTF8" in keywords
    text = f"FROM:<{path}>"
    for write in _writers(capabilities.known)[0]:
        parameter = write(sender, is_utf8)
        if parameter is not None:
            text += " " + parameter
    return text, is_utf8


def rcpt_argument(recipient: Recipient, capabilities: Capabilities, *, is_utf8: bool) -> str:
    """What stands behind RCPT; `is_utf8`: MAIL said SMTPUTF8."""
    text = f"TO:<{recipient.forward_path}>"
    for write in _writers(capabilities.known)[1]:
        parameter = write(recipient, is_utf8)
        if parameter is not None:
            text += " " + parameter
    return text
