"""Logins through the post office: each mechanism that takes a password, and each code of a refusal (RFC 4954 §6)."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.agents.conftest import PASSWORD, Client, Office, populate

from estafeta.agents.settings import SmtpLimits
from estafeta.app import PostOffice, new_event_loop
from estafeta.config.settings import Listen, ListenerKind, Settings, SmtpSettings, TlsSettings
from estafeta.mail.address import Address
from estafeta.net.authority import Issued
from estafeta.policy.guard import LoginSettings, Mechanism
from estafeta.store import accounts
from estafeta.store.passwords import hash_password
from estafeta.wire import sasl

ANA = "ana@example.org"
ALL = tuple(Mechanism)

Play = Callable[[Callable[[Office], Coroutine[Any, Any, None]], LoginSettings], None]


@pytest.fixture
def play(tmp_path: Path, issued: Issued) -> Play:
    """Run a test's coroutine with a post office that takes logins in this way."""

    @asynccontextmanager
    async def opened(login: LoginSettings) -> AsyncIterator[Office]:
        settings = Settings(
            hostname="mx.example.org",
            data=tmp_path / "data",
            listen=(
                Listen(kind=ListenerKind.SUBMISSION, address="127.0.0.1", port=0),
                Listen(kind=ListenerKind.SUBMISSIONS, address="127.0.0.1", port=0),
            ),
            tls=TlsSettings(certificate=issued.certificate, key=issued.key),
            smtp=SmtpSettings(limits=SmtpLimits(auth_line=200)),
            login=login,
        )
        async with PostOffice(settings) as office:
            await office.store.write(populate)
            tested = Office(office, issued)
            try:
                yield tested
            finally:
                await tested.close()

    def play_it(test: Callable[[Office], Coroutine[Any, Any, None]], login: LoginSettings) -> None:
        async def main() -> None:
            async with asyncio.timeout(60), opened(login) as office:
                await test(office)

        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(main())

    return play_it


async def log_in(client: Client, name: str, password: str = PASSWORD, identity: str = ANA) -> str:
    """The last reply of an exchange."""
    mechanism = sasl.client_mechanism(name, identity, password, nonce="n0nce", channel_binding=None)
    initial = mechanism.initial()
    words = f"AUTH {name}" if initial is None else f"AUTH {name} {b64encode(initial).decode()}"
    reply = await client.say(words)
    while reply.startswith("334"):
        reply = await client.say(b64encode(mechanism.step(b64decode(reply[4:]))))
    return reply


async def over_tls(office: Office) -> Client:
    return await office.client(ListenerKind.SUBMISSION, tls=True)


async def give_keys(office: Office) -> None:
    """As `estafeta account password` does while all mechanisms are on."""
    hashed = await asyncio.to_thread(hash_password, PASSWORD, ALL)
    await office.change(lambda tx: accounts.set_password(tx, Address.parse(ANA), hashed))


@pytest.mark.rfc("4954 §4", "Each mechanism lets the right password in, and no other.")
@pytest.mark.parametrize("name", [each.value for each in ALL])
def test_each_mechanism_lets_the_right_password_in(play: Play, name: str) -> None:
    async def test(office: Office) -> None:
        await give_keys(office)
        client = await over_tls(office)
        assert (await log_in(client, name, "wrong")).startswith("535 5.7.8 ")
        assert (await log_in(client, name, identity="nobody@example.org")).startswith("535 5.7.8 ")
        assert (await log_in(client, name)).startswith("235 2.7.0 ")
        assert (await client.say(f"MAIL FROM:<{ANA}>")).startswith("250 ")

    play(test, LoginSettings(mechanisms=ALL))


def test_older_mechanisms_are_off_where_nobody_turned_them_on(play: Play) -> None:
    async def test(office: Office) -> None:
        client = await over_tls(office)
        lines = (await client.say("EHLO c")).splitlines()
        assert "250-AUTH SCRAM-SHA-256 PLAIN LOGIN" in lines
        for name in ("SCRAM-SHA-1", "CRAM-MD5"):
            assert (await log_in(client, name)).startswith("504 5.5.4 ")

    play(test, LoginSettings())


@pytest.mark.rfc(
    "4954 §6", "432 tells the user's own client, and no stranger, that one login with PLAIN is needed first."
)
@pytest.mark.parametrize("name", ["SCRAM-SHA-1", "CRAM-MD5"])
def test_an_account_without_keys_gets_them_by_a_login_with_plain(play: Play, name: str) -> None:
    async def test(office: Office) -> None:
        # For a stranger it is as any other account.
        assert (await log_in(await over_tls(office), name)).startswith("535 5.7.8 ")
        assert (await log_in(await over_tls(office), "SCRAM-SHA-256")).startswith("235 ")
        assert (await log_in(await over_tls(office), name)).startswith("432 4.7.12 ")
        assert (await log_in(await over_tls(office), "PLAIN")).startswith("235 ")
        assert (await log_in(await over_tls(office), name)).startswith("235 ")

    play(test, LoginSettings(mechanisms=ALL))


