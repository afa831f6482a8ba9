"""What a session's rows in the journal say: facts, and each decision with its reason.

A stranger can make a session long, so what is kept of one is bounded; the rest is counted.
"""

from __future__ import annotations

from enum import StrEnum

from estafeta.mail.reply import Reply
from estafeta.mail.value import value

MAX_DECISIONS = 100
"""Decisions kept of one session or transaction; a client that is refused more often says nothing new."""


class Verdict(StrEnum):
    """What was decided."""

    ACCEPT = "accept"
    DEFER = "defer"
    REJECT = "reject"

    @staticmethod
    def of(reply: Reply) -> Verdict:
        """The first digit decides (RFC 5321 §4.2.1)."""
        if reply.is_positive:
            return Verdict.ACCEPT
        return Verdict.DEFER if reply.is_transient else Verdict.REJECT


class Reason(StrEnum):
    """Why: the closed list that journal, metrics and documentation share."""

    ROUTED = "routed"
    UNKNOWN_RECIPIENT = "unknown-recipient"
    RELAY_DENIED = "relay-denied"
    TAKES_NO_MAIL = "takes-no-mail"
    NO_SUCH_DOMAIN = "no-such-domain"
    LOGIN_NEEDED = "login-needed"
    TLS_NEEDED = "tls-needed"
    NOT_LOCAL_CLIENT = "not-local-client"
    NOT_OWN_ADDRESS = "not-own-address"
    LOGIN_ACCEPTED = "login-accepted"
    LOGIN_REFUSED = "login-refused"
    LOGIN_CANCELLED = "login-cancelled"
    TOO_LARGE = "too-large"
    TOO_MANY = "too-many"
    HEADER_TOO_LARGE = "header-too-large"
    BAD_DATA = "bad-data"
    URL_REFUSED = "url-refused"
    UNANNOUNCED_8BIT = "unannounced-8bit"
    LOOP = "loop"
    SOLICITATION = "solicitation"
    NOT_PROMISED = "not-promised"
    OVER_QUOTA = "over-quota"
    STORE_FAILED = "store-failed"
    DISK_FULL = "disk-full"
    OVERLOADED = "overloaded"
    DIRECTORY_CHANGED = "directory-changed"
    PROTOCOL = "protocol"
    CLOSING = "closing"
    TIMEOUT = "timeout"
    TLS_FAILED = "tls-failed"
    QUEUE_STARTED = "queue-started"
    NOT_ROUTED = "not-routed"
    ROLES_TURNED = "roles-turned"
    NO_MAIL = "no-mail"
    NOT_CUSTOMER = "not-customer"
    NOT_ACTIVE = "not-active"
    NO_SCREEN = "no-screen"
    TURN_FAILED = "turn-failed"
    EARLY_TALKER = "early-talker"
    FOREIGN_PROTOCOL = "foreign-protocol"
    TOO_SLOW = "too-slow"
    CLIENT_TOLD = "client-told"
    SPEAKER_NOT_TRUSTED = "speaker-not-trusted"


@value
class Decision:
    """One decision: at which stage, about what, which way, and why. `detail` is for the operator alone."""

    at: float
    stage: str
    subject: str
    reply: Reply
    reason: Reason
    detail: str = ""

    def facts(self) -> dict[str, object]:
        """As the journal keeps it."""
        facts: dict[str, object] = {
            "at": round(self.at, 3),
            "stage": self.stage,
            "subject": self.subject,
            "verdict": Verdict.of(self.reply).value,
            "reply": str(self.reply),
            "reason": self.reason.value,
        }
        if self.detail:
            facts["detail"] = self.detail
        return facts


class Decisions:
    """The decisions of one session or transaction, bounded."""

    __slots__ = ("_kept", "_left_out")

    def __init__(self) -> None:
        self._kept: list[Decision] = []
        self._left_out = 0

    def add(self, decision: Decision) -> bool:
        """Keep it, or count it; gives whether it is kept."""
        if len(self._kept) < MAX_DECISIONS:
            self._kept.append(decision)
            return True
        self._left_out += 1
        return False

    def __bool__(self) -> bool:
        return bool(self._kept)

    def add_to(self, facts: dict[str, object]) -> None:
        """Put them into a row's facts, where there are any."""
        if self._kept:
            facts["decisions"] = [decision.facts() for decision in self._kept]
        if self._left_out:
            facts["decisions_left_out"] = self._left_out
