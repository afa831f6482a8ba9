"""Logins by client certificate (SASL EXTERNAL) through a running post office, over real TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.agents.conftest import NO_DNS, Client, Office, populate
from tests.net.certificates import PEM, Certified, certify

from estafeta.app import PostOffice, new_event_loop
from estafeta.client import LoginImpossible, SmtpClient, TlsMode
from estafeta.config.settings import Listen, ListenerKind, Settings, TlsSettings
from estafeta.mail.address import Address
from estafeta.net.authority import Issued
from estafeta.net.certificates import client_certificate
from estafeta.net.errors import NetError
from estafeta.net.stream import SocketStream, connect
from estafeta.net.tls import client_context
from estafeta.store import accounts, certificates
from estafeta.store.records import Instant

ANA, LUIS = "ana@example.org", "luis@example.org"
KINDS = (ListenerKind.SMTP, ListenerKind.SUBMISSION, ListenerKind.SUBMISSIONS, ListenerKind.POP3, ListenerKind.POP3S)
NOW = datetime.now(UTC)


def made(common: str, issuer: Certified | None = None, **more: Any) -> Certified:
    return certify(common, issuer, now=NOW, **more)


AUTHORITY = made("Authority of people", is_authority=True, signs=True)
STRANGERS = made("Somebody else's authority", is_authority=True, signs=True)


class People:
    """A running post office, and clients with certificates."""

    def __init__(self, office: Office, folder: Path) -> None:
        self.office = office
        self._folder = folder
        self._streams: list[SocketStream] = []

    def context(self, certificate: Certified | None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """A client's, with its certificate."""
        context = client_context(self.office.issued.authority)
        if version is not None:
            context.maximum_version = version
        if certificate is not None:
            context.load_cert_chain(*certificate.write(self._folder))
        return context

    async def stream(self, kind: ListenerKind, context: ssl.SSLContext | None) -> SocketStream:
        """A connection, over TLS from the start where there is a context."""
        name = None if context is None else "localhost"
        stream = await connect("127.0.0.1", self.office.office.port(kind), context=context, server_hostname=name)
        self._streams.append(stream)
        stream.set_deadline(20)
        return stream

    async def submitter(self, certificate: Certified | None, version: ssl.TLSVersion | None = None) -> Client:
        """Over STARTTLS; what EHLO says is yet to be asked."""
        stream = await self.stream(ListenerKind.SUBMISSION, None)
        client = Client(stream)
        await client.reply()
        await client.say("EHLO client.example.net")
        await client.say("STARTTLS")
        await stream.start_tls(self.context(certificate, version), server_hostname="localhost")
        return client

    async def close(self) -> None:
        """Leave nothing open."""
        for stream in self._streams:
            await stream.close()


Test = Callable[[People], Coroutine[Any, Any, None]]
Play = Callable[..., None]


@pytest.fixture
def play(tmp_path: Path, issued: Issued) -> Play:
    """Run a test's coroutine with a post office that asks for certificates of these authorities."""

    def play_it(test: Test, *authorities: Certified) -> None:
        file = tmp_path / "people.pem"
        file.write_bytes(b"".join(each.certificate.public_bytes(PEM) for each in authorities or (AUTHORITY,)))

        async def main() -> None:
            settings = Settings(
                hostname="mx.example.org",
                data=tmp_path / "data",
                listen=tuple(Listen(kind=kind, address="127.0.0.1", port=0) for kind in KINDS),
                tls=TlsSettings(certificate=issued.certificate, key=issued.key, client_authorities=file),
                dns=NO_DNS,
            )
            async with asyncio.timeout(60), PostOffice(settings) as office:
                await office.store.write(populate)
                people = People(Office(office, issued), tmp_path)
                try:
                    await test(people)
                finally:
                    await people.close()

        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(main())

    return play_it


def mechanisms(hello: str) -> list[str]:
    """Those that a reply to EHLO offers."""
    return next((line[4:].split()[1:] for line in hello.split("\n") if line[4:].startswith("AUTH ")), [])


@pytest.mark.rfc("4422 appendix A", "A client whose certificate names an account logs in by EXTERNAL.")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_with_the_accounts_address_logs_in(play: Play, version: ssl.TLSVersion) -> None:
    async def test(people: People) -> None:
        client = await people.submitter(made("Ana", AUTHORITY, names=("ANA@Example.org",)), version)
        assert mechanisms(await client.say("EHLO client.example.net"))[0] == "EXTERNAL"
        assert (await client.say("AUTH EXTERNAL =")).startswith("235 2.7.0 ")
        assert (await client.send(ANA, LUIS, b"Subject: hello\r\n\r\nhello\r\n")).startswith("250 ")
        assert len(await people.office.mailbox(LUIS)) == 1

    play(test)


