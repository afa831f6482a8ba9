"""Estafeta in the laboratory: it asks its DNS, and sends to and takes mail from the hosts there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.peers.laboratory.isolation import OWN_ADDRESS, Laboratory
from tests.peers.running import RunningServer, wait_for

_SERVE = "import sys; from estafeta.cli.main import main; sys.argv[0] = 'estafeta'; main()"


class LaboratoryServer(RunningServer):
    """As `RunningServer`, with port 25 of an address of the laboratory as one more listener."""

    def __init__(
        self,
        laboratory: Laboratory,
        folder: Path,
        *,
        domain: str = "example.org",
        address: str = OWN_ADDRESS,
        settings: str = "",
    ) -> None:
        self._laboratory = laboratory
        self.address = address
        listener = f'[[listen]]\nkind = "smtp"\naddress = "{address}"\nport = 25\n'
        super().__init__(folder, domain=domain, settings=f"{listener}{settings}")

    def start(self) -> None:
        """Start it inside and wait for its greeting; it is killed when the process of the tests ends."""
        serve = [sys.executable, "-c", _SERVE, "serve", "--config", str(self.folder / "estafeta.toml")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._laboratory.command("setpriv", "--pdeathsig", "KILL", *serve, own_processes=False),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")},
            )
        wait_for(self._is_up, f"the server's greeting; its log: {self.log}", seconds=30)

    def _is_up(self) -> bool:
        return self._laboratory.call(super()._is_up)

    def put(self, sender: str, address: str, contents: list[bytes]) -> None:
        """Have messages delivered to an account, as another host does."""
        self._laboratory.call(lambda: RunningServer.put(self, sender, address, contents))
