"""Signed tokens, with keys from a real HTTPS server on loopback."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.net.webserver import WebServer, answer, serving
from tests.policy.tokens import AUDIENCE, ISSUER, NOW, Signer, key_set, signer

from estafeta.policy.jwks import AGAIN_AFTER, KEYS_AFTER, MAX_KEYS, RETRY_AFTER, SignedTokens, signing_keys
from estafeta.policy.oauth import OAuthSettings, TokenAnswer, TokenFacts, TokenRefused, TokenUnchecked

HOST = "login.example.org"
ZONE = f"{HOST}. A 127.0.0.1\n"
SETTINGS = OAuthSettings(ISSUER, AUDIENCE, jwks_url=f"https://{HOST}/keys")
GOOD = TokenFacts("ana@example.org", NOW + 3600)


class Clock:
    """Moves when told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("web")
    return path


Test = Callable[[SignedTokens, WebServer, Clock], Coroutine[Any, Any, None]]


def run(folder: Path, keys: str | bytes, test: Test) -> None:
    async def main() -> None:
        says = answer(keys, "application/json") if isinstance(keys, str) else keys
        async with serving(folder, [HOST], ZONE, says) as server:
            clock = Clock()
            await test(SignedTokens(SETTINGS, server.https, clock=clock, monotonic=clock), server, clock)

    asyncio.run(main())


def judged(folder: Path, token: str, keys: str) -> TokenAnswer:
    found: list[TokenAnswer] = []

    async def test(tokens: SignedTokens, server: WebServer, clock: Clock) -> None:
        found.append(await tokens.check(token))

    run(folder, keys, test)
    return found[0]


@pytest.mark.rfc("7518 §3.1", "Signatures by RSA, ECDSA and EdDSA are verified.")
@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"])
def test_signatures_of_every_kind_are_verified(folder: Path, algorithm: str) -> None:
    issuer = signer(algorithm)
    assert judged(folder, issuer.sign(), key_set(issuer)) == GOOD
    head, payload, signature = issuer.sign().split(".")
    other = issuer.sign(email="luis@example.org").split(".")[1]
    assert other != payload
    assert isinstance(judged(folder, f"{head}.{other}.{signature}", key_set(issuer)), TokenRefused)


@pytest.mark.rfc("7519 §4.1", "A token has to be in time, of this issuer and for this server.")
@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW - 30}, "expired"),
        ({"exp": None}, "no exp"),
        ({"exp": "never"}, "not a time"),
        ({"nbf": NOW + 31}, "not valid yet"),
        ({"iss": "https://evil.example"}, "issued by"),
        ({"iss": None}, "issued by"),
        ({"aud": "other"}, "audience"),
        ({"aud": None}, "audience"),
        ({"email": None}, "claim email"),
        ({"email_verified": False}, "not verified"),
    ],
)
def test_claims_that_do_not_fit_are_refused(folder: Path, claims: dict[str, Any], reason: str) -> None:
    issuer = signer("ES256")
    refused = judged(folder, issuer.sign(**claims), key_set(issuer))
    assert isinstance(refused, TokenRefused) and reason in refused.reason


def test_clocks_may_differ_a_little(folder: Path) -> None:
    issuer = signer("ES256")
    assert isinstance(judged(folder, issuer.sign(exp=NOW - 29, nbf=NOW + 29), key_set(issuer)), TokenFacts)


def _unsigned() -> str:
    head, payload = (
        urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "none"}, {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 3600, "email": "ana@example.org"})
    )
    return f"{head}.{payload}."


def _signed_with_the_public_key() -> str:
    public = signer("RS256").key.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 3600, "email": "ana@example.org"}
    head, payload = (
        urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256", "kid": "first"}, claims)
    )
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    made = signature.sign(head + b"." + payload, pem)
    return b".".join((head, payload, urlsafe_b64encode(made).rstrip(b"="))).decode()


@pytest.mark.rfc("8725 §3.1", "The algorithm is not the token's choice: none and HMAC with the public key are refused.")
@pytest.mark.parametrize("token", [_unsigned(), _signed_with_the_public_key()])
def test_a_token_does_not_choose_how_it_is_checked(folder: Path, token: str) -> None:
    refused = judged(folder, token, key_set(signer("RS256")))
    assert isinstance(refused, TokenRefused) and "signed by" in refused.reason


@pytest.mark.parametrize(
    "token",
    ["", "a", "a.b", "a.b.c", "....", "e30.e30.", "W10.W10.W10", "\u00e9", "ey" + "W" * 9000, _unsigned() + "=="],
)
def test_what_is_no_token_is_refused(folder: Path, token: str) -> None:
    assert isinstance(judged(folder, token, key_set(signer("RS256"))), TokenRefused)


def test_a_header_with_an_extension_that_must_be_understood_is_refused(folder: Path) -> None:
    issuer = signer("ES256")
    refused = judged(folder, issuer.sign(header={"crit": ["exp"], "exp": 5}), key_set(issuer))
    assert isinstance(refused, TokenRefused)


def test_a_key_is_used_only_for_what_it_is_for(folder: Path) -> None:
    issuer = signer("RS256")
    for more in ({"alg": "RS512"}, {"use": "enc"}):
        document = json.dumps({"keys": [issuer.jwk | more]})
        assert isinstance(judged(folder, issuer.sign(), document), TokenRefused), more
    # A key of another kind under the same name does not check it either.
    other = Signer("first", "ES256", signer("ES256").key)
    assert isinstance(judged(folder, issuer.sign(), key_set(other)), TokenRefused)


