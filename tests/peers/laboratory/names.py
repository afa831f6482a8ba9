"""The DNS of the laboratory: Knot has the zones and signs them, Unbound resolves and validates for all inside.

A test writes the records of a zone; the rest of the world's names do not exist. Signed zones are islands of trust:
Unbound has the keys of each, so their answers come with AD, and those of others do not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.peers.conftest import program
from tests.peers.laboratory.isolation import RESOLVER, Inside, Laboratory
from tests.peers.running import wait_for

AUTHORITY = "192.0.2.2"
"""Where Knot answers for all zones."""

_KNOT = """\
server:
    rundir: "{folder}"
    listen: {authority}@53
    identity: ""
log:
  - target: stderr
    any: warning
database:
    storage: "{folder}/knot"
policy:
  - id: short
    algorithm: ecdsap256sha256
    single-type-signing: on
    cds-cdnskey-publish: none
template:
  - id: default
    storage: "{folder}"
    journal-content: none
    zonefile-sync: -1
zone:
"""

_UNBOUND = """\
server:
    interface: {resolver}
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    logfile: ""
    do-not-query-localhost: no
    module-config: "validator iterator"
    # A test's names are those that registries keep from use.
    local-zone: "test." nodefault
    local-zone: "invalid." nodefault
    # What fails is asked again at once by the next test.
    infra-host-ttl: 1
    cache-max-negative-ttl: 5
remote-control:
    control-enable: yes
    control-use-cert: no
    control-interface: "{folder}/unbound.socket"
stub-zone:
    name: "."
    stub-addr: {authority}
"""


@dataclass(frozen=True)
class Zone:
    """What one zone has, and how it is served."""

    records: str
    serial: int
    is_signed: bool
    is_bogus: bool
    is_broken: bool


class Names:
    """The DNS; a zone added under a name that is there replaces it."""

    def __init__(self, laboratory: Laboratory) -> None:
        self._laboratory = laboratory
        self._folder = laboratory.folder / "names"
        self._programs = {
            name: program(name, package)
            for name, package in [
                *(("knotd", "knot"), ("knotc", "knot"), ("keymgr", "knot"), ("kdig", "knot-dnsutils")),
                *(("unbound", "unbound"), ("unbound-control", "unbound")),
            ]
        }
        # The root has no names but its own: all others do not exist.
        self._zones = {".": Zone("", 1, is_signed=False, is_bogus=False, is_broken=False)}

    def start(self) -> None:
        """Start both servers."""
        (self._folder / "knot").mkdir(parents=True)
        self._write()
        knot, unbound = self._folder / "knot.conf", self._folder / "unbound.conf"
        authority = self._launch("knotd", "-c", knot)
        resolver = self._launch("unbound", "-d", "-c", unbound)
        self._laboratory.wait_for_port(AUTHORITY, 53, authority)
        self._laboratory.wait_for_port(RESOLVER, 53, resolver)
        wait_for((self._folder / "unbound.socket").exists, "Unbound's control socket", seconds=10)

    def add(self, zone: str, records: str, *, signed: bool = False, bogus: bool = False) -> None:
        """Serve a zone: `records` as in a master file, names without a dot at the end below the zone.

        SOA and NS are made. A bogus zone is signed, but the resolver trusts another key, so it fails for everyone.
        """
        before = self._zones.get(zone)
        serial = before.serial + 1 if before is not None else 1
        self._zones[zone] = Zone(records, serial, signed or bogus, bogus, is_broken=False)
        self._apply()

    def add_broken(self, zone: str) -> None:
        """A zone that its server cannot read: server failure."""
        self._zones[zone] = Zone("", 1, is_signed=False, is_bogus=False, is_broken=True)
        self._apply()

    def remove(self, zone: str) -> None:
        """Its names do not exist any more."""
        del self._zones[zone]
        self._apply()

    def ask(self, name: str, kind: str, *further: str) -> str:
        """What kdig tells of the resolver's answer."""
        return self._laboratory.check(self._programs["kdig"], f"@{RESOLVER}", name, kind, *further)

    def _apply(self) -> None:
        self._write()
        self._knotc("reload")
        for name, zone in self._zones.items():
            if not zone.is_broken:
                wait_for(lambda name=name, zone=zone: self._is_served(name, zone), f"the zone {name}", seconds=30)  # type: ignore[misc]
        self._write_unbound()
        socket = f"{self._folder}/unbound.socket"
        # This forgets all answers, too.
        self._laboratory.check(
            self._programs["unbound-control"], "-c", self._folder / "unbound.conf", "-s", socket, "reload"
        )

    def _is_served(self, name: str, zone: Zone) -> bool:
        told = self._laboratory.run(self._programs["kdig"], f"@{AUTHORITY}", name, "SOA", "+dnssec", "+short").stdout
        serial = re.search(rb"^\S+ \S+ (\d+) ", told, re.MULTILINE)
        return serial is not None and int(serial[1]) >= zone.serial and (not zone.is_signed or b"\nSOA " in told)

    def _knotc(self, *words: str) -> None:
        self._laboratory.check(self._programs["knotc"], "-c", self._folder / "knot.conf", "-b", *words)

    def _launch(self, name: str, *arguments: str | Path) -> Inside:
        return self._laboratory.launch(self._programs[name], *arguments, log=self._folder / f"{name}.log")

    # Files.

    def _write(self) -> None:
        lines = [_KNOT.format(folder=self._folder, authority=AUTHORITY)]
        for name, zone in self._zones.items():
            file = f"{name.strip('.') or 'root'}.zone"
            lines.append(f"  - domain: {name}\n    file: {file}\n")
            if zone.is_signed:
                lines.append("    dnssec-signing: on\n    dnssec-policy: short\n")
            if zone.is_broken:
                (self._folder / file).unlink(missing_ok=True)
            else:
                head = f"$ORIGIN {name.strip('.')}.\n$TTL 300\n@ SOA ns hostmaster {zone.serial} 3600 600 86400 5\n"
                (self._folder / file).write_text(f"{head}@ NS ns\nns A {AUTHORITY}\n{zone.records}\n")
        (self._folder / "knot.conf").write_text("".join(lines))
        self._write_unbound()

    def _write_unbound(self) -> None:
        lines = [_UNBOUND.format(folder=self._folder, resolver=RESOLVER, authority=AUTHORITY)]
        for name, zone in self._zones.items():
            if name == ".":
                continue
            lines.append(f'stub-zone:\n    name: "{name}"\n    stub-addr: {AUTHORITY}\n')
            if zone.is_signed:
                lines += [f'server:\n    trust-anchor: "{anchor}"\n' for anchor in self._anchors(name, zone)]
        (self._folder / "unbound.conf").write_text("".join(lines))

    def _anchors(self, name: str, zone: Zone) -> list[str]:
        """The DS records of the keys that Knot has made, once it has."""
        told = self._laboratory.run(
            self._programs["keymgr"], "-c", self._folder / "knot.conf", name, "ds"
        ).stdout.decode()
        sha256 = [line for line in told.splitlines() if re.search(r" DS \d+ 13 2 ", line)]
        return [line[:-4] + ("0000" if line[-4:] != "0000" else "1111") for line in sha256] if zone.is_bogus else sha256
