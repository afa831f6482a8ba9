"""The client's side: challenges become responses, and with SCRAM the server has to prove itself too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from estafeta.wire.sasl.cram import CramClient
from estafeta.wire.sasl.messages import BINDING_TYPE
from estafeta.wire.sasl.steps import LOGIN, PLAIN, SaslError

# A hostile server asks its client for work (RFC 5802 §9); this many are about a second of it.
MAX_CLIENT_ITERATIONS: Final = 2_000_000


class ClientMechanism(Protocol):
    """The client's side of one exchange."""

    @property
    def name(self) -> str:
        """As registered with IANA, in upper case."""

    @property
    def is_complete(self) -> bool:
        """Whether all is said and, with SCRAM, the server has proved that it knows the keys.

        A success reply that comes earlier must not be believed.
        """

    def initial(self) -> bytes | None:
        """The initial response, or None for a mechanism where the server speaks first."""

    def step(self, challenge: bytes) -> bytes:
        """The response to a challenge; raises SaslError."""


def client_mechanism(
    name: str, identity: str, password: str, *, nonce: str, channel_binding: bytes | None
) -> ClientMechanism:
    """Begin the client's side of an exchange.

    `channel_binding`: as the server's; given with the plain SCRAM it tells the server that it offered us no
    -PLUS (RFC 5802 §6), so it must be None there when the server did offer it. Raises SaslError.
    """
    if not identity or "\0" in identity or "\0" in password:
        raise SaslError("identity is empty, or identity or password contain NUL")
    try:
        f"{identity}{password}".encode()
    except UnicodeEncodeError:
        raise SaslError("identity or password cannot be said in UTF-8") from None
    match name.upper():
        case "PLAIN":
            return _PlainClient(identity, password)
        case "LOGIN":
            return _LoginClient(identity, password)
        case "CRAM-MD5":
            return CramClient(identity, password)
        case "SCRAM-SHA-256" | "SCRAM-SHA-256-PLUS" | "SCRAM-SHA-1" as scram:
            return _ScramClient(scram, identity, password, nonce, channel_binding)
    raise SaslError(f"unknown mechanism {name!r}")


class _PlainClient:
    name = PLAIN

    def __init__(self, identity: str, password: str) -> None:
        self._message = f"\0{identity}\0{password}".encode()
        self.is_complete = False

    def initial(self) -> bytes | None:
        self.is_complete = True
        return self._message

    def step(self, challenge: bytes) -> bytes:
        raise SaslError("PLAIN has nothing more to say")


class _LoginClient:
    name = LOGIN

    def __init__(self, identity: str, password: str) -> None:
        self._answers = [identity.encode(), password.encode()]

    @property
    def is_complete(self) -> bool:
        return not self._answers

    def initial(self) -> bytes | None:
        return None

    def step(self, challenge: bytes) -> bytes:
        # The texts of the prompts differ from server to server; their order does not.
        if not self._answers:
            raise SaslError("LOGIN has nothing more to say")
        return self._answers.pop(0)


class _ScramClient:
    def __init__(self, name: str, identity: str, password: str, nonce: str, channel_binding: bytes | None) -> None:
        self.name = name
        self.is_complete = False
        self._take: Callable[[str], str] | None = self._server_first
        binding = None if channel_binding is None else (BINDING_TYPE, channel_binding)
        from scramp import ScramClient, ScramException

        self._fault = ScramException
        try:
            self._scram: Any = ScramClient([name], identity, password, binding, nonce)
        except ScramException as error:
            raise SaslError(str(error)) from None

    def initial(self) -> bytes | None:
        return str(self._scram.get_client_first()).encode()

    def step(self, challenge: bytes) -> bytes:
        if self._take is None:
            raise SaslError(f"{self.name} has nothing more to say")
        take, self._take = self._take, None
        try:
            return take(challenge.decode("utf-8")).encode()
        except (self._fault, UnicodeDecodeError) as error:
            raise SaslError(str(error)) from None

    def _server_first(self, message: str) -> str:
        self._scram.set_server_first(message)
        if int(self._scram.iterations) > MAX_CLIENT_ITERATIONS:
            raise SaslError("the server asks for too many iterations")
        self._take = self._server_final
        return str(self._scram.get_client_final())

    def _server_final(self, message: str) -> str:
        self._scram.set_server_final(message)
        self.is_complete = True
        return ""
