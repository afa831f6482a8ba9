"""What a process of a server takes before it serves."""

from __future__ import annotations

import asyncio
import errno
import socket
from pathlib import Path

import pytest

from estafeta.app.office import ListenFailed
from estafeta.app.serving import _Resources
from estafeta.config.settings import Listen, ListenerKind, Settings


def settings_of(folder: Path, port: int) -> Settings:
    listen = Listen(kind=ListenerKind.SMTP, address="127.0.0.1", port=port)
    return Settings(hostname="mx.example.org", data=folder / "data", listen=(listen,))


def test_a_port_that_a_dying_process_still_has_is_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        resources = _Resources(is_first=True)
        with socket.create_server(("127.0.0.1", 0)) as dying:
            port = dying.getsockname()[1]
            beginning = asyncio.create_task(resources.begin(settings_of(tmp_path, port)))
            for _ in range(20):  # so it has tried once
                await asyncio.sleep(0)
            assert not beginning.done()
        await beginning
        assert len(resources.sockets) == 1
        resources.close()

    asyncio.run(main())


def test_a_port_that_stays_taken_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        resources = _Resources(is_first=True)
        with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ListenFailed) as told:
            await resources.begin(settings_of(tmp_path, other.getsockname()[1]), patience=0.0)
        assert told.value.error.errno == errno.EADDRINUSE
        resources.close()

    asyncio.run(main())
