"""The server's side: PLAIN and LOGIN ask for a password to be checked, SCRAM for the keys of an identity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, Protocol

from estafeta.mail.value import value
from estafeta.wire.sasl.bearer import BearerServer
from estafeta.wire.sasl.cram import CramServer
from estafeta.wire.sasl.external import ExternalServer
from estafeta.wire.sasl.messages import BINDING_TYPE, BadMessage, ClientFirst, prepared
from estafeta.wire.sasl.steps import (
    LOGIN,
    PLAIN,
    SCRAM_SHA_256_PLUS,
    Challenge,
    CheckPassword,
    Failure,
    FetchKeys,
    SaslError,
    Step,
    Success,
)

# RFC 4954 §4 lets a base64 line have 12288 octets; no mechanism here has anything to say at that length.
MAX_RESPONSE: Final = 4096
# The prompts of draft-murchison-sasl-login differ from these, but these are what clients compare with.
_LOGIN_PROMPTS: Final = (b"Username:", b"Password:")


class ServerMechanism(Protocol):
    """The server's side of one exchange. Each method raises SaslError when it is not its turn."""

    @property
    def name(self) -> str:
        """As registered with IANA, in upper case."""

    def step(self, response: bytes | None) -> Step:
        """Take the client's response; None at the start, when it sent no initial response."""

    def password_checked(self, ok: bool) -> Step:
        """Go on after CheckPassword."""

    def keys_found(self, salt: bytes, iterations: int, stored_key: bytes, server_key: bytes) -> Step:
        """Go on after FetchKeys. Made-up keys need 12 octets of salt and 4096 iterations too."""


def server_mechanism(
    name: str, *, nonce: str, channel_binding: bytes | None, certified: str | None = None
) -> ServerMechanism:
    """Begin the server's side of an exchange.

    `nonce`: printable ASCII without comma, new and not to be guessed each time. `channel_binding`: the
    tls-server-end-point data (RFC 5929 §4) whenever -PLUS is offered on this connection, also for the
    plain SCRAM, so that one who hid our -PLUS from the client is found out. `certified`: whom the client's
    certificate names, for EXTERNAL. Raises SaslError for a name that is not known, for -PLUS without channel
    binding, and for EXTERNAL without a certificate.
    """
    match name.upper():
        case "PLAIN":
            return _PlainServer()
        case "LOGIN":
            return _LoginServer()
        case "SCRAM-SHA-256" | "SCRAM-SHA-256-PLUS" | "SCRAM-SHA-1" as scram:
            return _ScramServer(scram, nonce, channel_binding)
        case "CRAM-MD5":
            return CramServer(nonce)
        case "OAUTHBEARER" | "XOAUTH2" as bearer:
            return BearerServer(bearer)
        case "EXTERNAL" if certified is not None:
            return ExternalServer(certified)
    raise SaslError(f"unknown mechanism {name!r}")


class _PasswordServer(ABC):
    """What PLAIN and LOGIN share: a password is checked, and that ends it."""

    name: str

    def __init__(self) -> None:
        self._checking: str | None = None
        self._is_over = False

    def step(self, response: bytes | None) -> Step:
        if self._is_over or self._checking is not None:
            raise SaslError("not the turn of the client")
        try:
            return self._take(response)
        except BadMessage as error:
            self._is_over = True
            return Failure(str(error), is_malformed=True)

    @abstractmethod
    def _take(self, response: bytes | None) -> Step:
        """Take a response; raises BadMessage."""

    def _check(self, identity: str, authorization: str, password: str) -> Step:
        self._checking = identity
        return CheckPassword(identity, authorization, password)

    def password_checked(self, ok: bool) -> Step:
        if self._checking is None or self._is_over:
            raise SaslError("no password is being checked")
        self._is_over = True
        return Success(self._checking) if ok else Failure("wrong identity or password")

    def keys_found(self, salt: bytes, iterations: int, stored_key: bytes, server_key: bytes) -> Step:
        raise SaslError(f"{self.name} asks for no keys")


class _PlainServer(_PasswordServer):
    name = PLAIN

    def __init__(self) -> None:
        super().__init__()
        self._is_prompted = False

    def _take(self, response: bytes | None) -> Step:
        if response is None:
            if self._is_prompted:
                raise BadMessage("no response")
            self._is_prompted = True
            return Challenge(b"")
        # RFC 4616 §2: message = [authzid] UTF8NUL authcid UTF8NUL passwd
        fields = response.split(b"\0")
        if len(fields) != 3:
            raise BadMessage("not authzid, authcid and passwd")
        authorization = prepared(fields[0], "authorization identity") if fields[0] else ""
        return self._check(prepared(fields[1], "identity"), authorization, prepared(fields[2], "password"))


