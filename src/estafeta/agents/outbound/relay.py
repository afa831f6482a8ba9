"""One attempt: a job goes to the first of its destination's hosts that takes it (RFC 5321 §5.1, §4.5.4.2).

After a 4yz, or where a host does not answer, the next one is tried; after a 5yz none is. What became of each
recipient is a value; nothing that a host does is an exception here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

from estafeta.agents.outbound.connecting import Connector, Unreachable
from estafeta.agents.outbound.lane import Job
from estafeta.agents.outbound.outcome import HostFacts, Outcome
from estafeta.agents.outbound.plan import Plan, Planner, Stop, Trouble
from estafeta.agents.outbound.pool import Connection, Pool
from estafeta.agents.outbound.settings import RelaySettings
from estafeta.agents.outbound.tls_reporting import TlsReporter
from estafeta.agents.outbound.under_way import OutOfTime, UnderWay
from estafeta.client import (
    ClientTimeouts,
    Following,
    NextMessage,
    RecipientReply,
    SmtpClient,
    TransactionBroken,
    WireContent,
)
from estafeta.mail.downgrade import CannotDowngrade
from estafeta.mail.envelope import Notify, Recipient
from estafeta.mail.reply import Reply
from estafeta.mail.report import Relaying
from estafeta.mail.value import value
from estafeta.net.errors import DeadlinePassed, NetError
from estafeta.routing.destinations import Destination
from estafeta.routing.security import Security
from estafeta.store.records import Fate, QueuedRecipient
from estafeta.wire.errors import ExtensionMissing, LocalProtocolError, RemoteProtocolError
from estafeta.wire.smtp.dialogue import Verb

_NO_UTF8 = Reply.of(553, "the next host does not take internationalized mail (SMTPUTF8)", "5.6.7")
_NO_8BIT = Reply.of(554, "the next host takes 7-bit mail only, and this message cannot be made so", "5.6.3")
_NO_REQUIRETLS = Reply.of(550, "REQUIRETLS needed: no host of the destination offers it", "5.7.30")

_BEFORE_ALL = (None, Verb.RSET, Verb.MAIL)
"""What is waited for while a host has said nothing of the message."""
_DEMANDED = ("policy", "TLS", "STARTTLS")
"""Where a host is left out for what the message, or the domain, demands of it."""


@dataclass(slots=True)
class Attempt:
    """What one attempt found out."""

    outcomes: list[Outcome] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    is_dead: bool = False
    """No host of the destination answered, so that others need not try either."""
    tells_nothing: bool = False
    """What failed was a matter of this message, or of this server: it says nothing of the destination."""


@value
class _Begun:
    """A message whose envelope went out behind the content of the one before, and where."""

    connection: Connection
    under_way: UnderWay

    def drop(self) -> None:
        """Nothing but cutting the connection takes it back: the host may wait for the content."""
        self.connection.client.abort()


class _Heard(Enum):
    """What a host said of a message."""

    ANSWERED = "answered"
    NOTHING = "nothing"
    """The connection broke before a word about it."""
    STALE = "stale"
    """The same, or 421, on a connection that was kept: the host had ended it in its own time."""


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
        clock: Callable[[], float],
        tunnels: Callable[[str], bool] = lambda domain: False,
    ) -> None:
        """`tunnels` says of a domain whether its hosts are told priorities in the header (RFC 6758)."""
        self._clock = clock
        self._tunnels = tunnels
        self._planner = planner
        self._pool = pool
        self._reporter = reporter
        self._connector = Connector(settings, security=security, hello=hello, reporter=reporter)

    @property
    def timeouts(self) -> ClientTimeouts:
        """How long other hosts are waited for."""
        return self._connector.timeouts

    async def attempt(self, destination: Destination, job: Job, content: bytes) -> Attempt:
        """Try the job's recipients at the hosts of the destination."""
        # RFC 8689 §5: a notification of such a message goes as it can.
        requires_tls = job.message.requires_tls and not job.message.reverse_path.is_null
        plan = await self._planner.plan(destination, requires_tls=requires_tls)
        for host, demand in plan.refused:
            self._reporter.record(destination.name, demand, host=host.name)
        if not plan.stops:
            return _without_hosts(plan, job, requires_tls=requires_tls)
        attempt = Attempt(troubles=list(plan.troubles), is_dead=True)
        stops = self._planner.in_order(plan.stops)
        begun = _begun(job, stops[0])
        if begun is not None:
            under_way = begun.under_way
        else:
            under_way = UnderWay(job, content, self._clock, is_tunnelled=self._tunnels(destination.name))
        has_asked_all = True
        for number, stop in enumerate(stops, 1):
            kept = begun.connection if begun is not None else self._pool.take(stop.key)
            begun = None
            try:
                facts, heard = await self._visit(destination, stop, kept, under_way, attempt.troubles)
            except Unreachable as failure:
                attempt.troubles.append(failure.trouble)
                has_asked_all = False
                continue
            if heard is _Heard.ANSWERED:
                attempt.is_dead = False
            if not under_way.remaining or under_way.is_uncertain:
                break
            if number < len(plan.stops):  # what the last one says is the outcome
                attempt.troubles += under_way.troubles(facts)
        if attempt.is_dead:
            self._planner.forget(destination)
            attempt.tells_nothing = requires_tls and any(each.stage in _DEMANDED for each in attempt.troubles)
        attempt.outcomes = under_way.outcomes(attempt.troubles, has_asked_all=has_asked_all)
        return attempt

    async def over(self, client: SmtpClient, facts: HostFacts, job: Job, content: bytes) -> Attempt:
        """Try the job's recipients on a connection that is there already: roles were turned on it."""
        under_way = UnderWay(job, content, self._clock)
        await self._transact(client, facts, under_way)
        return Attempt(under_way.outcomes([], has_asked_all=True), is_dead=not client.is_open)

    async def _visit(
        self,
        destination: Destination,
        stop: Stop,
        kept: Connection | None,
        under_way: UnderWay,
        troubles: list[Trouble],
    ) -> tuple[HostFacts, _Heard]:
        """Offer the message at one stop, on the kept connection or a new one; raises Unreachable."""
        if kept is not None and (heard := await self._send(kept, under_way, is_kept=True)) is not _Heard.STALE:
            return kept.facts, heard
        try:
            connection = await self._connector.connect(destination, stop, troubles)
        except Unreachable as failure:
            if failure.is_silent:
                self._planner.is_silent(stop)
            raise
        self._planner.has_answered(stop)
        return connection.facts, await self._send(connection, under_way)

    async def _send(self, connection: Connection, under_way: UnderWay, *, is_kept: bool = False) -> _Heard:
        next_one: list[UnderWay] = []
        try:
            while True:
                connection.messages += 1
                left = len(under_way.remaining)
                heard, is_cut_short = await self._transact(
                    connection.client,
                    connection.facts,
                    under_way,
                    success=Fate.DELIVERED if connection.key.lmtp else Fate.RELAYED,  # RFC 2033 §3: LMTP delivers
                    is_kept=is_kept,
                    following=partial(self._following, connection, under_way, next_one),
                )
                # RFC 5321 §4.5.3.1.10: those that were too many for one transaction get another.
                if not (is_cut_short and len(under_way.remaining) < left and connection.client.is_idle):
                    return heard
                is_kept = False
        finally:
            if next_one and connection.client.has_begun:
                next_one[0].job.begun = _Begun(connection, next_one[0])
            else:
                self._pool.give(connection)

    def _following(self, connection: Connection, under_way: UnderWay, next_one: list[UnderWay]) -> NextMessage | None:
        """The message that goes over the connection next, where its envelope may go ahead of it; into `next_one`."""
        take_next = under_way.job.take_next
        # Not behind the first message of a connection: a host that closes after one would have octets that it did not
        # read, and reset the connection; where its 250 is lost on the way it would never come again.
        if take_next is None or connection.messages < 2 or under_way.is_tunnelled:
            return None
        if not self._pool.takes_more(connection):
            return None
        job = take_next()
        if job is None or job.content is None or job.message.deliver_by is not None or job.message.requires_tls:
            return None
        following = UnderWay(job, job.content, self._clock)
        sender = following.sender(len(job.content), is_logged_in=connection.client.is_authenticated)
        envelope = _envelope(following.remaining, Relaying.PLAIN)
        following.begun = sender, envelope
        next_one.append(following)
        return NextMessage(sender, envelope, job.content)

    async def _transact(
        self,
        client: SmtpClient,
        facts: HostFacts,
        under_way: UnderWay,
        *,
        success: Fate = Fate.RELAYED,
        is_kept: bool = False,
        following: Following | None = None,
    ) -> tuple[_Heard, bool]:
        """Offer the message for all that remain, and note what the host says of each.

        Gives whether it said anything, and whether those that it had no room for should be offered once more.
        """
        recipients = under_way.remaining
        takes_dsn = client.capabilities is not None and client.capabilities.has("DSN")
        try:
            content = await under_way.content_for(client)
            relaying = under_way.relaying(client)
            begun, under_way.begun = under_way.begun, None
            if begun is not None:
                sender, envelope = begun
            else:
                by = under_way.deliver_by(client)
                sender = under_way.sender(len(content), by, is_logged_in=client.is_authenticated)
                envelope = _envelope(recipients, relaying)
            wire_content = WireContent(content)  # its lines were looked at when it came in
            try:
                result = await client.send(sender, envelope, wire_content, following=following)
            except ExtensionMissing as missing:
                others = [each for each in recipients if each.forward_path.address.is_ascii]
                if missing.keyword != "SMTPUTF8" or not 0 < len(others) < len(recipients):
                    raise
                under_way.lack(_NO_UTF8, facts)
                recipients = others
                result = await client.send(sender, _envelope(recipients, relaying), wire_content)
        except TransactionBroken as broken:
            is_silent = not broken.replies and broken.stage in _BEFORE_ALL
            if is_kept and is_silent and not isinstance(broken.__cause__, DeadlinePassed):
                return _Heard.STALE, False
            answered = _answered(recipients, broken.replies)
            under_way.take(answered, facts, success=success, takes_dsn=takes_dsn, relaying=relaying)
            under_way.is_uncertain = under_way.is_uncertain or broken.is_after_final_dot
            stage = "" if broken.stage is None else broken.stage.value
            under_way.break_off(_of(recipients, broken.undecided), _broken(facts, broken), facts, stage)
            return (_Heard.NOTHING if is_silent else _Heard.ANSWERED), False
        except OutOfTime as refusal:
            under_way.refuse(refusal, facts)
            return _Heard.ANSWERED, False
        except CannotDowngrade:
            under_way.lack(_NO_8BIT, facts)
            return _Heard.ANSWERED, False
        except ExtensionMissing as missing:
            under_way.lack(_NO_REQUIRETLS if missing.keyword == "REQUIRETLS" else _NO_UTF8, facts)
            return _Heard.ANSWERED, False
        except (LocalProtocolError, RemoteProtocolError, NetError) as error:
            client.abort()
            if is_kept:
                return _Heard.STALE, False
            reply = Reply.of(451, f"talking to {facts.name} failed: {error}", "4.5.0")
            under_way.break_off(recipients, reply, facts, Verb.MAIL.value)
            return _Heard.ANSWERED, False
        if is_kept and not client.is_open and all(map(_is_leave_taking, result.replies)):
            return _Heard.STALE, False
        answered = _answered(recipients, result.replies)
        is_cut_short = under_way.take(answered, facts, success=success, takes_dsn=takes_dsn, relaying=relaying)
        return _Heard.ANSWERED, is_cut_short