def test_the_name_of_a_key_may_be_left_out_where_there_is_one(folder: Path) -> None:
    issuer = signer("ES256")
    token = issuer.sign(header={"kid": None})
    assert judged(folder, token, key_set(issuer, signer("RS256", "other"))) == GOOD
    assert isinstance(judged(folder, token, key_set(issuer, signer("ES256", "second"))), TokenRefused)


def test_keys_that_are_of_no_use_are_passed_over() -> None:
    short = Signer("short", "RS256", rsa.generate_private_key(65537, 1024)).jwk
    listed = [5, {}, {"kty": "oct", "k": "AAAA"}, {"kty": "RSA", "n": "!", "e": "AQAB"}, {"kty": "EC"}, short]
    good = signer("ES256").jwk
    found = signing_keys(json.dumps({"keys": [*listed, good]}).encode())
    assert found is not None and [each.name for each in found] == ["first"]
    for document in (b"", b"{}", b"[]", b'{"keys": {}}', b"[" * 50_000):
        assert signing_keys(document) is None


def test_a_key_with_a_private_part_costs_no_more_than_another() -> None:
    number = urlsafe_b64encode(b"\x81" * 60_000).rstrip(b"=").decode()
    began = time.process_time()
    signing_keys(json.dumps({"keys": [{"kty": "RSA", "n": number, "e": "AQAB", "d": "AQAB"}]}).encode())
    assert time.process_time() - began < 2


@pytest.mark.rfc("7517 §5", "A new key of the issuer is fetched when a token names it.")
def test_a_new_key_is_fetched_at_most_once_a_minute(folder: Path) -> None:
    first, second = signer("ES256"), signer("ES256", "second")

    async def test(tokens: SignedTokens, server: WebServer, clock: Clock) -> None:
        assert await tokens.check(first.sign()) == GOOD
        assert await tokens.check(first.sign()) == GOOD
        assert len(server.requests) == 1
        server.says = answer(key_set(first, second), "application/json")
        for _ in range(3):
            assert isinstance(await tokens.check(second.sign()), TokenRefused)
        assert len(server.requests) == 1
        clock.now += AGAIN_AFTER
        assert isinstance(await tokens.check(second.sign()), TokenFacts)
        assert len(server.requests) == 2
        assert isinstance(await tokens.check(first.sign()), TokenFacts)
        assert len(server.requests) == 2

    run(folder, key_set(first), test)


def test_a_key_that_was_withdrawn_ends_after_a_while(folder: Path) -> None:
    first, second = signer("ES256"), signer("ES256", "second")

    async def test(tokens: SignedTokens, server: WebServer, clock: Clock) -> None:
        token = first.sign(exp=NOW + 10 * KEYS_AFTER)
        assert isinstance(await tokens.check(token), TokenFacts)
        server.says = answer(key_set(second), "application/json")
        clock.now += KEYS_AFTER - 1
        assert isinstance(await tokens.check(token), TokenFacts)
        clock.now += 1
        assert isinstance(await tokens.check(token), TokenRefused)

    run(folder, key_set(first), test)


def test_without_its_keys_a_token_is_neither_taken_nor_refused(folder: Path) -> None:
    issuer = signer("ES256")

    async def test(tokens: SignedTokens, server: WebServer, clock: Clock) -> None:
        assert isinstance(await tokens.check(issuer.sign()), TokenUnchecked)
        server.says = answer(key_set(issuer), "application/json")
        assert isinstance(await tokens.check(issuer.sign()), TokenUnchecked)
        clock.now += RETRY_AFTER
        assert await tokens.check(issuer.sign()) == GOOD

    run(folder, answer("oops", status="503 Not now"), test)


def test_keys_that_cannot_be_fetched_again_stay(folder: Path) -> None:
    issuer = signer("ES256")

    async def test(tokens: SignedTokens, server: WebServer, clock: Clock) -> None:
        token = issuer.sign(exp=NOW + 10 * KEYS_AFTER)
        assert isinstance(await tokens.check(token), TokenFacts)
        server.says = answer("oops", status="503 Not now")
        clock.now += KEYS_AFTER
        assert isinstance(await tokens.check(token), TokenFacts)
        assert isinstance(await tokens.check(signer("ES256", "second").sign()), TokenUnchecked)

    run(folder, key_set(issuer), test)


@pytest.mark.parametrize(
    "says", [answer("x" * (MAX_KEYS + 1)), answer("no keys"), answer("", status="302 Found"), b"no HTTP\r\n\r\n"]
)
def test_answers_that_are_no_keys_are_not_used(folder: Path, says: bytes) -> None:
    async def test(tokens: SignedTokens, server: WebServer, clock: Clock) -> None:
        assert isinstance(await tokens.check(signer("ES256").sign()), TokenUnchecked)

    run(folder, says, test)


def test_many_logins_at_once_fetch_the_keys_once(folder: Path) -> None:
    issuer = signer("ES256")

    async def test(tokens: SignedTokens, server: WebServer, clock: Clock) -> None:
        found = await asyncio.gather(*(tokens.check(issuer.sign()) for _ in range(20)))
        assert found == [GOOD] * 20
        assert len(server.requests) == 1

    run(folder, key_set(issuer), test)
