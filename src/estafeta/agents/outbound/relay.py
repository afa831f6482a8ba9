"""One attempt: a job goes to the first of its destination's hosts that takes it (RFC 5321 §5.1, §4.5.4.2).

After a 4yz, or where a host does not answer, the next one is tried; after a 5yz none is. What became of each
recipient is a value; nothing that a host does is an exception here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from estafeta.agents.outbound.lane import Job
from estafeta.agents.outbound.outcome import HostFacts, Outcome
from estafeta.agents.outbound.plan import Plan, Planner, Stop, Trouble, read_password
from estafeta.agents.outbound.pool import Connection, Pool
from estafeta.agents.outbound.settings import RelaySettings
from estafeta.agents.outbound.tls_reporting import TlsReporter, fault_of
from estafeta.client import (
    ClientTimeouts,
    LoginImpossible,
    RecipientReply,
    Refused,
    SmtpClient,
    TlsMode,
    TlsNotOffered,
    TransactionBroken,
)
from estafeta.mail.downgrade import CannotDowngrade, to_seven_bit
from estafeta.mail.envelope import Body, Octets, Recipient, Sender
from estafeta.mail.reply import Reply
from estafeta.mail.tls_report import TlsFault, TlsResultKind
from estafeta.net.errors import ConnectFailed, DeadlinePassed, NetError, TlsError
from estafeta.routing.destinations import Destination
from estafeta.routing.security import Security, TlsLevel
from estafeta.store.records import Fate, QueuedRecipient
from estafeta.wire.errors import ExtensionMissing, LocalProtocolError, RemoteProtocolError
from estafeta.wire.sasl import SaslError

_NO_UTF8 = Reply.of(553, "the next host does not take internationalized mail (SMTPUTF8)", "5.6.7")
_NO_8BIT = Reply.of(554, "the next host takes 7-bit mail only, and this message cannot be made so", "5.6.3")
_NO_REQUIRETLS = Reply.of(550, "REQUIRETLS needed: no host of the destination offers it", "5.7.30")


@dataclass(slots=True)
class Attempt:
    """What one attempt found out."""

    outcomes: list[Outcome] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    is_dead: bool = False
    """No host of the destination answered, so that others need not try either."""


class _Unreachable(Exception):
    """A stop that does not come as far as MAIL."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(str(trouble.reply))
        self.trouble = trouble


