"""IMAP beside Dovecot, in one run: whole servers on loopback, the same mail, the same client.

    make bench-imap            (or: make bench-imap ARGS="--messages 100000 --rounds 3")

Needs Debian's package dovecot-imapd, and root because Dovecot starts as root. Both sync each APPEND to disk. Dovecot
keeps the mail as sdbox, the format of its own with one file a message that its index alone describes: it reads and
adds faster than Maildir, which --format maildir measures. The client counts octets and looks for the tagged line.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import count, islice
from pathlib import Path

from bench.correspondence import BODY_WORD, SUBJECT_WORD, letters
from bench.servers import PROGRAM, ControlGroup
from scramp import ScramClient

ESTAFETA_PORT = 12730
DOVECOT_PORT = 12731
USER, PASSWORD = "foo@bench.test", "correct horse battery staple"
ITERATIONS = 15_000
"""Of SCRAM, in both; no password is hashed at a login."""
AT_ONCE = 500
"""Messages of one MULTIAPPEND."""

Letter = tuple[datetime, bytes]

COMMANDS = {
    "FETCH 1:* (FLAGS)": "FETCH 1:* (FLAGS)",
    "FETCH 1:* (FLAGS ENVELOPE INTERNALDATE RFC822.SIZE)": "FETCH 1:* (FLAGS ENVELOPE INTERNALDATE RFC822.SIZE)",
    "FETCH 1:* BODY.PEEK[]": "FETCH 1:* BODY.PEEK[]",
    "SEARCH SUBJECT, a word": f"SEARCH SUBJECT {SUBJECT_WORD}",
    "SEARCH BODY, a word": f"SEARCH BODY {BODY_WORD}",
    "SORT (DATE) UTF-8 ALL": "SORT (DATE) UTF-8 ALL",
    "THREAD REFERENCES UTF-8 ALL": "THREAD REFERENCES UTF-8 ALL",
    r"STORE 1:* +FLAGS (\Seen)": r"STORE 1:* +FLAGS (\Seen)",
    r"STORE 1:* -FLAGS (\Seen)": r"STORE 1:* -FLAGS (\Seen)",
}
SELECT, APPENDS, MULTIAPPEND = "SELECT", f"{AT_ONCE} APPENDs one by one", f"MULTIAPPEND of {AT_ONCE}"
FIRST_LOGIN, LOADING, MEMORY = "first login, to after SELECT", "loading by MULTIAPPEND", "memory"


class Connection:
    """A client that reads as little of the answers as it can."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._numbers = count(1)
        self._buffer = bytearray(1 << 18)
        self._until(b"* ")

    def _until(self, start: bytes) -> tuple[int, bytes]:
        """Read to a last line that begins so; gives how many octets were read, and the line."""
        total, tail, view = 0, b"", memoryview(self._buffer)
        while True:
            got = self._socket.recv_into(view)
            if not got:
                raise SystemExit(f"the server has closed the connection: {tail!r}")
            total += got
            tail = (tail + bytes(view[max(0, got - 2000) : got]))[-2000:]
            if tail.endswith(b"\r\n"):
                line = tail[tail.rfind(b"\r\n", 0, -2) + 2 if b"\r\n" in tail[:-2] else 0 :]
                if line.startswith(start):
                    return total, line

    def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        self._socket.sendall(octets)

    def command(self, text: str, literals: bytes = b"") -> int:
        """Send a command and read all of its answer; gives how many octets that had."""
        tag = f"tag{next(self._numbers)}"
        self.send(f"{tag} {text}".encode() + literals + b"\r\n")
        octets, line = self._until(tag.encode() + b" ")
        if not line.startswith(f"{tag} OK".encode()):
            raise SystemExit(f"{text[:100]}: {line!r}")
        return octets

    def login(self) -> None:
        """Log in by SCRAM-SHA-256."""
        client = ScramClient(["SCRAM-SHA-256"], USER, PASSWORD)
        self.send(b"login AUTHENTICATE SCRAM-SHA-256 " + b64encode(client.get_client_first().encode()) + b"\r\n")
        client.set_server_first(b64decode(self._until(b"+ ")[1][2:]).decode())
        self.send(b64encode(client.get_client_final().encode()) + b"\r\n")
        client.set_server_final(b64decode(self._until(b"+ ")[1][2:]).decode())
        self.send(b"\r\n")
        line = self._until(b"login ")[1]
        if not line.startswith(b"login OK"):
            raise SystemExit(f"login: {line!r}")

    def append(self, mailbox: str, some: list[Letter]) -> None:
        """Put messages into a mailbox by one command."""
        pieces = [_literal(letter) for letter in some]
        self.command(f"APPEND {mailbox}", b"".join(pieces))

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def _literal(letter: Letter) -> bytes:
    moment, octets = letter
    return f' "{moment:%d-%b-%Y %H:%M:%S} +0000" {{{len(octets)}+}}\r\n'.encode() + octets


