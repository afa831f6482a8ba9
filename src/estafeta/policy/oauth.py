"""Whose a bearer token is: what an authorization server says of it (RFC 7662), or what it says of itself, signed.

Tokens are checked for the `[oauth]` of the settings: issuer, audience, time and scope. A token that cannot be checked
because the authorization server does not answer is neither taken nor refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeAlias
from urllib.parse import quote_plus, urlencode

from estafeta.mail.value import value
from estafeta.net.errors import NetError
from estafeta.net.https import Https, HttpsAnswer, HttpsError, HttpsUrl

LEEWAY: Final = 30.0
"""Seconds by which the clocks of the authorization server and of this machine may differ."""
MAX_ANSWER: Final = 64 * 1024
"""Octets of an answer to introspection: a person's claims and groups."""
ASK_AFTER: Final = 10.0
"""Seconds for one question; the client waits for it."""
MAX_ASKED: Final = 32
"""Questions at once; further logins are told to come back later."""
MAX_CACHED: Final = 10_000
"""Tokens whose introspection is remembered; beyond it the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class OAuthSettings:
    """Logins by OAuth 2.0 bearer tokens (OAUTHBEARER, XOAUTH2): who issues them, and how they are checked."""

    issuer: str
    """The authorization server, as the tokens name it in `iss`, such as `https://login.example.org/realms/mail`."""
    audience: str = ""
    """What tokens for this server have in `aud`; tokens that say nothing of it are refused where it is set. With
    `jwks_url` it must be: a token that was made for another service of the same issuer must not open mailboxes."""
    introspection_url: str = ""
    """Where the authorization server tells about a token (RFC 7662): an https URL, or http on this machine. This one or
    `jwks_url`."""
    jwks_url: str = ""
    """Where the issuer publishes the keys that signed tokens (JWT) are checked with."""
    ca_file: Path | None = None
    """PEM file of the authorities that the certificate of these URLs is checked with; the system's when left out."""
    client_id: str = ""
    """The name of this server at the authorization server, for introspection."""
    client_secret_file: Path | None = None
    """The file whose first line is the secret that goes with it; others must not be able to read it."""
    account_claim: str = "email"
    """The claim that names the account: its address, or a local-part where there is one domain. An `email` that the
    issuer calls unverified is not taken."""
    scope: str = ""
    """The scope that tokens must have; none is asked for when empty."""
    openid_configuration: str = ""
    """URL of the issuer's OpenID configuration, told to clients whose token is refused (RFC 7628 §3.2.2)."""
    cache_seconds: float = 60.0
    """How long an answer to introspection is remembered, and a token that was revoked is still taken; 0 asks each
    time."""


@value
class TokenFacts:
    """The token is good."""

    identity: str
    """Whom it names: a login name."""
    expires_at: float | None
    """The end of its life; None where nothing is said of it."""


@value
class TokenRefused:
    """The token is not good."""

    reason: str
    """For the journal, not for the peer."""
    status: str = "invalid_token"
    """The error code of RFC 6750 §3.1."""
    is_expired: bool = False
    """It was good once: nobody is guessing."""


@value
class TokenUnchecked:
    """Whether the token is good cannot be found out now."""

    reason: str


TokenAnswer: TypeAlias = TokenFacts | TokenRefused | TokenUnchecked


class TokenChecker(Protocol):
    """Finds out whose a bearer token is."""

    @property
    def settings(self) -> OAuthSettings:
        """What tokens are checked for."""

    async def check(self, token: str) -> TokenAnswer:
        """Whose it is; never raises because of the token or the network."""


def judge(claims: Mapping[str, object], settings: OAuthSettings, now: float, *, is_whole: bool) -> TokenAnswer:
    """What the claims of a token come to. `is_whole`: issuer and expiry have to be there.

    A signed token stands alone (RFC 9068 §4); introspection need not say either (RFC 7662 §2.2). An audience that is
    set has to be there always: what says nothing of it may have been made for another service.
    """
    try:
        expires_at, not_before = _time(claims, "exp"), _time(claims, "nbf")
    except ValueError as error:
        return TokenRefused(str(error))
    if is_whole and expires_at is None:
        return TokenRefused("has no exp")
    if not_before is not None and now < not_before - LEEWAY:
        return TokenRefused("not valid yet")
    issuer = claims.get("iss")
    if issuer != settings.issuer and (is_whole or issuer is not None):
        return TokenRefused(f"issued by {issuer!r:.200}")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if settings.audience and settings.audience not in audiences:
        return TokenRefused(f"for the audience {audience!r:.200}")
    # Only what is otherwise good is called expired.
    if expires_at is not None and now >= expires_at + LEEWAY:
        return TokenRefused("expired", is_expired=True)
    if settings.scope and not set(settings.scope.split()) <= _scopes(claims):
        return TokenRefused("the scope is not among those of the token", "insufficient_scope")
    identity = claims.get(settings.account_claim)
    if not isinstance(identity, str) or not identity or not identity.isprintable() or len(identity) > 320:
        return TokenRefused(f"no name in the claim {settings.account_claim}")
    # Some issuers have their users write the address themselves.
    if settings.account_claim == "email" and claims.get("email_verified", True) not in (True, "true"):
        return TokenRefused("the issuer has not verified the address")
    return TokenFacts(identity, expires_at)


def _time(claims: Mapping[str, object], name: str) -> float | None:
    """A NumericDate (RFC 7519 §2); raises ValueError."""
    value = claims.get(name)
    if value is None:
        return None
    try:
        if not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    except OverflowError:  # JSON has integers of any size
        pass
    raise ValueError(f"{name} is not a time")


