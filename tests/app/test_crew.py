"""The other processes of a server: started, started again, told, and ended with the first."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from estafeta.app import new_event_loop
from estafeta.app.crew import Commands, Crew
from estafeta.config.settings import ProcessSettings
from estafeta.net.inherited import OWN_VARIABLE, ListeningSockets

# A process of the crew as it could be: says what happens to it, and ends as `end_with_parent` has it.
_PROCESS = """
import asyncio, os, signal, sys
from estafeta.app.crew import end_with_parent
async def main():
    told = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(each, told.put_nowait, each.name)
    end_with_parent(lambda: told.put_nowait("closed"))
    what = "began"
    while True:
        with open(sys.argv[1], "a") as file:
            file.write(f"{sys.argv[2]} {os.getpid()} {what}\\n")
        if what in ("closed", "SIGTERM"):
            return
        what = await told.get()
asyncio.run(main())
"""


class Said:
    """What the processes have said, in its order: name, process id, word."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def command(self, name: str) -> list[str]:
        return [sys.executable, "-c", _PROCESS, str(self.path), name]

    def lines(self, word: str) -> list[tuple[str, int]]:
        found = (line.split() for line in self.path.read_text().splitlines())
        return [(name, int(process)) for name, process, what in found if what == word]

    async def until(self, word: str, count: int) -> list[tuple[str, int]]:
        async with asyncio.timeout(60):
            while len(found := self.lines(word)) < count:
                await asyncio.sleep(0.02)
        return found


def with_crew(tmp_path: Path, main: Callable[[Crew, Said], Awaitable[None]]) -> None:
    async def run() -> None:
        said = Said(tmp_path / "said")
        crew = Crew(
            Commands(said.command("worker"), said.command("indexer")), restart_after=(0.0, 0.1), indexer_after=0.0
        )
        try:
            await main(crew, said)
        finally:
            await crew.stop(30.0)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run())


def test_as_many_run_as_the_settings_say(tmp_path: Path) -> None:
    async def main(crew: Crew, said: Said) -> None:
        await crew.fit(ProcessSettings(workers=3), 30.0)
        began = await said.until("began", 3)
        assert sorted(name for name, _ in began) == ["indexer", "worker", "worker"]
        await crew.fit(ProcessSettings(workers=2, indexer=False), 30.0)
        ended = await said.until("SIGTERM", 2)
        assert sorted(name for name, _ in ended) == ["indexer", "worker"]
        assert len(said.lines("began")) == 3

    with_crew(tmp_path, main)


def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    async def main(crew: Crew, said: Said) -> None:
        await crew.fit(ProcessSettings(workers=2, indexer=False), 30.0)
        ((_, first),) = await said.until("began", 1)
        os.kill(first, signal.SIGKILL)
        began = await said.until("began", 2)
        assert began[1][1] != first

    with_crew(tmp_path, main)


def test_all_are_told_to_read_the_settings_again(tmp_path: Path) -> None:
    async def main(crew: Crew, said: Said) -> None:
        await crew.fit(ProcessSettings(workers=3, indexer=False), 30.0)
        began = await said.until("began", 2)
        crew.reload()
        assert sorted(await said.until("SIGHUP", 2)) == sorted(began)

    with_crew(tmp_path, main)


def test_one_that_is_told_before_it_listens_begins_again_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        said = Said(tmp_path / "said")
        script = (
            "import os, signal, sys, time\n"
            "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # which it is not where the tests are run by nohup
            "open(sys.argv[1], 'a').write(f'worker {os.getpid()} began\\n')\n"
            "time.sleep(60)\n"
        )
        command = [sys.executable, "-c", script, str(said.path)]
        crew = Crew(Commands(command, []), restart_after=(60.0, 60.0))  # as one that died it would wait for that
        await crew.fit(ProcessSettings(workers=2, indexer=False), 30.0)
        await said.until("began", 1)
        crew.reload()
        assert len({process for _, process in await said.until("began", 2)}) == 2
        await crew.stop(30.0)

    asyncio.run(main())


def test_an_indexer_that_has_nothing_to_do_is_started_again_at_the_next_change(tmp_path: Path) -> None:
    hears: list[Callable[[int], None]] = []

    def watch(hear: Callable[[int], None]) -> Callable[[], None]:
        hears.append(hear)
        return hears.clear

    async def main() -> None:
        said = Said(tmp_path / "said")
        commands = Commands(said.command("worker"), said.command("indexer"))
        crew = Crew(commands, restart_after=(3600.0, 3600.0), indexer_after=0.0, watch=watch)
        try:
            await crew.fit(ProcessSettings(workers=1), 30.0)
            [(_, process)] = await said.until("began", 1)
            os.kill(process, signal.SIGTERM)  # it ends with exit code 0, as one with nothing to do
            await said.until("SIGTERM", 1)
            while Path(f"/proc/{process}").exists():  # until the first process has seen it
                await asyncio.sleep(0.01)
            assert len(said.lines("began")) == 1
            hears[0](1)
            [_, (_, process)] = await said.until("began", 2)
            hears[0](1)  # what it may not have heard any more, as it is just ending, begins a third
            os.kill(process, signal.SIGTERM)
            await said.until("began", 3)
        finally:
            await crew.stop(30.0)
        assert hears == []

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


def test_none_outlives_the_first_process(tmp_path: Path) -> None:
    said = Said(tmp_path / "said")
    commands = f"Commands({said.command('worker')!r}, {said.command('indexer')!r})"
    first = (
        "import asyncio\n"
        "from estafeta.app.crew import Commands, Crew\n"
        "from estafeta.config.settings import ProcessSettings\n"
        "async def main():\n"
        f"    crew = Crew({commands}, indexer_after=0.0)\n"
        "    await crew.fit(ProcessSettings(workers=2), 30.0)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", first)
        try:
            await said.until("began", 2)
        finally:
            process.kill()
            await process.wait()
        assert len(await said.until("closed", 2)) == 2

    asyncio.run(main())


def test_the_sockets_of_one_that_dies_again_and_again_are_closed(tmp_path: Path) -> None:
    """Once it keeps them for the next; then nobody shall wait in them for a process that does not come."""

    async def main() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            place = free.getsockname()
        sockets = ListeningSockets()
        await sockets.fit([place], processes=2)
        (first,) = await sockets.share(2)
        kept = os.fstat(first).st_ino
        said = Said(tmp_path / "said")
        # Each says which socket it was started with.
        script = (
            "import os, sys\n"
            f"socket = os.fstat(int(os.environ[{OWN_VARIABLE!r}])).st_ino\n"
            "open(sys.argv[1], 'a').write(f'worker {socket} began\\n')\n"
        )
        command = [sys.executable, "-c", script, str(said.path)]
        crew = Crew(Commands(command, []), restart_after=(0.001, 0.002), sockets=sockets)
        await crew.fit(ProcessSettings(workers=2, indexer=False), 30.0)
        began = [number for _, number in await said.until("began", 3)]
        assert began[:2] == [kept, kept] and began[2] != kept
        await crew.stop(30.0)
        sockets.close()

    asyncio.run(main())


@pytest.mark.parametrize("command", [["/nowhere/such-a-program"], [sys.executable, "-c", "import sys; sys.exit(3)"]])
def test_a_process_that_cannot_run_does_no_harm(tmp_path: Path, command: list[str]) -> None:
    async def main() -> None:
        crew = Crew(Commands(command, command), restart_after=(0.0, 0.05), indexer_after=0.0)
        await crew.fit(ProcessSettings(workers=2), 30.0)
        await asyncio.sleep(0.2)
        await crew.stop(30.0)

    asyncio.run(main())
