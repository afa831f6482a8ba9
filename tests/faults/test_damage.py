"""Pages of the database are overwritten, under a running server and a stopped one: it says so, and repair saves."""

from __future__ import annotations

import os
import random
import smtplib
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.faults.conftest import Serve
from tests.faults.figures import Figures
from tests.faults.load import content, found_numbers
from tests.peers.running import RunningServer

from estafeta.config.settings import ListenerKind
from estafeta.store.store import DATABASE

pytestmark = pytest.mark.peers

PAGE = 4096
MESSAGES = 400


def command(server: RunningServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "estafeta.cli.main", *arguments, "--config", str(server.folder / "estafeta.toml")],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )


def overwrite(path: Path, pages: Iterable[int], chance: random.Random) -> None:
    with path.open("r+b") as file:
        for page in pages:
            file.seek(page * PAGE)
            file.write(chance.randbytes(PAGE))


@pytest.mark.parametrize("is_running", [False, True])
def test_damage_is_said_and_repair_saves_what_is_whole(serve: Serve, figures: Figures, is_running: bool) -> None:
    seed = random.randrange(10**9)
    chance = random.Random(seed)
    server = serve('[processes]\nindexer = false\n[log]\nlevel = "warning"\n')
    ana = server.account("ana")
    numbers = range(1, MESSAGES + 1)
    server.put("load@example.net", ana, [content(number) for number in numbers])
    assert server.stop() == 0
    database = server.folder / "data" / DATABASE
    pages = database.stat().st_size // PAGE
    hit = sorted(chance.sample(range(1, pages), pages // 20))
    replies: list[int] = []
    if is_running:
        server.start()
        overwrite(database, hit, chance)
        for number in range(900_001, 900_021):
            with smtplib.SMTP("127.0.0.1", server.ports[ListenerKind.SMTP], timeout=30) as client:
                try:
                    client.sendmail("load@example.net", [ana], content(number))
                    replies.append(250)
                except smtplib.SMTPRecipientsRefused as refused:
                    replies.append(next(iter(refused.recipients.values()))[0])
                except smtplib.SMTPResponseException as error:
                    replies.append(error.smtp_code)
        server.stop()
        assert set(replies) <= {250, 450, 451, 452, 454}, replies
    else:
        overwrite(database, hit, chance)
    said = command(server, "verify")
    assert said.returncode != 0, "the damage was not found"
    repaired = command(server, "repair")
    assert repaired.returncode in (0, 1), (seed, repaired.stdout, repaired.stderr)
    assert "Traceback" not in repaired.stderr + said.stderr + server.log.read_text()
    server.start()
    try:
        found = found_numbers(server.messages(ana))  # each octet for octet, or this fails
        server.put("load@example.net", ana, [content(5)])
        verified = command(server, "verify")
        lost = set(numbers) - found.keys()
        figures.add(
            f"{len(hit)} of {pages} pages of the database overwritten, {'running' if is_running else 'stopped'}",
            f"{MESSAGES} messages: {len(found.keys() & set(numbers))} saved, each octet for octet, {len(lost)} told of"
            f" as lost or quarantined{f'; replies meanwhile {sorted(set(replies))}' if replies else ''}",
            lost=0,
        )
        assert verified.returncode == 0, (seed, verified.stdout)
        assert not lost or repaired.returncode == 1, (seed, "lost, and not said")
        assert len(found) > MESSAGES // 2, seed
    finally:
        server.stop()