def _scopes(claims: Mapping[str, object]) -> set[str]:
    # RFC 8693 §4.2 and RFC 7662 §2.2: words parted by spaces; `scp`, as text or list, is what some issuers write.
    found: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name)
        if isinstance(value, str):
            found |= set(value.split())
        elif isinstance(value, list):
            found |= {each for each in value if isinstance(each, str)}
    return found


def json_object(octets: bytes) -> dict[str, object] | None:
    """A JSON object; None for anything else."""
    try:
        read = json.loads(octets)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


class Introspection:
    """Asks the authorization server about each token (RFC 7662). `clock` is for the times in tokens, `monotonic` for
    the memory of answers."""

    def __init__(
        self,
        settings: OAuthSettings,
        https: Https,
        *,
        secret: str,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._https = https
        self._url = HttpsUrl.parse_own(settings.introspection_url)
        self._clock = clock
        self._monotonic = monotonic
        self._fields = ["Accept: application/json"]
        if settings.client_id:
            # RFC 6749 §2.3.1: both are encoded as a form's fields are, and then by RFC 7617.
            pair = f"{quote_plus(settings.client_id)}:{quote_plus(secret)}"
            self._fields.append(f"Authorization: Basic {b64encode(pair.encode()).decode()}")
        self._known: OrderedDict[bytes, tuple[float, dict[str, object]]] = OrderedDict()
        self._asked = 0

    @property
    def settings(self) -> OAuthSettings:
        """What tokens are checked for."""
        return self._settings

    async def check(self, token: str) -> TokenAnswer:
        """Whose it is."""
        key = hashlib.sha256(token.encode()).digest()
        until, claims = self._known.get(key, (0.0, {}))
        if self._monotonic() >= until:
            if self._asked >= MAX_ASKED:
                return TokenUnchecked("too many tokens at once")
            self._asked += 1
            try:
                said = await self._ask(token)
            finally:
                self._asked -= 1
            if not isinstance(said, dict):
                return said
            claims = said
        answer = judge(claims, self._settings, self._clock(), is_whole=False)
        if isinstance(answer, TokenFacts):
            self._remember(key, claims, until)
        else:
            self._known.pop(key, None)
        return answer

    def _remember(self, key: bytes, claims: dict[str, object], until: float) -> None:
        now, seconds = self._monotonic(), self._settings.cache_seconds
        if not seconds or now < until:
            return
        self._known[key] = (now + seconds, claims)
        self._known.move_to_end(key)
        while len(self._known) > MAX_CACHED:
            self._known.popitem(last=False)

    async def _ask(self, token: str) -> dict[str, object] | TokenRefused | TokenUnchecked:
        form = urlencode({"token": token, "token_type_hint": "access_token"}).encode()
        try:
            answer = await self._https.post(
                self._url,
                "application/x-www-form-urlencoded",
                form,
                limit=MAX_ANSWER,
                timeout=ASK_AFTER,
                fields=self._fields,
            )
        except NetError as error:
            return TokenUnchecked(f"introspection: {error}")
        claims = json_object(answer.body) if answer.status == 200 else None
        if claims is None or not isinstance(claims.get("active"), bool):
            return TokenUnchecked(f"introspection: {_described(answer)}")
        # RFC 7662 §2.2: of a token that is not active nothing more is said.
        return claims if claims["active"] else TokenRefused("not active")


def _described(answer: HttpsAnswer) -> str:
    return f"status {answer.status}" if answer.status != 200 else "the answer is not one of RFC 7662"


def read_secret(path: Path) -> str:
    """The first line of a file that only this user and its group can read. Raises OSError, ValueError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_mode & stat.S_IRWXO:
            raise ValueError(f"{path} is open to every user of this machine")
        octets = file.read(4096).partition(b"\n")[0].rstrip(b"\r")
    if not octets:
        raise ValueError(f"{path} has no secret in its first line")
    return octets.decode("utf-8")


def problems(settings: OAuthSettings) -> Iterator[tuple[str, str, str]]:
    """What is wrong with the table: the setting, what, and what to do."""
    if not settings.issuer:
        yield "issuer", "is empty", "Write what tokens have in iss."
    if bool(settings.introspection_url) == bool(settings.jwks_url):
        yield (
            "introspection_url",
            "and jwks_url are " + ("both set" if settings.jwks_url else "both missing"),
            "Set one of them: where the issuer tells about tokens, or where it publishes its keys.",
        )
    for name in ("introspection_url", "jwks_url"):
        if url := getattr(settings, name):
            try:
                HttpsUrl.parse_own(url)
            except HttpsError as error:
                yield name, f"cannot be used ({error})", "Write an https URL, or an http URL of this machine."
    if settings.jwks_url and not settings.audience:
        yield "audience", "is missing", "Write what tokens for this server have in aud."
    if settings.client_id and settings.client_secret_file is None:
        yield "client_secret_file", "is missing", "Name the file with the secret of client_id."
    if settings.client_secret_file is not None and not settings.client_id:
        yield "client_id", "is missing", "Write the name that goes with client_secret_file."
    if settings.jwks_url and settings.client_id:
        yield "client_id", "means nothing with jwks_url", "Remove it: keys are asked for by everybody."
    if not settings.account_claim:
        yield "account_claim", "is empty", 'Write the name of a claim, as in "email".'
