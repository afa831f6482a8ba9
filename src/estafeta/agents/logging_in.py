"""STARTTLS and AUTH: the connection is secured, and the client says who it is (RFC 3207, RFC 4954)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.agents.chronicle import Reason
from estafeta.mail.reply import Reply
from estafeta.net.errors import NetError
from estafeta.policy.login import LoginAccepted, RefusalReason
from estafeta.wire.sasl import Challenge, SaslError, server_mechanism
from estafeta.wire.smtp import events
from estafeta.wire.smtp.verbs.auth import challenge

if TYPE_CHECKING:
    from estafeta.agents.session import Session

_READY_FOR_TLS = Reply.of(220, "start TLS now", "2.0.0")
_TLS_FAILED = Reply.of(454, "TLS failed", "4.7.0")
_LOGGED_IN = Reply.of(235, "authenticated", "2.7.0")
_LOGIN_REFUSED = Reply.of(535, "authentication failed", "5.7.8")
_LOGIN_LATER = Reply.of(454, "authentication is not possible for now, try again later", "4.7.0")
_LOGIN_CANCELLED = Reply.of(501, "authentication cancelled", "5.7.0")


async def on_starttls(session: Session, event: events.StartTls) -> None:
    tls = session.listener.tls
    assert tls is not None
    session.drop_draft()
    session.engine.answer(_READY_FOR_TLS)
    session.stream.send(session.engine.take_output())
    try:
        await session.stream.start_tls(tls.context, server_side=True)
    except NetError as error:
        session.note("starttls", "", _TLS_FAILED, Reason.TLS_FAILED, str(error))
        session.end(Reason.TLS_FAILED.value)
        return
    session.engine.tls_started()
    session.peer.account = None


async def on_auth(session: Session, event: events.Auth) -> None:
    tls, environment = session.stream.tls, session.environment
    binding = tls.channel_binding if tls is not None and environment.authenticator.binds_channels else None
    try:
        session.mechanism = server_mechanism(event.mechanism, nonce=environment.nonce(), channel_binding=binding)
    except SaslError as error:  # a TLS session resumed over a change of the certificate has no binding
        session.decide("auth", "", _LOGIN_LATER, Reason.LOGIN_REFUSED, str(error))
        return
    await _step_login(session, event.response)


async def on_auth_response(session: Session, event: events.AuthResponse) -> None:
    if event.response is None:
        session.mechanism = None
        session.decide("auth", "", _LOGIN_CANCELLED, Reason.LOGIN_CANCELLED)
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
        session.decide("auth", str(session.peer.account), _LOGGED_IN, Reason.LOGIN_ACCEPTED, mechanism.name)
        return
    session.faults += 1
    is_later = result.reason in (RefusalReason.LOCKED, RefusalReason.TEMPORARY)
    reply = _LOGIN_LATER if is_later else _LOGIN_REFUSED
    detail = result.explanation or result.reason.value
    session.decide("auth", result.identity, reply, Reason.LOGIN_REFUSED, detail)
