"""curl and msmtp: logins by token and by certificate, as programs of others do them, over TLS that they verify."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.agents.conftest import NO_DNS, Office, populate
from tests.net.certificates import PEM, certify
from tests.net.webserver import answer, serving
from tests.peers.conftest import Run, program
from tests.policy.tokens import AUDIENCE, ISSUER, key_set, signer

from estafeta.app import PostOffice
from estafeta.config.settings import Listen, ListenerKind, Settings, TlsSettings
from estafeta.net.authority import Issued, issue
from estafeta.policy.oauth import OAuthSettings

pytestmark = pytest.mark.peers

ANA, LUIS = "ana@example.org", "luis@example.org"
LETTER = b"From: ana@example.org\nSubject: hello\n\nhello\n"
EX_NOPERM = 77
CURL_LOGIN_DENIED = 67

Arguments = Callable[[int, int, Issued], list[str | Path]]
"""The command, by the ports of submission and pop3s."""


@pytest.fixture
def play(tmp_path: Path, run: Run) -> Callable[[Arguments], tuple[int, int]]:
    """Run a program beside a post office; gives its exit status and how many messages Luis has then."""
    issued = issue(tmp_path / "tls", ["localhost"])
    people = certify("People", is_authority=True, signs=True, now=datetime.now(UTC))
    (tmp_path / "people.pem").write_bytes(people.certificate.public_bytes(PEM))
    certify("Ana", people, names=(ANA,), now=datetime.now(UTC)).write(tmp_path)

    async def main(arguments: Arguments) -> tuple[int, int]:
        says = answer(key_set(signer("RS256")), "application/json")
        async with serving(tmp_path / "web", ["localhost"], "", says) as server:
            settings = Settings(
                hostname="mx.example.org",
                data=tmp_path / "data",
                listen=tuple(
                    Listen(kind=kind, address="127.0.0.1", port=0)
                    for kind in (ListenerKind.SUBMISSION, ListenerKind.POP3S)
                ),
                tls=TlsSettings(
                    certificate=issued.certificate, key=issued.key, client_authorities=tmp_path / "people.pem"
                ),
                oauth=OAuthSettings(
                    ISSUER,
                    AUDIENCE,
                    jwks_url=f"https://localhost:{server.port}/keys",
                    ca_file=tmp_path / "web" / "authority.pem",
                ),
                dns=NO_DNS,
            )
            async with PostOffice(settings) as office:
                await office.store.write(populate)
                ports = office.port(ListenerKind.SUBMISSION), office.port(ListenerKind.POP3S)
                done = await asyncio.to_thread(run, *arguments(*ports, issued), stdin=LETTER)
                return done.returncode, len(await Office(office, issued).mailbox(LUIS))

    return lambda arguments: asyncio.run(main(arguments))


def token(**claims: Any) -> str:
    said: dict[str, Any] = {"exp": time.time() + 60}
    return signer("RS256").sign(**(said | claims))


def msmtp(port: int, issued: Issued, *more: str | Path) -> list[str | Path]:
    return [
        program("msmtp", "msmtp"), "--host=localhost", f"--port={port}", f"--from={ANA}", f"--user={ANA}",
        "--tls=on", "--tls-starttls=on", f"--tls-trust-file={issued.authority}", *more, LUIS,
    ]  # fmt: skip


@pytest.mark.parametrize("mechanism", ["oauthbearer", "xoauth2"])
@pytest.mark.parametrize(("exp", "status", "messages"), [(60, 0, 1), (-60, EX_NOPERM, 0)])
def test_msmtp_sends_with_a_token(
    play: Callable[[Arguments], tuple[int, int]], mechanism: str, exp: int, status: int, messages: int
) -> None:
    said = token(exp=time.time() + exp)
    options = (f"--auth={mechanism}", f"--passwordeval=echo {said}")
    assert play(lambda port, _, issued: msmtp(port, issued, *options)) == (status, messages)


def test_msmtp_sends_with_a_certificate(play: Callable[[Arguments], tuple[int, int]], tmp_path: Path) -> None:
    files = (f"--tls-cert-file={tmp_path / 'made.pem'}", f"--tls-key-file={tmp_path / 'made.key'}")
    assert play(lambda port, _, issued: msmtp(port, issued, "--auth=external", *files)) == (0, 1)


def curl(url: str, issued: Issued, *more: str | Path) -> list[str | Path]:
    return [program("curl", "curl"), "-sS", "--ssl-reqd", "--cacert", issued.authority, *more, url]


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
@pytest.mark.parametrize(("email", "status", "messages"), [(ANA, 0, 1), (LUIS, CURL_LOGIN_DENIED, 0)])
def test_curl_sends_with_a_token(
    play: Callable[[Arguments], tuple[int, int]], mechanism: str, email: str, status: int, messages: int
) -> None:
    login = ("--user", f"{ANA}:", "--oauth2-bearer", token(email=email), "--login-options", f"AUTH={mechanism}")
    mail = ("--mail-from", ANA, "--mail-rcpt", LUIS, "--upload-file", "-", "--crlf")
    done = play(lambda port, _, issued: curl(f"smtp://localhost:{port}", issued, *login, *mail))
    assert done == (status, messages)


@pytest.mark.parametrize(("email", "status"), [(ANA, 0), (LUIS, CURL_LOGIN_DENIED)])
def test_curl_reads_a_mailbox_with_a_token(
    play: Callable[[Arguments], tuple[int, int]], email: str, status: int
) -> None:
    login = ("--user", f"{ANA}:", "--oauth2-bearer", token(email=email))
    assert play(lambda _, port, issued: curl(f"pop3s://localhost:{port}/", issued, *login))[0] == status


@pytest.mark.parametrize(("name", "status"), [(ANA, 0), (LUIS, CURL_LOGIN_DENIED)])
def test_curl_reads_a_mailbox_with_a_certificate(
    play: Callable[[Arguments], tuple[int, int]], tmp_path: Path, name: str, status: int
) -> None:
    files = ("--cert", tmp_path / "made.pem", "--key", tmp_path / "made.key")
    login = ("--user", f"{name}:", "--login-options", "AUTH=EXTERNAL")
    assert play(lambda _, port, issued: curl(f"pop3s://localhost:{port}/", issued, *files, *login))[0] == status
