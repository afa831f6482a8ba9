"""The units of systemd: what they say is known there, fits our commands, and lets the server run."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import click
import pytest

from estafeta.cli.main import estafeta
from estafeta.config.location import DEFAULT_DATA
from estafeta.config.settings import ListenerKind

FOLDER = Path(__file__).parents[2] / "packaging" / "systemd"
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
UNITS = sorted(path for path in FOLDER.iterdir() if path.suffix in (".service", ".socket", ".timer"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]
SETTINGS = "/etc/estafeta/estafeta.toml"
# What a template's timers start it for.
INSTANCES = ("audit", "verify")

Unit = dict[str, dict[str, list[str]]]


def parsed(path: Path) -> Unit:
    """Sections, keys, and the values of each in their order."""
    unit: Unit = defaultdict(lambda: defaultdict(list))
    section = ""
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert section and equals and key.strip() == key and value.strip() == value, line
            unit[section][key].append(value)
    return unit


def commands(unit: Unit) -> list[list[str]]:
    """The command lines of a service; those of a template for each of its instances."""
    (line,) = unit["Service"]["ExecStart"]
    instances = INSTANCES if "%i" in line else ("",)
    return [shlex.split(line.replace("%i", instance)) for instance in instances]


def test_there_are_units() -> None:
    assert {path.name for path in UNITS} >= {"estafeta.service", "estafeta.socket", "estafeta-backup.timer"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze says whether systemd knows a key")
def test_systemd_knows_all_that_the_units_say(tmp_path: Path) -> None:
    for path in UNITS:  # what is named must be there, so another program stands for ours
        (tmp_path / path.name).write_text(path.read_text().replace("/usr/bin/estafeta", "/bin/true"))
    names = [tmp_path / path.name.replace("@.", "@audit.") for path in UNITS]
    shutil.copyfile(tmp_path / "estafeta-care@.service", tmp_path / "estafeta-care@audit.service")
    result = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True, timeout=60)
    assert [line for line in result.stderr.splitlines() if "estafeta" in line] == []


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_what_is_started_is_a_command_of_ours_with_its_options(path: Path) -> None:
    for program, name, *arguments in commands(parsed(path)):
        assert program == "/usr/bin/estafeta"
        command = estafeta.get_command(click.Context(estafeta), name)
        assert command is not None, name
        context = command.make_context(name, arguments)  # a usage error is an exception
        assert context.params["config"] == Path(SETTINGS)


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_services_may_write_the_data_directory_and_nothing_of_others(path: Path) -> None:
    service = parsed(path)["Service"]
    assert service["User"] == service["Group"] == ["estafeta"]
    assert f"/var/lib/{service['StateDirectory'][0]}" == str(DEFAULT_DATA) == service["WorkingDirectory"][0]
    assert service["StateDirectoryMode"] == ["0700"] and service["UMask"] == ["0077"]
    for key in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "MemoryDenyWriteExecute", "RestrictNamespaces"):
        assert service[key] == ["yes"], key
    assert service["ProtectSystem"] == ["strict"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze gives the figure")
@pytest.mark.parametrize(("name", "most"), [("estafeta.service", 1.5), ("estafeta-backup.service", 1.0)])
def test_the_exposure_stays_what_the_page_says(name: str, most: float) -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(FOLDER / name)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    assert float(said.rpartition("level for ")[2].split()[1]) <= most


def test_the_server_is_what_its_unit_takes_it_for() -> None:
    service = parsed(FOLDER / "estafeta.service")["Service"]
    assert service["Type"] == ["notify"] and service["NotifyAccess"] == ["main"]
    # The first process has to end the others itself, and all of them may keep their sockets there.
    assert service["KillMode"] == ["mixed"] and int(service["FileDescriptorStoreMax"][0]) >= 1024
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == ["CAP_NET_BIND_SERVICE"]
    assert service["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_the_ports_of_the_socket_unit_are_ports_of_ours() -> None:
    listening = parsed(FOLDER / "estafeta.socket")["Socket"]
    assert listening["Accept"] == ["no"] and listening["BindIPv6Only"] == ["ipv6-only"]
    ports = [int(place.rpartition(":")[2]) for place in listening["ListenStream"]]
    assert set(ports) <= {kind.default_port for kind in ListenerKind}
    # As listeners are: one for IPv4 and one for IPv6.
    assert all(f"0.0.0.0:{port}" in listening["ListenStream"] for port in ports)
    assert all(f"[::]:{port}" in listening["ListenStream"] for port in ports)


def test_timers_start_what_there_is() -> None:
    for path in UNITS:
        if path.suffix == ".timer":
            (name,) = parsed(path)["Timer"]["Unit"]
            template = name.partition("@")[0] + "@.service" if "@" in name else name
            assert (FOLDER / template).exists()
            assert "@" not in name or name.partition("@")[2].removesuffix(".service") in INSTANCES


def test_the_page_explains_every_setting_of_the_service() -> None:
    page = OPERATIONS.read_text()
    for key in parsed(FOLDER / "estafeta.service")["Service"]:
        assert f"`{key}" in page, f"docs/operations.md does not say what {key}= forbids or does"
    assert all(path.name in page for path in UNITS)


_WITHOUT_NEW_CODE = """
import ctypes, sys
if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE: no memory becomes executable
    sys.exit(77)
import asyncio, apsw, uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from estafeta.app import privileges
from estafeta.store.passwords import hash_password
privileges.seal()
apsw.Connection(":memory:").execute("select 1").fetchall()
ec.generate_private_key(ec.SECP256R1())
hash_password("secret")
async def main():
    process = await asyncio.create_subprocess_exec("/bin/true")
    await process.wait()
uvloop.run(main())
"""


def test_what_we_stand_on_needs_no_memory_that_is_written_and_executed() -> None:
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path), "PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        [sys.executable, "-c", _WITHOUT_NEW_CODE], env=environment, capture_output=True, text=True, timeout=60
    )
    if result.returncode == 77:
        pytest.skip("this kernel cannot forbid it for one process alone")
    assert result.returncode == 0, result.stderr
