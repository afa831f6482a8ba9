"""Logins by token through a running post office: SMTP and POP3 over TLS, an authorization server on loopback."""

from __future__ import annotations

import asyncio
import json
import poplib
import smtplib
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from tests.agents.conftest import NO_DNS, Client, Office, populate
from tests.net.webserver import WebServer, answer, serving
from tests.policy.tokens import AUDIENCE, ISSUER, key_set, signer

from estafeta.app import PostOffice, new_event_loop
from estafeta.client import SmtpClient, TlsMode
from estafeta.config.settings import Listen, ListenerKind, Settings, TlsSettings
from estafeta.mail.address import Address
from estafeta.net.authority import Issued
from estafeta.net.stream import SocketStream, connect
from estafeta.net.tls import client_context
from estafeta.policy.guard import LoginSettings
from estafeta.policy.oauth import OAuthSettings
from estafeta.store import accounts
from estafeta.store.records import Instant
from estafeta.wire import sasl

ANA, EVA = "ana@example.org", "eva@example.org"
CONFIGURATION = "https://login.example.org/.well-known/openid-configuration"

Test = Callable[[Office, WebServer], Coroutine[Any, Any, None]]
Play = Callable[..., None]


@pytest.fixture
def play(tmp_path: Path, issued: Issued) -> Play:
    """Run a test's coroutine with a post office that takes tokens of an authorization server."""

    def play_it(test: Test, *, signed: bool = False, **table: Any) -> None:
        async def main() -> None:
            web = serving(tmp_path / "web", ["localhost"], "")
            async with asyncio.timeout(60), web as server:
                url = f"https://localhost:{server.port}/"
                where = {"jwks_url": url} if signed else {"introspection_url": url}
                oauth = OAuthSettings(
                    ISSUER,
                    AUDIENCE,
                    ca_file=tmp_path / "web" / "authority.pem",
                    scope="mail",
                    openid_configuration=CONFIGURATION,
                    **(where | table),
                )
                kinds = (ListenerKind.SMTP, ListenerKind.SUBMISSION, ListenerKind.POP3, ListenerKind.POP3S)
                settings = Settings(
                    hostname="mx.example.org",
                    data=tmp_path / "data",
                    listen=tuple(Listen(kind=kind, address="127.0.0.1", port=0) for kind in kinds),
                    tls=TlsSettings(certificate=issued.certificate, key=issued.key),
                    login=LoginSettings(delay_first=0.001, delay_max=0.001, lock_after=4),
                    oauth=oauth,
                    dns=NO_DNS,
                )
                async with PostOffice(settings) as office:
                    await office.store.write(populate)
                    now = Instant(time.time())
                    eva = Address.parse(EVA)
                    await office.store.write(lambda tx: accounts.add(tx, eva, password=None, now=now))
                    tested = Office(office, issued)
                    try:
                        await test(tested, server)
                    finally:
                        await tested.close()

        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(main())

    return play_it


def knows(server: WebServer, **tokens: dict[str, Any]) -> None:
    """The server knows these tokens, whose claims are those of ana's but for what is said."""

    async def says(stream: SocketStream) -> None:
        token = parse_qs(server.requests[-1].partition(b"\r\n\r\n")[2].decode())["token"][0]
        said: dict[str, Any] = {"active": False}
        if token in tokens:
            said = {"active": True, "aud": AUDIENCE, "scope": "mail openid", "email": ANA} | tokens[token]
        stream.send(answer(json.dumps(said), "application/json"))
        await stream.drain()

    server.says = says


def said(name: str, identity: str, token: str) -> str:
    """The argument of AUTH with an initial response."""
    initial = sasl.BearerClient(name, identity, token, "localhost", 587).initial()
    assert initial is not None
    return f"{name} {b64encode(initial).decode()}"


def without_name(token: str) -> str:
    """The same, by OAUTHBEARER without an authorization identity."""
    return "OAUTHBEARER " + b64encode(f"n,,\x01auth=Bearer {token}\x01\x01".encode()).decode()


