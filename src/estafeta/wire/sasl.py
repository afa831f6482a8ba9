"""SASL mechanisms as steps, both sides: PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 and -PLUS (RFC 5802, 7677).

A mechanism neither reads nor looks anything up. The server's side says what it needs (a password to be
checked, the keys of an identity) and is told; the client's side turns challenges into responses. Nonces
and channel bindings are given. Base64, and the `*` that gives an exchange up, are the protocol's matter.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import scramp
import scramp.utils

SCRAM_SHA_256_PLUS: Final = "SCRAM-SHA-256-PLUS"
SCRAM_SHA_256: Final = "SCRAM-SHA-256"
PLAIN: Final = "PLAIN"
LOGIN: Final = "LOGIN"

MECHANISMS: Final = (SCRAM_SHA_256_PLUS, SCRAM_SHA_256, PLAIN, LOGIN)
"""All that are known here, the best first."""
SERVER_MECHANISMS: Final = MECHANISMS
"""What a server can offer, the best first."""

# Longer than any identity or password a person has, short enough that hashing it costs nothing.
MAX_FIELD: Final = 1024
# RFC 4954 §4 lets a base64 line have 12288 octets; no mechanism here has anything to say at that length.
MAX_RESPONSE: Final = 4096
# A hostile server asks its client for work (RFC 5802 §9); this many are about a second of it.
MAX_CLIENT_ITERATIONS: Final = 2_000_000

# RFC 5929 §4; the only type of channel binding that TLS 1.3 shares with TLS 1.2.
_BINDING_TYPE: Final = "tls-server-end-point"
# The prompts of draft-murchison-sasl-login differ from these, but these are what clients compare with.
_LOGIN_PROMPTS: Final = (b"Username:", b"Password:")


class SaslError(Exception):
    """The client's side cannot go on, or a mechanism was driven out of order."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send these octets to the client, and give its response to `step`."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class CheckPassword:
    """Check the password, then call `password_checked`.

    `authorization` is whom the client wants to act for, empty when for itself; the owner decides on it.
    """

    identity: str
    authorization: str
    password: str

    def __repr__(self) -> str:
        return f"CheckPassword({self.identity!r}, {self.authorization!r}, password=…)"


@dataclass(frozen=True, slots=True)
class FetchKeys:
    """Fetch the SCRAM keys of the identity, or make up such that fit none, then call `keys_found`.

    `authorization` is whom the client wants to act for, empty when for itself; the owner decides on it.
    """

    identity: str
    authorization: str


@dataclass(frozen=True, slots=True)
class Success:
    """The client is who it says. `octets` are additional data for a protocol whose success reply can carry
    some; SMTP, POP3 and IMAP cannot (RFC 4422 §3.6), so the mechanisms here send theirs as a last challenge.
    """

    identity: str
    octets: bytes | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """The exchange failed. The reason is for the journal, not for the peer.

    `is_malformed` parts what is no message of this mechanism from a login that was refused.
    """

    reason: str
    is_malformed: bool = False


Step: TypeAlias = Challenge | CheckPassword | FetchKeys | Success | Failure


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


def prepare(text: str) -> str:
    """SASLprep (RFC 4013), for identities and passwords; raises SaslError for text that it prohibits.

    Whoever stores a hash of a password must hash it prepared, as the mechanisms here give it prepared.
    """
    if text.isascii() and text.isprintable():
        return text
    try:
        return str(scramp.utils.saslprep(text))
    except scramp.ScramException as error:
        raise SaslError(f"prohibited by SASLprep: {error}") from None


def offered(mechanisms: Iterable[str], secure: bool, channel_binding: bytes | None) -> tuple[str, ...]:
    """Those of the mechanisms that a server may offer now, the best first.

    `secure`: nobody between can read (TLS, loopback), or the operator accepts that. Without it, no
    mechanism is offered that sends the password; without channel binding data, no -PLUS.
    """
    allowed = {name.upper() for name in mechanisms}
    return tuple(name for name in MECHANISMS if name in allowed and _is_usable(name, secure, channel_binding))


