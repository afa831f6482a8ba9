"""The server gives up root: what it can do before and after, what its processes are, and what the operator is told."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from estafeta.app.privileges import PrivilegeFault, become, make_ready
from estafeta.config.owner import Owner, UnfitOwner, owner_of
from estafeta.config.reading import read
from estafeta.config.settings import OwnerSettings
from estafeta.net.authority import issue

ROOT = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"
NOBODY = "nobody"
NEEDS_ROOT = "gives up root, so it must be root first: run the tests as root to see this"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason=NEEDS_ROOT)


def python_of_everybody() -> str:
    """A Python that another user may run too, with what the tests run with."""
    for program in (sys.executable, shutil.which("python3", path="/usr/local/bin:/usr/bin") or ""):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            check = [program, "-c", f"import sys; assert sys.version_info[:2] == {sys.version_info[:2]}; import uvloop"]
            subprocess.run(check, user=NOBODY, cwd="/", env=environment(), check=True, capture_output=True)
            return program
    pytest.skip("no Python here can be run by another user")


def environment() -> dict[str, str]:
    packages = [str(ROOT / "src"), *(path for path in sys.path if path.endswith("site-packages"))]
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(packages), "PYTHONDONTWRITEBYTECODE": "1"}


def low_port() -> int:
    """A free port that only root may bind."""
    for port in range(1023, 600, -1):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((LOOPBACK, port))
            return port
    raise AssertionError("no free port below 1024")


class Server:
    """`estafeta serve`, started as root, with a folder that others may pass through."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.file = folder / "estafeta.toml"
        self.issued = issue(folder / "tls", ["localhost"])
        (folder / "tls").chmod(0o755)
        self.issued.certificate.chmod(0o644)
        self.issued.key.chmod(0o600)
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, *tables: str, hostname: str = "mx.example.org", ports: tuple[int, ...] = ()) -> None:
        lines = [f'hostname = "{hostname}"', 'data = "data"', *tables]
        lines += ["[tls]", f'certificate = "{self.issued.certificate}"', f'key = "{self.issued.key}"']
        for port in ports:
            lines += ["[[listen]]", 'kind = "smtp"', f'address = "{LOOPBACK}"', f"port = {port}"]
        self.file.write_text("\n".join([*lines, ""]))
        self.file.chmod(0o644)

    def start(self, user: str | None = None) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [python_of_everybody(), "-c", "from estafeta.cli.main import main; main()", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                cwd="/",
                user=user,
            )

    @property
    def _arguments(self) -> list[str]:
        return ["serve", "--config", str(self.file)]

    def until(self, is_so: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + 60
        while not is_so():
            assert self.process is not None and self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end, f"no {what}: {self.log.read_text()[-3000:]}"
            time.sleep(0.02)

    def until_said(self, *words: str) -> None:
        self.until(lambda: all(word in self.log.read_text() for word in words), f"{words} in the log")

    def fails(self) -> str:
        """Start it; gives what it says before it ends."""
        self.start()
        assert self.process is not None and self.process.wait(60) == 1
        return " ".join(self.log.read_text().split())

    def processes(self) -> list[int]:
        assert self.process is not None
        number = self.process.pid
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        return [number, *map(int, children)]

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)


@pytest.fixture
def server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="estafeta-", dir="/tmp"))
    folder.chmod(0o755)
    made = Server(folder)
    yield made
    made.close()
    shutil.rmtree(folder)


def facts(process: int) -> dict[str, str]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {name: " ".join(value.split()) for name, _, value in (line.partition(":") for line in lines)}


