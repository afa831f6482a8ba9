"""A transaction on its way to acceptance: routes, decisions, and the content as it arrives.

The header section is held back until it is whole, because what we put before it (Received, and fields that
a submission lacks) depends on it; everything behind it goes straight to the spool.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from estafeta.agents.chronicle import Decisions
from estafeta.mail.address import ForwardPath
from estafeta.mail.envelope import Recipient, Sender
from estafeta.mail.header import HeaderFacts, header_facts
from estafeta.mail.value import value
from estafeta.routing.routes import Expansion, Route, ToMailbox
from estafeta.store.content import Spool
from estafeta.store.errors import StoreError
from estafeta.store.records import Content, MessageId

if TYPE_CHECKING:
    from estafeta.agents.live.showing import Showing


@value
class RoutedRecipient:
    """An accepted recipient and where it goes, by one version of the directory."""

    recipient: Recipient
    route: Route
    version: int

    @property
    def forward_path(self) -> ForwardPath:
        """As RCPT said it."""
        return self.recipient.forward_path

    def leads_to(self, account: str) -> bool:
        """Whether the account is one of its ends."""
        ends = self.route.ends if isinstance(self.route, Expansion) else (self.route,)
        return any(isinstance(end, ToMailbox) and str(end.account) == account for end in ends)


@dataclass(slots=True)
class Draft:
    """One mail object in the making."""

    sender: Sender
    message_id: MessageId
    queue_id: str
    """The message id as text."""
    started_at: float
    """When MAIL came."""
    recipients: list[RoutedRecipient] = field(default_factory=list)
    decisions: Decisions = field(default_factory=Decisions)
    refused_paths: list[str] = field(default_factory=list)
    full_paths: set[ForwardPath] = field(default_factory=set)
    """Recipients that an LMTP client is told at the final dot have no room."""
    incoming: IncomingContent | None = None
    priority: int = 0
    """What it gets of what MAIL asks for (RFC 6710 §4.1)."""
    showing: Showing | None = None
    """What became of it on screens, where SEND, SOML or SAML opened it."""

    def leave_out(self, account: str) -> bool:
        """Take out the recipients that lead to a full account; whether any is left."""
        kept = [recipient for recipient in self.recipients if not recipient.leads_to(account)]
        self.full_paths.update(each.forward_path for each in self.recipients if each not in kept)
        self.recipients = kept
        return bool(kept)


class IncomingContent:
    """Takes mail data, run by run."""

    __slots__ = (
        "_fields_before",
        "_held",
        "_limit",
        "_size_limit",
        "_spool",
        "facts",
        "failure",
        "head",
        "is_too_large",
        "size",
    )

    def __init__(
        self,
        spool: Spool,
        *,
        header_limit: int,
        size_limit: int,
        fields_before: Callable[[HeaderFacts, bytes], bytes],
    ) -> None:
        self._spool = spool
        self._limit = header_limit
        self._size_limit = size_limit
        self._fields_before = fields_before
        self._held = bytearray()
        self.facts: HeaderFacts | None = None
        self.head = b""
        """The header section as received, once it is whole."""
        self.size = 0
        self.is_too_large = False
        self.failure: StoreError | None = None
        """The disk did not take it."""

    def write(self, octets: bytes) -> None:
        """Take a run; what is over the limit, or comes after the store failed, is let go."""
        self.size += len(octets)
        if self.size > self._size_limit:
            self.is_too_large = True
            self.discard()
        elif self.failure is not None:
            return
        elif self.facts is not None:
            self._keep(octets)
        elif not self._held and octets.find(b"\r\n\r\n") >= 0:
            self._header_is_whole(octets)
        else:
            seen = max(0, len(self._held) - 3)
            self._held += octets
            if self._held.find(b"\r\n\r\n", seen) >= 0 or len(self._held) > self._limit:
                self._header_is_whole(bytes(self._held))

    def _header_is_whole(self, held: bytes) -> None:
        self._held.clear()
        self.facts = header_facts(held)
        self.head = held[: self.facts.size]
        self._keep(self._fields_before(self.facts, self.head) + held)

    def _keep(self, octets: bytes) -> None:
        try:
            self._spool.write(octets)
        except StoreError as error:
            self.failure = error
            self.discard()

    def end(self) -> HeaderFacts:
        """All has come: the facts of the header section."""
        if self.facts is None:
            self._header_is_whole(bytes(self._held))
        assert self.facts is not None
        return self.facts

    async def finish(self) -> Content:
        """The content, durable if it is in a file."""
        return await self._spool.finish()

    def discard(self) -> None:
        """The content is not wanted."""
        self._held.clear()
        self._spool.discard()
