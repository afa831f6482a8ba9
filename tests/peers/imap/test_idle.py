"""IDLE in each of two worker processes: what one commits is told by the other at once."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from imapclient import IMAPClient
from tests.peers.letters import letter
from tests.peers.running import PASSWORD, RunningServer, running, wait_for

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

TOLD_AFTER = 0.1
"""Seconds."""
ROUNDS = 11


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of two workers."""
    yield from running(RunningServer(tmp_path_factory.mktemp("pair"), settings="[processes]\nworkers = 2\n"))


def serving(client: IMAPClient) -> int:
    """The process at the other end of a connection of this machine."""
    host, port = client.socket().getsockname()[:2]
    wanted = f"{bytes(reversed([int(part) for part in host.split('.')])).hex().upper()}:{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines():
        fields = line.split()
        if fields[2] == wanted:
            for each in Path("/proc").glob("[0-9]*/fd/*"):
                try:
                    if os.readlink(each) == f"socket:[{fields[9]}]":
                        return int(each.parts[2])
                except OSError:
                    continue
    raise AssertionError(f"nobody serves {wanted}")


def test_each_worker_tells_what_the_other_has_taken(pair: RunningServer) -> None:
    account = pair.account("waiting")
    with ExitStack() as stack:
        clients: dict[int, IMAPClient] = {}

        def both_serve() -> bool:
            client = IMAPClient("127.0.0.1", pair.ports[ListenerKind.IMAP], use_uid=False, ssl=False, timeout=20)
            if clients.setdefault(serving(client), client) is client:
                stack.enter_context(client)
            else:
                client.shutdown()
            return len(clients) == 2

        wait_for(both_serve, "connections that the kernel gives to the second worker", seconds=60)
        for client in clients.values():
            client.login(account, PASSWORD)
            client.select_folder("INBOX")
        count = 0
        for told, teller in (list(clients.values()), list(clients.values())[::-1]):
            delays = []
            teller.noop()
            told.idle()
            for _ in range(ROUNDS):
                count += 1
                octets = letter(count, author="someone@example.net", recipient=account)
                teller.append("INBOX", octets)
                begin = time.monotonic()
                while (count, b"EXISTS") not in told.idle_check(timeout=5):
                    assert time.monotonic() < begin + 10, "it was never told"
                delays.append(time.monotonic() - begin)
            told.idle_done()
            assert statistics.median(delays) < TOLD_AFTER, delays

            # Flags and messages that go are told as well.
            told.idle()
            teller.add_flags([count], [b"\\Flagged"])
            (answer,) = told.idle_check(timeout=5)
            assert answer[:2] == (count, b"FETCH") and b"\\Flagged" in answer[2][1], answer
            teller.delete_messages([1])
            teller.expunge()
            answers = told.idle_check(timeout=5)
            while (1, b"EXPUNGE") not in answers:
                more = told.idle_check(timeout=5)
                assert more, answers
                answers += more
            told.idle_done()
            count -= 1