def _begun(job: Job, first: Stop) -> _Begun | None:
    """What was begun of a job, if it is at the stop that comes first now; otherwise that is dropped."""
    begun, job.begun = job.begun, None
    if isinstance(begun, _Begun) and (begun.connection.key is first.key or begun.connection.key == first.key):
        return begun
    if begun is not None:
        begun.drop()
    return None


def _envelope(recipients: Sequence[QueuedRecipient], relaying: Relaying) -> list[Recipient]:
    if relaying is not Relaying.UNTIMED:
        return [Recipient(each.forward_path, each.notify, each.original) for each in recipients]
    return [Recipient(each.forward_path, _with_delay(each.notify), each.original) for each in recipients]


def _with_delay(notify: frozenset[Notify] | None) -> frozenset[Notify]:
    """What the next host is to tell of, which does not know of the time of BY (RFC 2852 §4.1.4.2)."""
    if notify is None:
        return frozenset((Notify.FAILURE, Notify.DELAY))
    return notify if Notify.NEVER in notify else notify | {Notify.DELAY}


def _answered(
    recipients: Sequence[QueuedRecipient], replies: Sequence[RecipientReply]
) -> list[tuple[QueuedRecipient, RecipientReply]]:
    """Each reply with its recipient: the replies are all or some of the recipients', in their order."""
    if len(replies) == len(recipients):
        return list(zip(recipients, replies, strict=True))
    return list(zip(_of(recipients, [said.recipient for said in replies]), replies, strict=True))