@dataclass
class Server:
    """One that is measured."""

    name: str
    port: int
    command: list[str]
    environment: dict[str, str]
    cold: dict[str, float] = field(default_factory=dict)
    """Seconds of each command when it was first asked."""
    warm: dict[str, list[float]] = field(default_factory=dict)
    octets: dict[str, int] = field(default_factory=dict)
    """Of the answers to commands."""
    loading: list[str] = field(default_factory=list)
    """What it is started by to be filled, when that is another command."""
    _process: subprocess.Popen[bytes] | None = None
    _group: ControlGroup | None = None

    def start(self, *, to_load: bool = False) -> None:
        """Start it and wait for its greeting."""
        self._group = ControlGroup(f"imap_{self.name}")
        self._process = subprocess.Popen(
            self.loading if to_load and self.loading else self.command,
            preexec_fn=self._group.enter,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **self.environment},
        )
        for _ in range(200):
            try:
                Connection(self.port).close()
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"{self.name} does not answer on port {self.port}")

    def stop(self) -> None:
        """Stop it in order."""
        if self._process is None or self._group is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        finally:
            self._group.end()
            self._process = self._group = None

    def memory(self) -> tuple[int, int]:
        """Octets of all its processes, what they share counted once (PSS), and how many processes there are."""
        assert self._process is not None
        pids = _family(self._process.pid)
        total = 0
        for pid in pids:
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        return total, len(pids)

    def measure(self, what: str, act: Callable[[], object], *, is_cold: bool = False) -> None:
        """Note how long something takes."""
        begin = time.perf_counter()
        act()
        seconds = time.perf_counter() - begin
        if is_cold:
            self.cold[what] = seconds
        else:
            self.warm.setdefault(what, []).append(seconds)


