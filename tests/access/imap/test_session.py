"""IMAP sessions from the greeting to their end, over memory streams and a real store."""

from __future__ import annotations

import asyncio
import base64
import zlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.access.imap.post import ANA, BO, NOW, Client, Post, message, post

from estafeta.access.imap.commands import HANDLERS
from estafeta.access.imap.session import Session
from estafeta.access.imap.settings import ImapSettings
from estafeta.net.authority import issue
from estafeta.net.tls import ServerTls
from estafeta.store import accounts, acl, journal, mailboxes, messages
from estafeta.store.errors import DiskFull
from estafeta.store.records import SessionId
from estafeta.store.store import open_store
from estafeta.wire.imap.commands.noop import Noop
from estafeta.wire.imap.completion import Completion, ok
from estafeta.wire.sasl import client_mechanism

STRANGER = "192.0.2.77"


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(30):
            await scenario

    asyncio.run(within())


async def ended(client: Client) -> bool:
    """Whether the server closes the connection, and says nothing more."""
    return await asyncio.wait_for(client.stream.receive(), 20) == b""


async def last_session(office: Post) -> dict[str, object]:
    """What the journal has of the session that began last, when all have ended."""
    await office.all_ended()
    found = await office.store.read(lambda tx: journal.by_session(tx, office.sessions[-1]))
    return found[0].facts


def server_tls(folder: Path) -> ServerTls:
    issued = issue(folder / "tls", ["localhost"])
    return ServerTls(issued.certificate, issued.key)


# Logging in.


