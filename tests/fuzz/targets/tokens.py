"""Whatever is sent as a token, published as a set of keys or answered about a token: nothing is raised, keys are public
ones, and only a token with a signature of the issuer's key or a good answer names anybody, whose name is printable."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Coroutine
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.fuzz.inputs import Input

from estafeta.net.https import HttpsAnswer
from estafeta.policy.jwks import MAX_KEY_COUNT, SignedTokens, signing_keys
from estafeta.policy.oauth import Introspection, OAuthSettings, TokenAnswer, TokenFacts, TokenRefused, TokenUnchecked

KEYS, ANSWER, SIGNED, PUBLISHED = range(4)
"""Flags: a set of keys; an answer to introspection; the token is signed; the issuer's keys are those of the input."""
ISSUER, NOW = "https://login.example.org/", 1_800_000_000.0
_KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)


def _text(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")


DOCUMENT = json.dumps(
    {
        "keys": [
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "kid": "first",
                "use": "sig",
                "x": _text(_KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode(),
            }
        ]
    }
).encode()


class Web:
    """The issuer."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    async def get(self, *arguments: object, **options: object) -> HttpsAnswer:
        """Its keys."""
        return HttpsAnswer(200, "application/json", self._octets)

    async def post(self, *arguments: object, **options: object) -> HttpsAnswer:
        """What it says of a token."""
        return HttpsAnswer(200, "application/json", self._octets)


def finished(work: Coroutine[Any, Any, TokenAnswer]) -> TokenAnswer:
    """What comes of work that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        assert isinstance(end.value, TokenFacts | TokenRefused | TokenUnchecked)
        return end.value
    raise AssertionError("it waits")


def now() -> float:
    """Always the same."""
    return NOW


def check_keys(document: bytes) -> None:
    """A set of keys."""
    found = signing_keys(document)
    assert found is None or len(found) <= MAX_KEY_COUNT
    for each in found or ():
        assert each.algorithms and not hasattr(each.key, "private_bytes")


def check_facts(answer: TokenAnswer) -> None:
    """Whom it names."""
    if isinstance(answer, TokenFacts):
        assert 0 < len(answer.identity) <= 320 and answer.identity.isprintable()
        assert answer.expires_at is None or answer.expires_at > NOW - 31
    elif isinstance(answer, TokenRefused):
        assert len(answer.reason) < 400


def token_of(given: Input) -> str:
    """Header and claims stand before and behind the first 0xFF; they may be signed."""
    head, _, claims = given.octets.partition(b"\xff")
    body = _text(head) + b"." + _text(claims)
    signature = _KEY.sign(body) if given.has(SIGNED) else b"\1" * 64
    return (body + b"." + _text(signature)).decode()


def check_token(given: Input) -> None:
    """A token, made of its parts or as it came."""
    is_made = b"\xff" in given.octets
    token = token_of(given) if is_made else given.octets.decode("ascii", "replace").replace("\ufffd", "?")
    document = given.octets if given.has(PUBLISHED) and not is_made else DOCUMENT
    settings = OAuthSettings(ISSUER, "mail", jwks_url="https://login.example.org/keys")
    tokens = SignedTokens(settings, Web(document), clock=now, monotonic=now)  # type: ignore[arg-type]
    answer = finished(tokens.check(token))
    check_facts(answer)
    if isinstance(answer, TokenFacts):
        header, claims = (json.loads(urlsafe_b64decode(each + "==")) for each in token.split(".")[:2])
        assert given.has(SIGNED) and is_made and header["alg"] == "EdDSA"
        assert claims["iss"] == ISSUER and claims["email"] == answer.identity


def check_answer(octets: bytes) -> None:
    """What the issuer says of a token."""
    settings = OAuthSettings(ISSUER, introspection_url="https://login.example.org/ask")
    asked = Introspection(settings, Web(octets), secret="", clock=now, monotonic=now)  # type: ignore[arg-type]
    answer = finished(asked.check("token"))
    check_facts(answer)
    if isinstance(answer, TokenFacts):
        said = json.loads(octets)
        assert said["active"] is True and said["email"] == answer.identity


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    if given.has(KEYS):
        check_keys(given.octets)
    elif given.has(ANSWER):
        check_answer(given.octets)
    else:
        check_token(given)
