"""What handlers see of a session: who is there, how the connection is secured, who logged in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from estafeta.mail.envelope import Recipient, Sender
from estafeta.mail.trace import protocol_word
from estafeta.net.address import PeerAddress
from estafeta.net.stream import Stream
from estafeta.net.tls import TlsFacts
from estafeta.wire.smtp.server import ServerEngine


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """A session as it stood when a message came; it stays when the session is over."""

    id: str
    peer: PeerAddress
    """The client; `peer.ip` and `peer.port`."""
    local: PeerAddress
    """Where it connected to."""
    hello: str | None
    """What the client calls itself."""
    protocol: str
    """As a Received field says it: SMTP, ESMTP, ESMTPS, ESMTPSA, LMTP ... (RFC 3848)."""
    tls: TlsFacts | None
    """What was agreed about TLS; None in the clear."""
    identity: str | None
    """Who logged in; None when nobody did."""


class Session:
    """One connection, from the greeting to its end."""

    __slots__ = ("_engine", "_is_lmtp", "_stream", "id", "identity", "state")

    def __init__(self, id: str, stream: Stream, engine: ServerEngine, *, is_lmtp: bool) -> None:
        self.id = id
        """As the log names it."""
        self.identity: str | None = None
        """Who logged in; None when nobody did."""
        self.state: dict[str, Any] = {}
        """The handler's own: what it wants to know again at a later stage."""
        self._stream = stream
        self._engine = engine
        self._is_lmtp = is_lmtp

    @property
    def peer(self) -> PeerAddress:
        """The client; with the PROXY protocol the one that the proxy names."""
        return self._stream.peer

    @property
    def proxy(self) -> PeerAddress | None:
        """The proxy that named the client; None where there is none."""
        return self._stream.proxy

    @property
    def local(self) -> PeerAddress:
        """Where the client connected to."""
        return self._stream.local

    @property
    def hello(self) -> str | None:
        """What the client calls itself; None before EHLO."""
        return self._engine.hello

    @property
    def is_lmtp(self) -> bool:
        """Whether LMTP is spoken (RFC 2033)."""
        return self._is_lmtp

    @property
    def tls(self) -> TlsFacts | None:
        """What was agreed about TLS; None in the clear."""
        return self._stream.tls

    @property
    def peer_chain(self) -> tuple[bytes, ...]:
        """The certificates that the client showed, in DER form; empty where it was not asked or has none."""
        return self._stream.peer_chain

    @property
    def sender(self) -> Sender | None:
        """What MAIL said; None outside of a transaction."""
        transaction = self._engine.transaction
        return None if transaction is None else transaction.sender

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """The recipients of the transaction so far."""
        return self._engine.recipients

    def facts(self) -> SessionFacts:
        """All of this as it stands now."""
        sender = self.sender
        word = protocol_word(
            lmtp=self._is_lmtp,
            extended=self._engine.is_extended,
            secure=self.tls is not None,
            authenticated=self.identity is not None,
            smtputf8=sender is not None and sender.smtputf8,
        )
        return SessionFacts(self.id, self.peer, self.local, self.hello, word, self.tls, self.identity)