def says_ehlo(port: int) -> str:
    """EHLO over STARTTLS; gives the name that the server calls itself."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP(LOOPBACK, port, timeout=30) as client:
        client.starttls(context=context)
        return client.ehlo()[1].decode().split()[0]


def is_up(port: int) -> bool:
    with contextlib.suppress(OSError, smtplib.SMTPException):
        says_ehlo(port)
        return True
    return False


@needs_root
def test_all_processes_serve_without_root_on_ports_and_with_a_key_of_root(server: Server) -> None:
    port, other = low_port(), 0
    user = pwd.getpwnam(NOBODY)
    mine = ["[process]", f'user = "{NOBODY}"', "[processes]", "workers = 2", "[shutdown]", "drain_seconds = 1.0"]
    server.write(*mine, ports=(port,))
    server.start()
    server.until(lambda: is_up(port) and len(server.processes()) == 3, "server with its workers")
    for process in server.processes():
        status = facts(process)
        assert status["Uid"] == " ".join([str(user.pw_uid)] * 4)
        assert status["Gid"] == " ".join([str(user.pw_gid)] * 4)
        assert set(map(int, status["Groups"].split())) == set(os.getgrouplist(NOBODY, user.pw_gid))
        assert not any(int(status[name], 16) for name in ("CapPrm", "CapEff", "CapAmb"))
        assert status["NoNewPrivs"] == "1"
    # No dumpable memory: the files below /proc belong to root, and the user himself may not look.
    assert Path(f"/proc/{server.processes()[0]}/environ").stat().st_uid == 0
    assert {path.stat().st_uid for path in (server.folder / "data").rglob("*")} == {user.pw_uid}
    assert not [path for path in (server.folder / "data").rglob("*") if path.stat().st_mode & 0o077]

    # A worker that dies comes back to the port that nobody could bind now.
    (worker,) = [each for each in server.processes()[1:] if b"serve" in Path(f"/proc/{each}/cmdline").read_bytes()]
    os.kill(worker, signal.SIGKILL)
    server.until(lambda: worker not in server.processes() and len(server.processes()) == 3, "another worker")
    assert {says_ehlo(port) for _ in range(10)} == {"mx.example.org"}

    # New settings are taken, with the key of before; a new port that needs root is said, and the old goes on.
    assert server.process is not None
    other = low_port()
    server.write(*mine, hostname="new.example.org", ports=(other, port))
    server.process.send_signal(signal.SIGHUP)
    server.until_said(f"cannot listen on smtp {LOOPBACK}:{other}", "needs the rights of root")
    server.until(lambda: {says_ehlo(port) for _ in range(10)} == {"new.example.org"}, "new name from all workers")
    assert not is_up(other)

    # A new certificate with a new key that root alone may read: said, and the old one is shown on.
    again = issue(server.folder / "again", ["localhost"])
    shutil.copyfile(again.certificate, server.issued.certificate)
    shutil.copyfile(again.key, server.issued.key)
    server.process.send_signal(signal.SIGHUP)
    server.until_said("can be read by root alone: restart the server")
    assert says_ehlo(port) == "new.example.org"
    server.process.terminate()
    assert server.process.wait(60) == 0, server.log.read_text()[-3000:]


@needs_root
def test_a_data_directory_of_another_user_is_told_with_the_remedy(server: Server) -> None:
    (server.folder / "data").mkdir(mode=0o700)
    server.write("[process]", f'user = "{NOBODY}"', ports=(low_port(),))
    data = server.folder / "data"
    assert f"{data} does not belong to nobody; run: chown -R nobody:nogroup {data}" in server.fails()
    os.chown(data, *pwd.getpwnam(NOBODY)[2:4])
    (data / "secret").touch()
    server.log.unlink()
    assert f"{data}/secret does not belong to nobody" in server.fails()


@needs_root
def test_settings_that_the_user_may_not_read_are_told_at_the_start(server: Server) -> None:
    server.write("[process]", f'user = "{NOBODY}"', ports=(low_port(),))
    server.file.chmod(0o600)
    assert "permission denied" in server.fails().lower()


@needs_root
def test_root_without_the_setting_is_warned(server: Server) -> None:
    server.write("[processes]", "indexer = false", ports=((port := low_port()),))
    server.start()
    server.until(lambda: is_up(port), "server")
    assert "the server runs as root" in server.log.read_text() and "process.user" in server.log.read_text()


@needs_root
def test_one_user_cannot_become_another() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setresgid(12345, 12345, 12345)
            os.setresuid(12345, 12345, 12345)
            become(Owner("nobody", 65534, 65534, (65534,)))
        except PrivilegeFault as fault:
            os.write(writing, str(fault).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        assert file.read() == "started as 12345, it cannot become nobody: start it as root or as nobody"
    os.waitpid(child, 0)


def test_who_is_the_user_already_stays_it(tmp_path: Path) -> None:
    own = Owner("me", os.geteuid(), os.getegid(), tuple(os.getgroups()))
    become(own)
    make_ready(tmp_path / "made", own)
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (OwnerSettings(user="no-such-user"), "useradd --system"),
        (OwnerSettings(user=NOBODY, group="no-such-group"), "there is no group no-such-group"),
        (OwnerSettings(user="root"), "that is root again"),
        (OwnerSettings(user=NOBODY, group="root"), "that is root again"),
    ],
)
def test_who_cannot_be_the_user_is_told(settings: OwnerSettings, words: str) -> None:
    with pytest.raises(UnfitOwner, match=words):
        owner_of(settings)


@pytest.mark.parametrize(
    ("kind", "place", "does"),
    [
        ("command", 'command = ["/bin/cat"]', "run a command as"),
        ("maildir", 'path = "/srv/mail/{local}"', "write files of"),
        ("mbox", 'path = "/srv/mail/all"', "write files of"),
    ],
)
def test_a_gateway_of_another_user_does_not_go_with_it(tmp_path: Path, kind: str, place: str, does: str) -> None:
    file = tmp_path / "estafeta.toml"
    gateway = f'[[gateway]]\nname = "filter"\nkind = "{kind}"\n{place}\n'
    file.write_text(f'[process]\nuser = "{NOBODY}"\n{gateway}user = "{NOBODY}"\n')
    read(file)
    file.write_text(f'[process]\nuser = "{NOBODY}"\n{gateway}user = "daemon"\n')
    with pytest.raises(Exception, match=f"only root can {does} daemon, and the server runs as nobody"):
        read(file)
