"""Runs the harnesses with atheris, one after the other: `python -m tests.fuzz --seconds 60 --target server`.

Each begins with its corpus in the repository, and keeps what leads to new code in a folder of its own. What fails is
written there too, as `crash-...`, and the run ends with status 1.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from hashlib import sha256
from importlib import import_module
from pathlib import Path

from tests.fuzz.inputs import CORPUS, TARGETS
from tests.fuzz.minimise import few
from tests.fuzz.seeds import seeds
from tests.fuzz.words import dictionary

MAX_INPUT = 4096


def main() -> int:
    """Status 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--target", choices=TARGETS, action="append", help="all, when none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--keep", type=Path, default=Path(".fuzz"), help="where new inputs are kept (default: .fuzz)")
    parser.add_argument("--minimise", action="store_true", help="make the corpus in the repository anew of all inputs")
    given = parser.parse_args()
    each = _minimise if given.minimise else _run
    return max([each(name, given.keep.absolute() / name, given.seconds) for name in given.target or TARGETS])


def _inside(name: str, *arguments: str | Path) -> int:
    command = [sys.executable, "-m", "tests.fuzz.inside", name, *map(str, arguments)]
    return subprocess.run(command).returncode


def _run(name: str, folder: Path, seconds: int) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for number, octets in enumerate(seeds(name)):
        (folder / f"seed-{number:02}").write_bytes(octets)
    words = folder.parent / f"{name}.dict"
    words.write_text(dictionary(name), "ascii")
    print(f"{name}: {seconds} seconds", flush=True)
    status = _inside(
        name,
        f"-max_total_time={seconds}",
        f"-max_len={MAX_INPUT}",
        "-timeout=20",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        f"-dict={words}",
        f"-artifact_prefix={folder}/",
        folder,
        *_existing(CORPUS / name),
    )
    print(f"{name}: {'nothing was found' if status == 0 else f'FOUND SOMETHING, see {folder}'}", flush=True)
    return int(status != 0)


def _minimise(name: str, folder: Path, seconds: int) -> int:
    """The corpus in the repository anew, of itself and of what was kept."""
    files = [file for each in (folder, CORPUS / name) if each.is_dir() for file in each.iterdir()]
    run = import_module(f"tests.fuzz.targets.{name}").run
    kept = few(run, (file.read_bytes() for file in files if not file.name.startswith("crash")))
    shutil.rmtree(CORPUS / name, ignore_errors=True)
    (CORPUS / name).mkdir(parents=True)
    for octets in kept:
        (CORPUS / name / sha256(octets).hexdigest()[:16]).write_bytes(octets)
    print(f"{name}: {len(kept)} of {len(files)} inputs, {sum(map(len, kept))} octets")
    return 0


def _existing(folder: Path) -> list[Path]:
    return [folder] if folder.is_dir() else []


if __name__ == "__main__":
    sys.exit(main())
