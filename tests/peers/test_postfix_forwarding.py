"""Postfix as the filter that hands mail back: what it tells by XFORWARD is in the trace field and in the journal."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.peers.conftest import program
from tests.peers.running import RunningServer, running, wait_for
from tests.peers.test_postfix import Postfix

pytestmark = pytest.mark.peers

SETTINGS = """
[smtp]
xforward_networks = ["127.0.0.0/8"]
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    yield from running(RunningServer(tmp_path / "server", settings=SETTINGS))


@pytest.fixture
def postfix(server: RunningServer) -> Iterator[Postfix]:
    program("master", "postfix")
    if os.geteuid() != 0:
        pytest.skip("Postfix starts as root only")
    with tempfile.TemporaryDirectory(prefix="estafeta-postfix-") as name:
        postfix = Postfix(Path(name), server)
        with (postfix.folder / "conf" / "main.cf").open("a") as settings:
            settings.write("smtp_send_xforward_command = yes\n")
        postfix.start()
        try:
            yield postfix
        finally:
            postfix.stop()


def test_the_origin_that_postfix_tells_is_written_down(postfix: Postfix, server: RunningServer) -> None:
    account = server.account("filtered")
    postfix.hand_over([account], [b"Subject: x\r\n\r\nbody\r\n"])
    wait_for(lambda: server.count(account) == 1, "the message", seconds=30)
    (message,) = server.messages(account)
    head = message.partition(b"\r\n\r\n")[0]
    assert b"\r\n\t(for " in head and b" 127.0.0.1 " in head
