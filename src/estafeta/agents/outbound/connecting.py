"""A connection to one address of one host, as far as MAIL: TLS as it is demanded, and a login where one is set.

What is in the way is a value, `Trouble`, and counted for the report on TLS to the domain (RFC 8460).
"""

from __future__ import annotations

import asyncio

from estafeta.agents.outbound.outcome import HostFacts
from estafeta.agents.outbound.plan import PasswordUnreadable, Stop, Trouble, read_password
from estafeta.agents.outbound.pool import Connection
from estafeta.agents.outbound.settings import RelaySettings
from estafeta.agents.outbound.tls_reporting import TlsReporter, fault_of
from estafeta.client import ClientTimeouts, LoginImpossible, Refused, SmtpClient, TlsMode, TlsNotOffered
from estafeta.mail.reply import Reply
from estafeta.mail.tls_report import TlsFault, TlsResultKind
from estafeta.net.errors import ConnectFailed, ConnectionLost, DeadlinePassed, NetError, TlsError
from estafeta.routing.destinations import Destination
from estafeta.routing.security import Security, TlsLevel
from estafeta.wire.errors import RemoteProtocolError
from estafeta.wire.sasl import SaslError

_MODES = {
    TlsLevel.NONE: TlsMode.NONE,
    TlsLevel.MAY: TlsMode.OPPORTUNISTIC,
    TlsLevel.MUST: TlsMode.STARTTLS,
    TlsLevel.VERIFY: TlsMode.STARTTLS,
}
_STAGES = {"connection": "greeting", "hello": "EHLO", "login": "AUTH"}
"""What the client calls the steps that a host refuses, and what replies to them are known by."""


class Unreachable(Exception):
    """A stop that does not come as far as MAIL; `is_silent`: nobody answered there."""

    def __init__(self, trouble: Trouble, *, is_silent: bool = False) -> None:
        super().__init__(str(trouble.reply))
        self.trouble = trouble
        self.is_silent = is_silent


