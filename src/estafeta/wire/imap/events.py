"""What the engine gives its owner: requests (`commands/`), and what belongs to those that go on.

A request is answered by `complete`. APPEND and REPLACE go on: after the request, which `go_on` answers, come for each
message an AppendMessage, its octets and URLs in pieces, an AppendMessageEnd, and at last an AppendEnd.
"""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.request import Request


@value
class AuthenticationResponse:
    """The client's response to a challenge, decoded: answer with `challenge` or `complete`."""

    octets: bytes


@value
class AuthenticationEnded:
    """The exchange is over by `*` or by a bad line, and is answered already: forget it."""


@value
class Done:
    """The end of IDLE: answer with `complete`."""


@value
class AppendMessage:
    """A message begins."""

    flags: tuple[str, ...]
    internal_at: float | None
    """Seconds since 1970, UTC; None when the client named no date."""
    size: int | None
    """Octets of the literal; None for CATENATE."""
    is_utf8: bool = False
    """Said with UTF8 (RFC 6855 §4)."""


@value
class AppendOctets:
    """The next octets of the message."""

    octets: bytes


@value
class AppendUrl:
    """What a URL names belongs here (RFC 4469 §3)."""

    url: str


@value
class AppendMessageEnd:
    """The message is whole."""


@value
class AppendEnd:
    """The end of the command: answer with `complete`."""

    is_whole: bool = True
    """False: the rest cannot be read, nothing of it counts, and the engine knows the answer itself."""


@value
class TooManyFaults:
    """The client was told BYE for its faults, many or one that leaves no way on: send what waits, and close."""


@value
class AnswersWaiting:
    """Much waits to be sent, or much was read: send what waits, and give others their turn, before asking again."""


Event = (
    Request
    | AuthenticationResponse
    | AuthenticationEnded
    | Done
    | AppendMessage
    | AppendOctets
    | AppendUrl
    | AppendMessageEnd
    | AppendEnd
    | TooManyFaults
    | AnswersWaiting
)
