"""A job between hosts: for whom it is still to be sent, and what was said of each recipient so far."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import floor

from estafeta.agents.outbound.lane import Job
from estafeta.agents.outbound.outcome import HostFacts, Outcome
from estafeta.agents.outbound.plan import Trouble
from estafeta.client import RecipientReply, SmtpClient
from estafeta.mail.downgrade import to_seven_bit
from estafeta.mail.envelope import Body, DeliverBy, Octets, Recipient, Sender
from estafeta.mail.priority import with_priority
from estafeta.mail.reply import Reply
from estafeta.mail.report import Relaying
from estafeta.store.records import Fate, QueuedRecipient
from estafeta.wire.smtp.dialogue import Verb
from estafeta.wire.smtp.extensions.deliver_by import least_time

_MOST_SECONDS = 999_999_999  # RFC 2852 §4
_TOO_LATE = Reply.of(554, "it could not be delivered in the time that its sender gave it", "5.4.7")
_UNTIMED = Reply.of(554, "the next host does not take a time for delivery (DELIVERBY)", "5.3.3")
_TOO_SHORT = Reply.of(554, "the next host wants more time for delivery than is left (DELIVERBY)", "5.4.7")
# To reach for a member of an enum, or its value, costs a call in Python 3.11.
_DEFERRED = Fate.DEFERRED
_BODIES = (Body.EIGHT_BIT, Body.BINARY)
_BINARY = Body.BINARY
_PLAIN = Relaying.PLAIN
_TOO_MANY = (452, 552)
"""RFC 5321 §4.5.3.1.10: 452, and 552 of those who follow RFC 821."""


class OutOfTime(Exception):
    """A host must not be given the message, for the time in which it is to be delivered (RFC 2852 §4.1.4.1)."""

    def __init__(self, reply: Reply, *, is_overdue: bool) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.is_overdue = is_overdue


class UnderWay:
    """One attempt's knowledge of its recipients."""

    def __init__(self, job: Job, content: bytes, clock: Callable[[], float], *, is_tunnelled: bool = False) -> None:
        """`is_tunnelled`: hosts without MT-PRIORITY are told the priority in the header (RFC 6758)."""
        self.job = job
        self._content = content
        self._clock = clock
        self.is_tunnelled = is_tunnelled
        self.begun: tuple[Sender, list[Recipient]] | None = None
        """The envelope, when it is with a host already."""
        self._labelled: bytes | None = None
        self._seven_bit: bytes | None = None
        self.remaining: list[QueuedRecipient] = list(job.recipients)
        """Those that are to be sent still, to the next host."""
        self._last: dict[int, Outcome] = {}
        self._lacking: Outcome | None = None
        self.is_uncertain = False
        """A host may have the message though it did not say so: no other is asked now."""

    def sender(self, size: int, by: DeliverBy | None = None, *, is_logged_in: bool = False) -> Sender:
        """The envelope's first half, for a content of so many octets.

        `by`: what is left of its time; `is_logged_in`: we have logged in to the host.
        """
        message = self.job.message
        return Sender(
            message.reverse_path,
            size=Octets(size),
            body=Body(message.body) if message.body in _BODIES and not self._seven_bit else None,
            smtputf8=message.smtputf8,
            auth="" if is_logged_in else None,  # RFC 4954 §5: `<>`, for we vouch for no submitter
            ret=message.ret,
            envid=message.envid,
            requires_tls=message.requires_tls and not message.reverse_path.is_null,
            deliver_by=by,
            priority=message.priority,  # RFC 6710 §4.2 (1)
        )

    def deliver_by(self, client: SmtpClient) -> DeliverBy | None:
        """What is left of the time of BY, for MAIL to this host; raises OutOfTime."""
        by = self.job.message.deliver_by
        if by is None:
            return None
        left = floor(by.at - self._clock())  # RFC 2852 §4.1.4: as near to MAIL as can be
        left = max(-_MOST_SECONDS, min(left, _MOST_SECONDS))
        words = client.capabilities.keywords.get("DELIVERBY") if client.capabilities is not None else None
        if by.returns:
            if left < 1:
                raise OutOfTime(_TOO_LATE, is_overdue=True)
            if words is None and not client.is_lmtp:  # RFC 2852 §4.1.4.1; LMTP delivers at once
                raise OutOfTime(_UNTIMED, is_overdue=False)
            if words is not None and left < least_time(words):
                raise OutOfTime(_TOO_SHORT, is_overdue=False)
            if words is None:
                return None
        return DeliverBy(left, by.mode, by.is_traced)

    def relaying(self, client: SmtpClient) -> Relaying:
        """What the sender must hear of it when this host takes the message."""
        by = self.job.message.deliver_by
        if by is None or client.is_lmtp:
            return _PLAIN
        is_known = client.capabilities is not None and client.capabilities.has("DELIVERBY")
        if not (is_known or by.returns) and by.at > self._clock():  # RFC 2852 §4.1.4.2
            return Relaying.UNTIMED
        return Relaying.TRACED if by.is_traced else Relaying.PLAIN

    def refuse(self, refusal: OutOfTime, facts: HostFacts) -> None:
        """What remains is not for this host, nor for another one (RFC 2852 §7: none is looked for)."""
        fate = Fate.EXPIRED if refusal.is_overdue else Fate.FAILED
        for each in self.remaining:
            self._last[each.recipient_id] = Outcome(
                each, fate, refusal.reply, False, "MAIL", facts, is_overdue=refusal.is_overdue
            )
        self.remaining = []

    async def content_for(self, client: SmtpClient) -> bytes:
        """The content as the host can take it; raises CannotDowngrade (RFC 6152 §3, RFC 3030 §3)."""
        capabilities = client.capabilities
        is_binary = self.job.message.body == _BINARY
        content = self._told(client)
        if capabilities is None:
            return content
        if capabilities.takes_binary if is_binary else "8BITMIME" in capabilities.keywords or content.isascii():
            return content
        if self._seven_bit is None:
            self._seven_bit = await asyncio.to_thread(to_seven_bit, content, is_binary=is_binary)
        return self._seven_bit

    def _told(self, client: SmtpClient) -> bytes:
        """The content with its priority, for a host that is not told it otherwise (RFC 6758 §3.3)."""
        if not self.is_tunnelled or (client.capabilities is not None and client.capabilities.has("MT-PRIORITY")):
            return self._content
        if self._labelled is None:
            self._labelled = with_priority(self._content, self.job.message.priority)
        return self._labelled

    # What is heard.

    def take(
        self,
        answered: Sequence[tuple[QueuedRecipient, RecipientReply]],
        facts: HostFacts,
        *,
        success: Fate,
        takes_dsn: bool,
        relaying: Relaying = Relaying.PLAIN,
    ) -> bool:
        """Recipients' replies. Gives whether the host took some, and has no room for others in the same transaction."""
        has_taken = is_cut_short = False
        ended = set()
        for recipient, said in answered:
            reply = said.reply
            if reply.code < 400:
                fate = success
                has_taken = True
            elif said.verb is Verb.RCPT and has_taken and _is_too_many(reply):
                fate = _DEFERRED
                is_cut_short = True
            else:
                fate = Fate.FAILED if reply.is_permanent else _DEFERRED
            self._last[recipient.recipient_id] = Outcome(
                recipient, fate, reply, not said.is_local, said.verb, facts, takes_dsn, relaying=relaying
            )
            if fate is not _DEFERRED:
                ended.add(recipient.recipient_id)
        if len(ended) == len(self.remaining):
            self.remaining = []
        elif ended:
            self.remaining = [each for each in self.remaining if each.recipient_id not in ended]
        return is_cut_short

    def break_off(self, undecided: Sequence[QueuedRecipient], reply: Reply, facts: HostFacts, stage: str) -> None:
        """The connection was lost before all was said. That the host may have the message goes before all else."""
        for each in undecided:
            known = self._last.get(each.recipient_id)
            if known is None or not known.is_remote or self.is_uncertain:
                self._last[each.recipient_id] = Outcome(each, Fate.DEFERRED, reply, False, stage, facts)

    def lack(self, reply: Reply, facts: HostFacts) -> None:
        """The host has not what the message needs; another one may."""
        self._lacking = Outcome(self.job.recipients[0], Fate.FAILED, reply, False, "MAIL", facts)

    # What is known.

    def troubles(self, facts: HostFacts) -> list[Trouble]:
        """What this host said of those that remain, each reply once."""
        found = [self._last[each.recipient_id] for each in self.remaining if each.recipient_id in self._last]
        if self._lacking is not None:
            found.append(self._lacking)
        said = [
            Trouble(facts.name, facts.address, one.stage, one.reply, one.is_remote)
            for one in found
            if one.host == facts
        ]
        return list(dict.fromkeys(said))

    def outcomes(self, troubles: Sequence[Trouble], *, has_asked_all: bool) -> list[Outcome]:
        """What is known of each recipient at the end; whether all hosts could be asked for what the message needs."""
        return [
            self._last.get(each.recipient_id) or self._unsaid(each, troubles, has_asked_all)
            for each in self.job.recipients
        ]

    def _unsaid(self, recipient: QueuedRecipient, troubles: Sequence[Trouble], has_asked_all: bool) -> Outcome:
        if self._lacking is not None and (has_asked_all or not troubles):
            return replace(self._lacking, recipient=recipient)
        trouble = troubles[-1]
        host = HostFacts(trouble.host, trouble.address)
        return Outcome(recipient, Fate.DEFERRED, put_off(trouble.reply), trouble.is_remote, trouble.stage, host)


def put_off(reply: Reply) -> Reply:
    """A host that refuses the whole connection is not the last word about a recipient: it is tried again."""
    if not reply.is_permanent or reply.status is None:
        return reply
    return replace(reply, status=reply.status._replace(klass=4))


def _is_too_many(reply: Reply) -> bool:
    """Whether a recipient is refused for the number of those before it, and not for itself (x.2.2: mailbox full)."""
    return reply.code in _TOO_MANY and (reply.status is None or reply.status.subject in (3, 5))