class Relay:
    """Makes attempts over SMTP and LMTP."""

    def __init__(
        self,
        settings: RelaySettings,
        *,
        planner: Planner,
        security: Security,
        pool: Pool,
        hello: str,
        reporter: TlsReporter,
    ) -> None:
        self._settings = settings
        self._planner = planner
        self._security = security
        self._pool = pool
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

    async def attempt(self, destination: Destination, job: Job, content: bytes) -> Attempt:
        """Try the job's recipients at the hosts of the destination."""
        # RFC 8689 §5: a notification of such a message goes as it can.
        requires_tls = job.message.requires_tls and not job.message.reverse_path.is_null
        plan = await self._planner.plan(destination, requires_tls=requires_tls)
        for host, demand in plan.refused:
            self._reporter.record(destination.name, demand, host=host.name)
        if not plan.stops:
            return _without_hosts(plan, job)
        attempt = Attempt(troubles=list(plan.troubles))
        under_way = _UnderWay(job, content)
        has_answered = False
        for stop in plan.stops:
            try:
                connection = await self._connection(destination, stop)
            except _Unreachable as failure:
                attempt.troubles.append(failure.trouble)
                continue
            has_answered = True
            try:
                await self._send(connection, under_way)
            finally:
                self._pool.give(connection)
            if not under_way.remaining or under_way.is_uncertain:
                break
        attempt.is_dead = not has_answered
        if attempt.is_dead:
            self._planner.forget(destination)
        attempt.outcomes = under_way.outcomes(attempt.troubles)
        return attempt

    async def over(self, client: SmtpClient, facts: HostFacts, job: Job, content: bytes) -> Attempt:
        """Try the job's recipients on a connection that is there already: roles were turned on it."""
        under_way = _UnderWay(job, content)
        await self._transact(client, facts, under_way)
        return Attempt(under_way.outcomes([]), is_dead=not client.is_open)

    # The connection.

    async def _connection(self, destination: Destination, stop: Stop) -> Connection:
        kept = self._pool.take(stop.key)
        if kept is not None:
            return kept
        try:
            return await self._connect(destination, stop, _MODES[stop.demand.level])
        except TlsError as error:
            # RFC 7435: where TLS is only better than nothing, a host that cannot do it is still talked to.
            if stop.demand.level is not TlsLevel.MAY:
                reply = Reply.of(451, f"TLS with {stop.host.name} failed: {error}", "4.7.5")
                raise _Unreachable(_trouble(stop, "TLS", reply)) from None
        return await self._connect(destination, stop, TlsMode.NONE)

    async def _connect(self, destination: Destination, stop: Stop, mode: TlsMode) -> Connection:
        """A new connection; raises _Unreachable, and TlsError."""
        gateway, demand = stop.gateway, stop.demand
        if stop.is_implicit_tls:
            mode = TlsMode.IMPLICIT
        source = self._settings.ipv6_address if ":" in stop.address else self._settings.ipv4_address
        try:
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
            verified = ""
            try:
                if client.tls is not None:
                    verified = self._security.verified(demand, client.peer_chain)
                if gateway is not None and gateway.username:
                    password = await asyncio.to_thread(read_password, gateway.password_file)
                    await client.login(gateway.username, password)
            except BaseException:
                client.abort()
                raise
        except TlsError as error:
            self._count(destination, stop, fault_of(error))
            raise
        except TlsNotOffered as error:
            self._count(destination, stop, fault_of(error))
            reply = Reply.of(451, f"{stop.host.name} does not offer TLS, which {demand.reason} demands", "4.7.4")
            raise _Unreachable(_trouble(stop, "STARTTLS", reply)) from None
        except Refused as error:
            if (fault := fault_of(error)) is not None:
                self._count(destination, stop, fault)
            raise _Unreachable(_trouble(stop, error.what, error.reply, is_remote=True)) from None
        except (LoginImpossible, SaslError, OSError) as error:
            reply = Reply.of(451, f"no login at {stop.host.name}: {error}", "4.7.8")
            raise _Unreachable(_trouble(stop, "AUTH", reply)) from None
        except (ConnectFailed, DeadlinePassed) as error:
            raise _Unreachable(_trouble(stop, "connect", Reply.of(451, str(error), "4.4.1"))) from None
        except (NetError, RemoteProtocolError) as error:
            reply = Reply.of(451, f"the connection to {stop.host.name} broke: {error}", "4.4.2")
            raise _Unreachable(_trouble(stop, "greeting", reply)) from None
        if client.tls is not None:
            self._count(destination, stop, self._security.tested(demand, client.peer_chain))
        elif mode is TlsMode.OPPORTUNISTIC:
            self._count(destination, stop, TlsFault(TlsResultKind.STARTTLS_NOT_SUPPORTED))
        facts = HostFacts(stop.host.name, str(client.peer), _tls_text(client, verified))
        return Connection(stop.key, client, facts)

    def _count(self, destination: Destination, stop: Stop, fault: TlsFault | None) -> None:
        """For the report to the domain (RFC 8460); gateways are the operator's own matter."""
        if stop.gateway is None:
            self._reporter.record(
                destination.name, stop.demand, host=stop.host.name, receiving_ip=stop.address, fault=fault
            )

    # The transaction.

    async def _send(self, connection: Connection, under_way: _UnderWay) -> None:
        connection.messages += 1
        await self._transact(connection.client, connection.facts, under_way, is_lmtp=connection.key.lmtp)

    async def _transact(
        self, client: SmtpClient, facts: HostFacts, under_way: _UnderWay, *, is_lmtp: bool = False
    ) -> None:
        """Offer the message for all that remain, and note what the host says of each."""
        recipients = under_way.remaining
        under_way.success = Fate.DELIVERED if is_lmtp else Fate.RELAYED  # RFC 2033 §3: LMTP delivers
        takes_dsn = client.capabilities is not None and client.capabilities.has("DSN")
        try:
            content = await under_way.content_for(client)
            sender = under_way.sender(len(content))
            result = await client.send(sender, under_way.envelope, content)
        except TransactionBroken as broken:
            for recipient, said in _answered(recipients, broken.replies):
                under_way.take(recipient, said, facts, takes_dsn)
            where = "the final dot" if broken.is_after_final_dot else broken.stage or "the message"
            text = f"the connection to {facts.name} broke after {where}: {broken.reason}"
            if broken.is_after_final_dot:
                text += "; the host may have the message"
            under_way.put_off(Reply.of(451, text, "4.4.2"), facts, str(broken.stage or ""))
            under_way.is_uncertain = under_way.is_uncertain or broken.is_after_final_dot
            return
        except CannotDowngrade:
            under_way.fail(_NO_8BIT, facts, "MAIL")
            return
        except ExtensionMissing as missing:
            if missing.keyword == "REQUIRETLS":
                under_way.put_off(_NO_REQUIRETLS, facts, "MAIL", is_last_word=True)
            else:
                under_way.fail(_NO_UTF8, facts, "MAIL")
            return
        except (LocalProtocolError, RemoteProtocolError, NetError) as error:
            client.abort()
            reply = Reply.of(451, f"talking to {facts.name} failed: {error}", "4.5.0")
            under_way.put_off(reply, facts, "MAIL")
            return
        for recipient, said in _answered(recipients, result.replies):
            under_way.take(recipient, said, facts, takes_dsn)


