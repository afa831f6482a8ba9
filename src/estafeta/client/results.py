"""What became of each recipient of a message that was sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from estafeta.mail.address import ForwardPath
from estafeta.mail.reply import Reply
from estafeta.wire.smtp.dialogue import Answered, Closing, Event, Verb


@dataclass(frozen=True, slots=True)
class RecipientReply:
    """The reply that decided about one recipient: to MAIL, RCPT, DATA or the final dot."""

    forward_path: ForwardPath
    reply: Reply
    verb: Verb
    """What it was the answer to; where the server closed with 421, what was still unanswered."""


@dataclass(frozen=True, slots=True)
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


class Tally:
    """Gathers the replies of one transaction."""

    def __init__(self, recipients: Sequence[ForwardPath]) -> None:
        self._recipients = recipients
        self._mail: Reply | None = None
        self._rcpt: list[Reply] = []
        self._data: Reply | None = None
        self._final: list[Reply] = []
        self._closing: Reply | None = None

    @property
    def is_refused(self) -> bool:
        """Whether it makes no sense to go on: MAIL was refused, or the server closes."""
        return self._closing is not None or (self._mail is not None and not self._mail.is_positive)

    def take(self, event: Event) -> None:
        """Note what happened."""
        match event:
            case Closing(reply):
                self._closing = reply
            case Answered(command, reply):
                match command.verb:
                    case Verb.MAIL:
                        self._mail = reply
                    case Verb.RCPT:
                        self._rcpt.append(reply)
                    case Verb.DATA:
                        self._data = reply
                    case Verb.CONTENT:
                        self._final.append(reply)

    def result(self, *, lmtp: bool) -> SendResult:
        """The reply that decided about each recipient."""
        replies = []
        finals = iter(self._final)
        for index, path in enumerate(self._recipients):
            rcpt = self._rcpt[index] if index < len(self._rcpt) else None
            verb, reply = self._before_content(rcpt)
            if reply is None:
                # RFC 2033 §4.2: the replies come in the order of the accepted recipients.
                final = next(finals, None) if lmtp else (self._final[0] if self._final else None)
                verb, reply = Verb.CONTENT, final or self._closing
            assert reply is not None
            replies.append(RecipientReply(path, reply, verb))
        return SendResult(tuple(replies))

    def _before_content(self, rcpt: Reply | None) -> tuple[Verb, Reply | None]:
        for verb, reply in ((Verb.MAIL, self._mail), (Verb.RCPT, rcpt), (Verb.DATA, self._data)):
            if reply is None:
                return verb, self._closing
            if not reply.is_positive:
                return verb, reply
        return Verb.CONTENT, None
