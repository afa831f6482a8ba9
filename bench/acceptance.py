"""Durable acceptance and delivery beside Postfix, in one run, with Postfix's own load generator.

    make bench            (or: make bench ARGS="--messages 10000 --sessions 50 --rounds 3")

Needs Debian's package postfix (smtp-source and the server itself) and root, because Postfix starts as root.
Both answer 250 when the message is synced to disk. Estafeta delivers into the mailbox with that; Postfix queues (its
mail is put on hold, so that no delivery runs beside the measurement, to its advantage).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from bench.servers import Server, show, start_estafeta, start_postfix

ESTAFETA_PORT = 12610
POSTFIX_PORT = 12611
RECIPIENT = "foo@bench.test"
MODES = {"a connection for each message": [], "kept connections": ["-d"]}


def run_once(server: Server, mode: list[str], options: argparse.Namespace) -> tuple[float, float | None]:
    """Messages a second, and CPU microseconds a message."""
    before = server.group.seconds()
    begin = time.perf_counter()
    subprocess.run(
        [
            "smtp-source", "-s", str(options.sessions), "-m", str(options.messages), "-l", str(options.size),
            "-f", "bench@sender.test", "-t", RECIPIENT, *mode, f"127.0.0.1:{server.port}",
        ],
        check=True,
        env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"},
    )  # fmt: skip
    seconds = time.perf_counter() - begin
    after = server.group.seconds()
    cpu = None if before is None or after is None else (after - before) / options.messages * 1e6
    return options.messages / seconds, cpu


def main() -> None:
    """Run both, interleaved, and print the medians as a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--size", type=int, default=1024, help="octets of a message")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-postfix", action="store_true")
    parser.add_argument("--json", action="store_true", help="print every round as JSON instead of the table")
    options = parser.parse_args()
    if shutil.which("smtp-source", path="/usr/sbin:/usr/bin") is None:
        raise SystemExit("smtp-source is missing: install Debian's package postfix.")
    servers: list[Server] = []
    with tempfile.TemporaryDirectory(prefix="estafeta-bench-") as name:
        try:
            servers.append(start_estafeta(_folder(name, "estafeta"), ESTAFETA_PORT, accounts=(RECIPIENT,)))
            if not options.without_postfix:
                on_hold = ["smtpd_client_restrictions = static:HOLD"]
                postfix = start_postfix(_folder(name, "postfix"), POSTFIX_PORT, on_hold)
                servers += [postfix] if postfix is not None else []
            for _ in range(options.rounds):
                for mode, flags in MODES.items():
                    for server in servers:
                        server.results.setdefault(mode, []).append(run_once(server, flags, options))
        finally:
            for server in servers:
                server.group.end()
    if options.json:
        print(json.dumps({server.name: server.results for server in servers}))
        return
    print(
        f"{options.messages} messages of {options.size} octets, {options.sessions} sessions, medians of "
        f"{options.rounds} rounds; {os.cpu_count()} cores, Python {platform.python_version()}\n"
    )
    show(servers, list(MODES))


def _folder(parent: str, name: str) -> Path:
    folder = Path(parent) / name
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