@pytest.mark.rfc("5248", "525 5.7.13: the account is disabled, told to who knows the password alone.")
def test_a_disabled_account_is_told_so_after_the_right_password(play: Play) -> None:
    async def test(office: Office) -> None:
        await office.change(lambda tx: accounts.set_enabled(tx, Address.parse(ANA), False))
        client = await over_tls(office)
        for name in ("PLAIN", "SCRAM-SHA-256"):
            assert (await log_in(client, name)).startswith("525 5.7.13 ")
            assert (await log_in(client, name, "wrong")).startswith("535 5.7.8 ")

    play(test, LoginSettings())


@pytest.mark.rfc("4954 §6", "534: the account's password must not be sent.")
@pytest.mark.parametrize("listed", [ANA, "@example.org"])
def test_an_account_may_have_to_prove_its_password(play: Play, listed: str) -> None:
    async def test(office: Office) -> None:
        client = await over_tls(office)
        for name in ("PLAIN", "LOGIN"):
            for password in (PASSWORD, "wrong"):
                assert (await log_in(client, name, password)).startswith("534 5.7.9 ")
        assert (await log_in(client, "SCRAM-SHA-256")).startswith("235 ")

    play(test, LoginSettings(only_proved=(listed,)))


@pytest.mark.rfc(
    "4954 §6", "538: a mechanism that needs TLS. RFC 5248 has 523 where the password would be in the clear."
)
def test_no_mechanism_is_used_in_the_clear(play: Play) -> None:
    async def test(office: Office) -> None:
        client = await office.client(ListenerKind.SUBMISSION)
        for name in ("PLAIN", "LOGIN"):
            assert (await log_in(client, name)).startswith("523 5.7.10 ")
        for name in ("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5"):
            assert (await log_in(client, name)).startswith("538 5.7.11 ")

    play(test, LoginSettings(mechanisms=ALL))


@pytest.mark.rfc(
    "4954 §6", "454 where logins are locked, whatever the password; 500 5.5.6 for a line that is too long."
)
def test_other_refusals(play: Play) -> None:
    async def test(office: Office) -> None:
        client = await over_tls(office)
        assert (await client.say("AUTH PLAIN")) == "334 "
        assert (await client.say(b"x" * 300)).startswith("500 5.5.6 ")
        assert (await client.say("AUTH PLAIN")) == "334 "
        assert (await client.say("*")).startswith("501 5.7.0 ")
        assert (await client.say("AUTH PLAIN !")).startswith("501 5.5.2 ")
        assert (await client.say("AUTH")).startswith("501 5.5.4 ")
        for _ in range(2):
            assert (await log_in(client, "PLAIN", "wrong")).startswith("535 ")
        assert (await log_in(client, "PLAIN")).startswith("454 4.7.0 ")
        other = await over_tls(office)
        assert (await log_in(other, "PLAIN", identity="luis@example.org")).startswith("235 ")
        assert (await log_in(other, "PLAIN", identity="luis@example.org")).startswith("503 5.5.1 ")

    play(test, LoginSettings(slow_after=100, lock_after=2))


def test_a_password_is_hashed_again_after_it_was_changed(play: Play) -> None:
    async def test(office: Office) -> None:
        for _ in range(3):
            assert (await log_in(await over_tls(office), "PLAIN")).startswith("235 ")
        hashed = await asyncio.to_thread(hash_password, "another one")
        await office.change(lambda tx: accounts.set_password(tx, Address.parse(ANA), hashed))
        assert (await log_in(await over_tls(office), "PLAIN")).startswith("535 ")
        assert (await log_in(await over_tls(office), "PLAIN", "another one")).startswith("235 ")

    play(test, LoginSettings())


@pytest.mark.rfc("2195", "A foreign client logs in.")
def test_smtplib_logs_in_with_cram_md5(play: Play) -> None:
    async def test(office: Office) -> None:
        await give_keys(office)
        context = ssl.create_default_context(cafile=office.issued.authority)

        def talk() -> tuple[int, bytes]:
            port = office.office.port(ListenerKind.SUBMISSIONS)
            with smtplib.SMTP_SSL("localhost", port, context=context, timeout=20) as client:
                client.ehlo()
                client.user, client.password = ANA, PASSWORD
                return client.auth("CRAM-MD5", client.auth_cram_md5)

        assert (await asyncio.to_thread(talk))[0] == 235

    play(test, LoginSettings(mechanisms=ALL))
