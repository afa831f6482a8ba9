"""A flame graph of our server under the load of a scenario, by py-spy, where that is installed.

Frames too narrow to be read are left out, so that the file stays small.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from bench.aims import OURS
from bench.loads.source import LoadFailed, Mode
from bench.peers import PEERS
from bench.peers.peer import Ground, LeftOut, Running, folder_of
from bench.running import FIRST_PORT
from bench.scenarios.mail import Accept
from bench.scenarios.scenario import Case, Matrix

from estafeta.net.authority import issue

SECONDS, RATE = 20, 100
"""How long, and samples a second."""
NARROWEST = 0.3
"""Percent of all samples, of a frame that is kept."""
_FRAME = re.compile(r"<g><title>[^<]*</title><rect [^>]*?width=\"([0-9.]+)%\".*?</g>", re.DOTALL)

_COMMAND = re.compile(r">[^<]*py-spy record [^<]*<")
"""What py-spy writes above the picture: its command, with folders of this machine."""


def record(scenario: Accept, mode: Mode, target: Path) -> None:
    """Load a server of our own by 50 sessions and sample its serving process; raises LeftOut, LoadFailed, OSError."""
    program = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    if program is None:
        raise LeftOut("py-spy is not installed")
    with tempfile.TemporaryDirectory(prefix="estafeta-bench-") as name:
        top = Path(name)
        top.chmod(0o755)
        issued = issue(top, ["localhost", "127.0.0.1"]) if scenario.needs_tls else None
        ground = Ground(
            folder_of(top, "flame"), FIRST_PORT, scenario.purpose, FIRST_PORT + 3 if scenario.needs_next_host else 0,
            scenario.is_numbered, issued.certificate if issued else None, issued.key if issued else None,
        )  # fmt: skip
        running = PEERS[OURS].start(ground)
        try:
            scenario.begin(running, Matrix())
            picture = top / "flame.svg"
            _sample(program, scenario, Case("", sessions=50, mode=mode), running, picture)
            said = _COMMAND.sub(f">{scenario.title}, 50 sessions<", slim(picture.read_text()))
            target.write_text(said)
        finally:
            running.end()


def _sample(program: str, scenario: Accept, case: Case, running: Running, picture: Path) -> None:
    """The load goes on until py-spy has seen enough."""
    serving = min(running.group.pids())
    command = [program, "record", "-p", str(serving), "-d", str(SECONDS), "-r", str(RATE), "-t", "--function"]
    is_over = threading.Event()
    failed: list[Exception] = []

    def load() -> None:
        try:
            while not is_over.is_set():
                scenario.measure(case, running, Matrix())
        except (LoadFailed, LeftOut, OSError) as error:
            failed.append(error)

    loading = threading.Thread(target=load)
    loading.start()
    try:
        done = subprocess.run([*command, "-o", picture], capture_output=True, text=True)
    finally:
        is_over.set()
        loading.join()
    if failed:
        raise failed[0]
    if done.returncode != 0:
        raise LeftOut(f"py-spy failed: {done.stderr.strip()[-200:]}")


def slim(picture: str) -> str:
    """Without the narrowest frames."""
    return _FRAME.sub(lambda frame: frame[0] if float(frame[1]) >= NARROWEST else "", picture)