@pytest.mark.rfc("9598 §3", "A mail address that is not ASCII stands in a SmtpUTF8Mailbox.")
def test_an_address_that_is_not_ascii_names_an_account_too(play: Play) -> None:
    async def test(people: People) -> None:
        address = Address.parse("josé@example.org")
        await people.office.change(lambda tx: accounts.add(tx, address, password=None, now=Instant(0.0)))
        client = await people.submitter(made("José", AUTHORITY, names=("nobody@example.net", "josé@example.org")))
        assert "EXTERNAL" in mechanisms(await client.say("EHLO client.example.net"))
        assert (await client.say("AUTH EXTERNAL")).strip() == "334"
        assert (await client.say("")).startswith("235 ")

    play(test)


@pytest.mark.rfc("4422 appendix A.1", "The client may name itself as whom to act for, and nobody else.")
@pytest.mark.parametrize(
    ("authorization", "code"), [("YW5hQGV4YW1wbGUub3Jn", 235), ("bHVpc0BleGFtcGxlLm9yZw==", 535), ("AA==", 535)]
)
def test_nobody_acts_for_another(play: Play, authorization: str, code: int) -> None:
    async def test(people: People) -> None:
        client = await people.submitter(made("Ana", AUTHORITY, names=(ANA,)))
        await client.say("EHLO client.example.net")
        assert (await client.say_all(f"AUTH EXTERNAL {authorization}")) == [code]

    play(test)


@pytest.mark.parametrize("names", [(), ("nobody@example.org",), ("team@example.org",), ("example.org",)])
def test_a_certificate_that_names_no_account_is_offered_nothing(play: Play, names: tuple[str, ...]) -> None:
    async def test(people: People) -> None:
        client = await people.submitter(made("ana@example.org", AUTHORITY, names=names))
        assert mechanisms(await client.say("EHLO client.example.net")) == ["SCRAM-SHA-256", "PLAIN", "LOGIN"]
        assert (await client.say("AUTH EXTERNAL =")).startswith("504 ")
        assert (await client.login("ana")).startswith("235 ")

    play(test)


def test_a_client_without_a_certificate_logs_in_as_before(play: Play) -> None:
    async def test(people: People) -> None:
        client = await people.submitter(None)
        assert "EXTERNAL" not in mechanisms(await client.say("EHLO client.example.net"))
        assert (await client.say("AUTH EXTERNAL =")).startswith("504 ")
        assert (await client.login("ana")).startswith("235 ")

    play(test)


def test_nothing_is_offered_before_tls(play: Play) -> None:
    async def test(people: People) -> None:
        client = Client(await people.stream(ListenerKind.SUBMISSION, None))
        await client.reply()
        assert "EXTERNAL" not in mechanisms(await client.say("EHLO client.example.net"))

    play(test)


