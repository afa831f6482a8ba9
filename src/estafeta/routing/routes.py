"""What becomes of a forward-path, as values, and the operator's own rules about it."""

from __future__ import annotations

from enum import StrEnum

from estafeta.mail.address import Address, ForwardPath
from estafeta.mail.lists import Listed
from estafeta.mail.reply import Reply
from estafeta.mail.value import value
from estafeta.store.records import MailboxId

__all__ = [
    "End",
    "Expansion",
    "Listed",
    "Refused",
    "Route",
    "RouteAction",
    "RouteRule",
    "ToHost",
    "ToMailbox",
    "ToNowhere",
]


class RouteAction(StrEnum):
    """What a rule does that names neither a mailbox nor a gateway."""

    MX = "mx"
    """On to the hosts that the DNS names."""
    ON_DEMAND = "on-demand"
    """Waits until the host of the domain calls (ETRN, ATRN, TURN)."""
    DISCARD = "discard"
    """Taken and let go; the journal says so."""
    REFUSE = "refuse"
    """Not taken (550 5.7.1)."""


@value
class RouteRule:
    """One `[[route]]` of the settings: what becomes of mail for domains whose mailboxes are not here.

    The first rule that fits is taken; where none does, mail goes where the DNS says. A rule has one of `mailbox`,
    `gateway` and `action`.
    """

    domain: str = "*"
    """A domain name, `.example.org` for all names below it, or `*` for every domain that is not ours. A rule that names
    a domain of ours sends on all its mail, so that accounts can be here and their mailboxes on another host."""
    senders: tuple[str, ...] = ()
    """Accounts, as `ana@example.org` or `@example.org` for all of a domain: the rule is for mail they hand in."""
    mailbox: str = ""
    """The address of the account whose INBOX the mail goes to."""
    gateway: str = ""
    """The name of the `[[gateway]]` that the mail goes to."""
    action: RouteAction | None = None
    """mx: on to the hosts that the DNS names; on-demand: waits until the domain's host calls (ETRN, ATRN, TURN);
    discard: taken and let go; refuse: answered with 550 5.7.1."""
    for_anyone: bool = False
    """Take the mail from everyone, without a login: the domain is ours, and kept elsewhere (as by a backup MX)."""
    text: str = ""
    """What the reply says where the action is to refuse; a general sentence when empty."""

    def fits(self, domain: str, account: Address | None) -> bool:
        """Whether this rule speaks of mail for the domain (lower case, A-labels) that the account handed in."""
        return self._fits_domain(domain) and self._fits_account(account)

    def covers(self, other: RouteRule) -> bool:
        """Whether this rule takes all the mail that the other is about."""
        if not self._fits_domain(other.domain):
            return False
        senders = {sender.lower() for sender in self.senders}
        return not senders or (
            bool(other.senders)
            and all({each.lower(), f"@{each.lower().rpartition('@')[2]}"} & senders for each in other.senders)
        )

    def _fits_domain(self, domain: str) -> bool:
        if self.domain.startswith("."):
            return domain.endswith(self.domain)
        return self.domain in ("*", domain)

    def _fits_account(self, account: Address | None) -> bool:
        if not self.senders:
            return True
        if account is None:
            return False
        wanted = (str(account).lower(), f"@{account.domain}")
        return any(sender.lower() in wanted for sender in self.senders)


MAX_ENDS_TOLD = 20
"""Ends of an alias that the journal names one by one."""


@value
class ToMailbox:
    """Ends here, in a mailbox of ours."""

    mailbox_id: MailboxId
    account: Address
    reason: str
    is_relaying: bool = False
    """The forward-path's domain is not ours: a rule of the operator keeps its mail here."""
    has_quota: bool = False
    """Whether there is room must be asked each time."""
    listed: Listed | None = None
    """The list that leads here; of several, one within the other, the nearest."""

    @property
    def text(self) -> str:
        """For the journal."""
        return f"mailbox of {self.account}"


@value
class ToHost:
    """Goes on to another host; `address` is the recipient there (an alias may have changed it)."""

    destination: str
    """As `routing.destinations` reads it."""
    address: ForwardPath
    reason: str
    alias: Address | None = None
    """The address of ours that forwards there; of several, one behind the other, the nearest."""
    listed: Listed | None = None
    """The list that leads there; of several, one within the other, the nearest."""
    for_anyone: bool = False
    """No login is needed: the domain is ours though its mail is kept elsewhere, or it is a way back (SRS)."""

    @property
    def text(self) -> str:
        """For the journal."""
        return f"<{self.address}> by way of {self.destination}"


@value
class ToNowhere:
    """Is taken and let go, as a rule of the operator says."""

    reason: str
    for_anyone: bool = False
    """No login is needed."""

    @property
    def text(self) -> str:
        """For the journal."""
        return "nowhere"


@value
class Refused:
    """Goes nowhere; the reply says so to the client, the reason to the journal."""

    reply: Reply
    reason: str

    @property
    def text(self) -> str:
        """For the journal."""
        return f"refused with {self.reply}"


End = ToMailbox | ToHost | ToNowhere


@value
class Expansion:
    """An alias, followed to its ends: every mailbox and host once, in the order of the members."""

    alias: Address
    ends: tuple[End, ...]
    reason: str
    moved_to: Address | None = None
    """The alias is the address of one who has moved, and the client is told where to (RFC 5321 §3.4)."""

    @property
    def text(self) -> str:
        """For the journal: the first ends, and how many more there are."""
        told = ", ".join(end.text for end in self.ends[:MAX_ENDS_TOLD])
        more = len(self.ends) - MAX_ENDS_TOLD
        return f"{told} and {more} more" if more > 0 else told


Route = End | Expansion | Refused
