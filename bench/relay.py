"""Relaying beside Postfix, in one run: accepted durably, queued, sent on to Postfix's `smtp-sink`.

    make bench-relay      (or: make bench-relay ARGS="--messages 5000 --sizes 1024 --rounds 3")

A round ends when the sinks have taken every message; the servers take turns. The many destinations are as many
addresses of loopback with a sink each, so that both servers see them as different hosts. Needs what the other
benchmark needs.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import tempfile
import time
from pathlib import Path

from bench.servers import Server, show, start_estafeta, start_postfix

ESTAFETA_PORT, ESTAFETA_SINK = 12620, 12622
POSTFIX_PORT, POSTFIX_SINK = 12621, 12623
BINARIES = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"}
_COUNTED = re.compile(rb"mesg=(\d+)")


class Sinks:
    """One `smtp-sink` for each destination, and how many messages they have taken."""

    def __init__(self, port: int, number: int, folder: Path) -> None:
        self.hosts = _hosts(number)
        self._files = [folder / f"sink-{port}-{host}" for host in self.hosts]
        self._processes = []
        for host, path in zip(self.hosts, self._files, strict=True):
            with path.open("wb") as file:
                self._processes.append(
                    subprocess.Popen(
                        ["smtp-sink", "-u", "nobody", "-c", f"{host}:{port}", "1000"],
                        stdout=file,
                        stdin=subprocess.DEVNULL,
                        env=BINARIES,
                    )
                )

    def taken(self) -> int:
        """Messages so far, by the sinks' running counters."""
        total = 0
        for path in self._files:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - 200))
                counts = _COUNTED.findall(file.read())
            total += int(counts[-1]) if counts else 0
        return total

    def end(self) -> None:
        """Stop them."""
        for process in self._processes:
            process.terminate()
            process.wait()


def run_once(server: Server, sinks: Sinks, hosts: list[str], size: int, messages: int, sessions: int) -> None:
    """One round: messages a second until the last one is in a sink, and CPU microseconds a message."""
    share = max(1, messages // len(hosts))
    wanted = sinks.taken() + share * len(hosts)
    cpu_before = server.group.seconds()
    begin = time.perf_counter()
    sources = [
        subprocess.Popen(
            [
                "smtp-source", "-s", str(max(1, sessions // len(hosts))), "-m", str(share), "-l", str(size), "-d",
                "-f", "bench@sender.test", "-t", f"foo@{_domain(host) if server.name == 'Postfix' else f'[{host}]'}",
                f"127.0.0.1:{server.port}",
            ],
            env=BINARIES,
        )
        for host in hosts
    ]  # fmt: skip
    for source in sources:
        if source.wait() != 0:
            raise SystemExit("smtp-source failed")
    accepted = time.perf_counter() - begin
    while sinks.taken() < wanted:
        if time.perf_counter() - begin > 600:
            raise SystemExit(f"{server.name}: {wanted - sinks.taken()} messages did not come out within 10 minutes")
        time.sleep(0.02)
    seconds = time.perf_counter() - begin
    cpu_after = server.group.seconds()
    number = share * len(hosts)
    cpu = None if cpu_before is None or cpu_after is None else (cpu_after - cpu_before) / number * 1e6
    server.results.setdefault(_scenario(size, hosts), []).append((number / seconds, cpu))
    used = "?" if cpu is None else f"{cpu:.0f}"
    print(f"{server.name} {_scenario(size, hosts)}: {number / seconds:.0f}/s, {used} µs, accepted in {accepted:.1f} s")


def _hosts(number: int) -> list[str]:
    return [f"127.0.1.{each}" for each in range(1, number + 1)]


def _domain(host: str) -> str:
    """The name by which Postfix finds a sink's address in its table; Estafeta is given the address itself."""
    return f"d{host.rpartition('.')[2]}.bench.test"


def _scenario(size: int, hosts: list[str]) -> str:
    return f"{size // 1024} KiB, {len(hosts)} destination{'s' if len(hosts) > 1 else ''}"


def main() -> None:
    """Run both, interleaved, and print the medians as a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=5_000)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 102_400], help="octets of a message")
    parser.add_argument("--destinations", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-postfix", action="store_true")
    options = parser.parse_args()
    most = max(options.destinations)
    with tempfile.TemporaryDirectory(prefix="estafeta-bench-") as name:
        top = Path(name)
        top.chmod(0o755)
        running: list[tuple[Server, Sinks]] = []
        try:
            for each in ("estafeta", "postfix"):
                (top / each).mkdir()
            settings = (
                f'[smtp]\ntrusted_networks = ["127.0.0.0/8"]\n[relay]\nport = {ESTAFETA_SINK}\nallow_loopback = true\n'
            )
            server = start_estafeta(top / "estafeta", ESTAFETA_PORT, settings)
            running.append((server, Sinks(ESTAFETA_SINK, most, top)))
            if not options.without_postfix:
                (top / "transport").write_text(
                    "".join(f"{_domain(host)} smtp:[{host}]:{POSTFIX_SINK}\n" for host in _hosts(most))
                )
                (top / "transport").chmod(0o644)
                lines = [f"transport_maps = texthash:{top}/transport", "qmgr_message_active_limit = 20000"]
                services = "smtp unix - - n - - smtp\n"
                postfix = start_postfix(top / "postfix", POSTFIX_PORT, lines, services)
                if postfix is not None:
                    running.append((postfix, Sinks(POSTFIX_SINK, most, top)))
            time.sleep(1)
            scenarios = [(size, number) for size in options.sizes for number in options.destinations]
            for _ in range(options.rounds):
                for size, number in scenarios:
                    messages = options.messages if size <= 10_240 else max(number, options.messages // 5)
                    for server, sinks in running:
                        run_once(server, sinks, sinks.hosts[:number], size, messages, options.sessions)
        finally:
            for server, sinks in running:
                server.group.end()
                sinks.end()
    print(
        f"\n{options.messages} messages (a fifth of that when over 10 KiB), {options.sessions} sessions, medians of "
        f"{options.rounds} rounds; {os.cpu_count()} cores, Python {platform.python_version()}\n"
    )
    show([server for server, _ in running], [_scenario(size, _hosts(number)) for size, number in scenarios])


if __name__ == "__main__":
    main()
