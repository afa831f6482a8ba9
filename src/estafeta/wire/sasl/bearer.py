"""Logins by OAuth 2.0 bearer tokens, both sides: OAUTHBEARER (RFC 7628) and the older XOAUTH2, as Google describes it.

The server's side asks for the token to be checked. Where it is refused, the client is told in JSON what would do,
answers with anything, and the exchange fails; both mechanisms differ in their words alone.
"""

from __future__ import annotations

import json
import re
from typing import Final

from estafeta.mail.value import value
from estafeta.wire.sasl.messages import BadMessage, prepared
from estafeta.wire.sasl.steps import OAUTHBEARER, XOAUTH2, Challenge, CheckToken, Failure, SaslError, Step, Success

MAX_TOKEN: Final = 8192
"""Octets of a token: widely used providers stay below 4 KiB, and a line of AUTH (RFC 4954 §4) carries 9216 octets."""
_MAX_RESPONSE: Final = MAX_TOKEN + 1000
"""With the names of account and host beside it."""
MAX_ERROR: Final = 8192
"""Octets of the server's JSON that a client reads."""

# RFC 6750 §2.1: b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
# RFC 6750 §2.1: credentials = "Bearer" 1*SP b64token; RFC 7628 §4: in any case of letters
_CREDENTIALS = re.compile(rb"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")
# RFC 7628 §3.1: kvpair = key "=" value kvsep; value = *(VCHAR / SP / HTAB / CR / LF )
_PAIR = re.compile(rb"([A-Za-z]+)=([\t\n\r\x20-\x7e]*)")


@value
class TokenError:
    """Why a token is refused, as the client is told (RFC 7628 §3.2.2)."""

    status: str = "invalid_token"
    """An error code of OAuth: `invalid_token`, `insufficient_scope`, `invalid_request`."""
    scope: str = ""
    """The scope that a token needs; none when empty."""
    openid_configuration: str = ""
    """URL of the document that describes the provider; not said when empty."""


class BearerServer:
    """The server's side of one exchange, by either mechanism."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._is_prompted = False
        self._is_checking = False
        self._refused: str | None = None
        self._is_over = False

    def step(self, response: bytes | None) -> Step:
        """Take the client's response; raises SaslError when it is not its turn."""
        if self._is_over or self._is_checking:
            raise SaslError("not the turn of the client")
        if self._refused is not None:
            # RFC 7628 §3.2.3: ^A, or anything else; it only lets the exchange come to its end.
            self._is_over = True
            return Failure(self._refused)
        try:
            return self._first(response)
        except BadMessage as error:
            self._is_over = True
            return Failure(str(error), is_malformed=True)

    def _first(self, response: bytes | None) -> Step:
        if response is None:
            if self._is_prompted:
                raise BadMessage("no response")
            self._is_prompted = True
            return Challenge(b"")
        if len(response) > _MAX_RESPONSE:
            raise BadMessage("response too long")
        authorization, token = (_oauthbearer if self.name == OAUTHBEARER else _xoauth2)(response)
        self._is_checking = True
        return CheckToken(authorization, token)

    def token_checked(self, identity: str | None, error: TokenError | None = None) -> Step:
        """Go on after CheckToken: whose token it is, or None with what the client is told."""
        if not self._is_checking:
            raise SaslError("no token is being checked")
        self._is_checking = False
        if identity is not None:
            self._is_over = True
            return Success(identity)
        error = error or TokenError()
        self._refused = error.status
        return Challenge((_rfc_error if self.name == OAUTHBEARER else _google_error)(error))

    def password_checked(self, ok: bool) -> Step:
        """Not asked for; raises SaslError."""
        raise SaslError(f"{self.name} asks for no password")

    def keys_found(self, salt: bytes, iterations: int, stored_key: bytes, server_key: bytes) -> Step:
        """Not asked for; raises SaslError."""
        raise SaslError(f"{self.name} asks for no keys")


def _oauthbearer(response: bytes) -> tuple[str, str]:
    # RFC 7628 §3.1: client-resp = (gs2-header kvsep *kvpair kvsep) / kvsep
    header, *pairs = response.split(b"\x01")
    if len(pairs) < 2 or pairs[-2:] != [b"", b""]:
        raise BadMessage("no client-resp")
    # RFC 5801 §4: gs2-header = [gs2-nonstd-flag ","] gs2-cb-flag "," [gs2-authzid] ","
    match = re.fullmatch(rb"[ny],(?:a=((?:[^\0,=]|=2C|=3D)+))?,", header)
    if match is None:
        raise BadMessage("no gs2-header without channel binding")
    authorization = ""
    if match[1] is not None:
        name = match[1].replace(b"=2C", b",").replace(b"=3D", b"=")
        authorization = prepared(name, "authorization identity")
    # RFC 7628 §3.1: keys that are not known are ignored; host and port mean something to signed tokens only.
    return authorization, _token(_fields(pairs[:-2]))