class _UnderWay:
    """A job between two hosts: who remains, and what was said of each so far."""

    def __init__(self, job: Job, content: bytes) -> None:
        self.job = job
        self._content = content
        self._seven_bit: bytes | None = None
        self.remaining: list[QueuedRecipient] = list(job.recipients)
        self._last: dict[int, Outcome] = {}
        self.success = Fate.RELAYED
        self.is_uncertain = False
        """A host may have the message though it did not say so: no other is asked now."""

    @property
    def envelope(self) -> list[Recipient]:
        return [Recipient(each.forward_path, each.notify, each.original) for each in self.remaining]

    def sender(self, size: int) -> Sender:
        message = self.job.message
        return Sender(
            message.reverse_path,
            size=Octets(size),
            body=Body.EIGHT_BIT if message.body == Body.EIGHT_BIT and self._seven_bit is None else None,
            smtputf8=message.smtputf8,
            ret=message.ret,
            envid=message.envid,
            requires_tls=message.requires_tls and not message.reverse_path.is_null,
        )

    async def content_for(self, client: SmtpClient) -> bytes:
        """The content as the host can take it; raises CannotDowngrade (RFC 6152 §3)."""
        capabilities = client.capabilities
        if capabilities is None or capabilities.has("8BITMIME") or self._content.isascii():
            return self._content
        if self._seven_bit is None:
            self._seven_bit = await asyncio.to_thread(to_seven_bit, self._content)
        return self._seven_bit

    def take(self, recipient: QueuedRecipient, said: RecipientReply, facts: HostFacts, takes_dsn: bool) -> None:
        """One recipient's reply."""
        reply = said.reply
        if reply.is_positive:
            fate = self.success
        elif reply.is_permanent:
            fate = Fate.FAILED
        else:
            fate = Fate.DEFERRED
        self._last[recipient.recipient_id] = Outcome(
            recipient, fate, reply, not said.is_local, str(said.verb), facts, takes_dsn
        )
        if fate.is_final:
            self.remaining = [each for each in self.remaining if each is not recipient]

    def put_off(self, reply: Reply, facts: HostFacts, stage: str, *, is_last_word: bool = False) -> None:
        """Nothing more is known of those that remain."""
        for each in self.remaining:
            known = self._last.get(each.recipient_id)
            if known is None or is_last_word or not known.is_remote:
                fate = Fate.FAILED if reply.is_permanent else Fate.DEFERRED
                self._last[each.recipient_id] = Outcome(each, fate, reply, False, stage, facts)

    def fail(self, reply: Reply, facts: HostFacts, stage: str) -> None:
        """None of those that remain can be sent, to no host."""
        for each in self.remaining:
            self._last[each.recipient_id] = Outcome(each, Fate.FAILED, reply, False, stage, facts)
        self.remaining = []

    def outcomes(self, troubles: Sequence[Trouble]) -> list[Outcome]:
        """What is known of each recipient at the end."""
        found = []
        for each in self.job.recipients:
            known = self._last.get(each.recipient_id)
            if known is None:
                trouble = troubles[-1]
                facts = HostFacts(trouble.host, trouble.address)
                reply = _put_off(trouble.reply)
                known = Outcome(each, Fate.DEFERRED, reply, trouble.is_remote, trouble.stage, facts)
            found.append(known)
        return found


def _put_off(reply: Reply) -> Reply:
    """A host that refuses the whole connection is not the last word about a recipient: it is tried again."""
    if not reply.is_permanent or reply.status is None:
        return reply
    return replace(reply, status=reply.status._replace(klass=4))


def _answered(
    recipients: Sequence[QueuedRecipient], replies: Sequence[RecipientReply]
) -> list[tuple[QueuedRecipient, RecipientReply]]:
    """Each reply with its recipient: the replies are some of the recipients', in their order."""
    by_path = {str(each.forward_path): each for each in recipients}
    return [(by_path[str(said.recipient.forward_path)], said) for said in replies]


def _without_hosts(plan: Plan, job: Job) -> Attempt:
    """No host can be asked: the reply of the routing is that of all recipients."""
    reply = plan.refusal or Reply.of(451, "no host can be asked now", "4.4.4")
    fate = Fate.FAILED if reply.is_permanent else Fate.DEFERRED
    stage = "policy" if plan.troubles else "DNS"
    host = HostFacts(plan.troubles[-1].host) if plan.troubles else None
    outcomes = [Outcome(each, fate, reply, False, stage, host) for each in job.recipients]
    return Attempt(outcomes, list(plan.troubles), is_dead=not fate.is_final)


def _trouble(stop: Stop, stage: str, reply: Reply, *, is_remote: bool = False) -> Trouble:
    address = f"[{stop.address}]:{stop.port}" if ":" in stop.address else f"{stop.address}:{stop.port}"
    return Trouble(stop.host.name, address, stage, reply, is_remote)


def _tls_text(client: SmtpClient, verified: str) -> str:
    if client.tls is None:
        return ""
    return f"{client.tls.version} {client.tls.cipher}, {verified or 'not verified'}"


_MODES = {
    TlsLevel.NONE: TlsMode.NONE,
    TlsLevel.MAY: TlsMode.OPPORTUNISTIC,
    TlsLevel.MUST: TlsMode.STARTTLS,
    TlsLevel.VERIFY: TlsMode.STARTTLS,
}
