"""A store of each earlier schema, with mail in it, is opened by today's server, which is killed in the midst of it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest
from tests.faults.figures import Figures
from tests.faults.load import content, found_numbers
from tests.faults.nexthost import NextHost
from tests.peers.running import RunningServer, wait_for

from estafeta.store.migrations import known_migrations
from estafeta.store.store import DATABASE

pytestmark = pytest.mark.peers

NEWEST = known_migrations()[-1].number
MESSAGES = 300


def make_old(data: Path, number: int, far: str) -> None:
    """A store as the version of that schema left it: an account with mail, and a recipient that waits."""
    connection = apsw.Connection(str(data / DATABASE))
    for migration in known_migrations()[:number]:
        connection.execute(migration.script)
        connection.execute(f"PRAGMA user_version = {migration.number}")
    columns = {row[1] for row in connection.execute("PRAGMA table_info(messages)")}
    with connection:
        run = connection.execute
        run("INSERT INTO domains (domain_id, name, created_at) VALUES (1, 'example.org', 1)")
        run("INSERT INTO accounts (account_id, is_enabled, created_at) VALUES (2, 1, 1)")
        run("INSERT INTO addresses (address, domain_id, account_id) VALUES ('ana@example.org', 1, 2)")
        whole = sum(len(content(each)) for each in range(1, MESSAGES + 1))
        run(
            "INSERT INTO mailboxes (mailbox_id, account_id, name, uid_validity, uid_next, highest_modseq, messages,"
            " octets) VALUES (3, 2, 'INBOX', 77, ?, ?, ?, ?)",
            (MESSAGES + 1, MESSAGES + 1, MESSAGES, whole),
        )
        if "unseen" in {row[1] for row in connection.execute("PRAGMA table_info(mailboxes)")}:
            run("UPDATE mailboxes SET unseen = messages")
        run("UPDATE counters SET value = 77 WHERE name = 'uid_validity'")
        flags = "0" if number >= 7 else "''"
        saved = ", saved_at" if "saved_at" in columns else ""
        for each in range(1, MESSAGES + 1):
            run(
                "INSERT INTO contents (content_id, size, octets) VALUES (?, ?, ?)",
                (each, len(content(each)), content(each)),
            )
            run(
                f"INSERT INTO messages (mailbox_id, uid, delivery_id, message_id, content_id, prefix, modseq, flags,"
                f" internal_at, size{saved}) VALUES (3, ?, ?, ?, ?, x'', ?, {flags}, 1.5, ?{', 1.5' if saved else ''})",
                (each, each, each, each, each + 1, len(content(each))),
            )
        waiting = content(1000)
        run("INSERT INTO contents (content_id, size, octets) VALUES (1000, ?, ?)", (len(waiting), waiting))
        now = time.time()
        if number == 1:
            run(
                "INSERT INTO queued_messages (message_id, content_id, reverse_path, smtputf8, accepted_at, size)"
                " VALUES (1000, 1000, 'ana@example.org', 0, ?, ?)",
                (now, len(waiting)),
            )
            run(
                "INSERT INTO queued_recipients (recipient_id, message_id, forward_path, destination, status, attempts,"
                " next_attempt_at) VALUES (1001, 1000, ?, ?, 'active', 0, 0)",
                (far, far.partition("@")[2]),
            )
        else:
            run(
                "INSERT INTO queued_messages (message_id, content_id, reverse_path, accepted_at, size, smtputf8,"
                " requires_tls, priority, prefix) VALUES (1000, 1000, 'ana@example.org', ?, ?, 0, 0, 0, x'')",
                (now, len(waiting)),
            )
            run(
                "INSERT INTO queued_recipients (recipient_id, message_id, forward_path, destination, status, priority,"
                " attempts, next_attempt_at, review_at, is_delay_told)"
                " VALUES (1001, 1000, ?, ?, 'active', 0, 0, 0, ?, 0)",
                (far, far.partition("@")[2], now + 14_400),
            )
    connection.close()


def killed_start(server: RunningServer, seconds: float) -> None:
    """A start that is killed after so long."""
    with server.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "estafeta.cli.main", "serve", "--config", str(server.folder / "estafeta.toml")],
            stdout=log,
            stderr=log,
        )
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("number", range(1, NEWEST + 1))
def test_mail_of_an_earlier_schema_is_there_and_goes_on(
    tmp_path: Path, next_host: NextHost, figures: Figures, number: int
) -> None:
    server = RunningServer(
        tmp_path / "server",
        settings=f"""
[relay]
port = {next_host.port}
allow_loopback = true
poll_after = 0.2
[processes]
indexer = false
""",
    )
    data = server.folder / "data"
    for path in data.glob(f"{DATABASE}*"):
        path.unlink()
    make_old(data, number, "far@[127.0.0.1]")
    chance = random.Random(number)
    for _ in range(figures.choose(short=1, full=10)):
        killed_start(server, chance.uniform(0.3, 1.5))
    server.start()
    try:
        wait_for(lambda: not server.waiting(), "what waited to go out", seconds=60)
        found = found_numbers(server.messages("ana@example.org"))
        relayed = found_numbers(next_host.taken)
        lost = set(range(1, MESSAGES + 1)) - found.keys()
        server.put("somebody@example.net", "ana@example.org", [content(2000)])
        assert server.count("ana@example.org") == MESSAGES + 1
        assert server.stop() == 0
        with apsw.Connection(str(data / DATABASE)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA user_version").fetchall() == [(NEWEST,)]
            ((validity, uid_next),) = connection.execute("SELECT uid_validity, uid_next FROM mailboxes").fetchall()
        assert (validity, uid_next) == (77, MESSAGES + 2)
        figures.add(
            f"upgrade from schema {number}",
            f"{MESSAGES} messages and 1 queued, starts killed before and during it; the next one delivered and relayed",
            lost=len(lost) + (1 - len(relayed)),
        )
        assert not lost
        assert 1 <= relayed[1000] <= 2
    finally:
        server.stop()
