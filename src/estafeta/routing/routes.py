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


MAX_ENDS_TOLD = 20
"""Ends of an alias that the journal names one by one."""


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

    @property
    def text(self) -> str:
        """For the journal."""
        return f"mailbox of {self.account}"


@dataclass(frozen=True, slots=True)
class ToHost:
    """Goes on to another host; `address` is the recipient there (an alias may have changed it)."""

    destination: str
    address: ForwardPath
    reason: str

    @property
    def text(self) -> str:
        """For the journal."""
        return f"<{self.address}> by way of {self.destination}"


@dataclass(frozen=True, slots=True)
class Refused:
    """Goes nowhere; the reply says so to the client, the reason to the journal."""

    reply: Reply
    reason: str

    @property
    def text(self) -> str:
        """For the journal."""
        return f"refused with {self.reply}"


@dataclass(frozen=True, slots=True)
class Expansion:
    """An alias, followed to its ends: every mailbox and host once, in the order of the members."""

    alias: Address
    ends: tuple[ToMailbox | ToHost, ...]
    reason: str

    @property
    def text(self) -> str:
        """For the journal: the first ends, and how many more there are."""
        told = ", ".join(end.text for end in self.ends[:MAX_ENDS_TOLD])
        more = len(self.ends) - MAX_ENDS_TOLD
        return f"{told} and {more} more" if more > 0 else told


Route = ToMailbox | ToHost | Expansion | Refused
