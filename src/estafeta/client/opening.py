"""How a session begins: greeting, EHLO, STARTTLS, and a login where one is wanted (RFC 5321 §3.1, 3207, 4954)."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from estafeta.client.errors import LoginImpossible, Refused, TlsNotOffered
from estafeta.client.link import Link
from estafeta.mail.reply import Reply
from estafeta.net.tls import client_context
from estafeta.wire.errors import RemoteProtocolError
from estafeta.wire.sasl import (
    EXTERNAL,
    SCRAM_SHA_256_PLUS,
    TOKEN_MECHANISMS,
    BearerClient,
    ClientMechanism,
    ExternalClient,
    SaslError,
    choose_mechanism,
    client_mechanism,
)
from estafeta.wire.smtp.dialogue import Answered, Challenged, Closing, Event, Greeted

Compute: TypeAlias = Callable[[Callable[[], bytes]], Awaitable[bytes]]
"""Runs a computation that may take a while, so that the event loop does not stand still."""


class TlsMode(StrEnum):
    """How a connection is secured."""

    NONE = "none"
    STARTTLS = "starttls"
    """Demanded: without it nothing is sent (RFC 3207)."""
    # Departs from RFC 7435: in the library a handshake that fails is an error; the relay goes on in the clear.
    OPPORTUNISTIC = "opportunistic"
    """STARTTLS where it is offered, in the clear where not (RFC 7435); a failed handshake is an error."""
    IMPLICIT = "implicit"
    """TLS from the first octet (RFC 8314 §3)."""


@dataclass(frozen=True, slots=True)
class Security:
    """What is asked of TLS."""

    mode: TlsMode
    context: ssl.SSLContext | None
    server_hostname: str | None

    def client_context(self) -> ssl.SSLContext:
        """The context given, or one that checks certificates where TLS is demanded."""
        if self.context is not None:
            return self.context
        return client_context(verify=self.mode is not TlsMode.OPPORTUNISTIC)


class Opening:
    """Brings a connection as far as MAIL. Where the server does not want that, says QUIT and raises."""

    def __init__(self, link: Link, local_name: str, security: Security) -> None:
        self._link = link
        self._local_name = local_name
        self._security = security

    async def run(self) -> Reply:
        """Gives the greeting; raises Refused and TlsNotOffered."""
        greeting = await self._take_greeting()
        await self.hello()
        if self._security.mode in (TlsMode.STARTTLS, TlsMode.OPPORTUNISTIC):
            await self._secure()
        return greeting

    async def _take_greeting(self) -> Reply:
        event = await self._link.next_event()
        assert isinstance(event, Greeted | Closing)
        if isinstance(event, Greeted) and 200 <= event.reply.code < 300:
            return event.reply
        await self._link.quit()  # RFC 5321 §3.1
        raise Refused("connection", event.reply)

    async def hello(self) -> None:
        """EHLO, or HELO where that is not known. Raises Refused."""
        link, engine = self._link, self._link.engine
        event = await link.exchange(engine.ehlo(self._local_name))
        # RFC 5321 §3.2: a server that does not know EHLO is asked with HELO.
        if isinstance(event, Answered) and event.reply.is_permanent and not engine.is_lmtp:
            event = await link.exchange(engine.helo(self._local_name))
        await self._demand(event, "hello")

    async def _secure(self) -> None:
        link, engine, security = self._link, self._link.engine, self._security
        is_demanded = security.mode is TlsMode.STARTTLS
        if not engine.can("STARTTLS"):
            if is_demanded:
                await self._link.quit()
                raise TlsNotOffered("the server does not offer STARTTLS")
            return
        event = await link.exchange(engine.starttls())
        if isinstance(event, Answered) and not event.reply.is_positive and not is_demanded:
            return
        await self._demand(event, "STARTTLS")
        if link.stream.pending:
            raise RemoteProtocolError("octets after the reply to STARTTLS, before TLS")
        await link.stream.start_tls(
            security.client_context(),
            server_hostname=security.server_hostname,
            timeout=link.timeouts.handshake,
        )
        engine.tls_started()
        await self.hello()  # RFC 3207 §4.2

    async def _demand(self, event: Event, what: str) -> None:
        try:
            demand(event, what)
        except Refused:
            await self._link.quit()
            raise


async def log_in(
    link: Link,
    identity: str,
    password: str,
    *,
    mechanisms: Iterable[str] | None,
    allow_without_tls: bool,
    nonce: str | None,
    compute: Compute,
) -> None:
    """Log in; see SmtpClient.login."""
    stream, engine = link.stream, link.engine
    is_secure = stream.tls is not None or stream.peer.is_loopback
    if not is_secure and not allow_without_tls:
        raise LoginImpossible("no login without TLS")
    offered = engine.capabilities.auth_mechanisms if engine.capabilities else ()
    wanted = {name.upper() for name in (offered if mechanisms is None else mechanisms)}
    binding = stream.tls.channel_binding if stream.tls else None
    name = choose_mechanism([each for each in offered if each in wanted], is_secure, binding)
    if name is None:
        raise LoginImpossible(f"no usable mechanism, the server offers {' '.join(offered) or 'none'}")
    # RFC 5802 §6: "y" would tell a server that did offer -PLUS that somebody took it away.
    if name != SCRAM_SHA_256_PLUS and SCRAM_SHA_256_PLUS in offered:
        binding = None
    mechanism = client_mechanism(
        name, identity, password, nonce=nonce or secrets.token_urlsafe(24), channel_binding=binding
    )
    await _exchange(link, mechanism, compute)


async def log_in_with_token(link: Link, identity: str, token: str, *, host: str) -> None:
    """Log in; see SmtpClient.login_with_token."""
    stream, engine = link.stream, link.engine
    if stream.tls is None and not stream.peer.is_loopback:
        raise LoginImpossible("no login without TLS")
    offered = engine.capabilities.auth_mechanisms if engine.capabilities else ()
    name = next((each for each in TOKEN_MECHANISMS if each in offered), None)
    if name is None:
        raise LoginImpossible(f"no mechanism for tokens, the server offers {' '.join(offered) or 'none'}")
    await _exchange(link, BearerClient(name, identity, token, host, stream.peer.port), asyncio.to_thread)


async def log_in_with_certificate(link: Link, authorization: str) -> None:
    """Log in; see SmtpClient.login_with_certificate."""
    offered = link.engine.capabilities.auth_mechanisms if link.engine.capabilities else ()
    if link.stream.tls is None or EXTERNAL not in offered:
        raise LoginImpossible("the server does not log in by the certificate that it was shown")
    await _exchange(link, ExternalClient(authorization), asyncio.to_thread)


async def _exchange(link: Link, mechanism: ClientMechanism, compute: Compute) -> None:
    engine = link.engine
    with link.whole():
        event = await link.exchange(engine.auth(mechanism))
        while isinstance(event, Challenged):
            try:
                response = await compute(engine.answer)
            except SaslError:
                await link.exchange(engine.cancel_auth())
                raise
            event = await link.exchange(response)
    demand(event, "login")


def demand(event: Event, what: str) -> None:
    """Raises Refused unless the event is a positive reply."""
    assert isinstance(event, Greeted | Answered | Closing)
    if isinstance(event, Closing) or not event.reply.is_positive:
        raise Refused(what, event.reply)
