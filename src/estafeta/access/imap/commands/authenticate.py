"""AUTHENTICATE and LOGIN (RFC 9051 §6.2.2, §6.2.3), with the response codes of RFC 5530."""

from __future__ import annotations

from estafeta.access.imap.session import Bye, Ended, Session
from estafeta.policy.login import LoginAccepted, LoginRefused, RefusalReason
from estafeta.wire import sasl
from estafeta.wire.imap.commands.authenticate import Authenticate
from estafeta.wire.imap.commands.login import Login
from estafeta.wire.imap.completion import Completion, no, ok
from estafeta.wire.imap.events import AuthenticationResponse

_REFUSALS = {
    # RFC 5530 §3: AUTHENTICATIONFAILED for what the user must see to, so that clients ask for the password again ...
    RefusalReason.BAD_CREDENTIALS: no("Authentication failed", "AUTHENTICATIONFAILED"),
    RefusalReason.TRANSITION: no(
        "A password transition is needed: log in once with a mechanism that sends the password", "AUTHENTICATIONFAILED"
    ),
    RefusalReason.TOO_WEAK: no(
        "This account needs a mechanism that does not send the password", "AUTHENTICATIONFAILED"
    ),
    # ... and others for what another password does not mend, or time does.
    RefusalReason.DISABLED: no("The account is disabled", "CONTACTADMIN"),
    RefusalReason.LOCKED: no("Too many failed logins, try again later", "UNAVAILABLE"),
    RefusalReason.TEMPORARY: no("Authentication is not possible for now, try again later", "UNAVAILABLE"),
}


async def authenticate(session: Session, request: Authenticate) -> Completion | None:
    """An exchange of challenges and responses."""
    result = await session.logins.begin(request.mechanism, request.initial)
    while isinstance(result, sasl.Challenge):
        session.engine.challenge(result.octets)
        event = await session.next_event()
        if not isinstance(event, AuthenticationResponse):
            session.logins.give_up()  # the client did, and was answered
            return None
        result = await session.logins.step(event.octets)
    return _concluded(session, result)


async def login(session: Session, request: Login) -> Completion:
    """A password in the clear."""
    return _concluded(session, await session.logins.password("LOGIN", request.user, request.password))


def _concluded(session: Session, result: LoginAccepted | LoginRefused) -> Completion:
    if isinstance(result, LoginAccepted):
        session.log_in(result.account)
        # RFC 9051 §6.2.2: capabilities are others now, and the client need not ask for them.
        return ok("Logged in", session.capabilities())
    refusal = _REFUSALS[result.reason]
    session.logins.failures.append(result.reason.value)
    if len(session.logins.failures) < session.settings.login_failures:
        return refusal
    session.engine.complete(refusal)
    raise Bye("Too many failed logins", Ended.LOGINS)
