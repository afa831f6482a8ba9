"""What became of each recipient of a message that was sent, and which message is sent next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from estafeta.mail.address import ForwardPath
from estafeta.mail.envelope import Recipient, Sender
from estafeta.mail.reply import Reply
from estafeta.mail.value import value
from estafeta.wire.smtp.dialogue import Answered, Closing, Event, Verb

# To reach for a member of an enum costs a call in Python 3.11.
_MAIL, _RCPT, _CONTENT = Verb.MAIL, Verb.RCPT, Verb.CONTENT


@value
class RecipientReply:
    """The reply that decided about one recipient: to MAIL, RCPT, DATA, a chunk or the end of the content."""

    recipient: Recipient
    reply: Reply
    verb: Verb
    """What it was the answer to; where the server closed with 421, what was still unanswered."""
    is_local: bool = False
    """It is our own: the server was not asked."""

    @property
    def forward_path(self) -> ForwardPath:
        """The recipient's."""
        return self.recipient.forward_path


@value
class SendResult:
    """One reply for each recipient, in the order in which they were given."""

    replies: tuple[RecipientReply, ...]

    @property
    def accepted(self) -> tuple[RecipientReply, ...]:
        """Those for whom the server has taken the message."""
        return tuple(each for each in self.replies if each.reply.is_positive)

    @property
    def refused(self) -> tuple[RecipientReply, ...]:
        """Those for whom it has not, for now (4yz) or for good (5yz)."""
        return tuple(each for each in self.replies if not each.reply.is_positive)


class NextMessage(NamedTuple):
    """A message that goes over the same connection next: `sender` and `recipients` as they are given to `send` then."""

    sender: Sender
    recipients: Sequence[Recipient]
    content: bytes


Following: TypeAlias = Callable[[], NextMessage | None]
"""Asked for the next message when the content of one goes out."""


class Tally:
    """Gathers the replies of one transaction."""

    __slots__ = ("_closing", "_finals", "_is_lmtp", "_mail", "_rcpt", "_recipients", "_refusal")

    def __init__(self, recipients: Sequence[Recipient], *, is_lmtp: bool) -> None:
        self._recipients = recipients
        self._is_lmtp = is_lmtp
        self._mail: Reply | None = None
        self._rcpt: list[Reply] = []
        self._refusal: tuple[Verb, Reply] | None = None
        self._finals: list[Reply] = []
        self._closing: Reply | None = None

    @property
    def is_refused(self) -> bool:
        """Whether it makes no sense to go on: the server closes, or took neither MAIL nor the content so far."""
        if self._closing is not None or self._refusal is not None:
            return True
        return self._mail is not None and not self._mail.is_positive

    def take(self, event: Event) -> None:
        """Note what happened."""
        if type(event) is not Answered:
            if isinstance(event, Closing):
                self._closing = event.reply
            return
        verb, reply = event.command.verb, event.reply
        if verb is _RCPT:
            self._rcpt.append(reply)
        elif verb is _CONTENT:
            self._finals.append(reply)
        elif verb is _MAIL:
            self._mail = reply
        elif verb in (Verb.DATA, Verb.BDAT) and not reply.is_positive and self._refusal is None:
            self._refusal = verb, reply

    def decided(self) -> list[RecipientReply | None]:
        """What is known of each recipient, in their order."""
        known: list[RecipientReply | None] = []
        mail, refusal, closing, rcpts = self._mail, self._refusal, self._closing, self._rcpt
        is_mail_taken = mail is not None and mail.code < 400
        finals = iter(self._finals)
        the_one = self._finals[0] if self._finals and not self._is_lmtp else None
        for index, recipient in enumerate(self._recipients):
            reply: Reply | None
            rcpt = rcpts[index] if index < len(rcpts) else None
            if not is_mail_taken:
                verb, reply = _MAIL, mail
            elif rcpt is None or rcpt.code >= 400:
                verb, reply = _RCPT, rcpt
            elif refusal is not None:
                verb, reply = refusal
            else:
                # RFC 2033 §4.2: the replies come in the order of the accepted recipients.
                verb, reply = _CONTENT, next(finals, None) if self._is_lmtp else the_one
            reply = reply or closing
            known.append(None if reply is None else RecipientReply(recipient, reply, verb))
        return known
