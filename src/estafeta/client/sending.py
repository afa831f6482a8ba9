"""One message over an open connection: MAIL, RCPT and the content in as few flights as the server allows.

With PIPELINING and CHUNKING a small message is one flight (RFC 2920, RFC 3030), so that it costs one round
trip. What was decided about a recipient is kept when the connection breaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from estafeta.client.errors import TransactionBroken
from estafeta.client.link import BLOCK, Link
from estafeta.client.results import Following, NextMessage, RecipientReply, SendResult, Tally
from estafeta.mail.envelope import Body, Octets, Recipient, Sender
from estafeta.mail.reply import Reply
from estafeta.net.errors import NetError
from estafeta.wire.errors import ExtensionMissing, LocalProtocolError, RemoteProtocolError
from estafeta.wire.smtp.content import WireContent, ended
from estafeta.wire.smtp.dialogue import Verb
from estafeta.wire.smtp.extensions.limits import Limits
from estafeta.wire.smtp.replies import NO_LIMITS

# Commands sent before their replies are read. Their replies stay far below what a stream takes in unread,
# so neither side waits for the other to read (RFC 2920 §3.1).
_GROUP: Final = 100
# Content up to this size goes along with MAIL and RCPT, though the server may take no recipient.
_ALONG: Final = 64 * 1024
# A chunk of larger content: so often the server can say that it does not take the rest (RFC 3030 §2).
_CHUNK: Final = 16 * BLOCK

_TOO_MANY_RECIPIENTS: Final = Reply.of(452, "more recipients than the server announced to take", "4.5.3")
_TOO_MANY_MESSAGES: Final = Reply.of(452, "more messages than the server announced to take in a session", "4.5.3")
_TOO_LARGE: Final = Reply.of(552, "message larger than the server announced to take", "5.3.4")


async def send_message(
    link: Link,
    sender: Sender,
    recipients: Sequence[Recipient],
    content: bytes | WireContent,
    following: Following | None = None,
) -> SendResult:
    """Send one message; see SmtpClient.send."""
    begun, link.begun = link.begun, None
    if begun is not None:
        if begun.recipients is not recipients:
            link.abort()
            raise LocalProtocolError("another message was begun")
        return await begun.run(following)
    capabilities = link.engine.capabilities
    if not recipients:
        raise LocalProtocolError("no recipients")
    if capabilities is None or link.engine.is_closed:
        raise LocalProtocolError("no connection that takes a message")
    if sender.body is Body.BINARY:  # RFC 3030 §3: its line ends mean nothing
        octets = content.octets if isinstance(content, WireContent) else content
    else:
        octets = ended((content if isinstance(content, WireContent) else WireContent.of(content)).octets)
    sender = _completed(link, sender, recipients, octets)
    limit = capabilities.size
    if limit is not None and len(octets) > limit:  # RFC 1870 §6: the server would refuse it at MAIL or later
        return SendResult(tuple(RecipientReply(each, _TOO_LARGE, Verb.MAIL, True) for each in recipients))
    limits = capabilities.limits
    if limits is NO_LIMITS:
        return await Transaction(link, sender, recipients, octets).run(following)
    return await _send_within(limits, link, sender, recipients, octets)


async def _send_within(
    limits: Limits, link: Link, sender: Sender, recipients: Sequence[Recipient], octets: bytes
) -> SendResult:
    """Send to those recipients that the server announced to take; the others are refused for now, by ourselves."""
    if limits.transactions is not None and link.messages >= limits.transactions:  # RFC 9422 §4.1
        return SendResult(tuple(RecipientReply(each, _TOO_MANY_MESSAGES, Verb.MAIL, True) for each in recipients))
    taken: list[Recipient] = []
    is_taken: list[bool] = []
    for recipient in recipients:
        domain = recipient.forward_path.address.domain
        fits = limits.recipients is None or len(taken) < limits.recipients  # RFC 9422 §4.2
        if fits and limits.domains is not None and domain not in link.domains:  # RFC 9422 §4.3
            fits = len(link.domains) < limits.domains
        is_taken.append(fits)
        if fits:
            taken.append(recipient)
            link.domains.add(domain)
    beyond = [
        RecipientReply(each, _TOO_MANY_RECIPIENTS, Verb.RCPT, True)
        for each, fits in zip(recipients, is_taken, strict=True)
        if not fits
    ]
    if not taken:
        return SendResult(tuple(beyond))
    try:
        result = await Transaction(link, sender, taken, octets).run()
    except TransactionBroken as broken:
        broken.replies = (*broken.replies, *beyond)
        raise
    answered, left = iter(result.replies), iter(beyond)
    return SendResult(tuple(next(answered if fits else left) for fits in is_taken))


def _completed(link: Link, sender: Sender, recipients: Sequence[Recipient], octets: bytes) -> Sender:
    """The sender with all parameters that the message needs; raises ExtensionMissing."""
    capabilities = link.engine.capabilities
    assert capabilities is not None
    keywords = capabilities.keywords
    address = sender.reverse_path.address
    foreign = None if address is None or address.is_ascii else address
    for recipient in recipients:
        if not recipient.forward_path.address.is_ascii:
            foreign = recipient.forward_path.address
            break
    if "SMTPUTF8" not in keywords:
        if foreign is not None:
            raise ExtensionMissing("SMTPUTF8", f"the address {foreign}")
        # RFC 6531 §3.5: a header in UTF-8 does not go where nobody can read it.
        if sender.smtputf8 and not _header(octets).isascii():
            raise ExtensionMissing("SMTPUTF8", "the header of the message")
    body = sender.body
    if body is Body.BINARY:
        if not capabilities.takes_binary:  # RFC 3030 §3
            raise ExtensionMissing("BINARYMIME", "the content of the message")
    elif not octets.isascii():
        if "8BITMIME" not in keywords:  # RFC 6152 §3
            raise ExtensionMissing("8BITMIME", "the content of the message")
        body = Body.EIGHT_BIT
    requires_tls = sender.requires_tls
    if requires_tls and (link.stream.tls is None or "REQUIRETLS" not in keywords):  # RFC 8689 §2
        if address is not None:
            raise ExtensionMissing("REQUIRETLS", "the message")
        requires_tls = False  # RFC 8689 §5: a notification is not lost for it
    size = Octets(len(octets)) if sender.size is None else sender.size
    smtputf8 = sender.smtputf8 or foreign is not None
    if (size, body, smtputf8, requires_tls) == (sender.size, sender.body, sender.smtputf8, sender.requires_tls):
        return sender
    return replace(sender, size=size, body=body, smtputf8=smtputf8, requires_tls=requires_tls)


def _header(octets: bytes) -> bytes:
    end = octets.find(b"\r\n\r\n")
    return octets if end < 0 else octets[:end]


def _begin(link: Link, message: NextMessage) -> bytes:
    """MAIL, RCPT and DATA of the next message, to go out behind the content of this one; b"" where they must not."""
    engine, capabilities = link.engine, link.engine.capabilities
    assert capabilities is not None
    sender, recipients, octets = message.sender, message.recipients, ended(message.content)
    if capabilities.limits is not NO_LIMITS or len(recipients) > _GROUP or sender.body is Body.BINARY:
        return b""
    if capabilities.size is not None and len(octets) > capabilities.size:
        return b""
    try:
        sender = _completed(link, sender, recipients, octets)
        flight = engine.envelope(sender, recipients)
    except ExtensionMissing:
        return b""
    link.begun = Transaction(link, sender, recipients, octets, is_begun=True)
    return flight + engine.data()


class Transaction:
    """One message under way; see `send_message`."""

    __slots__ = ("_following", "_is_begun", "_is_ending", "_link", "_octets", "_sender", "_tally", "recipients")

    def __init__(
        self, link: Link, sender: Sender, recipients: Sequence[Recipient], octets: bytes, *, is_begun: bool = False
    ) -> None:
        """`is_begun`: all before the content was sent, its replies were not read."""
        self._is_begun = is_begun
        self._link = link
        self._sender = sender
        self.recipients = recipients
        self._octets = octets
        self._tally = Tally(recipients, is_lmtp=link.engine.is_lmtp)
        self._is_ending = False
        """The last of the content is in what was sent last."""
        self._following: Following | None = None

    async def run(self, following: Following | None = None) -> SendResult:
        """Raises TransactionBroken; what else is raised has cut the connection too."""
        link = self._link
        self._following = following
        if not link.look_again():
            raise self._broken(link.last_words)
        link.messages += 1
        try:
            await self._run()
        except (NetError, RemoteProtocolError) as error:
            stage, is_after_final_dot = link.engine.awaited or link.stage, self._is_ending and link.is_all_handed
            link.abort()
            known = self._tally.decided()
            if None in known:
                raise self._broken(str(error), stage, is_after_final_dot) from error
        except BaseException:
            link.abort()
            raise
        return SendResult(tuple(each for each in self._tally.decided() if each is not None))

    async def _run(self) -> None:
        if self._is_begun:
            await self._link.hear(self._tally.take)
        elif self._link.engine.can("PIPELINING"):
            for start in range(0, len(self.recipients), _GROUP):
                await self._flight(self._group(start))
                if self._tally.is_refused:
                    break
        else:
            await self._offer_singly()
        if not self._is_ending:
            await self._give_content()

    def _group(self, start: int) -> bytes:
        """The next RCPTs, with MAIL before the first, and DATA or all of a small content behind the last."""
        link, engine, end = self._link, self._link.engine, start + _GROUP
        if start == 0:
            group = [engine.abandon(), engine.envelope(self._sender, self.recipients[:end])]
        else:
            group = [engine.rcpt(recipient) for recipient in self.recipients[start:end]]
        if end >= len(self.recipients):
            if not engine.can("CHUNKING"):
                group.append(engine.data())
            elif len(self._octets) <= _ALONG and not engine.is_lmtp and link.is_present:
                group.append(engine.bdat(self._octets, True))
                self._is_ending = True
        return b"".join(group)

    async def _offer_singly(self) -> None:
        """MAIL, each RCPT and DATA, one after the other."""
        engine, tally = self._link.engine, self._tally
        if engine.has_open_transaction:
            await self._flight(engine.abandon())
        await self._flight(engine.mail(self._sender))
        for recipient in self.recipients:
            if tally.is_refused:
                return
            await self._flight(engine.rcpt(recipient))
        if engine.accepted and not engine.can("CHUNKING"):
            await self._flight(engine.data())

    async def _give_content(self) -> None:
        """The content, where it is wanted and did not go along."""
        link, engine = self._link, self._link.engine
        if engine.expects_content:
            if engine.accepted:
                self._is_ending = True
                is_whole = len(engine.accepted) == len(self.recipients)
                octets = engine.content(WireContent(self._octets))
                following = self._following() if self._following is not None and is_whole and self._may_begin else None
                # RFC 2920 §3.1: MAIL may stand behind the final dot. That is one flight a message instead of two.
                before = len(engine.unanswered)
                await link.transmit(octets, _begin(link, following) if following is not None else b"")
                await link.hear(self._tally.take, left=len(engine.unanswered) - before)
            else:
                await self._flight(engine.abandon())  # RFC 2920 §3.1: a lone dot
        elif engine.accepted and not self._tally.is_refused:
            await self._give_chunks()

    @property
    def _may_begin(self) -> bool:
        """Whether the next message's envelope may go with this one's content."""
        engine = self._link.engine
        return engine.can("PIPELINING") and not engine.can("CHUNKING") and not engine.is_lmtp

    async def _give_chunks(self) -> None:
        """The content by BDAT; with PIPELINING without waiting for the replies to chunks (RFC 3030 §2)."""
        link, octets, engine, take = self._link, self._octets, self._link.engine, self._tally.take
        waits = not engine.can("PIPELINING")
        for start in range(0, len(octets) or 1, _CHUNK):
            self._is_ending = start + _CHUNK >= len(octets)
            await link.transmit(engine.bdat(octets[start : start + _CHUNK], self._is_ending))
            while link.stream.pending and engine.awaited is not None:
                take(await link.next_event())
            if engine.awaited is not None and (waits or self._is_ending or self._tally.is_refused):
                await link.hear(take)
            if self._tally.is_refused:
                return

    async def _flight(self, octets: bytes) -> None:
        """Send commands, and read until nothing waits for its reply."""
        self._link.say(octets)
        await self._link.hear(self._tally.take)

    def _broken(self, reason: str, stage: Verb | None = None, is_after_final_dot: bool = False) -> TransactionBroken:
        known = self._tally.decided()
        return TransactionBroken(
            reason,
            replies=tuple(each for each in known if each is not None),
            undecided=tuple(self.recipients[index] for index, each in enumerate(known) if each is None),
            stage=stage,
            is_after_final_dot=is_after_final_dot,
        )
