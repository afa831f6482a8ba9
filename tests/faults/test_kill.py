"""250 means done: what was answered 250 is in the mailbox once, however the server ended."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import smtplib
import ssl
import time

import apsw
import pytest
from tests.faults.conftest import Serve
from tests.faults.load import SESSIONS, Load, found_numbers
from tests.peers.running import RunningServer, wait_for

from estafeta.config.settings import ListenerKind
from estafeta.net.authority import issue
from estafeta.store.store import DATABASE

pytestmark = pytest.mark.peers

ROUNDS = 20
DRAIN_SECONDS = 20
SETTINGS = f"""
[store]
large_content = 4096
[log]
level = "warning"
[shutdown]
drain_seconds = {DRAIN_SECONDS}
"""


def check(load: Load, server: RunningServer, what: str) -> None:
    """Nothing that was promised is lost, nothing is there twice, and the database is sound."""
    found = found_numbers(server.messages(load.recipient))
    lost = load.answered - found.keys()
    doubles = sum(times - 1 for times in found.values())
    unpromised = len(found.keys() - load.answered)
    print(
        f"\n{what}: {load.sent} messages begun, {len(load.answered)} answered 250, {found.total()} found, "
        f"{len(lost)} lost, {doubles} doubles, {unpromised} found whose 250 did not get through"
    )
    assert load.answered, "the load did not load"
    assert not lost
    assert not doubles
    with apsw.Connection(str(server.folder / "data" / DATABASE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.rfc("5321 §4.1.1.4", "What was answered 250 after the final dot is kept, though the process is killed.")
@pytest.mark.rfc("5321 §6.1", "What was accepted is in its mailboxes after a crash, once.")
def test_what_was_answered_250_survives_kill_9(serve: Serve) -> None:
    server = serve(SETTINGS)
    load = Load(server.ports[ListenerKind.SMTP], server.account("ana"))
    chance = random.Random()
    for number in range(ROUNDS):
        if number:
            server.start()

        async def kill() -> None:
            await load.until_answered()
            await asyncio.sleep(chance.uniform(0.0, 0.6))
            await asyncio.to_thread(server.kill)

        asyncio.run(load.run_until(kill))
    # The next start sees to what the last kill left.
    server.start()
    assert server.stop() == 0
    check(load, server, f"{ROUNDS} rounds of SIGKILL with {SESSIONS} sessions")


def test_sigterm_finishes_what_has_begun(serve: Serve) -> None:
    server = serve(SETTINGS)
    load = Load(server.ports[ListenerKind.SMTP], server.account("ana"))
    seconds = 0.0

    async def terminate() -> None:
        nonlocal seconds
        await asyncio.sleep(1)
        begin = time.monotonic()
        server.signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.wait) == 0
        seconds = time.monotonic() - begin

    asyncio.run(load.run_until(terminate))
    check(load, server, f"SIGTERM with {SESSIONS} sessions, ended after {seconds:.2f} s")
    assert seconds < DRAIN_SECONDS
    assert [reply[:9] for reply in load.last_replies] == [b"421 4.3.2"] * SESSIONS
    # 421 came in place of an answer that promises something, so what was not promised is not there either.
    assert len(load.answered) == server.count(load.recipient)


def test_sighup_shows_the_new_certificate_to_new_sessions_only(serve: Serve) -> None:
    server = serve("")
    context = ssl.create_default_context(cafile=server.issued.authority)
    port = server.ports[ListenerKind.SUBMISSION]
    with smtplib.SMTP("localhost", port, timeout=20) as client:
        client.starttls(context=context)
        renewed = issue(server.folder / "renewed", ["localhost"])
        shutil.copy(renewed.certificate, server.issued.certificate)
        shutil.copy(renewed.key, server.issued.key)
        server.signal(signal.SIGHUP)
        new_context = ssl.create_default_context(cafile=renewed.authority)

        def shows_new_certificate() -> bool:
            try:
                with smtplib.SMTP("localhost", port, timeout=20) as new:
                    new.starttls(context=new_context)
                    return True
            except ssl.SSLCertVerificationError:
                return False

        wait_for(shows_new_certificate, "the new certificate", seconds=20)
        assert client.noop()[0] == 250
        with smtplib.SMTP_SSL(
            "localhost", server.ports[ListenerKind.SUBMISSIONS], context=new_context, timeout=20
        ) as implicit:
            assert implicit.noop()[0] == 250
        with pytest.raises(ssl.SSLCertVerificationError):
            smtplib.SMTP_SSL("localhost", server.ports[ListenerKind.SUBMISSIONS], context=context, timeout=20)
