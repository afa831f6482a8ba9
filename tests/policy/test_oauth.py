"""Tokens judged by a real authorization server on loopback, over TLS."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.net.webserver import WebServer, answer, serving
from tests.policy.tokens import AUDIENCE, ISSUER, NOW

from estafeta.net.errors import NetError
from estafeta.net.https import Https, HttpsError, HttpsUrl
from estafeta.net.stream import SocketStream
from estafeta.net.tls import client_context
from estafeta.policy.oauth import (
    MAX_ANSWER,
    MAX_ASKED,
    Introspection,
    OAuthSettings,
    TokenFacts,
    TokenRefused,
    TokenUnchecked,
    judge,
    problems,
    read_secret,
)

HOST = "login.example.org"
ZONE = f"{HOST}. A 127.0.0.1\n"
SETTINGS = OAuthSettings(
    ISSUER,
    AUDIENCE,
    introspection_url=f"https://{HOST}/introspect",
    client_id="mail:server",
    client_secret_file=Path("/unused"),
)
ACTIVE = {"active": True, "aud": AUDIENCE, "email": "ana@example.org"}


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


def checker(server: WebServer, clock: Clock, settings: OAuthSettings = SETTINGS) -> Introspection:
    return Introspection(settings, server.https, secret="p%ss word", clock=clock, monotonic=clock)


Test = Callable[[WebServer, Clock], Coroutine[Any, Any, None]]


def run(folder: Path, says: object, test: Test) -> None:
    async def main() -> None:
        body = json.dumps(says) if isinstance(says, dict) else says
        told = answer(body, "application/json") if isinstance(body, str) else body
        assert isinstance(told, bytes) or callable(told)
        async with serving(folder, [HOST], ZONE, told) as server:
            await test(server, Clock())

    asyncio.run(main())


@pytest.mark.rfc("7662 §2.1", "The token is asked about by POST, as a form.")
@pytest.mark.rfc("6749 §2.3.1", "This server says who it is by HTTP Basic, name and secret encoded as in forms.")
def test_the_authorization_server_is_asked_as_the_standard_has_it(folder: Path) -> None:
    async def test(server: WebServer, clock: Clock) -> None:
        assert await checker(server, clock).check("a+b/c==") == TokenFacts("ana@example.org", None)
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /introspect HTTP/1.1\r\n")
        assert b"\r\nContent-Type: application/x-www-form-urlencoded" in head
        assert b"\r\nAccept: application/json" in head
        encoded = next(line for line in head.split(b"\r\n") if line.startswith(b"Authorization: Basic "))
        assert b64decode(encoded[21:]) == b"mail%3Aserver:p%25ss+word"
        assert parse_qs(body.decode()) == {"token": ["a+b/c=="], "token_type_hint": ["access_token"]}

    run(folder, ACTIVE, test)


@pytest.mark.rfc(
    "7662 §2.2", "A token is taken that is active and, where that is said, of this issuer and for this server."
)
@pytest.mark.parametrize(
    "more",
    [
        {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 1, "nbf": NOW},
        {"aud": ["other", AUDIENCE]},
        {"iss": None, "exp": None},
        {"exp": NOW - 20, "nbf": NOW + 20},
        {"email_verified": True},
    ],
)
def test_an_active_token_is_taken(folder: Path, more: dict[str, Any]) -> None:
    async def test(server: WebServer, clock: Clock) -> None:
        assert await checker(server, clock).check("token") == TokenFacts("ana@example.org", more.get("exp"))

    run(folder, ACTIVE | more, test)


@pytest.mark.rfc("7662 §2.2", "A token that is not active, over, or for somebody else is refused.")
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"active": False}, "not active"),
        ({"active": False, "email": "ana@example.org"}, "not active"),
        (ACTIVE | {"exp": NOW - 30}, "expired"),
        (ACTIVE | {"nbf": NOW + 31}, "not valid yet"),
        (ACTIVE | {"exp": "tomorrow"}, "not a time"),
        (ACTIVE | {"exp": True}, "not a time"),
        (ACTIVE | {"iss": "https://evil.example"}, "issued by"),
        (ACTIVE | {"aud": "other"}, "audience"),
        ({"active": True, "email": "ana@example.org"}, "audience"),
        (ACTIVE | {"aud": ["other", ["mail"]]}, "audience"),
        (ACTIVE | {"email_verified": False}, "not verified"),
        (ACTIVE | {"exp": 10**400}, "not a time"),
        ({"active": True, "aud": AUDIENCE}, "claim email"),
        (ACTIVE | {"email": ["ana@example.org"]}, "claim email"),
        (ACTIVE | {"email": ""}, "claim email"),
        (ACTIVE | {"email": "ana@example.org\r\n"}, "claim email"),
        (ACTIVE | {"email": "a" * 400}, "claim email"),
    ],
)
def test_other_tokens_are_refused(folder: Path, said: dict[str, Any], reason: str) -> None:
    async def test(server: WebServer, clock: Clock) -> None:
        refused = await checker(server, clock).check("token")
        assert isinstance(refused, TokenRefused)
        assert reason in refused.reason
        assert refused.is_expired == (reason == "expired")

    run(folder, said, test)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(AUDIENCE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["iss", "aud", "exp", "nbf", "scope", "scp", "email", "email_verified", "active"])


@given(claims=st.dictionaries(NAMES, JSON), is_whole=st.booleans())
def test_claims_of_every_kind_are_judged(claims: dict[str, Any], is_whole: bool) -> None:
    judged = judge(claims, replace(SETTINGS, scope="mail"), NOW, is_whole=is_whole)
    if not isinstance(judged, TokenRefused):
        assert isinstance(judged, TokenFacts) and judged.identity == claims["email"]


@pytest.mark.rfc("6750 §3.1", "A token without the scope that is needed is refused as insufficient_scope.")
@pytest.mark.parametrize(
    ("claims", "is_enough"),
    [
        ({"scope": "openid smtp.send imap"}, True),
        ({"scp": ["smtp.send"]}, True),
        ({"scp": "a smtp.send"}, True),
        ({"scope": "openid smtp.sendmail"}, False),
        ({"scope": ["smtp.send", 5]}, True),
        ({}, False),
    ],
)
def test_the_scope_of_the_settings_is_needed(claims: dict[str, Any], is_enough: bool) -> None:
    settings = replace(SETTINGS, scope="smtp.send")
    judged = judge(ACTIVE | claims, settings, NOW, is_whole=False)
    if is_enough:
        assert isinstance(judged, TokenFacts)
    else:
        assert isinstance(judged, TokenRefused) and judged.status == "insufficient_scope"


def test_the_claim_of_the_settings_names_the_account() -> None:
    settings = replace(SETTINGS, account_claim="username")
    judged = judge(ACTIVE | {"username": "luis", "email_verified": False}, settings, NOW, is_whole=False)
    assert judged == TokenFacts("luis", None)


async def _resets(stream: SocketStream) -> None:
    stream.abort()


@pytest.mark.parametrize(
    "says",
    [
        answer("{}", "application/json"),
        answer('{"active": "true"}', "application/json"),
        answer("[]", "application/json"),
        answer("[" * 20_000, "application/json"),
        answer(b"\xff", "application/json"),
        answer(json.dumps(ACTIVE), "application/json", "401 Unauthorized"),
        answer(json.dumps(ACTIVE), "application/json", "500 Oops"),
        answer("", "text/html", "302 Found", f"Location: https://{HOST}/login"),
        answer(json.dumps(ACTIVE | {"x": "y" * MAX_ANSWER}), "application/json"),
        b"no HTTP\r\n\r\n",
        _resets,
    ],
)
def test_a_server_that_cannot_say_neither_takes_nor_refuses(folder: Path, says: object) -> None:
    async def test(server: WebServer, clock: Clock) -> None:
        assert isinstance(await checker(server, clock).check("token"), TokenUnchecked)

    run(folder, says, test)


def test_an_authorization_server_with_a_foreign_certificate_is_not_asked(folder: Path) -> None:
    async def test(server: WebServer, clock: Clock) -> None:
        https = Https(server.resolver, context=client_context(), port=server.port, may_ask=lambda _: True)
        asked = Introspection(SETTINGS, https, secret="s", clock=clock, monotonic=clock)
        unchecked = await asked.check("token")
        assert isinstance(unchecked, TokenUnchecked) and "certificate" in unchecked.reason
        assert not server.requests

    run(folder, ACTIVE, test)


def test_an_answer_is_remembered_for_its_time_and_no_longer(folder: Path) -> None:
    async def test(server: WebServer, clock: Clock) -> None:
        checks = checker(server, clock)
        for _ in range(3):
            assert isinstance(await checks.check("token"), TokenFacts)
        assert len(server.requests) == 1
        assert isinstance(await checks.check("other"), TokenFacts)
        assert len(server.requests) == 2
        clock.now += SETTINGS.cache_seconds - 1
        assert isinstance(await checks.check("token"), TokenFacts)
        assert len(server.requests) == 2
        # What is remembered is not remembered longer for being used.
        clock.now += 1
        server.says = answer('{"active": false}', "application/json")
        assert isinstance(await checks.check("token"), TokenRefused)
        assert len(server.requests) == 3

    run(folder, ACTIVE, test)


def test_a_token_that_is_remembered_still_expires(folder: Path) -> None:
    async def test(server: WebServer, clock: Clock) -> None:
        checks = checker(server, clock)
        assert isinstance(await checks.check("token"), TokenFacts)
        clock.now += 41
        refused = await checks.check("token")
        assert isinstance(refused, TokenRefused) and refused.is_expired
        assert len(server.requests) == 1

    run(folder, ACTIVE | {"exp": NOW + 10}, test)


def test_nothing_is_remembered_where_that_is_set(folder: Path) -> None:
    async def test(server: WebServer, clock: Clock) -> None:
        checks = checker(server, clock, replace(SETTINGS, cache_seconds=0))
        await checks.check("token")
        await checks.check("token")
        assert len(server.requests) == 2

    run(folder, ACTIVE, test)


def test_only_so_many_questions_are_open_at_once(folder: Path) -> None:
    free = asyncio.Event()

    async def says(stream: SocketStream) -> None:
        await free.wait()
        stream.send(answer(json.dumps(ACTIVE), "application/json"))
        await stream.drain()

    async def test(server: WebServer, clock: Clock) -> None:
        checks = checker(server, clock)
        asked = [asyncio.create_task(checks.check(f"token{number}")) for number in range(MAX_ASKED)]
        while len(server.requests) < MAX_ASKED:
            server.asked.clear()
            await server.asked.wait()
        assert isinstance(await checks.check("one more"), TokenUnchecked)
        free.set()
        assert all(isinstance(each, TokenFacts) for each in await asyncio.gather(*asked))

    run(folder, says, test)


# Where it may be asked


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://login.example.org/a?b=c", HttpsUrl("login.example.org", None, "/a?b=c")),
        ("https://login:8443/a", HttpsUrl("login", 8443, "/a")),
        ("https://192.0.2.1/", HttpsUrl("192.0.2.1", None, "/")),
        ("https://[2001:db8::1]:8443/", HttpsUrl("2001:db8::1", 8443, "/")),
        ("http://127.0.0.1:8080/a", HttpsUrl("127.0.0.1", 8080, "/a", True)),
        ("http://localhost/a", HttpsUrl("localhost", 80, "/a", True)),
        ("http://[::1]/a", HttpsUrl("::1", 80, "/a", True)),
    ],
)
def test_urls_of_the_operator_are_read(text: str, url: HttpsUrl) -> None:
    assert HttpsUrl.parse_own(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "http://login.example.org/",
        "http://192.0.2.1/",
        "http://localhost.example.org/",
        "ftp://127.0.0.1/",
        "https://user:secret@login.example.org/",
        "https:///a",
        "https://login.example.org:0/",
        "https://login.example.org/a b",
        "https://login.example.org/\r\nX: y",
        "https://-/",
        "https://[::1/",
        "login.example.org",
        "",
    ],
)
def test_urls_without_protection_are_not(text: str) -> None:
    with pytest.raises(HttpsError):
        HttpsUrl.parse_own(text)


def test_http_is_spoken_with_this_machine(folder: Path) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer(json.dumps(ACTIVE), "application/json"))
            await writer.drain()
            writer.close()

        requests: list[bytes] = []
        near = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = near.sockets[0].getsockname()[1]
        settings = replace(SETTINGS, introspection_url=f"http://localhost:{port}/introspect")
        async with serving(folder, [HOST], ZONE) as server, near:
            assert isinstance(await checker(server, Clock(), settings).check("token"), TokenFacts)
            assert b"\r\nHost: localhost:%d\r\n" % port in requests[0]
            with pytest.raises(NetError):
                await Https(server.resolver).get(HttpsUrl.parse_own("http://127.0.0.1/"), limit=10, timeout=5)

    asyncio.run(main())


# Settings


def test_settings_that_fit_have_no_problem(tmp_path: Path) -> None:
    assert not list(problems(SETTINGS))
    signed = OAuthSettings(ISSUER, AUDIENCE, jwks_url=f"https://{HOST}/keys")
    assert not list(problems(signed))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (OAuthSettings(ISSUER), "introspection_url"),
        (replace(SETTINGS, issuer=""), "issuer"),
        (
            replace(SETTINGS, jwks_url=f"https://{HOST}/keys", client_id="", client_secret_file=None),
            "introspection_url",
        ),
        (replace(SETTINGS, introspection_url="http://login.example.org/"), "introspection_url"),
        (OAuthSettings(ISSUER, AUDIENCE, jwks_url="ftp://x/"), "jwks_url"),
        (OAuthSettings(ISSUER, jwks_url=f"https://{HOST}/keys"), "audience"),
        (OAuthSettings(ISSUER, AUDIENCE, jwks_url=f"https://{HOST}/keys", client_id="me"), "client_secret_file"),
        (replace(SETTINGS, client_secret_file=None), "client_secret_file"),
        (replace(SETTINGS, client_id=""), "client_id"),
        (replace(SETTINGS, account_claim=""), "account_claim"),
    ],
)
def test_settings_that_do_not_fit_are_told(settings: OAuthSettings, key: str) -> None:
    assert next(problems(settings))[0] == key


def test_a_secret_is_the_first_line_of_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes("contraseña\r\nmore\n".encode())
    file.chmod(0o600)
    assert read_secret(file) == "contraseña"
    file.chmod(0o604)
    with pytest.raises(ValueError, match="open to every user"):
        read_secret(file)
    file.chmod(0o600)
    file.write_bytes(b"\nsecret")
    with pytest.raises(ValueError, match="no secret"):
        read_secret(file)
    with pytest.raises(OSError):
        read_secret(tmp_path / "none")
