"""What agents count: plain additions on the way, for whoever wants to read it.

Labels are words of closed lists, so that strangers cannot make more of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from estafeta.agents.chronicle import Reason, Verdict
from estafeta.mail.reply import Reply
from estafeta.routing.routes import Expansion, ToHost, ToMailbox, ToNowhere
from estafeta.store.tally import Histogram

if TYPE_CHECKING:
    from estafeta.agents.draft import RoutedRecipient

ROUTES: dict[type, str] = {ToMailbox: "mailbox", ToHost: "host", Expansion: "alias", ToNowhere: "nowhere"}
"""How kinds of routes are called."""

LOCAL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From the end of a message's data to its commit: what a client waits for."""
QUEUE_SECONDS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 259_200.0, 432_000.0)
"""From acceptance to the end in the queue: from at once to the five days of RFC 5321 §4.5.4.1."""


class ReceptionTally:
    """Of all SMTP and LMTP sessions of a process."""

    __slots__ = ("accepted", "commit_seconds", "decisions", "octets", "recipients", "replies", "sessions")

    def __init__(self) -> None:
        self.sessions: Counter[tuple[str, str]] = Counter()
        """Sessions that have ended, by protocol and how."""
        self.replies: Counter[int] = Counter()
        """Replies by their code."""
        self.decisions: Counter[tuple[Verdict, Reason]] = Counter()
        """Decisions that are kept in the journal; each acceptance is one more, which is not counted twice."""
        self.accepted: Counter[str] = Counter()
        """Messages, by the role of the listener."""
        self.octets = 0
        """Of the content of these."""
        self.recipients: Counter[str] = Counter()
        """Recipients of these, by the kind of their route."""
        self.commit_seconds = Histogram(LOCAL_SECONDS)
        """From the end of a message's data to its commit."""

    def decided(self, reply: Reply, reason: Reason) -> None:
        """A decision was made."""
        self.decisions[Verdict.of(reply), reason] += 1

    def took(self, role: str, recipients: Iterable[RoutedRecipient], size: int, seconds: float) -> None:
        """A message of so many octets is ours now; its commit took so long."""
        self.accepted[role] += 1
        self.octets += size
        for each in recipients:
            self.recipients[ROUTES[type(each.route)]] += 1
        self.commit_seconds.add(seconds)


class RelayTally:
    """Of all that leaves by this process."""

    __slots__ = ("attempts", "ends")

    def __init__(self) -> None:
        self.attempts: Counter[str] = Counter()
        """Recipients of attempts, by what became of them (`Fate`)."""
        self.ends: dict[str, Histogram] = {}
        """Seconds from acceptance to the end of each recipient that left the queue, by its end."""

    def ended(self, fate: str, seconds: float) -> None:
        """A recipient leaves the queue so long after its acceptance."""
        ends = self.ends.get(fate)
        if ends is None:
            ends = self.ends[fate] = Histogram(QUEUE_SECONDS)
        ends.add(seconds)