def _xoauth2(response: bytes) -> tuple[str, str]:
    # "user=" {User} "^Aauth=Bearer " {Access Token} "^A^A"
    user, *pairs = response.split(b"\x01")
    if not user.startswith(b"user=") or len(pairs) < 2 or pairs[-2:] != [b"", b""]:
        raise BadMessage("not user and auth")
    return prepared(user[len(b"user=") :], "identity"), _token(_fields(pairs[:-2]))


def _fields(pairs: list[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for each in pairs:
        match = _PAIR.fullmatch(each)
        if match is None:
            raise BadMessage("no key and value")
        if match[1] in found:
            raise BadMessage("a key is there twice")
        found[match[1]] = match[2]
    return found


def _token(fields: dict[bytes, bytes]) -> str:
    if b"auth" not in fields:
        raise BadMessage("no auth")
    if not fields[b"auth"]:
        return ""  # RFC 7628 §4.3: the client asks which scope it needs
    credentials = _CREDENTIALS.fullmatch(fields[b"auth"])
    if credentials is None:
        raise BadMessage("no bearer token")
    if len(credentials[1]) > MAX_TOKEN:
        raise BadMessage("token too long")
    return credentials[1].decode("ascii")


def _rfc_error(error: TokenError) -> bytes:
    # RFC 7628 §3.2.2
    said = {"status": error.status}
    if error.scope:
        said["scope"] = error.scope
    if error.openid_configuration:
        said["openid-configuration"] = error.openid_configuration
    return json.dumps(said, separators=(",", ":")).encode("ascii")


def _google_error(error: TokenError) -> bytes:
    # A status of HTTP stands where RFC 7628 has the error code.
    status = {"invalid_request": "400", "insufficient_scope": "403"}.get(error.status, "401")
    said = {"status": status, "schemes": "bearer", "scope": error.scope}
    return json.dumps(said, separators=(",", ":")).encode("ascii")


class BearerClient:
    """The client's side of one exchange, by either mechanism."""

    def __init__(self, name: str, identity: str, token: str, host: str = "", port: int | None = None) -> None:
        """`host` and `port` are the server's, said where they are known (RFC 7628 §3.1). Raises SaslError."""
        if not _TOKEN.fullmatch(token.encode("utf-8", "replace")):
            raise SaslError("not a bearer token (RFC 6750 §2.1)")
        if not identity or re.search(r"[\x00\x01]", identity):
            raise SaslError("identity is empty or contains control characters")
        self.name = name
        self.error: TokenError | None = None
        """What the server said of the token that it refused."""
        self.is_complete = False
        if name == OAUTHBEARER:
            # RFC 5801 §4: "," and "=" are escaped in names
            saslname = identity.replace("=", "=3D").replace(",", "=2C")
            server = (f"host={host}\x01" if host else "") + (f"port={port}\x01" if port else "")
            text = f"n,a={saslname},\x01{server}auth=Bearer {token}\x01\x01"
        elif name == XOAUTH2:
            text = f"user={identity}\x01auth=Bearer {token}\x01\x01"
        else:
            raise SaslError(f"unknown mechanism {name!r}")
        try:
            self._message = text.encode()
        except UnicodeEncodeError:
            raise SaslError("identity cannot be said in UTF-8") from None

    def initial(self) -> bytes | None:
        """The initial response."""
        self.is_complete = True
        return self._message

    def step(self, challenge: bytes) -> bytes:
        """The response to the server's error; raises SaslError for a second one."""
        if self.error is not None:
            raise SaslError(f"{self.name} has nothing more to say")
        self.is_complete = False
        self.error = _read_error(challenge)
        return b"\x01" if self.name == OAUTHBEARER else b""


def _read_error(challenge: bytes) -> TokenError:
    try:
        said = json.loads(challenge) if len(challenge) <= MAX_ERROR else None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return TokenError()
    found = [said.get(key) for key in ("status", "scope", "openid-configuration")]
    status, scope, configuration = (each if isinstance(each, str) else "" for each in found)
    return TokenError(status or "invalid_token", scope, configuration)
