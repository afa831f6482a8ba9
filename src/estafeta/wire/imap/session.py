"""What an IMAP session is at: its state, what the client enabled, and what it is offered."""

from __future__ import annotations

from enum import StrEnum

from estafeta.mail.value import value


class State(StrEnum):
    """The states of RFC 9051 §3."""

    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


@value
class Offer:
    """What is offered now; the engine refuses what is not."""

    mechanisms: tuple[str, ...] = ()
    """Of SASL."""
    login: bool = True
    """LOGIN; else LOGINDISABLED is said (RFC 9051 §6.2.3)."""
    starttls: bool = False
    compress: bool = True
    append_limit: int | None = None
    """The most octets of a message (RFC 7889)."""
    message_limit: int | None = None
    """The most messages that one command handles (RFC 9738)."""


class Session:
    """One session, as the commands see it."""

    __slots__ = ("enabled", "is_compressed", "is_secure", "offer", "state")

    def __init__(self, offer: Offer, *, is_secure: bool = False) -> None:
        self.offer = offer
        self.is_secure = is_secure
        """Under TLS."""
        self.is_compressed = False
        self.state = State.NOT_AUTHENTICATED
        self.enabled: set[str] = set()
        """By ENABLE, or by a command that implies it (RFC 7162 §3.1), in upper case."""

    @property
    def is_rev2(self) -> bool:
        """Whether the client speaks IMAP4rev2."""
        return "IMAP4REV2" in self.enabled

    @property
    def is_utf8(self) -> bool:
        """Whether names and strings are in UTF-8 (RFC 9051 §5.1, RFC 6855 §3)."""
        return self.is_rev2 or "UTF8=ACCEPT" in self.enabled

    @property
    def is_uid_only(self) -> bool:
        """Whether message numbers are not used any more (RFC 9586 §3)."""
        return "UIDONLY" in self.enabled