class Connector:
    """Makes connections."""

    def __init__(self, settings: RelaySettings, *, security: Security, hello: str, reporter: TlsReporter) -> None:
        self._settings = settings
        self._security = security
        self._hello = settings.hello or hello
        self._reporter = reporter
        self.timeouts = ClientTimeouts(
            connect=settings.connect_after,
            handshake=settings.connect_after,
            greeting=settings.reply_after,
            command=settings.reply_after,
            mail=settings.reply_after,
            rcpt=settings.reply_after,
            data=settings.data_after,
            block=settings.block_after,
            final=settings.final_after,
        )

    async def connect(self, destination: Destination, stop: Stop, troubles: list[Trouble]) -> Connection:
        """A new connection; raises Unreachable. TLS that failed and was not needed is one of the troubles."""
        mode = TlsMode.IMPLICIT if stop.is_implicit_tls else _MODES[stop.demand.level]
        try:
            return await self._connect(destination, stop, mode)
        except (TlsError, ConnectionLost, DeadlinePassed) as error:
            if not _is_of_tls(error):
                raise self._broken(stop, error) from None
            trouble = _trouble(stop, "TLS", Reply.of(451, f"TLS with {stop.host.name} failed: {error}", "4.7.5"))
            if mode is not TlsMode.OPPORTUNISTIC:
                raise Unreachable(trouble) from None
            troubles.append(trouble)
        # RFC 7435: where TLS is only better than nothing, a host that cannot do it is still talked to.
        try:
            return await self._connect(destination, stop, TlsMode.NONE)
        except (ConnectionLost, DeadlinePassed) as error:
            raise self._broken(stop, error) from None

    async def _connect(self, destination: Destination, stop: Stop, mode: TlsMode) -> Connection:
        """Raises Unreachable, and TlsError, ConnectionLost, DeadlinePassed."""
        demand = stop.demand
        try:
            client, verified = await self._open(stop, mode)
        except TlsError as error:
            self._count(destination, stop, fault_of(error))
            raise
        except TlsNotOffered as error:
            self._count(destination, stop, fault_of(error))
            reply = Reply.of(451, f"{stop.host.name} does not offer TLS, which {demand.reason} demands", "4.7.4")
            raise Unreachable(_trouble(stop, "STARTTLS", reply)) from None
        except Refused as error:
            if (fault := fault_of(error)) is not None:
                self._count(destination, stop, fault)
            stage = _STAGES.get(error.what, error.what)
            raise Unreachable(_trouble(stop, stage, error.reply, is_remote=True)) from None
        except (LoginImpossible, SaslError, PasswordUnreadable) as error:
            reply = Reply.of(451, f"no login at {stop.host.name}: {error}", "4.7.8")
            raise Unreachable(_trouble(stop, "AUTH", reply)) from None
        except ConnectFailed as error:
            trouble = _trouble(stop, "connect", Reply.of(451, str(error), "4.4.1"))
            raise Unreachable(trouble, is_silent=True) from None
        except (ConnectionLost, DeadlinePassed):
            raise
        except (NetError, RemoteProtocolError) as error:
            raise self._broken(stop, error) from None
        if client.tls is not None:
            self._count(destination, stop, self._security.tested(demand, client.peer_chain))
        elif mode is TlsMode.OPPORTUNISTIC:
            self._count(destination, stop, TlsFault(TlsResultKind.STARTTLS_NOT_SUPPORTED))
        facts = HostFacts(stop.host.name, str(client.peer), _tls_text(client, verified))
        return Connection(stop.key, client, facts)

    async def _open(self, stop: Stop, mode: TlsMode) -> tuple[SmtpClient, str]:
        """The connection, and how its certificate was verified."""
        gateway, demand = stop.gateway, stop.demand
        source = self._settings.ipv6_address if ":" in stop.address else self._settings.ipv4_address
        client = await SmtpClient.connect(
            stop.address,
            stop.port,
            local_name=self._hello,
            tls=mode,
            context=self._security.context_for(demand) if mode is not TlsMode.NONE else None,
            server_hostname=demand.server_name,
            lmtp=stop.key.lmtp,
            timeouts=self.timeouts,
            local_address=source or None,
        )
        try:
            verified = self._security.verified(demand, client.peer_chain) if client.tls is not None else ""
            if gateway is not None and gateway.username:
                password = await asyncio.to_thread(read_password, gateway.password_file)
                await client.login(gateway.username, password)
        except BaseException:
            client.abort()
            raise
        return client, verified

    @staticmethod
    def _broken(stop: Stop, error: Exception) -> Unreachable:
        if isinstance(error, DeadlinePassed) and str(error).startswith("connecting to "):
            reply = Reply.of(451, f"no answer in time: {error}", "4.4.1")  # RFC 3463 §3.5
            return Unreachable(_trouble(stop, "connect", reply), is_silent=True)
        what = "did not answer in time" if isinstance(error, DeadlinePassed) else "broke"
        reply = Reply.of(451, f"the connection to {stop.host.name} {what}: {error}", "4.4.2")
        return Unreachable(_trouble(stop, "greeting", reply), is_silent=True)

    def _count(self, destination: Destination, stop: Stop, fault: TlsFault | None) -> None:
        """For the report to the domain; gateways are the operator's own matter."""
        if stop.gateway is None:
            self._reporter.record(
                destination.name, stop.demand, host=stop.host.name, receiving_ip=stop.address, fault=fault
            )


def _is_of_tls(error: NetError) -> bool:
    """Whether it was the handshake that failed, or at which the host went away or fell silent."""
    text = str(error)
    return isinstance(error, TlsError) or "TLS handshake" in text or "STARTTLS" in text


def _trouble(stop: Stop, stage: str, reply: Reply, *, is_remote: bool = False) -> Trouble:
    address = f"[{stop.address}]:{stop.port}" if ":" in stop.address else f"{stop.address}:{stop.port}"
    return Trouble(stop.host.name, address, stage, reply, is_remote)


def _tls_text(client: SmtpClient, verified: str) -> str:
    if client.tls is None:
        return ""
    return f"{client.tls.version} {client.tls.cipher}, {verified or 'not verified'}"
