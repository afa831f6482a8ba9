"""Durable acceptance and delivery beside Postfix, in one run, with Postfix's own load generator.

    make bench            (or: make bench ARGS="--messages 10000 --sessions 50 --rounds 3")

Needs Debian's package postfix (smtp-source and the server itself) and root, because Postfix starts as root.
Both servers run from folders of their own, on loopback; both answer 250 when the message is synced to disk.
Estafeta delivers into the mailbox with that; Postfix queues (its mail is put on hold, so that no delivery
runs beside the measurement, to its advantage). CPU is what all processes of a server used, ended ones too,
read from a control group of its own; where there are no control groups, Postfix's CPU is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ESTAFETA_PORT = 12610
POSTFIX_PORT = 12611
MODES = {"a connection for each message": [], "kept connections": ["-d"]}


class ControlGroup:
    """Counts the CPU of a server's processes."""

    def __init__(self, name: str) -> None:
        self.path: Path | None = None
        for root, usage in (("/sys/fs/cgroup/cpuacct", "cpuacct.usage"), ("/sys/fs/cgroup", "cpu.stat")):
            folder = Path(root) / f"estafeta_bench_{name}"
            try:
                folder.mkdir(exist_ok=True)
                if (folder / usage).exists():
                    self.path, self._usage = folder, folder / usage
                    return
                folder.rmdir()
            except OSError:
                continue

    def enter(self) -> None:
        """Called in the child, before it becomes the server."""
        os.setsid()
        if self.path is not None:
            (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def seconds(self) -> float | None:
        """CPU used so far."""
        if self.path is None:
            return None
        text = self._usage.read_text()
        if text.strip().isdecimal():
            return int(text) / 1e9
        match = re.search(r"usage_usec (\d+)", text)
        return int(match[1]) / 1e6 if match else None

    def end(self) -> None:
        """Stop what is left in it."""
        if self.path is None:
            return
        for sent in (signal.SIGTERM, signal.SIGKILL):
            for _ in range(30):
                pids = (self.path / "cgroup.procs").read_text().split()
                if not pids:
                    break
                for pid in pids:
                    try:
                        os.kill(int(pid), sent)
                    except ProcessLookupError:
                        continue
                time.sleep(0.1)
        try:
            self.path.rmdir()
        except OSError as error:
            print(f"left behind: {error}", file=sys.stderr)


@dataclass
class Server:
    """A server under load."""

    name: str
    port: int
    recipient: str
    group: ControlGroup
    results: dict[str, list[tuple[float, float | None]]] = field(default_factory=dict)

    def wait_until_up(self) -> None:
        """Wait for its greeting."""
        for _ in range(100):
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                    if connection.recv(3) == b"220":
                        connection.sendall(b"QUIT\r\n")
                        return
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"{self.name} does not answer on port {self.port}")


