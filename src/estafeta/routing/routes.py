"""What becomes of a forward-path, as values, and the operator's own rules about it."""

from __future__ import annotations

from dataclasses import dataclass

from estafeta.mail.address import Address, ForwardPath
from estafeta.mail.reply import Reply
from estafeta.store.records import MailboxId


@dataclass(frozen=True, slots=True)
class RouteRule:
    """One `[[route]]` of the settings: mail for `domain` goes to the INBOX of the account `mailbox`.

    `domain` is a name, `.example.org` for all names below it, or `*` for every domain that is not ours.
    The first rule that fits is taken.
    """

    domain: str
    mailbox: str

    def fits(self, domain: str) -> bool:
        """Whether this rule speaks of the domain (lower case, A-labels)."""
        if self.domain.startswith("."):
            return domain.endswith(self.domain)
        return self.domain in ("*", domain)


@dataclass(frozen=True, slots=True)
class ToMailbox:
    """Ends here, in a mailbox of ours."""

    mailbox_id: MailboxId
    account: Address
    reason: str
    is_relaying: bool = False
    """The forward-path's domain is not ours: a rule of the operator keeps its mail here."""
    has_quota: bool = False
    """Whether there is room must be asked each time."""


@dataclass(frozen=True, slots=True)
class ToHost:
    """Goes on to another host; `address` is the recipient there (an alias may have changed it)."""

    destination: str
    address: ForwardPath
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Goes nowhere; the reply says so to the client, the reason to the journal."""

    reply: Reply
    reason: str


@dataclass(frozen=True, slots=True)
class Expansion:
    """An alias, followed to its ends: every mailbox and host once, in the order of the members."""

    alias: Address
    ends: tuple[ToMailbox | ToHost, ...]
    reason: str


Route = ToMailbox | ToHost | Expansion | Refused
