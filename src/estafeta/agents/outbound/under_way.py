"""A job between hosts: for whom it is still to be sent, and what was said of each recipient so far."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from estafeta.agents.outbound.lane import Job
from estafeta.agents.outbound.outcome import HostFacts, Outcome
from estafeta.agents.outbound.plan import Trouble
from estafeta.client import RecipientReply, SmtpClient
from estafeta.mail.downgrade import to_seven_bit
from estafeta.mail.envelope import Body, Octets, Sender
from estafeta.mail.reply import Reply
from estafeta.store.records import Fate, QueuedRecipient
from estafeta.wire.smtp.dialogue import Verb

_TOO_MANY = (452, 552)
"""RFC 5321 §4.5.3.1.10: 452, and 552 of those who follow RFC 821."""


class UnderWay:
    """One attempt's knowledge of its recipients."""

    def __init__(self, job: Job, content: bytes) -> None:
        self.job = job
        self._content = content
        self._seven_bit: bytes | None = None
        self.remaining: list[QueuedRecipient] = list(job.recipients)
        """Those that are to be sent still, to the next host."""
        self._last: dict[int, Outcome] = {}
        self._lacking: Outcome | None = None
        self.is_uncertain = False
        """A host may have the message though it did not say so: no other is asked now."""

    def sender(self, size: int) -> Sender:
        """The envelope's first half, for a content of so many octets."""
        message = self.job.message
        return Sender(
            message.reverse_path,
            size=Octets(size),
            body=Body.EIGHT_BIT if message.body == Body.EIGHT_BIT and self._seven_bit is None else None,
            smtputf8=message.smtputf8,
            ret=message.ret,
            envid=message.envid,
            requires_tls=message.requires_tls and not message.reverse_path.is_null,
        )

    async def content_for(self, client: SmtpClient) -> bytes:
        """The content as the host can take it; raises CannotDowngrade (RFC 6152 §3)."""
        capabilities = client.capabilities
        if capabilities is None or capabilities.has("8BITMIME") or self._content.isascii():
            return self._content
        if self._seven_bit is None:
            self._seven_bit = await asyncio.to_thread(to_seven_bit, self._content)
        return self._seven_bit

    # What is heard.

    def take(
        self,
        answered: Sequence[tuple[QueuedRecipient, RecipientReply]],
        facts: HostFacts,
        *,
        success: Fate,
        takes_dsn: bool,
    ) -> bool:
        """Recipients' replies. Gives whether the host took some, and has no room for others in the same transaction."""
        has_taken = is_cut_short = False
        ended = set()
        for recipient, said in answered:
            reply = said.reply
            if reply.is_positive:
                fate = success
                has_taken = True
            elif said.verb is Verb.RCPT and has_taken and _is_too_many(reply):
                fate = Fate.DEFERRED
                is_cut_short = True
            else:
                fate = Fate.FAILED if reply.is_permanent else Fate.DEFERRED
            self._last[recipient.recipient_id] = Outcome(
                recipient, fate, reply, not said.is_local, said.verb.value, facts, takes_dsn
            )
            if fate.is_final:
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
