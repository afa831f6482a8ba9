"""Logins of the owners of mailboxes, over any protocol of theirs: what is offered, and the exchange (RFC 4422).

One `Logins` belongs to one connection. Which words the client is answered with is the protocol's matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from estafeta.mail.address import Address
from estafeta.net import narrator
from estafeta.net.stream import Stream
from estafeta.policy.login import Authenticator, LoginAccepted, LoginRefused
from estafeta.wire import sasl

Say = Callable[[str, Mapping[str, object]], None]
"""Takes a line of the log: what happened, and its facts."""


class Logins:
    """The logins of one connection."""

    __slots__ = (
        "_authenticator",
        "_certified",
        "_mechanism",
        "_nonce",
        "_say",
        "_stream",
        "failures",
        "mechanism_name",
    )

    def __init__(
        self, authenticator: Authenticator, nonce: Callable[[], str], stream: Stream, say: Say | None = None
    ) -> None:
        """`nonce` gives printable ASCII without comma, new and not to be guessed each time; `say` takes lines."""
        self._say = say
        self._authenticator = authenticator
        self._nonce = nonce
        self._stream = stream
        self._certified: Address | None = None
        """The account that the client's certificate names."""
        self._mechanism: sasl.ServerMechanism | None = None
        self.mechanism_name = ""
        """What the last login was tried with."""
        self.failures: list[str] = []
        """Why logins failed, for the journal."""

    async def recognize(self) -> bool:
        """Whether the client's certificate names an account; only then EXTERNAL is offered."""
        tls = self._stream.tls
        if tls is not None and tls.client_certificate is not None:
            self._certified = await self._authenticator.certified(tls.client_certificate)
        return self._certified is not None

    def may_say_password(self, *, in_the_clear: bool) -> bool:
        """No password where others could read it (RFC 8314 §3); `in_the_clear` lets every client."""
        return self._stream.tls is not None or self._stream.peer.is_loopback or in_the_clear

    def mechanisms(self, *, in_the_clear: bool) -> tuple[str, ...]:
        """The SASL mechanisms that are offered now."""
        external = () if self._certified is None else (sasl.EXTERNAL,)
        may_say_password = self.may_say_password(in_the_clear=in_the_clear)
        passwords = sasl.offered(self._authenticator.mechanisms, may_say_password, self._channel_binding())
        # RFC 7628 §3: a token over TLS alone, and not even on loopback without it
        tokens = self._authenticator.token_mechanisms if self._stream.tls is not None else ()
        return (*external, *passwords, *tokens)

    async def password(self, command: str, user: str, password: str) -> LoginAccepted | LoginRefused:
        """Check a password that a command of the protocol's own says."""
        self.mechanism_name = command
        self._mechanism = sasl.server_mechanism(sasl.PLAIN, nonce="", channel_binding=None)
        # Such commands are PLAIN in other words; so preparing the strings (RFC 4013) is done in one place.
        result = await self.step(b"\0".join((b"", user.encode(), password.encode())))
        assert not isinstance(result, sasl.Challenge)
        return result

    async def begin(self, name: str, initial: bytes | None) -> sasl.Challenge | LoginAccepted | LoginRefused:
        """Begin an exchange with a mechanism that is offered."""
        self.mechanism_name = name
        self._mechanism = sasl.server_mechanism(
            name,
            nonce=self._nonce(),
            channel_binding=self._channel_binding(),
            certified=None if self._certified is None else str(self._certified),
        )
        return await self.step(initial)

    async def step(self, response: bytes | None) -> sasl.Challenge | LoginAccepted | LoginRefused:
        """Go on with the client's response: a challenge for it, or the end."""
        mechanism = self._mechanism
        assert mechanism is not None
        result = await self._authenticator.resolve(mechanism.step(response), mechanism, self._stream.peer.ip)
        if not isinstance(result, sasl.Challenge):
            self._mechanism = None
            if self._say is not None:
                self._tell(self._say, result)
        return result

    def _tell(self, say: Say, result: LoginAccepted | LoginRefused) -> None:
        """A line of the log; of what the client sent the name alone."""
        told = {**narrator.facts(), "mechanism": self.mechanism_name}
        if isinstance(result, LoginAccepted):
            say("login accepted", told | {"account": result.account.address})
        else:
            detail = {"detail": result.explanation} if result.explanation else {}
            say("login refused", told | {"subject": result.identity, "reason": result.reason.value} | detail)

    def give_up(self) -> None:
        """The client has given the exchange up."""
        self._mechanism = None

    def _channel_binding(self) -> bytes | None:
        tls = self._stream.tls
        return tls.channel_binding if tls is not None and self._authenticator.binds_channels else None