@pytest.mark.parametrize(
    "certificate",
    [
        made("Ana", STRANGERS, names=(ANA,)),
        made("Ana", names=(ANA,)),
        made("Ana", AUTHORITY, names=(ANA,), days=(-10, -1)),
        made("Ana", AUTHORITY, names=(ANA,), usages=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    ],
    ids=["unknown authority", "signed by itself", "expired", "for servers"],
)
def test_a_certificate_that_does_not_verify_fails_the_handshake(play: Play, certificate: Certified) -> None:
    async def test(people: People) -> None:
        # With TLS 1.3 the client learns of it when it reads.
        with pytest.raises(NetError):
            client = Client(await people.stream(ListenerKind.SUBMISSIONS, people.context(certificate)))
            if not await client.reply():
                raise NetError("nothing came")

    play(test)


@pytest.mark.rfc("8446 §4.3.2", "Hosts of strangers are not asked for a certificate, whatever they would show.")
def test_hosts_of_strangers_are_not_asked(play: Play) -> None:
    async def test(people: People) -> None:
        stream = await people.stream(ListenerKind.SMTP, None)
        client = Client(stream)
        await client.reply()
        await client.say("EHLO client.example.net")
        await client.say("STARTTLS")
        await stream.start_tls(people.context(made("mx", STRANGERS, names=(ANA,))), server_hostname="localhost")
        assert "EXTERNAL" not in mechanisms(await client.say("EHLO client.example.net"))
        assert (await client.send("x@example.net", ANA, b"Subject: hello\r\n\r\nhello\r\n")).startswith("250 ")

    play(test)


def test_a_certificate_that_was_added_by_its_fingerprint_logs_in(play: Play) -> None:
    # Signed by itself and without an address: it is in the file of authorities, and entered for the account.
    phone = made("Ana's telephone")

    async def test(people: People) -> None:
        client = await people.submitter(phone)
        assert "EXTERNAL" not in mechanisms(await client.say("EHLO client.example.net"))
        kept, address = client_certificate(phone.der), Address.parse(ANA)
        await people.office.change(
            lambda tx: certificates.add(tx, address, kept.fingerprint, subject=kept.subject, now=Instant(0.0))
        )
        client = await people.submitter(phone)
        assert "EXTERNAL" in mechanisms(await client.say("EHLO client.example.net"))
        assert (await client.say("AUTH EXTERNAL =")).startswith("235 ")
        await people.office.change(lambda tx: certificates.remove(tx, address, kept.fingerprint))
        client = await people.submitter(phone)
        assert "EXTERNAL" not in mechanisms(await client.say("EHLO client.example.net"))

    play(test, AUTHORITY, phone)


def test_the_fingerprint_goes_before_the_names(play: Play) -> None:
    shared = made("Shared", AUTHORITY, names=(ANA,))

    async def test(people: People) -> None:
        kept, luis = client_certificate(shared.der), Address.parse(LUIS)
        await people.office.change(
            lambda tx: certificates.add(tx, luis, kept.fingerprint, subject="", now=Instant(0.0))
        )
        client = await people.submitter(shared)
        await client.say("EHLO client.example.net")
        assert (await client.say("AUTH EXTERNAL =")).startswith("235 ")
        assert (await client.send(LUIS, ANA, b"Subject: hello\r\n\r\nhello\r\n")).startswith("250 ")
        assert [each for each in await people.office.journal(LUIS) if each.facts.get("account") == LUIS]

    play(test)


def test_authorities_are_read_again(play: Play, tmp_path: Path) -> None:
    async def test(people: People) -> None:
        for authority, other in ((STRANGERS, AUTHORITY), (AUTHORITY, STRANGERS)):
            (tmp_path / "people.pem").write_bytes(authority.certificate.public_bytes(PEM))
            await people.office.office.reload(people.office.office.settings)
            client = await people.submitter(made("Ana", authority, names=(ANA,)))
            assert "EXTERNAL" in mechanisms(await client.say("EHLO client.example.net"))
            with pytest.raises(NetError):
                client = await people.submitter(made("Ana", other, names=(ANA,)))
                if not await client.say("EHLO client.example.net"):
                    raise NetError("nothing came")

    play(test)


def test_certificates_are_asked_for_no_more_when_the_setting_goes(play: Play) -> None:
    async def test(people: People) -> None:
        office = people.office.office
        assert office.settings.tls is not None
        tls = office.settings.tls.model_copy(update={"client_authorities": None})
        await office.reload(office.settings.model_copy(update={"tls": tls}))
        client = await people.submitter(made("Ana", STRANGERS, names=(ANA,)))
        assert "EXTERNAL" not in mechanisms(await client.say("EHLO client.example.net"))

    play(test)


def test_a_disabled_account_is_not_let_in(play: Play) -> None:
    async def test(people: People) -> None:
        client = await people.submitter(made("Ana", AUTHORITY, names=(ANA,)))
        await client.say("EHLO client.example.net")
        await people.office.change(lambda tx: accounts.set_enabled(tx, Address.parse(ANA), False))
        assert (await client.say("AUTH EXTERNAL ="))[0] == "5"

    play(test)


def test_our_own_client_logs_in_over_implicit_tls(play: Play) -> None:
    async def test(people: People) -> None:
        port = people.office.office.port(ListenerKind.SUBMISSIONS)
        for names, is_known in (((ANA,), True), ((), False)):
            context = people.context(made("Ana", AUTHORITY, names=names))
            async with await SmtpClient.connect(
                "localhost", port, local_name="client.example.net", tls=TlsMode.IMPLICIT, context=context
            ) as client:
                if is_known:
                    await client.login_with_certificate(ANA)
                else:
                    with pytest.raises(LoginImpossible):
                        await client.login_with_certificate()

    play(test)


class Lines:
    """A POP3 client that knows nothing but lines."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self._buffer = b""

    async def line(self) -> str:
        while b"\r\n" not in self._buffer:
            octets = await self.stream.receive()
            assert octets
            self._buffer += octets
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line.decode()

    async def say(self, line: str) -> str:
        """A command, and the line that answers it."""
        self.stream.send(line.encode() + b"\r\n")
        return await self.line()

    async def mechanisms(self) -> list[str]:
        """What CAPA says of SASL."""
        found: list[str] = []
        line = await self.say("CAPA")
        while line != ".":
            if line.startswith("SASL "):
                found = line.split()[1:]
            line = await self.line()
        return found


@pytest.mark.rfc("5034 §4", "EXTERNAL logs in to POP3, over TLS from the start and by STLS.")
@pytest.mark.parametrize("kind", [ListenerKind.POP3S, ListenerKind.POP3])
def test_pop3_takes_certificates_too(play: Play, kind: ListenerKind) -> None:
    async def test(people: People) -> None:
        for certificate, is_known in ((made("Ana", AUTHORITY, names=(ANA,)), True), (None, False)):
            context = people.context(certificate)
            client = Lines(await people.stream(kind, context if kind.implicit_tls else None))
            assert (await client.line()).startswith("+OK ")
            if not kind.implicit_tls:
                assert "EXTERNAL" not in await client.mechanisms()
                await client.say("STLS")
                await client.stream.start_tls(context, server_hostname="localhost")
            assert ("EXTERNAL" in await client.mechanisms()) == is_known
            assert (await client.say("AUTH EXTERNAL =")).startswith("+OK " if is_known else "-ERR ")

    play(test)
