"""Proxies and filters that speak for others: XCLIENT and XFORWARD (Postfix XCLIENT_README, XFORWARD_README).

What XCLIENT says holds as if the client had connected itself: for limits, trust, logins, journal and trace fields.
What XFORWARD says is written down, and decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.agents.chronicle import Reason
from estafeta.agents.environment import Offers, Role
from estafeta.agents.opening import greeting
from estafeta.mail.address import Address, AddressError
from estafeta.mail.catalogue import clients, connections
from estafeta.net.address import NOWHERE, PeerAddress
from estafeta.store import accounts
from estafeta.wire.smtp import events

if TYPE_CHECKING:
    from estafeta.agents.session import Session


async def on_xclient(session: Session, event: events.Xclient) -> None:
    """The client is another one: the session begins again, with a greeting."""
    told, peer, engine, stream = event.told, session.peer, session.engine, session.stream
    subject = " ".join(f"{name}={value or '[UNAVAILABLE]'}" for name, value in told.items())
    account = peer.account
    if "LOGIN" in told:
        login = told["LOGIN"]
        account = None if login is None else await _account(session, login)
        if login is not None and account is None:
            session.refusals += 1
            session.decide("xclient", subject, clients.SPEAKER_NOT_TRUSTED, Reason.SPEAKER_NOT_TRUSTED, "no account")
            return
    is_admitted = stream.speak_for(
        _end(told, "ADDR", "PORT", stream.peer), _end(told, "DESTADDR", "DESTPORT", stream.local)
    )
    if not is_admitted:
        session.decide("xclient", subject, connections.TOO_MANY_CONNECTIONS, Reason.TOO_MANY)
        session.end(Reason.TOO_MANY.value)
        return
    is_lmtp = session.listener.role is Role.LMTP
    reply = greeting(session.environment.hostname, is_lmtp=is_lmtp)
    session.decide("xclient", subject, reply, Reason.CLIENT_TOLD)
    session.mechanism = None
    peer.spoken_for(told, account)
    engine.begin_again(
        Offers(session.environment, session.listener).to(stream.peer),
        hello=peer.told.get("HELO"),
        is_extended=is_lmtp or peer.told.get("PROTO") not in (None, "SMTP"),
        is_authenticated=account is not None,
    )


def _end(told: dict[str, str | None], address: str, port: str, now: PeerAddress) -> PeerAddress:
    """An end of the connection, as far as it was told; a client whose address is unknown comes from nowhere."""
    ip, number = told.get(address, now.ip), told.get(port, "0" if address in told else str(now.port))
    return PeerAddress(NOWHERE.ip if ip is None else ip, int(number or 0))


async def _account(session: Session, login: str) -> Address | None:
    """The account that the proxy has seen log in; None when there is none of this name."""
    try:
        address = Address.parse(login)
    except AddressError:
        return None
    account = await session.environment.store.read(lambda tx: accounts.find(tx, address))
    return account.address if account is not None else None


async def on_xforward(session: Session, event: events.Xforward) -> None:
    """The next transaction's mail came from there."""
    session.peer.forwarded |= event.told
    session.engine.answer(clients.ORIGIN_NOTED)