class _LoginServer(_PasswordServer):
    name = LOGIN

    def __init__(self) -> None:
        super().__init__()
        self._is_prompted = False
        self._identity: str | None = None

    def _take(self, response: bytes | None) -> Step:
        if response is None:
            if self._is_prompted:
                raise BadMessage("no response")
            self._is_prompted = True
            return Challenge(_LOGIN_PROMPTS[0])
        self._is_prompted = True
        if b"\0" in response:
            raise BadMessage("NUL")
        if self._identity is None:
            self._identity = prepared(response, "identity")
            return Challenge(_LOGIN_PROMPTS[1])
        return self._check(self._identity, "", prepared(response, "password"))


@value
class _AuthorizingHeader:
    """Stands in for scramp's gs2-header, which knows no authorization identity."""

    header: str
    is_bound: bool

    def make_cbind_input(self, binding: Any) -> bytes:
        """RFC 5802 §7: cbind-input = gs2-header [ cbind-data ]."""
        return self.header.encode() + (bytes(binding.data) if self.is_bound else b"")


class _ScramServer:
    def __init__(self, name: str, nonce: str, channel_binding: bytes | None) -> None:
        if name == SCRAM_SHA_256_PLUS and channel_binding is None:
            raise SaslError("channel binding is missing")
        self.name = name
        self._nonce = nonce
        self._binding = None if channel_binding is None else (BINDING_TYPE, channel_binding)
        from scramp import ScramException, ScramMechanism

        self._fault = ScramException
        self._mechanism = ScramMechanism(name)
        self._first: ClientFirst | None = None
        self._scram: Any = None
        self._take: Callable[[bytes | None], Step] | None = self._client_first
        self._is_prompted = False

    def step(self, response: bytes | None) -> Step:
        if self._take is None:
            raise SaslError("not the turn of the client")
        take, self._take = self._take, None
        try:
            if response is not None and len(response) > MAX_RESPONSE:
                raise BadMessage("response too long")
            return take(response)
        except BadMessage as error:
            return Failure(str(error), is_malformed=True)
        except self._fault as error:
            return Failure(str(error))

    def _client_first(self, response: bytes | None) -> Step:
        if response is None:
            if self._is_prompted:
                raise BadMessage("no response")
            self._is_prompted = True
            self._take = self._client_first
            return Challenge(b"")
        first = ClientFirst.parse(_scram_text(response))
        # RFC 5802 §6: "p" belongs to the -PLUS mechanism, which the client did not choose.
        if first.binding_flag == "p" and self.name != SCRAM_SHA_256_PLUS:
            raise BadMessage("channel binding with a mechanism without it")
        self._first = first
        return FetchKeys(first.identity, first.authorization)

    def keys_found(self, salt: bytes, iterations: int, stored_key: bytes, server_key: bytes) -> Step:
        first = self._first
        if first is None or self._scram is not None:
            raise SaslError("no keys are being fetched")
        try:
            self._scram = self._mechanism.make_server(
                lambda _: (salt, stored_key, server_key, iterations), self._binding, self._nonce
            )
            flag = first.gs2_header.partition(",")[0]
            self._scram.set_client_first(f"{flag},,{first.bare}")
            if first.authorization:
                self._scram.gs2_header = _AuthorizingHeader(first.gs2_header, first.binding_flag == "p")
            server_first = self._scram.get_server_first()
        except self._fault as error:
            return Failure(str(error))
        self._take = self._client_final
        return Challenge(server_first.encode())

    def _client_final(self, response: bytes | None) -> Step:
        if response is None:
            raise BadMessage("no response")
        self._scram.set_client_final(_scram_text(response))
        # RFC 4422 §3.6: success carries no data here, so the server's proof is a challenge of its own.
        self._take = self._acknowledged
        return Challenge(self._scram.get_server_final().encode())

    def _acknowledged(self, response: bytes | None) -> Step:
        assert self._first is not None
        if response:
            raise BadMessage("data after the last message")
        return Success(self._first.identity)

    def password_checked(self, ok: bool) -> Step:
        raise SaslError(f"{self.name} asks for no password")


def _scram_text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise BadMessage("not UTF-8") from None
