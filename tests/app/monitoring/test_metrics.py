"""A post office does its work, and what a scraper reads of it is what was done."""

from __future__ import annotations

import asyncio
import imaplib
import poplib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.agents.conftest import PASSWORD, Office
from tests.agents.outbound.street import Host
from tests.app.monitoring.watched import OPEN_METRICS, Scrape, ask, watched, watched_settings

from estafeta.agents.outbound.settings import RelaySettings
from estafeta.app import new_event_loop
from estafeta.app.monitoring.catalogue import METRICS, Kind
from estafeta.config.settings import ListenerKind
from estafeta.net.authority import Issued
from estafeta.net.listener import listen

LETTER = b"From: bo@example.net\r\nSubject: x\r\n\r\nhello\r\n"
OWN = b"From: ana@example.org\r\nSubject: x\r\n\r\nhello\r\n"


def play(main: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await main()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run())


@asynccontextmanager
async def serving(port: int, host: Host) -> AsyncIterator[None]:
    """Somebody else's host at 127.0.0.2."""
    listener = await listen("127.0.0.2", port, host.serve)
    try:
        yield
    finally:
        await listener.drain(1)


def free_port() -> int:
    """One that is free at all addresses of this machine."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
    return port


async def until_empty(office: Office) -> None:
    while await office.queued():
        await asyncio.sleep(0.005)


def read_by_imap(port: int) -> None:
    """Log in, look at the INBOX, ask for nonsense, leave."""
    client = imaplib.IMAP4("127.0.0.1", port, timeout=20)
    client.login("ana@example.org", PASSWORD)
    client.select("INBOX")
    client.fetch("1", "(FLAGS)")
    client.select("Nowhere")
    client.logout()


def read_by_pop3(port: int) -> None:
    """Log in, ask for a message that is not there, leave."""
    client = poplib.POP3("127.0.0.1", port, timeout=20)
    client.user("luis@example.org")
    client.pass_(PASSWORD)
    try:
        client.retr(99)
    except poplib.error_proto:
        client.quit()


def test_what_was_done_is_what_is_counted(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        port = free_port()
        host = Host(says={"RCPT nobody": "550 5.1.1 no such user"})
        relay = RelaySettings(port=port, allow_loopback=True, poll_after=0.1)
        settings = watched_settings(tmp_path, issued, relay=relay)
        async with serving(port, host), watched(settings, issued) as office:
            stranger = await office.client()
            assert (await stranger.send("bo@example.net", "ana@example.org", LETTER)).startswith("250")
            assert (await stranger.send("bo@example.net", "team@example.org", LETTER)).startswith("250")
            assert (await stranger.send("bo@example.net", "gone@example.org", LETTER)).startswith("550")
            await stranger.say("RSET")
            assert (await stranger.say("QUIT")).startswith("221")
            client = await office.client(ListenerKind.SUBMISSION, tls=True)
            assert (await client.login("ana@example.org", "wrong")).startswith("535")
            assert (await client.login("ana@example.org")).startswith("235")
            for name in ("ben", "nobody"):
                assert (await client.send("ana@example.org", f"{name}@[127.0.0.2]", OWN)).startswith("250")
            await until_empty(office)
            await asyncio.to_thread(read_by_imap, office.office.port(ListenerKind.IMAP))
            await asyncio.to_thread(read_by_pop3, office.office.port(ListenerKind.POP3))
            await office.office.store.write(lambda tx: None)
            scrape = await Scrape.of(office.office.monitor.port)
            again = await Scrape.of(office.office.monitor.port, accept=OPEN_METRICS)

        assert scrape.by("estafeta_messages_accepted_total", "role") == {"smtp": 2, "submission": 2}
        assert scrape.by("estafeta_recipients_accepted_total", "route") == {"mailbox": 1, "alias": 1, "host": 2}
        assert scrape.value("estafeta_message_bytes_accepted_total") > 4 * len(LETTER)
        assert scrape.value("estafeta_acceptance_seconds_count") == 4
        assert scrape.value("estafeta_smtp_replies_total", code="550") == 1
        assert scrape.value("estafeta_smtp_replies_total", code="354") == 4
        assert scrape.value("estafeta_smtp_replies_total", code="221") == 1
        refused = {"verdict": "reject", "reason": "unknown-recipient"}
        assert scrape.value("estafeta_decisions_total", **refused) == 1
        assert scrape.value("estafeta_decisions_total", verdict="accept", reason="routed") == 4
        assert scrape.value("estafeta_sessions_total", protocol="smtp", outcome="quit") == 1
        assert scrape.value("estafeta_sessions_total", protocol="imap", outcome="logout") == 1
        assert scrape.value("estafeta_sessions_total", protocol="pop3", outcome="quit") == 1

        assert scrape.value("estafeta_logins_total", mechanism="PLAIN", result="bad_credentials") == 1
        assert scrape.value("estafeta_logins_total", mechanism="PLAIN", result="accepted") == 3
        assert scrape.value("estafeta_imap_commands_total", command="SELECT") == 2
        assert scrape.value("estafeta_imap_commands_total", command="FETCH") == 1
        assert scrape.value("estafeta_access_replies_total", protocol="imap", reply="NO") == 1
        assert scrape.value("estafeta_access_replies_total", protocol="pop3", reply="ERR") == 1

        assert scrape.by("estafeta_attempts_total", "outcome") == {"relayed": 1, "failed": 1}
        assert scrape.by("estafeta_queue_seconds_count", "end") == {"relayed": 1, "failed": 1}
        assert scrape.by("estafeta_queue_recipients", "state") == {"active": 0, "deferred": 0, "held": 0}
        assert scrape.value("estafeta_commits_total", result="ok") == scrape.value("estafeta_commit_seconds_count") > 4
        assert scrape.value("estafeta_commit_changes_sum") >= scrape.value("estafeta_commit_changes_count")

        taken = scrape.by("estafeta_connections_taken_total", "listener")
        assert {name.split()[0]: number for name, number in taken.items()} == {
            "smtp": 1,
            "submission": 1,
            "imap": 1,
            "pop3": 1,
        }
        for direction in ("received", "sent"):
            assert scrape.value("estafeta_bytes_total", direction=direction) > 500
        assert scrape.value("estafeta_resident_memory_bytes", process="1") > 10_000_000
        assert scrape.value("estafeta_open_files", process="1") > 5
        assert scrape.value("estafeta_cpu_seconds_total", process="1") > 0
        assert scrape.value("estafeta_store_bytes", part="database") > 4096
        assert scrape.value("estafeta_disk_free_bytes") > 0
        assert scrape.value("estafeta_build_info") == 1
        assert scrape.value("estafeta_certificate_expiry_timestamp_seconds") > 1_700_000_000
        assert again.value("estafeta_messages_accepted_total", role="smtp") == 2

    play(main)


def test_every_metric_is_named_whatever_has_happened(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        async with watched(watched_settings(tmp_path, issued), issued) as office:
            scrape = await Scrape.of(office.office.monitor.port)
        named = {(family.name, family.type) for family in scrape.families}
        # The parser takes `_total` and `_info` for no part of the name.
        wanted = {(each.name.removesuffix("_total"), each.kind.value) for each in METRICS}
        assert named == wanted
        assert {kind for _, kind in named} == {each.value for each in Kind}
        assert all(family.documentation for family in scrape.families)

    play(main)


def test_what_waits_is_counted_by_destination_up_to_a_number_of_them(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        settings = watched_settings(tmp_path, issued, monitoring={"destinations": 2})
        async with watched(settings, issued) as office:
            client = await office.submitter()
            for number, domain in ((3, "a.example"), (2, "b.example"), (1, "c.example")):
                for each in range(number):
                    assert (await client.send("ana@example.org", f"u{each}@{domain}", OWN)).startswith("250")
            scrape = await Scrape.of(office.office.monitor.port)
            waiting = scrape.by("estafeta_queue_destination_recipients", "destination")
            assert waiting == {"a.example": 3, "b.example": 2}
            assert sum(scrape.by("estafeta_queue_recipients", "state").values()) == 6
            assert 0 <= scrape.value("estafeta_queue_oldest_seconds") < 60
            assert scrape.value("estafeta_dns_questions_total", status="failed") > 0

    play(main)


def test_counts_of_a_listener_go_on_when_the_settings_are_read_again(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        settings = watched_settings(tmp_path, issued)
        async with watched(settings, issued) as office:
            client = await office.client()
            await client.say("QUIT")
            before = office.office.monitor.port
            again = settings.model_copy(update={"replies": {"greeting": "{hostname} is here"}})
            await office.office.reload(again)
            client = await office.client()
            await client.say("QUIT")
            assert office.office.monitor.port == before
            scrape = await Scrape.of(before)
            assert scrape.value("estafeta_connections_taken_total", listener="smtp 127.0.0.1:0") == 2

    play(main)


def test_nothing_is_told_where_the_settings_say_nothing_of_it(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        settings = watched_settings(tmp_path, issued)
        async with watched(settings, issued) as office:
            port = office.office.monitor.port
            silent = settings.model_copy(update={"monitoring": settings.monitoring.model_copy(update={"port": None})})
            await office.office.reload(silent)
            try:
                await ask(port, "/metrics")
            except OSError as error:
                assert "refused" in str(error)
            else:
                raise AssertionError("the page is still there")

    play(main)