def start_estafeta(folder: Path) -> Server:
    """A server with one domain and one account, by the commands that an operator uses."""
    settings = folder / "estafeta.toml"
    settings.write_text(
        f'hostname = "mx.bench.test"\ndata = "data"\n[log]\nlevel = "warning"\n'
        f'[[listen]]\nkind = "smtp"\naddress = "127.0.0.1"\nport = {ESTAFETA_PORT}\n'
    )
    program = str(Path(sys.executable).parent / "estafeta")
    environment = {**os.environ, "ESTAFETA_CONFIG": str(settings)}
    (folder / "data").mkdir(mode=0o700)
    for arguments in (["domain", "add", "bench.test"], ["account", "add", "foo@bench.test", "--no-password"]):
        subprocess.run([program, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)
    group = ControlGroup("estafeta")
    subprocess.Popen([program, "serve"], preexec_fn=group.enter, stdin=subprocess.DEVNULL, env=environment)
    server = Server("Estafeta", ESTAFETA_PORT, "foo@bench.test", group)
    server.wait_until_up()
    return server


MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""


def start_postfix(folder: Path) -> Server | None:
    """An instance of its own: durable as shipped, its processes raised to the number of sessions."""
    if shutil.which("postfix", path="/usr/sbin:/usr/bin") is None or os.geteuid() != 0:
        print("Postfix is left out: it is not installed, or this is not root.", file=sys.stderr)
        return None
    conf = folder / "conf"
    for name in ("conf", "spool", "data", "log"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    for each in (folder, folder.parent):
        each.chmod(0o755)
    (conf / "main.cf").write_text(
        "\n".join(
            [
                "compatibility_level = 3.6",
                f"queue_directory = {folder}/spool",
                f"data_directory = {folder}/data",
                "command_directory = /usr/sbin",
                "daemon_directory = /usr/lib/postfix/sbin",
                f"maillog_file = {folder}/log/maillog",
                f"maillog_file_prefixes = {folder}",
                "myhostname = postfix.bench.test",
                "mydestination =",
                "mynetworks = 127.0.0.0/8",
                "inet_interfaces = 127.0.0.1",
                "inet_protocols = ipv4",
                "alias_maps =",
                "alias_database =",
                "local_recipient_maps =",
                "smtpd_relay_restrictions = permit_mynetworks, reject",
                "smtpd_client_restrictions = static:HOLD",
                "smtpd_tls_security_level =",
                "smtp_tls_security_level =",
                "default_process_limit = 300",
                "in_flow_delay = 0",
                "",
            ]
        )
    )
    (conf / "master.cf").write_text(MASTER.format(port=POSTFIX_PORT))
    subprocess.run(
        ["postfix", "-c", str(conf), "check"], check=True, env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    )
    group = ControlGroup("postfix")
    subprocess.Popen(
        ["/usr/lib/postfix/sbin/master", "-c", str(conf), "-d"],
        preexec_fn=group.enter,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "MAIL_CONFIG": str(conf)},
    )
    server = Server("Postfix", POSTFIX_PORT, "foo@bench.test", group)
    server.wait_until_up()
    return server


def run_once(server: Server, mode: list[str], options: argparse.Namespace) -> tuple[float, float | None]:
    """Messages a second, and CPU microseconds a message."""
    before = server.group.seconds()
    begin = time.perf_counter()
    subprocess.run(
        [
            "smtp-source", "-s", str(options.sessions), "-m", str(options.messages), "-l", str(options.size),
            "-f", "bench@sender.test", "-t", server.recipient, *mode, f"127.0.0.1:{server.port}",
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
            for start in (start_estafeta, None if options.without_postfix else start_postfix):
                if start is None:
                    continue
                folder = Path(name) / start.__name__
                folder.mkdir()
                server = start(folder)
                if server is not None:
                    servers.append(server)
            for _ in range(options.rounds):
                for mode, flags in MODES.items():
                    for server in servers:
                        server.results.setdefault(mode, []).append(run_once(server, flags, options))
        finally:
            for server in servers:
                server.group.end()
    if options.json:
        print(json.dumps({server.name: server.results for server in servers}))
    else:
        show(servers, options)


def show(servers: list[Server], options: argparse.Namespace) -> None:
    """The medians as a Markdown table."""
    print(
        f"{options.messages} messages of {options.size} octets, {options.sessions} sessions, medians of "
        f"{options.rounds} rounds; {os.cpu_count()} cores, Python {platform.python_version()}\n"
    )
    print("| | " + " | ".join(f"{server.name}: messages/s | CPU µs/message" for server in servers) + " | ratio |")
    print("|---|" + "---:|---:|" * len(servers) + "---:|")
    for mode in MODES:
        rates = [statistics.median(rate for rate, _ in server.results[mode]) for server in servers]
        cells = []
        for server, rate in zip(servers, rates, strict=True):
            used = [cpu for _, cpu in server.results[mode] if cpu is not None]
            cells.append(f"{rate:,.0f} | {statistics.median(used):,.0f}" if used else f"{rate:,.0f} | ?")
        ratio = f"{rates[0] / rates[1]:.1f}" if len(rates) > 1 else ""
        print(f"| {mode} | " + " | ".join(cells) + f" | {ratio} |")


if __name__ == "__main__":
    main()
