"""The servers that are measured side by side: each in a folder and a control group of its own, on loopback.

CPU is what all processes of a server used, ended ones too; where there are no control groups it is left out.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = str(Path(sys.executable).parent / "estafeta")
"""The command beside the interpreter that runs this."""


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
    group: ControlGroup
    settings: Path
    results: dict[str, list[tuple[float, float | None]]] = field(default_factory=dict)
    """By scenario: messages a second, and CPU microseconds a message."""

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


def start_estafeta(folder: Path, port: int, settings: str = "", accounts: Sequence[str] = ()) -> Server:
    """A server with one domain and its accounts, made by the commands that an operator uses."""
    file = folder / "estafeta.toml"
    file.write_text(
        f'hostname = "mx.bench.test"\ndata = "data"\n[log]\nlevel = "warning"\n'
        f'[[listen]]\nkind = "smtp"\naddress = "127.0.0.1"\nport = {port}\n{settings}'
    )
    environment = {**os.environ, "ESTAFETA_CONFIG": str(file)}
    (folder / "data").mkdir(mode=0o700)
    commands = [["domain", "add", "bench.test"], *(["account", "add", each, "--no-password"] for each in accounts)]
    for arguments in commands:
        subprocess.run([PROGRAM, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)
    group = ControlGroup("estafeta")
    subprocess.Popen([PROGRAM, "serve"], preexec_fn=group.enter, stdin=subprocess.DEVNULL, env=environment)
    server = Server("Estafeta", port, group, file)
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


def start_postfix(folder: Path, port: int, settings: Sequence[str], services: str = "") -> Server | None:
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
                "smtpd_tls_security_level =",
                "smtp_tls_security_level =",
                "default_process_limit = 300",
                "in_flow_delay = 0",
                *settings,
                "",
            ]
        )
    )
    (conf / "master.cf").write_text(MASTER.format(port=port) + services)
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
    server = Server("Postfix", port, group, conf / "main.cf")
    server.wait_until_up()
    return server


def show(servers: list[Server], scenarios: Sequence[str]) -> None:
    """The medians as a Markdown table."""
    print("| | " + " | ".join(f"{server.name}: messages/s | CPU µs/message" for server in servers) + " | ratio |")
    print("|---|" + "---:|---:|" * len(servers) + "---:|")
    for scenario in scenarios:
        rates = [statistics.median(rate for rate, _ in server.results[scenario]) for server in servers]
        cells = []
        for server, rate in zip(servers, rates, strict=True):
            used = [cpu for _, cpu in server.results[scenario] if cpu is not None]
            cells.append(f"{rate:,.0f} | {statistics.median(used):,.0f}" if used else f"{rate:,.0f} | ?")
        ratio = f"{rates[0] / rates[1]:.1f}" if len(rates) > 1 else ""
        print(f"| {scenario} | " + " | ".join(cells) + f" | {ratio} |")
