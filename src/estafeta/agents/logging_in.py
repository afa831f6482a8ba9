"""STARTTLS and AUTH: the connection is secured, and the client says who it is (RFC 3207, RFC 4954)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from estafeta.agents.chronicle import Reason
from estafeta.agents.environment import Offers
from estafeta.mail.catalogue import connections, logins
from estafeta.mail.reply import Reply
from estafeta.net.errors import NetError
from estafeta.policy.login import LoginAccepted, RefusalReason
from estafeta.wire.sasl import EXTERNAL, Challenge, SaslError, server_mechanism
from estafeta.wire.smtp import events
from estafeta.wire.smtp.verbs.auth import challenge

if TYPE_CHECKING:
    from estafeta.agents.session import Session

_TLS_FAILED = Reply.of(454, "TLS failed", "4.7.0")
"""As the journal has it; nothing is said on a connection whose handshake has failed."""
_REFUSALS = {
    RefusalReason.BAD_CREDENTIALS: logins.REFUSED,
    RefusalReason.LOCKED: logins.LATER,
    RefusalReason.DISABLED: logins.DISABLED,
    RefusalReason.TEMPORARY: logins.LATER,
    RefusalReason.TRANSITION: logins.TRANSITION_NEEDED,
    RefusalReason.TOO_WEAK: logins.TOO_WEAK,
}


async def on_starttls(session: Session, event: events.StartTls) -> None:
    """TLS from here on; who the client was is forgotten (RFC 3207 §4.2)."""
    tls = session.listener.tls
    assert tls is not None
    session.drop_draft()
    session.engine.answer(connections.READY_FOR_TLS)
    session.stream.send(session.engine.take_output())
    try:
        await session.stream.start_tls(tls.context, server_side=True)
    except NetError as error:
        session.note("starttls", "", _TLS_FAILED, Reason.TLS_FAILED, str(error))
        session.end(Reason.TLS_FAILED.value)
        return
    session.engine.tls_started()
    session.peer.account = None
    await recognize(session)


async def recognize(session: Session) -> None:
    """Offer EXTERNAL (RFC 4422 appendix A) to a client whose certificate names an account."""
    tls, listener = session.stream.tls, session.listener
    if tls is None or tls.client_certificate is None or not listener.role.logs_in:
        return
    session.certified = await session.environment.authenticator.certified(tls.client_certificate)
    if session.certified is None:
        return
    options = Offers(session.environment, listener).to(session.stream.peer)
    options = replace(options, mechanisms=(EXTERNAL, *options.mechanisms))
    session.engine.begin_again(options, hello=None, is_extended=False, is_authenticated=False)


async def on_auth(session: Session, event: events.Auth) -> None:
    """A login begins (RFC 4954 §4)."""
    tls, environment = session.stream.tls, session.environment
    binding = tls.channel_binding if tls is not None and environment.authenticator.binds_channels else None
    try:
        session.mechanism = server_mechanism(
            event.mechanism,
            nonce=environment.nonce(),
            channel_binding=binding,
            certified=None if session.certified is None else str(session.certified),
        )
    except SaslError as error:  # a TLS session resumed over a change of the certificate has no binding
        session.decide("auth", "", logins.LATER, Reason.LOGIN_REFUSED, str(error))
        return
    await _step_login(session, event.response)


async def on_auth_response(session: Session, event: events.AuthResponse) -> None:
    """A login goes on, or is given up."""
    if event.response is None:
        session.mechanism = None
        session.decide("auth", "", logins.CANCELLED, Reason.LOGIN_CANCELLED)
    else:
        await _step_login(session, event.response)


async def _step_login(session: Session, response: bytes | None) -> None:
    mechanism = session.mechanism
    assert mechanism is not None
    result = await session.environment.authenticator.resolve(
        mechanism.step(response), mechanism, session.stream.peer.ip
    )
    if isinstance(result, Challenge):
        session.engine.answer(challenge(result.octets))
        return
    session.mechanism = None
    if isinstance(result, LoginAccepted):
        session.peer.account = result.account.address
        session.decide("auth", str(session.peer.account), logins.LOGGED_IN, Reason.LOGIN_ACCEPTED, mechanism.name)
        return
    session.faults += 1
    detail = result.explanation or result.reason.value
    session.decide("auth", result.identity, _REFUSALS[result.reason], Reason.LOGIN_REFUSED, detail)