def _family(first: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [first]
    for pid in found:
        found += children.get(pid, [])
    return found


def estafeta(folder: Path) -> Server:
    """A server as shipped, its account made by the commands that an operator uses."""
    file = folder / "estafeta.toml"
    file.write_text(
        f'hostname = "mx.bench.test"\ndata = "data"\n[log]\nlevel = "warning"\n'
        f'[[listen]]\nkind = "imap"\naddress = "127.0.0.1"\nport = {ESTAFETA_PORT}\n'
    )
    environment = {"ESTAFETA_CONFIG": str(file)}
    (folder / "data").mkdir(mode=0o700)
    for arguments in (["domain", "add", "bench.test"], ["account", "add", USER, "--password-file", "-"]):
        subprocess.run(
            [PROGRAM, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **environment},
            input=PASSWORD.encode() + b"\n",
        )
    return Server("Estafeta", ESTAFETA_PORT, [PROGRAM, "serve"], environment)


DOVECOT = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain scram-sha-256
mail_location = {format}:{folder}/mail
mail_fsync = {fsync}
first_valid_uid = 1
mail_max_userip_connections = 5000
default_client_limit = 5000
default_process_limit = 2500
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/home
}}
service imap-login {{
  process_limit = 2500
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  client_limit = 20000
}}
service imap {{
  process_limit = 2500
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


def dovecot(folder: Path, mail_format: str, fsync: str, *, load_unsynced: bool) -> Server | None:
    """A server with a user of its own; limits on processes and connections raised, else as shipped."""
    program = shutil.which("dovecot", path="/usr/sbin:/usr/bin")
    if program is None or os.geteuid() != 0:
        print("Dovecot is left out: it is not installed, or this is not root.")
        return None
    for each in (folder, folder.parent):
        each.chmod(0o755)
    for name in ("mail", "home", "state"):
        (folder / name).mkdir()
        shutil.chown(folder / name, "nobody", "nogroup")
    hashed = subprocess.run(
        ["doveadm", "pw", "-s", "SCRAM-SHA-256", "-r", str(ITERATIONS), "-p", PASSWORD],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (folder / "users").write_text(f"{USER}:{hashed}::::::\n")
    (folder / "users").chmod(0o644)
    commands = []
    for name, syncs in (("dovecot.conf", fsync), ("loading.conf", "never")):
        text = DOVECOT.format(folder=folder, format=mail_format, fsync=syncs, port=DOVECOT_PORT)
        (folder / name).write_text(text)
        commands.append([program, "-F", "-c", str(folder / name)])
    return Server("Dovecot", DOVECOT_PORT, commands[0], {}, loading=commands[1] if load_unsynced else [])


def load(server: Server, total: int) -> None:
    """Fill INBOX."""
    connection = Connection(server.port)
    connection.login()
    source: Iterator[Letter] = letters(total)
    seconds = 0.0
    while some := list(islice(source, AT_ONCE)):
        begin = time.perf_counter()
        connection.append("INBOX", some)
        seconds += time.perf_counter() - begin
    connection.close()
    server.cold[LOADING] = seconds


def first_login(server: Server, *, is_cold: bool) -> None:
    """From the connection to after SELECT, in a server that has just started."""
    server.stop()
    server.start()

    def act() -> None:
        connection = Connection(server.port)
        connection.login()
        connection.command("SELECT INBOX")
        connection.close()

    server.measure(FIRST_LOGIN, act, is_cold=is_cold)


def round_of(server: Server, some: list[Letter], *, is_cold: bool) -> None:
    """Everything once, on one connection."""
    connection = Connection(server.port)
    connection.login()
    server.measure(SELECT, lambda: connection.command("SELECT INBOX"), is_cold=is_cold)

    def ask(what: str, text: str) -> None:
        server.octets[what] = connection.command(text)

    for what, text in COMMANDS.items():
        server.measure(what, partial(ask, what, text), is_cold=is_cold)
    connection.command("UNSELECT")
    connection.command("CREATE Measured")

    def one_by_one() -> None:
        for letter in some:
            connection.append("Measured", [letter])

    server.measure(APPENDS, one_by_one, is_cold=is_cold)
    server.measure(MULTIAPPEND, lambda: connection.append("Measured", some), is_cold=is_cold)
    connection.command("DELETE Measured")
    connection.close()


def memory(server: Server, connections: int) -> str:
    """What connections take that are logged in, have INBOX selected, and say nothing."""
    server.stop()
    server.start()
    warm = Connection(server.port)
    warm.login()
    warm.command("SELECT INBOX")
    before, _ = server.memory()
    held = []
    for _ in range(connections):
        connection = Connection(server.port)
        connection.login()
        connection.command("SELECT INBOX")
        held.append(connection)
    after, processes = server.memory()
    for connection in [*held, warm]:
        connection.close()
    return (
        f"{server.name}: {after / 2**20:,.0f} MiB in {processes} processes, {before / 2**20:,.0f} MiB with one "
        f"connection: {(after - before) / connections / 2**10:,.0f} KiB for each further one"
    )


def show(servers: list[Server]) -> None:
    """Milliseconds as a Markdown table; the ratio is the last one's time by the first one's."""
    for title, times in (
        ("first, cold", [server.cold for server in servers]),
        ("warm", [{what: statistics.median(each) for what, each in server.warm.items()} for server in servers]),
    ):
        print(f"\n| {title} | " + " | ".join(f"{server.name}: ms" for server in servers) + " | ratio |")
        print("|---|" + "---:|" * (len(servers) + 1))
        for what in times[0]:
            cells = [f"{each[what] * 1000:,.1f}" for each in times]
            ratio = f"{times[-1][what] / times[0][what]:.2f}" if len(times) > 1 else ""
            print(f"| {what} | " + " | ".join(cells) + f" | {ratio} |")


def main() -> None:
    """Run both, interleaved, and print what was seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=1_000, help="idle ones, for their memory; 0: leave that out")
    parser.add_argument("--format", choices=["sdbox", "mdbox", "maildir"], default="sdbox", help="of Dovecot")
    parser.add_argument("--fsync", choices=["optimized", "always"], default="optimized", help="mail_fsync of Dovecot")
    parser.add_argument("--load-unsynced", action="store_true", help="fill Dovecot with mail_fsync = never")
    parser.add_argument("--without-dovecot", action="store_true")
    options = parser.parse_args()
    some = list(letters(AT_ONCE, seed=2))
    servers: list[Server] = []
    with tempfile.TemporaryDirectory(prefix="estafeta-bench-") as name:
        for each in ("estafeta", "dovecot"):
            (Path(name) / each).mkdir()
        servers.append(estafeta(Path(name) / "estafeta"))
        if not options.without_dovecot:
            other = dovecot(Path(name) / "dovecot", options.format, options.fsync, load_unsynced=options.load_unsynced)
            servers += [other] if other is not None else []
        try:
            for server in servers:
                server.start(to_load=True)
                load(server, options.messages)
            begin = time.perf_counter()
            subprocess.run([PROGRAM, "index"], check=True, env={**os.environ, **servers[0].environment})
            print(f"estafeta index, beside the server's own indexer: {time.perf_counter() - begin:.1f} s", flush=True)
            for server in servers:
                first_login(server, is_cold=True)
            for number in range(options.rounds + 1):
                for server in servers:
                    round_of(server, some, is_cold=number == 0)
            for _ in range(options.rounds):
                for server in servers:
                    first_login(server, is_cold=False)
            print(
                f"\n{options.messages:,} messages, medians of {options.rounds} rounds; {os.cpu_count()} cores, "
                f"Python {platform.python_version()}, Dovecot with {options.format}, mail_fsync = {options.fsync}"
            )
            show(servers)
            print("\nOctets of the answers: ", end="")
            print("; ".join(f"{what}: {' | '.join(f'{each.octets[what]:,}' for each in servers)}" for what in COMMANDS))
            if options.connections:
                print(f"\n{options.connections:,} idle connections with INBOX selected:")
                for server in servers:
                    print(f"- {memory(server, options.connections)}", flush=True)
        finally:
            for server in servers:
                server.stop()


if __name__ == "__main__":
    main()
