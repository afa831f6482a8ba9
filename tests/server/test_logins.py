"""Who logs in, by which mechanism, and what is demanded before mail is taken."""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path

import pytest
from tests.server.dialogue import ENVELOPE, Line, talk

from estafeta.client import Client, Refused, TlsMode
from estafeta.net.authority import Issued, issue
from estafeta.net.tls import ServerTls
from estafeta.server import Collector, ScramKeys, Server, ServerLimits, Session

SCRAM, SCRAM_PLUS = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return issue(Path(tmp_path_factory.mktemp("tls")), ["localhost", "127.0.0.1"])


class Checking(Collector):
    """Knows one user by the password."""

    async def on_login(self, session: Session, identity: str, password: str) -> bool:
        if identity == "broken":
            raise OSError("no directory")
        return (identity, password) == ("ana", "secret")


class Keyed(Collector):
    """Knows one user by the keys."""

    async def on_keys(self, session: Session, identity: str) -> ScramKeys | None:
        return ScramKeys.of("secret", bytes(16)) if identity == "ana" else None


def plain(identity: str, password: str, authorization: str = "") -> str:
    return "AUTH PLAIN " + base64.b64encode(f"{authorization}\0{identity}\0{password}".encode()).decode()


async def offers(line: Line) -> str:
    hello = await line.say("EHLO x.example")
    return next((each[4:] for each in hello.splitlines() if each[4:8] == "AUTH"), "")


async def log_in(server: Server, mechanism: str, password: str, issued: Issued | None = None) -> str | None:
    """Who is logged in afterwards, by our own client; None after a refusal."""
    tls = TlsMode.NONE if issued is None else TlsMode.STARTTLS
    ca_file = None if issued is None else issued.authority
    collector = server.handler
    assert isinstance(collector, Collector)
    async with server, Client("localhost", port=server.port, tls=tls, ca_file=ca_file) as client:
        try:
            await client.login("ana", password, mechanisms=[mechanism])
        except Refused as refused:
            assert refused.reply.code == 535
            return None
        await client.send(b"Subject: x\r\n\r\n", sender="ana@example.org", recipients="luis@example.net")
    return collector.messages[-1].session.identity


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", SCRAM])
@pytest.mark.parametrize(("password", "who"), [("secret", "ana"), ("wrong", None), ("secret ", None)])
def test_passwords_that_the_program_knows_serve_every_mechanism(mechanism: str, password: str, who: str | None) -> None:
    assert asyncio.run(log_in(Server(Collector(), passwords={"ana": "secret"}), mechanism, password)) == who


@pytest.mark.rfc("5929 §4", "The server of the library binds SCRAM to its certificate.")
def test_scram_is_bound_to_tls_where_the_certificate_is_known(issued: Issued) -> None:
    server = Server(Collector(), passwords={"ana": "secret"}, tls=ServerTls(issued.certificate, issued.key))
    assert asyncio.run(log_in(server, SCRAM_PLUS, "secret", issued)) == "ana"


def test_a_lookup_is_asked_for_each_login() -> None:
    asked = []

    async def password_of(identity: str) -> str | None:
        asked.append(identity)
        return "secret" if identity == "ana" else None

    for mechanism in ("PLAIN", SCRAM):
        assert asyncio.run(log_in(Server(Collector(), passwords=password_of), mechanism, "secret")) == "ana"
    assert asked == ["ana", "ana"]


@pytest.mark.parametrize(("handler", "mechanism"), [(Checking, "PLAIN"), (Checking, "LOGIN"), (Keyed, SCRAM)])
@pytest.mark.parametrize(("password", "who"), [("secret", "ana"), ("wrong", None)])
def test_a_handler_checks_logins_itself(
    handler: type[Collector], mechanism: str, password: str, who: str | None
) -> None:
    assert asyncio.run(log_in(Server(handler()), mechanism, password)) == who


def test_what_is_offered_is_what_can_be_answered() -> None:
    assert talk(Server(Collector()), offers) == ""
    assert talk(Server(Checking()), offers) == "AUTH PLAIN LOGIN"
    assert talk(Server(Keyed()), offers) == "AUTH SCRAM-SHA-256"
    assert talk(Server(Keyed(), passwords={}), offers) == "AUTH SCRAM-SHA-256 PLAIN LOGIN"
    assert talk(Server(Keyed(), passwords={}, mechanisms=["plain"]), offers) == "AUTH PLAIN"
    with pytest.raises(ValueError, match="mechanisms are some of"):
        Server(Keyed(), mechanisms=["ROT13"])