class Lines:
    """A client that knows nothing but lines."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._buffer = b""

    async def line(self) -> str:
        while b"\r\n" not in self._buffer:
            octets = await self._stream.receive()
            assert octets
            self._buffer += octets
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line.decode()

    async def say(self, line: str) -> str:
        """A command, and the line that answers it."""
        self._stream.send(line.encode() + b"\r\n")
        return await self.line()


async def secure(office: Office) -> Client:
    return await office.client(ListenerKind.SUBMISSION, tls=True)


@pytest.mark.rfc("7628 §3", "The mechanisms are offered over TLS alone, even to clients on the same machine.")
def test_tokens_are_offered_over_tls_alone(play: Play) -> None:
    async def test(office: Office, server: WebServer) -> None:
        client = await office.client(ListenerKind.SUBMISSION)
        assert "BEARER" not in await client.say("EHLO client.example.net")
        assert (await client.say(f"AUTH {said('OAUTHBEARER', ANA, 'good')}")).startswith("538 5.7.11 ")
        client = await secure(office)
        offered = next(line for line in (await client.say("EHLO c.example.net")).split("\n") if "AUTH" in line)
        assert offered.split()[-2:] == ["OAUTHBEARER", "XOAUTH2"]
        assert not server.requests

    play(test)


def test_no_token_is_taken_where_none_is_set(run: Callable[..., None]) -> None:
    async def test(office: Office) -> None:
        client = await secure(office)
        assert "OAUTH" not in await client.say("EHLO client.example.net")
        assert (await client.say(f"AUTH {said('XOAUTH2', ANA, 'good')}")).startswith("504 ")

    run(test)


@pytest.mark.rfc("7628 §4.1", "A good token is answered 235, and the client is the owner of the account.")
@pytest.mark.parametrize("name", sasl.TOKEN_MECHANISMS)
@pytest.mark.parametrize("identity", [ANA, "ANA@Example.ORG", "ana"])
def test_a_good_token_logs_in(play: Play, name: str, identity: str) -> None:
    async def test(office: Office, server: WebServer) -> None:
        knows(server, good={})
        client = await secure(office)
        assert (await client.say(f"AUTH {said(name, identity, 'good')}")).startswith("235 2.7.0 ")
        assert (await client.send(ANA, "luis@example.org", b"Subject: hello\r\n\r\nhello\r\n")).startswith("250 ")
        assert len(await office.mailbox("luis@example.org")) == 1
        (session,) = [each for each in await office.journal(ANA) if "transactions" not in each.facts][-1:]
        assert "good" not in json.dumps(session.facts)

    play(test)


def test_the_token_may_come_after_a_challenge_and_without_a_name(play: Play) -> None:
    async def test(office: Office, server: WebServer) -> None:
        knows(server, good={"email": EVA})
        client = await secure(office)
        assert (await client.say("AUTH OAUTHBEARER")).strip() == "334"
        # eva has no password, and needs none
        assert (await client.say(without_name("good").split()[1])).startswith("235 ")

    play(test)


def test_a_long_token_is_taken_with_auth_itself(play: Play) -> None:
    token = "x" * 8000

    async def test(office: Office, server: WebServer) -> None:
        knows(server, **{token: {}})
        client = await secure(office)
        assert (await client.say(f"AUTH {said('XOAUTH2', ANA, token)}")).startswith("235 ")

    play(test)


@pytest.mark.rfc("7628 §3.2.2", "A refused token is answered with status, scope and configuration in JSON, then 535.")
@pytest.mark.parametrize("token", ["unknown", "expired", "foreign", "nobodys", "luis", "forwarded"])
def test_other_tokens_are_refused_alike(play: Play, token: str) -> None:
    async def test(office: Office, server: WebServer) -> None:
        knows(
            server,
            expired={"exp": time.time() - 100},
            foreign={"aud": "another service"},
            nobodys={"email": "nobody@example.org"},
            luis={"email": "luis@example.org"},
            forwarded={"email": "team@example.org"},
        )
        client = await secure(office)
        told = await client.say(f"AUTH {said('OAUTHBEARER', ANA, token)}")
        assert told.startswith("334 ")
        assert json.loads(b64decode(told[4:])) == {
            "status": "invalid_token",
            "scope": "mail",
            "openid-configuration": CONFIGURATION,
        }
        assert (await client.say("AQ==")).startswith("535 5.7.8 ")
        assert (await client.send(ANA, "x@example.net", b"\r\n"))[:3] == "530"

    play(test)


@pytest.mark.rfc("6750 §3.1", "A token without the scope is told so.")
def test_a_token_without_the_scope_is_told_so(play: Play) -> None:
    async def test(office: Office, server: WebServer) -> None:
        knows(server, narrow={"scope": "openid"})
        client = await secure(office)
        told = await client.say(f"AUTH {said('OAUTHBEARER', ANA, 'narrow')}")
        assert json.loads(b64decode(told[4:]))["status"] == "insufficient_scope"
        assert (await client.say("AQ==")).startswith("535 ")
        told = await client.say(f"AUTH {said('XOAUTH2', ANA, 'narrow')}")
        assert json.loads(b64decode(told[4:])) == {"status": "403", "schemes": "bearer", "scope": "mail"}
        assert (await client.say("")).startswith("535 ")

    play(test)


@pytest.mark.rfc("7628 §3.2.3", "The client may give the exchange up in place of the dummy response.")
def test_the_error_may_be_answered_by_giving_up(play: Play) -> None:
    async def test(office: Office, server: WebServer) -> None:
        knows(server, good={})
        client = await secure(office)
        assert (await client.say(f"AUTH {said('OAUTHBEARER', ANA, 'bad')}")).startswith("334 ")
        assert (await client.say("*")).startswith("501 5.7.0 ")
        assert (await client.say(f"AUTH {said('OAUTHBEARER', ANA, 'good')}")).startswith("235 ")

    play(test)


@pytest.mark.rfc("7628 §4.3", "A client without a token learns which one it needs, and nobody is asked about it.")
def test_a_client_may_ask_which_token_it_needs(play: Play) -> None:
    async def test(office: Office, server: WebServer) -> None:
        client = await secure(office)
        empty = b64encode(f"n,a={ANA},\x01auth=\x01\x01".encode()).decode()
        for _ in range(10):  # nothing was tried, so nothing is counted by the guard
            told = await client.say(f"AUTH OAUTHBEARER {empty}")
            assert json.loads(b64decode(told[4:]))["scope"] == "mail"
            assert (await client.say("AQ==")).startswith("535 ")
        assert not server.requests

    play(test)


def test_what_is_malformed_is_refused_at_once(play: Play) -> None:
    async def test(office: Office, server: WebServer) -> None:
        client = await secure(office)
        for octets in (b"", b"\x01", b"n,,\x01auth=Basic abc\x01\x01", b"\xff" * 9000):
            assert (await client.say(f"AUTH OAUTHBEARER {b64encode(octets).decode() or '='}")).startswith("535 ")
        assert not server.requests

    play(test)


@pytest.mark.rfc("4954 §4", "An authorization server that does not answer is a temporary failure, 454 4.7.0.")
@pytest.mark.parametrize("signed", [False, True])
def test_an_authorization_server_that_is_away_is_no_refusal(play: Play, signed: bool) -> None:
    async def test(office: Office, server: WebServer) -> None:
        server.says = answer("oops", status="503 Not now")
        client = await secure(office)
        token = signer("ES256").sign()
        for _ in range(6):  # more than the guard lets fail
            assert (await client.say(f"AUTH {said('OAUTHBEARER', ANA, token)}")).startswith("454 4.7.0 ")

    play(test, signed=signed)


def test_refused_tokens_lock_the_account_out(play: Play) -> None:
    async def test(office: Office, server: WebServer) -> None:
        knows(server, good={}, old={"exp": time.time() - 100})
        client = await secure(office)
        for _ in range(5):  # one that has expired was good, and is no guess
            await client.say(f"AUTH {said('OAUTHBEARER', ANA, 'old')}")
            assert (await client.say("AQ==")).startswith("535 ")
        for number in range(4):
            await client.say(f"AUTH {said('OAUTHBEARER', ANA, f'guess{number}')}")
            assert (await client.say("AQ==")).startswith("535 ")
        assert (await client.say(f"AUTH {said('OAUTHBEARER', ANA, 'good')}")).startswith("454 ")

    play(test)


def test_a_disabled_account_is_not_let_in(play: Play) -> None:
    async def test(office: Office, server: WebServer) -> None:
        knows(server, good={})
        await office.change(lambda tx: accounts.set_enabled(tx, Address.parse(ANA), False))
        client = await secure(office)
        assert (await client.say(f"AUTH {said('OAUTHBEARER', ANA, 'good')}")).startswith("5")

    play(test)


def test_a_signed_token_logs_in_and_one_of_another_key_does_not(play: Play) -> None:
    async def test(office: Office, server: WebServer) -> None:
        server.says = answer(key_set(signer("ES256")), "application/json")
        client = await secure(office)
        forged = signer("ES256", "forged").sign(header={"kid": "first"}, exp=time.time() + 60, scope="mail")
        assert (await client.say(f"AUTH {said('OAUTHBEARER', ANA, forged)}")).startswith("334 ")
        assert (await client.say("AQ==")).startswith("535 ")
        good = signer("ES256").sign(exp=time.time() + 60, scope="mail")
        assert (await client.say(f"AUTH {said('OAUTHBEARER', ANA, good)}")).startswith("235 ")

    play(test, signed=True)


def test_tokens_are_taken_no_more_when_the_setting_goes(play: Play) -> None:
    async def test(office: Office, server: WebServer) -> None:
        knows(server, good={})
        assert "XOAUTH2" in await (await secure(office)).say("EHLO client.example.net")
        await office.office.reload(office.office.settings.model_copy(update={"oauth": None}))
        assert "XOAUTH2" not in await (await secure(office)).say("EHLO client.example.net")

    play(test)


def test_our_own_client_logs_in_with_a_token(play: Play) -> None:
    async def test(office: Office, server: WebServer) -> None:
        knows(server, good={})
        async with await SmtpClient.connect(
            "localhost",
            office.office.port(ListenerKind.SUBMISSION),
            local_name="client.example.net",
            tls=TlsMode.STARTTLS,
            context=client_context(office.issued.authority),
        ) as client:
            await client.login_with_token(ANA, "good", host="localhost")

    play(test)


def test_the_standard_librarys_clients_log_in_by_xoauth2(play: Play) -> None:
    def by_smtp(port: int, context: Any) -> int:
        with smtplib.SMTP("localhost", port, timeout=20) as client:
            client.starttls(context=context)
            client.ehlo("client.example.net")
            text = f"user={ANA}\x01auth=Bearer good\x01\x01"
            code, _ = client.auth("XOAUTH2", lambda challenge=None: text if challenge is None else "")
            return code

    def by_pop3(port: int, context: Any) -> tuple[bytes, int]:
        client = poplib.POP3_SSL("localhost", port, context=context, timeout=20)
        try:
            assert client.capa()["SASL"][-2:] == ["OAUTHBEARER", "XOAUTH2"]
            return client._shortcmd(f"AUTH {said('XOAUTH2', ANA, 'good')}"), client.stat()[0]  # type: ignore[attr-defined]
        finally:
            client.close()

    async def test(office: Office, server: WebServer) -> None:
        knows(server, good={})
        context, port = client_context(office.issued.authority), office.office.port
        assert await asyncio.to_thread(by_smtp, port(ListenerKind.SUBMISSION), context) == 235
        answered, messages = await asyncio.to_thread(by_pop3, port(ListenerKind.POP3S), context)
        assert answered.startswith(b"+OK") and messages == 0

    play(test)


@pytest.mark.rfc("5034 §4", "The error of a refused token is a challenge, and its answer ends the exchange.")
@pytest.mark.rfc("3206 §4", "A token that cannot be checked now is answered SYS/TEMP, one that is refused AUTH.")
def test_pop3_refuses_and_defers_as_smtp_does(play: Play) -> None:
    async def test(office: Office, server: WebServer) -> None:
        knows(server, good={})
        port, context = office.office.port(ListenerKind.POP3S), client_context(office.issued.authority)
        stream = await connect("127.0.0.1", port, context=context, server_hostname="localhost")
        lines = Lines(stream)
        say = lines.say
        assert (await lines.line()).startswith("+OK ")

        told = await say(f"AUTH {said('OAUTHBEARER', ANA, 'bad')}")
        assert json.loads(b64decode(told.removeprefix("+ ")))["status"] == "invalid_token"
        assert (await say("AQ==")).startswith("-ERR [AUTH] ")
        server.says = answer("oops", status="503 Not now")
        assert (await say(f"AUTH {said('OAUTHBEARER', ANA, 'good')}")).startswith("-ERR [SYS/TEMP] ")
        knows(server, good={})
        assert (await say(f"AUTH {said('OAUTHBEARER', ANA, 'good')}")).startswith("+OK ")
        await stream.close()

    play(test)


def test_pop3_offers_tokens_over_tls_alone(play: Play) -> None:
    def capabilities(port: int, context: Any) -> tuple[list[str], list[str]]:
        client = poplib.POP3("localhost", port, timeout=20)
        try:
            before = client.capa().get("SASL", [])
            client.stls(context)
            return before, client.capa()["SASL"]
        finally:
            client.close()

    async def test(office: Office, server: WebServer) -> None:
        context, port = client_context(office.issued.authority), office.office.port(ListenerKind.POP3)
        before, after = await asyncio.to_thread(capabilities, port, context)
        assert "XOAUTH2" in after and "XOAUTH2" not in before and "PLAIN" in before

    play(test)