@pytest.mark.rfc("9051 §6.2.3", "LOGINDISABLED is said, and LOGIN refused, where others could read the password.")
@pytest.mark.rfc("5530 §3", "A login that needs TLS is answered PRIVACYREQUIRED.")
def test_no_password_in_the_clear_but_on_loopback(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            client = await office.connect(STRANGER, server_tls(tmp_path))
            offered = (await client.command("CAPABILITY")).untagged[0]
            assert b"LOGINDISABLED" in offered and b"STARTTLS" in offered
            assert b"AUTH=PLAIN" not in offered and b"AUTH=SCRAM-SHA-256" in offered
            answer = await client.command("LOGIN ana@example.org secret")
            assert answer.completion.startswith(b"NO [PRIVACYREQUIRED]")
            assert (await client.command("STARTTLS")).is_ok
            await client.stream.start_tls(server_tls(tmp_path).context, server_hostname="localhost")
            offered = (await client.command("CAPABILITY")).untagged[0]
            assert b"LOGINDISABLED" not in offered and b"STARTTLS" not in offered and b"AUTH=PLAIN" in offered
            await client.login()

    run(scenario())


def test_a_setting_lets_everybody_log_in_in_the_clear(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path, ImapSettings(allow_plaintext_login=True)) as office:
            client = await office.connect(STRANGER)
            await client.login()

    run(scenario())


@pytest.mark.rfc("9051 §7.1", "What can be done is told with the greeting, and anew with the login.")
def test_capabilities_come_with_the_greeting_and_the_login(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            client = await office.connect()
            answer = await client.command("LOGIN ana@example.org secret")
            assert answer.completion.startswith(b"OK [CAPABILITY IMAP4rev2 IMAP4rev1 ")
            assert b" MOVE " in answer.completion and b" AUTH=" not in answer.completion
            assert (await client.command("CAPABILITY")).untagged[0] in answer.completion

    run(scenario())


@pytest.mark.rfc("9051 §6.2.2", "Mechanisms go with and without an initial response, and are given up by the client.")
@pytest.mark.rfc("4959 §3", "The initial response may come with the command.")
def test_mechanisms_of_sasl(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            client = await office.connect()
            plain = base64.b64encode(b"\0ana@example.org\0secret").decode()
            client.stream.send(b"x AUTHENTICATE PLAIN\r\n")
            assert await client.response() == b"+ "
            client.stream.send(b"*\r\n")
            assert (await client.response()).startswith(b"x BAD")
            assert (await client.command(f"AUTHENTICATE PLAIN {plain}")).is_ok
            client = await office.connect()
            mechanism = client_mechanism(
                "SCRAM-SHA-256", "ana@example.org", "secret", nonce="client", channel_binding=None
            )
            first = base64.b64encode(mechanism.initial() or b"").decode()
            client.stream.send(f"y AUTHENTICATE SCRAM-SHA-256 {first}\r\n".encode())
            while (line := await client.response()).startswith(b"+ "):
                reply = mechanism.step(base64.b64decode(line[2:]))
                client.stream.send(base64.b64encode(reply) + b"\r\n")
            assert line.startswith(b"y OK [CAPABILITY")

    run(scenario())


@pytest.mark.rfc("5530 §3", "A refused login says why by its code, and is the same for names that are not there.")
def test_failed_logins_end_the_session(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path, ImapSettings(login_failures=3)) as office:
            client = await office.connect()
            answers = [await client.command(f"LOGIN {name} wrong") for name in ("ana", "nobody", "ana")]
            assert {each.completion for each in answers} == {b"NO [AUTHENTICATIONFAILED] Authentication failed"}
            assert (await client.response()).startswith(b"* BYE ")
            assert await ended(client)
            facts = await last_session(office)
            assert facts["ended"] == "too-many-logins"
            assert facts["login_failures"] == ["bad_credentials"] * 3

    run(scenario())


def test_a_disabled_account_is_told_to_ask_its_administrator(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            await office.store.write(lambda tx: accounts.set_enabled(tx, ANA, False))
            client = await office.connect()
            answer = await client.command("LOGIN ana@example.org secret")
            assert answer.completion.startswith(b"NO [CONTACTADMIN]")

    run(scenario())


@pytest.mark.rfc("8437 §3", "After UNAUTHENTICATE the session is as before the login, and another user may log in.")
def test_unauthenticate_forgets_all_of_the_login(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            assert (await client.command("ENABLE QRESYNC")).is_ok
            assert (await client.command("UNAUTHENTICATE")).is_ok
            assert (await client.command("NOOP")).is_ok
            assert (await client.command("FETCH 1 FLAGS")).completion.startswith(b"BAD")
            assert (await client.command("LOGIN bo@example.org secret")).is_ok
            answer = await client.command("SELECT INBOX (QRESYNC (1 1))")
            assert answer.completion.startswith(b"BAD")  # not enabled any more

    run(scenario())


# The end.


@pytest.mark.rfc("9051 §6.1.3", "LOGOUT is answered by BYE and OK, and the connection is closed.")
def test_logout_and_the_journal(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            answer = await client.command("LOGOUT")
            assert answer.is_ok and answer.untagged[0].startswith(b"BYE")
            assert await ended(client)
            facts = await last_session(office)
            assert facts["protocol"] == "imap" and facts["ended"] == "logout"
            assert (facts["account"], facts["mechanism"], facts["commands"]) == ("ana@example.org", "LOGIN", 3)

    run(scenario())


@pytest.mark.rfc("9051 §5.4", "Who says nothing for too long is told BYE.")
@pytest.mark.parametrize(
    ("settings", "logs_in"), [(ImapSettings(login_after=0.05), False), (ImapSettings(autologout_after=0.05), True)]
)
def test_autologout(tmp_path: Path, settings: ImapSettings, logs_in: bool) -> None:
    async def scenario() -> None:
        async with post(tmp_path, settings) as office:
            client = await office.connect()
            if logs_in:
                await client.login()
            client.stream.send(b"x NO")  # octets that are no command are nothing said
            assert (await client.response()).startswith(b"* BYE ")
            assert await ended(client)
            assert (await last_session(office))["ended"] == "timeout"

    run(scenario())


def test_a_client_that_does_not_read_is_cut(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path, ImapSettings(send_after=0.05)) as office:
            await office.put(*[message(body=b"x" * 200_000 + b"\r\n")] * 20)
            client = await office.client()
            client.stream.send(b"x FETCH 1:* BODY.PEEK[]\r\n")
            assert (await last_session(office))["ended"] == "timeout"

    run(scenario())


def test_faults_one_after_the_other_end_the_session(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path, ImapSettings(faults=3)) as office:
            client = await office.client()
            for _ in range(2):
                assert (await client.command("NONSENSE")).completion.startswith(b"BAD")
            client.stream.send(b"x NONSENSE\r\n")
            said = [await client.response(), await client.response()]
            assert sorted(each.split()[1] for each in said) == [b"BAD", b"BYE"]
            assert await ended(client)
            assert (await last_session(office))["ended"] == "too-many-faults"

    run(scenario())


def test_idle_sessions_are_told_that_the_server_stops(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            waiting, idling = await office.client(), await office.client()
            idling.stream.send(b"x IDLE\r\n")
            assert await idling.response() == b"+ idling"
            office.service.close_idle()
            for client in (waiting, idling):
                assert (await client.response()).startswith(b"* BYE [UNAVAILABLE]")
                assert await ended(client)
            await office.service.drain()

    run(scenario())


def test_an_error_of_the_server_is_told_by_its_number_alone(tmp_path: Path) -> None:
    async def broken(session: Session, request: Noop) -> Completion:
        raise RuntimeError("/secret/path")

    async def full(session: Session, request: Noop) -> Completion:
        raise DiskFull("no space is left on /secret/path")

    async def scenario() -> None:
        async with post(tmp_path) as office:
            for handler, code in ((broken, b"NO [SERVERBUG]"), (full, b"NO [UNAVAILABLE]")):
                office.service.handlers = {**HANDLERS, Noop: handler}
                client = await office.connect()
                await client.login()
                with capture_logs() as logs:
                    answer = await client.command("NOOP")
                assert answer.completion.startswith(code) and b"secret" not in answer.completion
                incident = str(logs[0]["incident"])
                assert incident.encode() in answer.completion
                assert (await client.command("CAPABILITY")).is_ok  # the session goes on

    run(scenario())


# What is new.


@pytest.mark.rfc("9051 §6.3.13", "In IDLE what is new is told at once.")
@pytest.mark.parametrize("elsewhere", [False, True])
def test_idle_tells_at_once_of_this_process_and_others(tmp_path: Path, elsewhere: bool) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            await office.put(message(), message("two"))
            mailbox_id = await office.mailbox_id()
            client = await office.client()
            client.stream.send(b"x IDLE\r\n")
            assert await client.response() == b"+ idling"
            other = open_store(tmp_path, clock=lambda: NOW) if elsewhere else office.store
            begun = asyncio.get_running_loop().time()
            try:
                await other.write(lambda tx: messages.change_flags(tx, mailbox_id, [(2, 2)], add=1))
                assert await client.response() == b"* 2 FETCH (FLAGS (\\Recent \\Seen))"
                await other.write(lambda tx: messages.expunge(tx, mailbox_id, [1]))
                assert await client.response() == b"* 1 EXPUNGE"
            finally:
                if elsewhere:
                    other.close()
            assert asyncio.get_running_loop().time() - begun < 5
            await office.put(message("three"))
            assert await client.response() == b"* 2 EXISTS"
            assert await client.response() == b"* 2 RECENT"
            client.stream.send(b"DONE\r\n")
            assert (await client.response()).startswith(b"x OK")

    run(scenario())


def test_an_idling_client_is_told_that_the_server_is_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path, ImapSettings(still_here_after=0.02, autologout_after=0.03)) as office:
            client = await office.client()
            client.stream.send(b"x IDLE\r\n")
            assert await client.response() == b"+ idling"
            for _ in range(3):
                assert await client.response() == b"* OK Still here"
            client.stream.send(b"DONE\r\n")
            while not (line := await client.response()).startswith(b"x "):
                assert line == b"* OK Still here"
            assert line.startswith(b"x OK")

    run(scenario())


def test_what_ends_idle_must_be_done(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            client.stream.send(b"x IDLE\r\n")
            assert await client.response() == b"+ idling"
            client.stream.send(b"NOOP\r\n")
            assert (await client.response()).startswith(b"x BAD")
            assert (await client.command("NOOP")).is_ok

    run(scenario())


@pytest.mark.rfc("9051 §7.5.1", "No EXPUNGE is told while message numbers are in use: not in FETCH, but in NOOP.")
def test_expunges_wait_for_a_command_that_may_tell_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            await office.put(message(), message("two"), message("three"))
            mailbox_id = await office.mailbox_id()
            client = await office.client()
            await office.store.write(lambda tx: messages.expunge(tx, mailbox_id, [1]))
            await office.put(message("four"))
            answer = await client.command("FETCH 2:3 UID")
            assert answer.untagged == [b"2 FETCH (UID 2)", b"3 FETCH (UID 3)", b"4 EXISTS", b"4 RECENT"]
            assert (await client.command("UID FETCH 3 FLAGS")).of("EXPUNGE") == [b"1 EXPUNGE"]
            assert (await client.command("FETCH 3 UID")).untagged == [b"3 FETCH (UID 4)"]

    run(scenario())


def test_new_keywords_are_told_before_the_flags_that_use_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            await office.put(message())
            client, other = await office.client(), await office.client()
            await other.command("STORE 1 +FLAGS ($Later)")
            untagged = (await client.command("NOOP")).untagged
            assert [each.split()[0] for each in untagged] == [b"FLAGS", b"OK", b"1"]
            assert b"$Later" in untagged[0] and b"$Later" in untagged[2]

    run(scenario())


@pytest.mark.rfc("2180 §3.3", "Who has a mailbox open that another removes is cut off.")
def test_a_mailbox_that_goes_ends_the_sessions_of_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            own, idling, waiting = [await office.client("Archive") for _ in range(3)]
            idling.stream.send(b"x IDLE\r\n")
            assert await idling.response() == b"+ idling"
            assert (await own.command("DELETE Archive")).is_ok
            assert (await own.command("FETCH 1 FLAGS")).completion.startswith(b"BAD")  # nothing is open
            assert (await own.command("NOOP")).is_ok
            assert (await idling.response()).startswith(b"* BYE ")
            waiting.stream.send(b"y NOOP\r\n")
            assert (await waiting.response()).startswith(b"* BYE ")
            assert await ended(waiting)

    run(scenario())


def test_an_account_that_is_disabled_ends_its_sessions(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            client = await office.client()
            await office.store.write(lambda tx: accounts.set_enabled(tx, ANA, False))
            assert (await client.response()).startswith(b"* BYE ")
            assert await ended(client)
            assert (await last_session(office))["ended"] == "expelled"

    run(scenario())


def test_a_session_whose_mailbox_got_another_name_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            client, other = await office.client("Archive"), await office.client()
            assert (await other.command("RENAME Archive Old")).is_ok
            mailbox_id = await office.mailbox_id("Old")
            assert (await office.store.read(lambda tx: mailboxes.get(tx, mailbox_id))).name == "Old"
            await office.put(message(), mailbox="Old")
            assert (await client.command("NOOP")).of("EXISTS") == [b"1 EXISTS"]

    run(scenario())


# Extensions.


@pytest.mark.rfc("9051 §6.3.1", "ENABLED names what was enabled, and what is unknown is passed over.")
def test_enable(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            client = await office.connect()
            await client.login()
            assert (await client.command("ENABLE X-FOO condstore IDLE")).untagged == [b"ENABLED CONDSTORE"]
            assert (await client.command("ENABLE CONDSTORE IMAP4rev2")).untagged == [b"ENABLED IMAP4rev2"]
            assert (await client.command("ENABLE X-FOO")).untagged == [b"ENABLED"]

    run(scenario())


@pytest.mark.rfc("7162 §3.1", "The first command that needs MODSEQs makes the server tell the highest.")
def test_condstore_begins_with_the_highest_modseq(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            await office.put(message())
            client, other = await office.client(), await office.client()
            answer = await client.command("FETCH 1 MODSEQ")
            assert b"OK [HIGHESTMODSEQ 2] Highest" in answer.untagged
            await other.command("STORE 1 +FLAGS (\\Flagged)")
            assert (await client.command("NOOP")).untagged == [b"1 FETCH (UID 1 FLAGS (\\Recent \\Flagged) MODSEQ (3))"]

    run(scenario())


@pytest.mark.rfc("2971 §3.3", "ID tells a name and a version.")
def test_id_tells_name_and_version_and_no_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            client = await office.connect()
            answer = await client.command('ID ("name" "a client" "os" NIL)')
            assert answer.untagged[0].startswith(b'ID ("name" "Estafeta" "version" "')
            assert answer.untagged[0].count(b'"') == 8

    run(scenario())


@pytest.mark.rfc("4978 §3", "Behind the OK both sides are compressed, and a second COMPRESS is refused.")
def test_compress(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            await office.put(message(body=b"again and again\r\n" * 1000))
            client = await office.client()
            assert (await client.command("COMPRESS DEFLATE")).is_ok
            deflating, inflating = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.decompressobj(-15)

            async def say(text: bytes) -> bytes:
                client.stream.send(deflating.compress(text) + deflating.flush(zlib.Z_SYNC_FLUSH))
                said = b""
                while not said.endswith(b"completed\r\n") and b" NO " not in said and b" BAD " not in said:
                    said += inflating.decompress(await client.stream.receive())
                return said

            assert (await say(b"x FETCH 1 BODY.PEEK[TEXT]\r\n")).count(b"again and again") == 1000
            assert b"[COMPRESSIONACTIVE]" in await say(b"y COMPRESS DEFLATE\r\n")

    run(scenario())


@pytest.mark.rfc("5465 §3.1", "With NOTIFY what is new is told while no command is open.")
def test_notify_tells_without_a_command(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            await office.put(message())
            client = await office.client()
            answer = await client.command("NOTIFY SET (selected (MessageNew (UID FLAGS) MessageExpunge))")
            assert answer.is_ok, answer
            mailbox_id = await office.mailbox_id()
            await office.put(message("two"))
            said = [await client.response() for _ in range(3)]
            assert said == [b"* 2 EXISTS", b"* 2 RECENT", b"* 2 FETCH (UID 2 FLAGS (\\Recent))"]
            await office.store.write(lambda tx: messages.expunge(tx, mailbox_id, [1]))
            assert await client.response() == b"* 1 EXPUNGE"

    run(scenario())


def test_sessions_are_known_by_their_numbers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            await office.client()
            assert office.sessions == [SessionId(each.session_id) for each in office.service.sessions]

    run(scenario())


@pytest.mark.rfc("9585 §4", "Of a long command the client is told how far it is, by the tag.")
def test_long_commands_tell_how_far_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(session: Session, request: Noop) -> Completion:
        for done in (1, 2):
            session.progress(done, 3)
        return ok("Done")

    async def scenario() -> None:
        async with post(tmp_path) as office:
            office.service.handlers = {**HANDLERS, Noop: slow}
            client = await office.connect()
            await client.login()
            assert (await client.command("NOOP")).untagged == []  # it is not long yet
            monkeypatch.setattr("estafeta.access.imap.session.PROGRESS_AFTER", 0.0)
            assert (await client.command("NOOP")).untagged == [b'OK [INPROGRESS ("a3" 2 3)] Still at it']

    run(scenario())


@pytest.mark.rfc("4314 §4", "Rights that are taken away are gone for open sessions, too.")
def test_rights_that_are_taken_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            await office.put(message(), mailbox="Archive")
            mailbox_id = await office.mailbox_id("Archive")

            async def allow(rights: str) -> None:
                await office.store.write(lambda tx: acl.set_(tx, mailboxes.get(tx, mailbox_id), str(BO), rights))

            await allow("lrs")
            client = await office.client('"Other Users/ana@example.org/Archive"', BO)
            assert (await client.command("STORE 1 +FLAGS (\\Seen)")).is_ok
            await allow("lr")
            assert (await client.command("STORE 1 -FLAGS (\\Seen)")).completion.startswith(b"NO [NOPERM]")
            await allow("l")
            assert (await client.response()).startswith(b"* BYE ")
            assert await ended(client)

    run(scenario())
