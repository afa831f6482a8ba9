"""Tokens that prove themselves: JWTs (RFC 7519, 9068), checked with the keys that their issuer publishes (RFC 7517).

Only signatures with public keys count, and a key only with the algorithms of its kind: a token says neither which
algorithm is good nor where its key is. Keys are fetched when a token needs them, and anew for one that is not known.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Final, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from estafeta.mail.value import value
from estafeta.net.errors import NetError
from estafeta.net.https import Https, HttpsUrl
from estafeta.policy.oauth import (
    ASK_AFTER,
    OAuthSettings,
    TokenAnswer,
    TokenRefused,
    TokenUnchecked,
    json_object,
    judge,
)

KEYS_AFTER: Final = 3600.0
"""Seconds after which the keys are fetched again: a key that the issuer has withdrawn counts no longer than that."""
AGAIN_AFTER: Final = 60.0
"""Seconds between two fetches for keys that are not known: whoever makes up names of keys causes no more."""
RETRY_AFTER: Final = 5.0
"""The same while there are no keys at all."""
MAX_KEYS: Final = 256 * 1024
"""Octets of the document; with certificate chains each key takes some KiB."""
MAX_KEY_COUNT: Final = 100
_MIN_RSA_BITS: Final = 2048

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
# RFC 7518 §3.4: one curve for each; RFC 8037 §3.1
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384"}
_EDDSA: Final = "EdDSA"
# RFC 7518 §6, RFC 8037 §2: what a public key consists of. The private part of one takes as long as its author likes.
_PUBLIC: Final = frozenset(("kty", "crv", "x", "y", "n", "e"))

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey


@value
class SigningKey:
    """A key that the issuer signs with."""

    name: str | None
    """Its `kid`."""
    key: PublicKey
    algorithms: tuple[str, ...]


def signing_keys(document: bytes) -> tuple[SigningKey, ...] | None:
    """The keys of a JWK Set (RFC 7517 §5) that can be used; None when it is none."""
    read = json_object(document)
    listed = read.get("keys") if read is not None else None
    if not isinstance(listed, list):
        return None
    # RFC 7517 §5: those that are not understood are ignored.
    found = [_signing_key(each) for each in listed[:MAX_KEY_COUNT] if isinstance(each, dict)]
    return tuple(each for each in found if each is not None)


def _signing_key(described: dict[str, object]) -> SigningKey | None:
    if described.get("use", "sig") != "sig":
        return None
    try:
        # PyJWK chooses by kty and crv; what the key is good for is decided here.
        key = jwt.PyJWK({name: value for name, value in described.items() if name in _PUBLIC}).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    algorithms = _algorithms(key)
    said, name = described.get("alg"), described.get("kid")
    if said is not None:
        algorithms = tuple(each for each in algorithms if each == said)
    return SigningKey(name if isinstance(name, str) else None, key, algorithms) if algorithms else None


def _algorithms(key: object) -> tuple[str, ...]:
    """What a public key may be used with; nothing for others."""
    if isinstance(key, RSAPublicKey):
        return _RSA if key.key_size >= _MIN_RSA_BITS else ()
    if isinstance(key, EllipticCurvePublicKey):
        algorithm = _CURVES.get(key.curve.name)
        return () if algorithm is None else (algorithm,)
    return (_EDDSA,) if isinstance(key, Ed25519PublicKey | Ed448PublicKey) else ()


class SignedTokens:
    """Checks signed tokens. `clock` is for the times in tokens, `monotonic` for the age of the keys."""

    def __init__(
        self,
        settings: OAuthSettings,
        https: Https,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._https = https
        self._url = HttpsUrl.parse_own(settings.jwks_url)
        self._clock = clock
        self._monotonic = monotonic
        self._keys: tuple[SigningKey, ...] = ()
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fault = ""
        self._turn = asyncio.Lock()

    @property
    def settings(self) -> OAuthSettings:
        """What tokens are checked for."""
        return self._settings

    async def check(self, token: str) -> TokenAnswer:
        """Whose it is."""
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            return TokenRefused("not a signed token")
        algorithm, name = header.get("alg"), header.get("kid")
        if algorithm not in (*_RSA, *_CURVES.values(), _EDDSA):
            return TokenRefused(f"signed by {algorithm!r:.50}")
        if "crit" in header or "b64" in header:  # RFC 7515 §4.1.11: extensions that must be understood
            return TokenRefused("an extension of its header is not known")
        key = await self._key(str(algorithm), name if isinstance(name, str) else None)
        if not isinstance(key, SigningKey):
            return key
        try:
            signed = jwt.PyJWS().decode_complete(token, key.key, algorithms=[str(algorithm)])
            claims = json.loads(signed["payload"])
        except (jwt.PyJWTError, ValueError, RecursionError):
            return TokenRefused("the signature is wrong")
        if not isinstance(claims, dict):
            return TokenRefused("no claims")
        return judge(claims, self._settings, self._clock(), is_whole=True)

    async def _key(self, algorithm: str, name: str | None) -> SigningKey | TokenRefused | TokenUnchecked:
        """The key that a token says it is signed with."""
        async with self._turn:
            if self._fetched_at is None or self._monotonic() >= self._fetched_at + KEYS_AFTER:
                await self._fetch()
            found = self._find(algorithm, name)
            if found is None and self._keys:
                await self._fetch()
                found = self._find(algorithm, name)
        if found is not None:
            return found
        if self._fault:
            return TokenUnchecked(f"keys: {self._fault}")
        return TokenRefused("signed with a key that is not the issuer's")

    def _find(self, algorithm: str, name: str | None) -> SigningKey | None:
        fitting = [each for each in self._keys if algorithm in each.algorithms and name in (None, each.name)]
        # Without a name it must be clear which one is meant.
        return fitting[0] if fitting and (name is not None or len(fitting) == 1) else None

    async def _fetch(self) -> None:
        """Get the keys; where that fails, those of before stay. Does nothing soon after the last time."""
        now = self._monotonic()
        pause = AGAIN_AFTER if self._keys else RETRY_AFTER
        if self._tried_at is not None and now < self._tried_at + pause:
            return
        self._tried_at = now
        try:
            answer = await self._https.get(self._url, limit=MAX_KEYS, timeout=ASK_AFTER)
        except NetError as error:
            self._fault = str(error)
            return
        keys = signing_keys(answer.body) if answer.status == 200 else None
        if keys is None:
            self._fault = f"status {answer.status}" if answer.status != 200 else "the answer is no set of keys"
            return
        self._keys, self._fetched_at, self._fault = keys, now, ""