def choose_mechanism(mechanisms: Iterable[str], secure: bool, channel_binding: bytes | None) -> str | None:
    """The best of the mechanisms that a server offers, for a client on this connection; None without any."""
    return next(iter(offered(mechanisms, secure, channel_binding)), None)


def _is_usable(name: str, secure: bool, channel_binding: bytes | None) -> bool:
    if name == SCRAM_SHA_256_PLUS:
        return channel_binding is not None
    return secure or name == SCRAM_SHA_256


def server_mechanism(name: str, *, nonce: str, channel_binding: bytes | None) -> ServerMechanism:
    """Begin the server's side of an exchange.

    `nonce`: printable ASCII without comma, new and not to be guessed each time. `channel_binding`: the
    tls-server-end-point data (RFC 5929 §4) whenever -PLUS is offered on this connection, also for the
    plain SCRAM, so that one who hid our -PLUS from the client is found out. Raises SaslError for a
    name that is not known, and for -PLUS without channel binding.
    """
    match name.upper():
        case "PLAIN":
            return _PlainServer()
        case "LOGIN":
            return _LoginServer()
        case "SCRAM-SHA-256" | "SCRAM-SHA-256-PLUS" as scram:
            return _ScramServer(scram, nonce, channel_binding)
    raise SaslError(f"unknown mechanism {name!r}")


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
        case "SCRAM-SHA-256" | "SCRAM-SHA-256-PLUS" as scram:
            return _ScramClient(scram, identity, password, nonce, channel_binding)
    raise SaslError(f"unknown mechanism {name!r}")


class _BadMessage(Exception):
    """Inside this module: what the client sent is no message of the mechanism."""


def _text(octets: bytes) -> str:
    if len(octets) > MAX_FIELD:
        raise _BadMessage("field too long")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise _BadMessage("not UTF-8") from None


def _prepared(octets: bytes, what: str) -> str:
    try:
        text = prepare(_text(octets))
    except SaslError as error:
        raise _BadMessage(f"{what}: {error}") from None
    if not text:
        raise _BadMessage(f"{what} is empty")  # RFC 4616 §2: nothing left after preparation fails
    return text


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
        except _BadMessage as error:
            self._is_over = True
            return Failure(str(error), is_malformed=True)

    @abstractmethod
    def _take(self, response: bytes | None) -> Step:
        """Take a response; raises _BadMessage."""

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
                raise _BadMessage("no response")
            self._is_prompted = True
            return Challenge(b"")
        # RFC 4616 §2: message = [authzid] UTF8NUL authcid UTF8NUL passwd
        fields = response.split(b"\0")
        if len(fields) != 3:
            raise _BadMessage("not authzid, authcid and passwd")
        authorization = _prepared(fields[0], "authorization identity") if fields[0] else ""
        return self._check(_prepared(fields[1], "identity"), authorization, _prepared(fields[2], "password"))


class _LoginServer(_PasswordServer):
    name = LOGIN

    def __init__(self) -> None:
        super().__init__()
        self._is_prompted = False
        self._identity: str | None = None

    def _take(self, response: bytes | None) -> Step:
        if response is None:
            if self._is_prompted:
                raise _BadMessage("no response")
            self._is_prompted = True
            return Challenge(_LOGIN_PROMPTS[0])
        self._is_prompted = True
        if b"\0" in response:
            raise _BadMessage("NUL")
        if self._identity is None:
            self._identity = _prepared(response, "identity")
            return Challenge(_LOGIN_PROMPTS[1])
        return self._check(self._identity, "", _prepared(response, "password"))


@dataclass(frozen=True, slots=True)
class _ClientFirst:
    """RFC 5802 §7: client-first-message = gs2-header client-first-message-bare."""

    binding_flag: str
    gs2_header: str
    bare: str
    identity: str
    authorization: str

    @staticmethod
    def parse(message: str) -> _ClientFirst:
        # gs2-header = gs2-cbind-flag "," [ authzid ] ","
        flag, _, rest = message.partition(",")
        authzid, comma, bare = rest.partition(",")
        if not comma or (authzid and not authzid.startswith("a=")):
            raise _BadMessage("no gs2-header")
        # client-first-message-bare = [reserved-mext ","] username "," nonce ["," extensions]
        if not bare.startswith("n="):
            raise _BadMessage("no username, or an extension that must be understood")
        return _ClientFirst(
            binding_flag=flag[:1],
            gs2_header=f"{flag},{authzid},",
            bare=bare,
            identity=_saslname(bare[2:].partition(",")[0], "identity"),
            authorization=_saslname(authzid[2:], "authorization identity") if authzid else "",
        )