def _of(recipients: Sequence[QueuedRecipient], some: Sequence[Recipient]) -> list[QueuedRecipient]:
    by_path = {each.forward_path: each for each in recipients}
    return [by_path[each.forward_path] for each in some]


def _is_leave_taking(said: RecipientReply) -> bool:
    """Whether a host ends the connection for its own reasons, before it hears of the content (RFC 5321 §3.8)."""
    return said.reply.code == 421 and said.verb in (Verb.MAIL, Verb.RCPT)


def _broken(facts: HostFacts, broken: TransactionBroken) -> Reply:
    if broken.is_after_final_dot:
        text = f"after the final dot: {broken.reason}; the host may have the message"
    elif broken.stage is not None:
        text = f"before its reply to {broken.stage}: {broken.reason}"
    else:
        text = f"before the message: {broken.reason}"
    return Reply.of(451, f"the connection to {facts.name} broke {text}", "4.4.2")


def _without_hosts(plan: Plan, job: Job, *, requires_tls: bool) -> Attempt:
    """No host can be asked: the reply of the routing is that of all recipients."""
    reply = plan.refusal or Reply.of(451, "no host can be asked now", "4.4.4")
    fate = Fate.FAILED if reply.is_permanent else Fate.DEFERRED
    stage = "policy" if plan.troubles else "DNS"
    host = HostFacts(plan.troubles[-1].host) if plan.troubles else None
    outcomes = [Outcome(each, fate, reply, False, stage, host) for each in job.recipients]
    is_dead = not fate.is_final
    return Attempt(outcomes, list(plan.troubles), is_dead, tells_nothing=requires_tls and bool(plan.troubles))
