"""What the engine asks of its owner; all else it answers by itself."""

from __future__ import annotations

from estafeta.mail.value import value


@value
class Login:
    """USER and PASS: answer with `logged_in` or `refuse`."""

    user: str
    password: str


@value
class Authenticate:
    """AUTH: answer with `challenge`, `logged_in` or `refuse`.

    `mechanism` is one of those offered; `initial` is None when there was no initial response.
    """

    mechanism: str
    initial: bytes | None


@value
class AuthenticationResponse:
    """The client's response to a challenge, decoded: answer as `Authenticate`."""

    octets: bytes


@value
class AuthenticationEnded:
    """The exchange is over by `*` or by a bad line, and is answered already: forget it."""


@value
class StartTls:
    """STLS is answered already: send what waits, do the handshake, then say `tls_started`."""


@value
class Retrieve:
    """RETR, or TOP when `lines` is not None: answer with `give_message`, `begin_message`... or `refuse`."""

    number: int
    lines: int | None


@value
class Quit:
    """QUIT: remove the messages with these numbers, then answer with `farewell`."""

    deleted: tuple[int, ...]


@value
class AnswersWaiting:
    """Many answers wait: take and send them, then ask again. Bounds what pipelined commands can cost."""


@value
class TooManyFaults:
    """The client sent too much that is no POP3; this is answered already and the session is over."""


Event = (
    Login
    | Authenticate
    | AuthenticationResponse
    | AuthenticationEnded
    | StartTls
    | Retrieve
    | Quit
    | AnswersWaiting
    | TooManyFaults
)
