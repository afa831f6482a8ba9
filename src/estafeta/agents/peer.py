"""The other side of one SMTP or LMTP session: who it is, what it may do, and what is written down about it."""

from __future__ import annotations

from collections.abc import Mapping

from estafeta.agents.draft import Draft
from estafeta.agents.environment import Environment, ListenerFacts, Role, is_trusted
from estafeta.agents.promises import facts as promise_facts
from estafeta.agents.submission import missing_fields
from estafeta.mail.address import Address
from estafeta.mail.envelope import Opening
from estafeta.mail.header import HeaderFacts
from estafeta.mail.trace import Hop, protocol_word
from estafeta.net.stream import Stream
from estafeta.net.tls import TlsFacts
from estafeta.store.records import SessionId
from estafeta.wire.smtp.server import ServerEngine

_FORWARDED = {
    "NAME": "client_name",
    "ADDR": "peer",
    "PORT": "port",
    "PROTO": "protocol",
    "HELO": "helo",
    "IDENT": "queue_id",
    "SOURCE": "source",
}
"""How the journal names what XFORWARD tells."""


# What is asked of each message is found once: a member of an enum costs 0.1 us where its class is asked for it.
_LMTP, _MAIL = Role.LMTP, Opening.MAIL


class Peer:
    """The client of a session."""

    def __init__(self, environment: Environment, listener: ListenerFacts, stream: Stream, engine: ServerEngine) -> None:
        self.environment = environment
        self.listener = listener
        self.stream = stream
        self.engine = engine
        self.session_id = SessionId(environment.store.ids.next_id())
        self.is_trusted = listener.role is not Role.FETCHING and is_trusted(environment.settings, stream.peer)
        """Its network may relay and submit without a login."""
        self.account: Address | None = None
        """Who it has logged in as."""
        self.told: dict[str, str | None] = {}
        """What a proxy has told of it (XCLIENT), by attribute."""
        self.forwarded: dict[str, str | None] = {}
        """Where a filter says that the next message came from (XFORWARD), by attribute."""
        self._facts: dict[str, object] | None = None
        self._known: tuple[str | None, TlsFacts | None, Address | None] | None = None
        self._trace: Hop | None = None
        self._line: dict[str, object] | None = None
        self._said: tuple[str | None, bool, TlsFacts | None, Address | None, bool] | None = None

    @property
    def is_submission(self) -> bool:
        """The client is one of ours: what it hands in may go anywhere."""
        return self.listener.role is not _LMTP and (self.account is not None or self.is_trusted)

    @property
    def highest_priority(self) -> int:
        """The highest that its mail gets."""
        promises = self.environment.promises
        return promises.highest_for(self.account, is_trusted=self.is_trusted or self.listener.role is Role.LMTP)

    def spoken_for(self, told: dict[str, str | None], account: Address | None) -> None:
        """A proxy has said who it is; its address is the stream's already."""
        self.told = self.told | told
        self.account = account
        self.is_trusted = self.listener.role is not Role.FETCHING and is_trusted(
            self.environment.settings, self.stream.peer
        )
        self._facts = self._trace = self._line = None

    def facts(self) -> dict[str, object]:
        """Who the client is, as rows of the journal say it; found anew when it has said more of itself."""
        known = (self.engine.hello, self.stream.tls, self.account)
        if self._facts is None or self._known != known:
            self._facts, self._known = self._find_facts(), known
        return self._facts.copy()

    def said_of(self) -> Mapping[str, object]:
        """Who the client is, as lines of the log say it."""
        if self._line is None:
            self._line = {
                "session": self.environment.store.ids.text(self.session_id),
                "listener": self.listener.name,
                "peer": str(self.stream.peer),
            }
        return self._line

    def _find_facts(self) -> dict[str, object]:
        facts: dict[str, object] = {
            "protocol": "lmtp" if self.listener.role is Role.LMTP else "smtp",
            "listener": self.listener.name,
            "peer": str(self.stream.peer),
        }
        if self.stream.proxy is not None:
            facts["proxy"] = str(self.stream.proxy)
        if name := self.told.get("NAME"):
            facts["client_name"] = name
        if self.engine.hello is not None:
            facts["helo"] = self.engine.hello
        if self.stream.tls is not None:
            facts["tls"] = f"{self.stream.tls.version} {self.stream.tls.cipher}"
        if self.account is not None:
            facts["account"] = str(self.account)
        return facts

    def fields_before(self, draft: Draft, facts: HeaderFacts, head: bytes) -> bytes:
        """Our Received field, and what a submission lacks."""
        at, sender, recipients = self.environment.clock(), draft.sender, draft.recipients
        fields = self._hop(sender.smtputf8).received(
            draft.queue_id,
            str(recipients[0].forward_path) if len(recipients) == 1 else None,
            at,
            priority=sender.priority,
            forwarded=self._forwarded_text() if self.forwarded else None,
        )
        if self.is_submission:
            fields += missing_fields(facts, host=self.environment.hostname, queue_id=draft.queue_id, at=at)
        return fields

    def _hop(self, smtputf8: bool) -> Hop:
        """What Received fields say of the client; made anew when it has said more of itself."""
        engine, tls = self.engine, self.stream.tls
        said = (engine.hello, engine.is_extended, tls, self.account, smtputf8)
        if self._trace is None or self._said != said:
            self._said = said
            self._trace = Hop.of(
                hello=engine.hello or "",
                peer_ip=self.stream.peer.ip,
                peer_name=self.told.get("NAME"),
                tls=f"{tls.version} {tls.cipher}" if tls else None,
                host=self.environment.hostname,
                word=protocol_word(
                    lmtp=self.listener.role is Role.LMTP,
                    extended=engine.is_extended,
                    secure=engine.is_secure,
                    authenticated=self.account is not None,
                    smtputf8=smtputf8,
                ),
            )
        return self._trace

    def _forwarded_text(self) -> str | None:
        """The host that a filter had the message from, for the trace field."""
        told = self.forwarded
        words = (told.get("HELO") or told.get("NAME"), told.get("ADDR"), told.get("IDENT"))
        return " ".join(("for", *(word for word in words if word))) if any(words) else None

    def transaction_facts(self, draft: Draft) -> dict[str, object]:
        """What a transaction's row says, before its end is known."""
        facts = self.facts()
        facts["reverse_path"] = str(draft.sender.reverse_path)
        facts["recipients"] = [
            {
                "forward_path": str(recipient.recipient.forward_path),
                "route": recipient.route.text,
                "reason": recipient.route.reason,
            }
            for recipient in draft.recipients
        ]
        if draft.sender.opening is not _MAIL:
            facts["opening"] = draft.sender.opening.value
        if draft.sender.auth is not None and self.is_submission:  # RFC 4954 §5: of others it is as if it were <>
            facts["submitter"] = draft.sender.auth
        facts |= promise_facts(draft.sender, draft.priority, draft.started_at)
        if draft.showing is not None:
            facts["shown"] = draft.showing.facts()
        if self.forwarded:
            facts["forwarded"] = {_FORWARDED[name]: value for name, value in self.forwarded.items() if value}
        draft.decisions.add_to(facts)
        return facts