def _saslname(text: str, what: str) -> str:
    # RFC 5802 §7: saslname = 1*(value-safe-char / "=2C" / "=3D")
    if re.search(r"=(?!2C|3D)|\0", text):
        raise _BadMessage(f"bad escape in {what}")
    return _prepared(text.replace("=2C", ",").replace("=3D", "=").encode(), what)


@dataclass(frozen=True, slots=True)
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
        self._binding = None if channel_binding is None else (_BINDING_TYPE, channel_binding)
        self._first: _ClientFirst | None = None
        self._scram: Any = None
        self._take: Callable[[bytes | None], Step] | None = self._client_first
        self._is_prompted = False

    def step(self, response: bytes | None) -> Step:
        if self._take is None:
            raise SaslError("not the turn of the client")
        take, self._take = self._take, None
        try:
            if response is not None and len(response) > MAX_RESPONSE:
                raise _BadMessage("response too long")
            return take(response)
        except _BadMessage as error:
            return Failure(str(error), is_malformed=True)
        except scramp.ScramException as error:
            return Failure(str(error))

    def _client_first(self, response: bytes | None) -> Step:
        if response is None:
            if self._is_prompted:
                raise _BadMessage("no response")
            self._is_prompted = True
            self._take = self._client_first
            return Challenge(b"")
        first = _ClientFirst.parse(_scram_text(response))
        # RFC 5802 §6: "p" belongs to the -PLUS mechanism, which the client did not choose.
        if first.binding_flag == "p" and self.name != SCRAM_SHA_256_PLUS:
            raise _BadMessage("channel binding with a mechanism without it")
        self._first = first
        return FetchKeys(first.identity, first.authorization)

    def keys_found(self, salt: bytes, iterations: int, stored_key: bytes, server_key: bytes) -> Step:
        first = self._first
        if first is None or self._scram is not None:
            raise SaslError("no keys are being fetched")
        try:
            self._scram = scramp.ScramMechanism(self.name).make_server(
                lambda _: (salt, stored_key, server_key, iterations), self._binding, self._nonce
            )
            flag = first.gs2_header.partition(",")[0]
            self._scram.set_client_first(f"{flag},,{first.bare}")
            if first.authorization:
                self._scram.gs2_header = _AuthorizingHeader(first.gs2_header, first.binding_flag == "p")
            server_first = self._scram.get_server_first()
        except scramp.ScramException as error:
            return Failure(str(error))
        self._take = self._client_final
        return Challenge(server_first.encode())

    def _client_final(self, response: bytes | None) -> Step:
        if response is None:
            raise _BadMessage("no response")
        self._scram.set_client_final(_scram_text(response))
        # RFC 4422 §3.6: success carries no data here, so the server's proof is a challenge of its own.
        self._take = self._acknowledged
        return Challenge(self._scram.get_server_final().encode())

    def _acknowledged(self, response: bytes | None) -> Step:
        assert self._first is not None
        if response:
            raise _BadMessage("data after the last message")
        return Success(self._first.identity)

    def password_checked(self, ok: bool) -> Step:
        raise SaslError(f"{self.name} asks for no password")


def _scram_text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise _BadMessage("not UTF-8") from None


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
        binding = None if channel_binding is None else (_BINDING_TYPE, channel_binding)
        try:
            self._scram: Any = scramp.ScramClient([name], identity, password, binding, nonce)
        except scramp.ScramException as error:
            raise SaslError(str(error)) from None

    def initial(self) -> bytes | None:
        return str(self._scram.get_client_first()).encode()

    def step(self, challenge: bytes) -> bytes:
        if self._take is None:
            raise SaslError(f"{self.name} has nothing more to say")
        take, self._take = self._take, None
        try:
            return take(challenge.decode("utf-8")).encode()
        except (scramp.ScramException, UnicodeDecodeError) as error:
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