@pytest.mark.rfc("4954 §4", "Where TLS is demanded, the server of the library takes no password before it.")
def test_where_tls_is_demanded_no_password_goes_in_the_clear(issued: Issued) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.certificate, issued.key)

    async def scene(line: Line) -> list[str]:
        return [await offers(line), await line.say(plain("ana", "secret")), await line.say(ENVELOPE[1])]

    offered, login, mail = talk(Server(Checking(), tls=context, require_tls=True), scene)
    assert offered == "" and login.startswith("523 5.7.10 ") and mail == "530 5.7.0 say STARTTLS first"


@pytest.mark.rfc("3207 §4", "Where TLS is demanded, the server of the library takes no other command before it.")
@pytest.mark.parametrize("command", ["VRFY ana", "RSET", "HELP"])
def test_where_tls_is_demanded_other_commands_wait_too(issued: Issued, command: str) -> None:
    server = Server(Collector(), tls=ServerTls(issued.certificate, issued.key), require_tls=True)

    async def scene(line: Line) -> list[str]:
        return [await line.say("EHLO x.example", command), await line.say("NOOP"), await line.say("QUIT")]

    refused, noop, bye = talk(server, scene)
    assert refused.startswith("530 5.7.0 ") and noop.startswith("250 ") and bye.startswith("221 ")


@pytest.mark.rfc("4954 §6", "Where a login is demanded, the server of the library answers MAIL with 530 before it.")
def test_where_a_login_is_demanded_no_mail_is_taken_before_it() -> None:
    async def scene(line: Line) -> list[str]:
        before = await line.say(*ENVELOPE[:2])
        return [before, await line.say(plain("ana", "secret")), await line.say(ENVELOPE[1])]

    before, login, after = talk(Server(Checking(), require_login=True), scene)
    assert before.startswith("530 5.7.0 ") and login.startswith("235 2.7.0 ") and after.startswith("250 ")


def test_nobody_acts_for_another() -> None:
    async def scene(line: Line) -> list[str]:
        await line.say("EHLO x.example")
        return [await line.say(plain("ana", "secret", "luis")), await line.say(plain("ana", "secret", "ana"))]

    refused, own = talk(Server(Checking()), scene)
    assert refused.startswith("535 5.7.8 ") and own.startswith("235 ")


def test_guessing_ends_the_session() -> None:
    async def scene(line: Line) -> list[str]:
        await line.say("EHLO x.example")
        return [
            await line.say(plain("ana", "1")),
            await line.say(plain("ana", "2")),
            await line.reply(),
            await line.reply(),
        ]

    first, second, closing, end = talk(Server(Checking(), limits=ServerLimits(failed_logins=2)), scene)
    assert first.startswith("535 ") and second.startswith("535 ") and closing.startswith("421 4.7.0 ") and end == ""


def test_a_check_that_fails_is_no_refusal() -> None:
    async def scene(line: Line) -> list[str]:
        await line.say("EHLO x.example")
        return [await line.say(plain("broken", "x")), await line.say("AUTH PLAIN", "*"), await line.say("NOOP")]

    later, cancelled, noop = talk(Server(Checking()), scene)
    assert later.startswith("454 4.3.0 local error ") and "directory" not in later
    assert cancelled.startswith("501 5.7.0 ") and noop.startswith("250 ")


@pytest.mark.rfc("5802 §9", "The salt of a user that does not exist stays the same.")
def test_a_user_that_does_not_exist_looks_like_one_that_does() -> None:
    async def scene(line: Line) -> list[str]:
        await line.say("EHLO x.example")
        firsts = []
        for name in ("ana", "nobody", "nobody"):
            first = base64.b64encode(f"n,,n={name},r=nonce".encode()).decode()
            challenge = await line.say(f"AUTH SCRAM-SHA-256 {first}")
            firsts.append(base64.b64decode(challenge.removeprefix("334 ")).decode().split(",", 1)[1])
            await line.say("*")
        return firsts

    known, unknown, again = talk(Server(Collector(), passwords={"ana": "secret"}), scene)
    assert unknown == again
    assert known != unknown and len(known) == len(unknown) and known.endswith(",i=4096") and unknown.endswith(",i=4096")


class Bearing(Collector):
    """Knows one token."""

    async def on_token(self, session: Session, token: str) -> str | None:
        return "ana" if token == "good.token" else None


@pytest.mark.rfc("7628 §3.1", "A handler of the library says whose token it is.")
@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_tokens_are_for_the_handler_to_know(mechanism: str) -> None:
    async def run() -> None:
        inbox = Bearing()
        async with Server(inbox, mechanisms=[mechanism], require_login=True) as server:
            for username, token in (("ana", "stale.token"), ("luis", "good.token")):
                with pytest.raises(Refused) as refused:
                    await Client(port=server.port, username=username, token=token).connect()
                assert refused.value.reply.code == 535
            async with Client(port=server.port, username="ana", token="good.token") as client:
                await client.send(b"Subject: x\r\n\r\n", sender="ana@example.org", recipients="luis@example.net")
        assert inbox.messages[0].session.identity == "ana"

    asyncio.run(run())
